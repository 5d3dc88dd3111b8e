/** Who may do what: reviews, what is refused, and those who would give themselves more than they have. */
import { NAMESPACE } from './kind-samples.ts';
import type { CorpusRequest, Json } from './request.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const group = 'rbac.authorization.k8s.io';
const inNamespace = `${rbac}/namespaces/${NAMESPACE}`;

const create = (name: string, path: string, body: Json, token?: string): CorpusRequest => ({
  name: `access: ${name}`,
  method: 'POST',
  path,
  body,
  ...(token === undefined ? {} : { token }),
});

const role = (name: string, rules: readonly Json[]): Json => ({ metadata: { name }, rules });
const user = (name: string): Json => ({ kind: 'User', apiGroup: group, name });
const binding = (name: string, roleRef: Json, subject: Json): Json => ({
  metadata: { name },
  roleRef: { apiGroup: group, ...roleRef },
  subjects: [subject],
});

const grants: readonly CorpusRequest[] = [
  create(
    'a role to read pods',
    `${inNamespace}/roles`,
    role('reader', [{ apiGroups: [''], resources: ['pods', 'pods/log'], verbs: ['get', 'list'] }]),
  ),
  create(
    'joe reads pods',
    `${inNamespace}/rolebindings`,
    binding('joe', { kind: 'Role', name: 'reader' }, user('joe')),
  ),
  create(
    'a role for one ConfigMap',
    `${inNamespace}/roles`,
    role('one', [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['a'], verbs: ['get', 'update'] }]),
  ),
  create(
    'eve has one ConfigMap',
    `${inNamespace}/rolebindings`,
    binding('eve', { kind: 'Role', name: 'one' }, user('eve')),
  ),
  create(
    'a role of managers of roles',
    `${inNamespace}/roles`,
    role('manager', [{ apiGroups: [group], resources: ['roles', 'rolebindings'], verbs: ['*'] }]),
  ),
  create(
    'joe manages roles',
    `${inNamespace}/rolebindings`,
    binding('joe-manages', { kind: 'Role', name: 'manager' }, user('joe')),
  ),
  create(
    'a role of URLs',
    `${rbac}/clusterroles`,
    role('corpus-urls', [{ nonResourceURLs: ['/corpus/*'], verbs: ['get'] }]),
  ),
  create(
    'auditors read URLs',
    `${rbac}/clusterrolebindings`,
    binding(
      'corpus-urls',
      { kind: 'ClusterRole', name: 'corpus-urls' },
      { kind: 'Group', apiGroup: group, name: 'auditors' },
    ),
  ),
  create(
    'a role of all scales',
    `${rbac}/clusterroles`,
    role('corpus-scales', [{ apiGroups: ['*'], resources: ['*/scale'], verbs: ['get', 'patch'] }]),
  ),
  create(
    'developers scale',
    `${rbac}/clusterrolebindings`,
    binding(
      'corpus-scales',
      { kind: 'ClusterRole', name: 'corpus-scales' },
      { kind: 'Group', apiGroup: group, name: 'developers' },
    ),
  ),
  create(
    'a ServiceAccount views',
    `${inNamespace}/rolebindings`,
    binding(
      'sa',
      { kind: 'ClusterRole', name: 'system:aggregate-to-view' },
      { kind: 'ServiceAccount', name: 'default', namespace: NAMESPACE },
    ),
  ),
  create(
    'a binding to a role that is not there',
    `${inNamespace}/rolebindings`,
    binding('dangling', { kind: 'Role', name: 'none' }, user('tom')),
  ),
];

const resource = (verb: string, name: string, more: Json = {}): Json => ({
  resourceAttributes: { namespace: NAMESPACE, verb, resource: name, ...more },
});
const review = (name: string, spec: Json, until?: CorpusRequest['until']): CorpusRequest => ({
  ...create(`may ${name}`, '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec,
  }),
  ...(until === undefined ? {} : { until }),
});
const isAllowed: NonNullable<CorpusRequest['until']> = ({ body }) =>
  (body as { status?: { allowed?: boolean } }).status?.allowed === true;

const [joe, eve, ann] = [
  { user: 'joe', groups: ['developers', 'system:authenticated'] },
  { user: 'eve', groups: ['system:authenticated'] },
  { user: 'ann', groups: ['auditors', 'developers'] },
];
const account = { user: `system:serviceaccount:${NAMESPACE}:default`, groups: [`system:serviceaccounts:${NAMESPACE}`] };

const reviews: readonly CorpusRequest[] = [
  // The last one that was bound is in force when all are.
  review('the ServiceAccount list services', { ...account, ...resource('list', 'services') }, isAllowed),
  review('joe get pods', { ...joe, ...resource('get', 'pods') }, isAllowed),
  review('joe get logs', { ...joe, ...resource('get', 'pods', { subresource: 'log' }) }),
  review('joe exec', { ...joe, ...resource('create', 'pods', { subresource: 'exec' }) }),
  review('joe delete pods', { ...joe, ...resource('delete', 'pods') }),
  review('joe get pods elsewhere', {
    ...joe,
    resourceAttributes: { namespace: 'default', verb: 'get', resource: 'pods' },
  }),
  review('joe get pods everywhere', { ...joe, resourceAttributes: { verb: 'get', resource: 'pods' } }),
  review('joe get pods of another group', { ...joe, ...resource('get', 'pods', { group: 'metrics.k8s.io' }) }),
  review('joe scale anything', {
    ...joe,
    ...resource('patch', 'deployments', { group: 'apps', subresource: 'scale' }),
  }),
  review('joe scale by update', {
    ...joe,
    ...resource('update', 'deployments', { group: 'apps', subresource: 'scale' }),
  }),
  review('eve get her ConfigMap', { ...eve, ...resource('get', 'configmaps', { name: 'a' }) }, isAllowed),
  review('eve get another ConfigMap', { ...eve, ...resource('get', 'configmaps', { name: 'b' }) }),
  review('eve list ConfigMaps', { ...eve, ...resource('list', 'configmaps') }),
  review('eve get the version', { ...eve, nonResourceAttributes: { path: '/version', verb: 'get' } }),
  review('eve get metrics', { ...eve, nonResourceAttributes: { path: '/metrics', verb: 'get' } }),
  review('ann get her URL', { ...ann, nonResourceAttributes: { path: '/corpus/x/y', verb: 'get' } }, isAllowed),
  review('ann get the parent of her URL', { ...ann, nonResourceAttributes: { path: '/corpus', verb: 'get' } }),
  review('ann post to her URL', { ...ann, nonResourceAttributes: { path: '/corpus/x', verb: 'post' } }),
  review('the ServiceAccount get secrets', { ...account, ...resource('get', 'secrets') }),
  review('an admin do all', { user: 'x', groups: ['system:masters'], ...resource('*', '*', { group: '*' }) }),
  review('tom by a role that is not there', { user: 'tom', ...resource('get', 'pods') }),
  review('the scheduler bind', {
    user: 'system:kube-scheduler',
    ...resource('create', 'pods', { subresource: 'binding' }),
  }),
  review('the scheduler delete nodes', {
    user: 'system:kube-scheduler',
    resourceAttributes: { verb: 'delete', resource: 'nodes' },
  }),
  review('the controller manager make tokens', {
    user: 'system:kube-controller-manager',
    ...resource('create', 'serviceaccounts', { subresource: 'token' }),
  }),
  review('the proxy list services', {
    user: 'system:kube-proxy',
    resourceAttributes: { verb: 'list', resource: 'services' },
  }),
  review('nobody', resource('get', 'pods')),
  review('joe do nothing', { user: 'joe' }),
  review('joe do two things', {
    user: 'joe',
    ...resource('get', 'pods'),
    nonResourceAttributes: { path: '/', verb: 'get' },
  }),
  {
    ...create(
      'may I',
      '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      { spec: resource('list', 'pods') },
      'joe',
    ),
  },
  {
    ...create('may I here', `/apis/authorization.k8s.io/v1/namespaces/${NAMESPACE}/localsubjectaccessreviews`, {
      metadata: { namespace: NAMESPACE },
      spec: { ...joe, ...resource('list', 'pods') },
    }),
  },
  create('may I elsewhere', `/apis/authorization.k8s.io/v1/namespaces/${NAMESPACE}/localsubjectaccessreviews`, {
    spec: { ...joe, resourceAttributes: { namespace: 'default', verb: 'get', resource: 'pods' } },
  }),
  create(
    'what may I',
    '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
    { spec: { namespace: NAMESPACE } },
    'eve',
  ),
  create(
    'what may I without a namespace',
    '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
    { spec: {} },
    'eve',
  ),
  create('whose is a token', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: 'ann' } }),
  create('whose is a bad token', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: 'x' } }),
  create('whose is no token', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: {} }),
];

const get = (name: string, path: string, more: Partial<CorpusRequest> = {}): CorpusRequest => ({
  name: `access: ${name}`,
  method: 'GET',
  path,
  ...more,
});
const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;

const refusals: readonly CorpusRequest[] = [
  get('nobody gets pods', pods, { token: '' }),
  get('nobody gets the version', '/version/', { token: '' }),
  get('nobody asks for health', '/healthz', { token: '' }),
  get('a bad token', pods, { token: 'bad' }),
  get('joe lists pods', pods, { token: 'joe' }),
  get('joe watches pods', `${pods}?watch=1&timeoutSeconds=1`, { token: 'joe' }),
  get('joe lists pods everywhere', '/api/v1/pods', { token: 'joe' }),
  get('joe gets a node', '/api/v1/nodes/n', { token: 'joe' }),
  get('joe gets a Deployment', `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/x`, { token: 'joe' }),
  get('joe gets a scale', `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/x/scale`, { token: 'joe' }),
  get('joe gets metrics', '/metrics', { token: 'joe' }),
  get('joe gets what is unknown', '/apis/none.example.com/v1/things', { token: 'joe' }),
  get('joe discovers', '/api', { token: 'joe' }),
  get('joe creates a pod', pods, { method: 'POST', body: { metadata: { name: 'x' } }, token: 'joe' }),
  get('joe deletes all pods', pods, { method: 'DELETE', token: 'joe' }),
  get('joe patches a pod', `${pods}/x`, {
    method: 'PATCH',
    type: 'application/merge-patch+json',
    body: {},
    token: 'joe',
  }),
  get('joe as somebody else', pods, { token: 'joe', headers: { 'impersonate-user': 'ann' } }),
  get('the admin as joe', pods, { headers: { 'impersonate-user': 'joe' } }),
  get('the admin as joe at the services', `/api/v1/namespaces/${NAMESPACE}/services`, {
    headers: { 'impersonate-user': 'joe', 'impersonate-group': 'x' },
  }),
  get('groups without a user', pods, { headers: { 'impersonate-group': 'x' } }),
];

const wide = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list'] }];
const narrow = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }];
const escalations: readonly CorpusRequest[] = [
  create('joe makes a role of more than he has', `${inNamespace}/roles?dryRun=All`, role('more', wide), 'joe'),
  create(
    'joe makes a role of two things that he has not',
    `${inNamespace}/roles?dryRun=All`,
    role('more', [...wide, { apiGroups: ['apps'], resources: ['*'], verbs: ['*'] }]),
    'joe',
  ),
  create('joe makes a role of what he has', `${inNamespace}/roles?dryRun=All`, role('less', narrow), 'joe'),
  create(
    'joe binds a role of more than he has',
    `${inNamespace}/rolebindings?dryRun=All`,
    binding('more', { kind: 'ClusterRole', name: 'system:aggregate-to-edit' }, user('joe')),
    'joe',
  ),
  create(
    'joe binds a role that is not there',
    `${inNamespace}/rolebindings?dryRun=All`,
    binding('more', { kind: 'Role', name: 'none' }, user('joe')),
    'joe',
  ),
  create(
    'joe binds what he has',
    `${inNamespace}/rolebindings?dryRun=All`,
    binding('less', { kind: 'Role', name: 'reader' }, user('tom')),
    'joe',
  ),
  create('joe makes a ClusterRole', `${rbac}/clusterroles`, role('x', narrow), 'joe'),
  get('joe widens his role', `${inNamespace}/roles/reader?dryRun=All`, {
    method: 'PATCH',
    type: 'application/merge-patch+json',
    body: { rules: wide },
    token: 'joe',
  }),
  get('joe narrows his role', `${inNamespace}/roles/reader?dryRun=All`, {
    method: 'PATCH',
    type: 'application/merge-patch+json',
    body: { rules: narrow },
    token: 'joe',
  }),
];

export const accessRequests: readonly CorpusRequest[] = [...grants, ...reviews, ...refusals, ...escalations];
