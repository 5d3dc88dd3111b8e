import { findResourceByKind, parseApiVersion, type KubeObject } from '@naru/api';
import t from 'tap';
import type { UserInfo } from '../src/authentication/authenticator.ts';
import type { AuthorizationAttributes } from '../src/authorization/authorizer.ts';
import { bootstrapPolicy } from '../src/authorization/bootstrap-policy.ts';
import { createAuthorizer, type ObservingAuthorizer } from '../src/authorization/cluster-authorizer.ts';
import { newForbiddenRequest } from '../src/authorization/forbidden.ts';
import { formatRule, uncoveredRules } from '../src/authorization/rbac-rules.ts';
import { bootstrapObjects } from '../src/registry/bootstrap-objects.ts';

const group = 'rbac.authorization.k8s.io';
const plurals: Readonly<Record<string, string>> = {
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Role: 'roles',
  RoleBinding: 'rolebindings',
};

function tell(authorizer: ObservingAuthorizer, object: KubeObject, type: 'ADDED' | 'DELETED' = 'ADDED'): void {
  const resource = plurals[object.kind];
  authorizer.observe({
    type,
    resource: resource === undefined ? { group: '', resource: `${object.kind.toLowerCase()}s` } : { group, resource },
    object,
  });
}

function bootstrapped(): ObservingAuthorizer {
  const authorizer = createAuthorizer();
  for (const object of bootstrapPolicy()) tell(authorizer, object);
  return authorizer;
}

const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups: [...groups, 'system:authenticated'] });

/** `get pods default/x`, `create apps/deployments default`, `get /healthz` as attributes. */
function request(who: UserInfo, text: string): AuthorizationAttributes {
  const [verb = '', what = '', where = ''] = text.split(' ');
  const isPath = what.startsWith('/');
  const [left, resource = ''] = isPath ? ['', ''] : what.includes(':') ? what.split(':') : ['', what];
  const [name = '', subresource = ''] = resource.split('/');
  const [namespace = '', objectName = ''] = where.includes('/') ? where.split('/') : [where, ''];
  return {
    user: who,
    verb,
    isResourceRequest: !isPath,
    path: isPath ? what : '',
    group: left ?? '',
    version: 'v1',
    resource: name,
    subresource,
    namespace,
    name: objectName,
  };
}

void t.test('bootstrap roles give each component what it needs and no more', async (t) => {
  const authorizer = bootstrapped();
  const scheduler = user('system:kube-scheduler');
  const manager = user('system:kube-controller-manager');
  const proxy = user('system:kube-proxy');
  const admin = user('admin', 'system:masters');
  const nobody = user('bob');
  const anonymous: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };
  const cases: readonly (readonly [UserInfo, string, boolean])[] = [
    [admin, 'delete anything.example.com:things a/b', true],
    [admin, 'get /metrics', true],
    [scheduler, 'list pods', true],
    [scheduler, 'create pods/binding default/x', true],
    [scheduler, 'patch pods/status default/x', true],
    [scheduler, 'update coordination.k8s.io:leases kube-system/kube-scheduler', true],
    [scheduler, 'update coordination.k8s.io:leases kube-system/other', false],
    [scheduler, 'create events.k8s.io:events default', true],
    [scheduler, 'create pods default', false],
    [scheduler, 'get secrets default/x', false],
    [manager, 'create pods default', true],
    [manager, 'update apps:deployments/status default/x', true],
    [manager, 'create apps:replicasets default', true],
    [manager, 'create discovery.k8s.io:endpointslices default', true],
    [manager, 'update namespaces/finalize /x', true],
    [manager, 'delete example.com:widgets default/x', true],
    [manager, 'create serviceaccounts default', true],
    [manager, 'create configmaps default', true],
    [manager, 'update coordination.k8s.io:leases kube-system/kube-controller-manager', true],
    [manager, 'patch nodes /n1', true],
    [proxy, 'watch services', true],
    [proxy, 'list discovery.k8s.io:endpointslices', true],
    [proxy, 'get nodes /n1', true],
    [proxy, 'list secrets', false],
    [nobody, 'list pods default', false],
    [nobody, 'create authorization.k8s.io:selfsubjectaccessreviews', true],
    [nobody, 'get /apis/apps/v1', true],
    [nobody, 'get /metrics', false],
    [anonymous, 'get /version', true],
    [anonymous, 'get /healthz', true],
    [anonymous, 'get /api', false],
  ];
  for (const [who, text, allowed] of cases)
    t.equal(authorizer.authorize(request(who, text)).decision === 'allow', allowed, `${who.name}: ${text}`);
});

void t.test('bindings take effect in their namespace, and end with their deletion', async (t) => {
  const authorizer = bootstrapped();
  const bob = user('bob', 'devs');
  const account = user('system:serviceaccount:ci:robot');
  const binding = {
    apiVersion: `${group}/v1`,
    kind: 'RoleBinding',
    metadata: { name: 'devs', namespace: 'team' },
    roleRef: { kind: 'ClusterRole', name: 'view' },
    subjects: [
      { kind: 'Group', name: 'devs' },
      { kind: 'ServiceAccount', name: 'robot', namespace: 'ci' },
    ],
  };
  tell(authorizer, binding);
  t.match(authorizer.authorize(request(bob, 'get pods team/x')), {
    decision: 'allow',
    reason: 'RBAC: allowed by RoleBinding "devs/team" of ClusterRole "view" to Group "devs"',
  });
  t.equal(
    authorizer.authorize(request(account, 'list pods team')).reason,
    'RBAC: allowed by RoleBinding "devs/team" of ClusterRole "view" to ServiceAccount "robot/ci"',
  );
  t.equal(
    authorizer.authorize(request(bob, 'get secrets team/x')).decision,
    'no-opinion',
    'view does not show secrets',
  );
  t.equal(authorizer.authorize(request(bob, 'get pods other/x')).decision, 'no-opinion');
  t.equal(authorizer.authorize(request(bob, 'list pods')).decision, 'no-opinion');
  tell(authorizer, { ...binding, roleRef: { kind: 'ClusterRole', name: 'gone' } } as KubeObject);
  t.equal(
    authorizer.authorize(request(bob, 'get pods team/x')).reason,
    'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
  );
  tell(authorizer, binding, 'DELETED');
  t.equal(authorizer.authorize(request(bob, 'get pods team/x')).reason, '');
});

void t.test('rules match names, subresources, groups and paths as upstream’s', async (t) => {
  const authorizer = createAuthorizer({ modes: ['RBAC'] });
  const bob = user('bob');
  const rules = [
    { verbs: ['get'], apiGroups: [''], resources: ['configmaps'], resourceNames: ['only'] },
    { verbs: ['update'], apiGroups: ['*'], resources: ['*/scale'] },
    { verbs: ['*'], apiGroups: ['apps'], resources: ['deployments'] },
    { verbs: ['get'], nonResourceURLs: ['/metrics', '/logs/*'] },
  ];
  const name = 'mixed';
  tell(authorizer, { apiVersion: '', kind: 'ClusterRole', metadata: { name }, rules } as KubeObject);
  tell(authorizer, {
    apiVersion: '',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { kind: 'ClusterRole', name },
    subjects: [{ kind: 'User', name: 'bob' }],
  } as KubeObject);
  for (const [text, allowed] of [
    ['get configmaps a/only', true],
    ['get configmaps a/other', false],
    ['list configmaps a', false],
    ['update apps:replicasets/scale a/x', true],
    ['update apps:replicasets a/x', false],
    ['create apps:deployments a', true],
    ['update apps:deployments/status a/x', false],
    ['create extensions:deployments a', false],
    ['get /logs/x/y', true],
    ['get /logs', false],
    ['post /metrics', false],
  ] as const)
    t.equal(authorizer.authorize(request(bob, text)).decision === 'allow', allowed, text);
});

void t.test('a node reads what its pods refer to, and its own objects', async (t) => {
  const authorizer = bootstrapped();
  const n1 = user('system:node:n1', 'system:nodes');
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns' },
    spec: {
      nodeName: 'n1',
      serviceAccountName: 'sa',
      containers: [{ name: 'c', env: [{ name: 'e', valueFrom: { secretKeyRef: { name: 'env', key: 'k' } } }] }],
      volumes: [
        { name: 'v', secret: { secretName: 'vol' } },
        { name: 'p', projected: { sources: [{ configMap: { name: 'kube-root-ca.crt' } }] } },
        { name: 'd', persistentVolumeClaim: { claimName: 'claim' } },
      ],
    },
  };
  tell(authorizer, pod);
  const cases: readonly (readonly [string, boolean])[] = [
    ['get secrets ns/env', true],
    ['watch secrets ns/vol', true],
    ['get configmaps ns/kube-root-ca.crt', true],
    ['get persistentvolumeclaims ns/claim', true],
    ['create serviceaccounts/token ns/sa', true],
    ['get secrets ns/other', false],
    ['list secrets ns', false],
    ['get secrets other/env', false],
    ['update secrets ns/env', false],
    ['create serviceaccounts/token ns/other', false],
    ['list pods', true],
    ['patch pods/status ns/p', true],
    ['create nodes /n1', true],
    ['patch nodes/status /n1', true],
    ['update coordination.k8s.io:leases kube-node-lease/n1', true],
    ['update coordination.k8s.io:leases kube-node-lease/n2', false],
    ['update coordination.k8s.io:leases kube-system/n1', false],
    ['create events ns', true],
    ['delete namespaces /ns', false],
  ];
  for (const [text, allowed] of cases)
    t.equal(authorizer.authorize(request(n1, text)).decision === 'allow', allowed, text);
  t.equal(
    authorizer.authorize(request(n1, 'get secrets ns/other')).reason,
    "no relationship found between node 'n1' and this object",
  );
  const n2 = user('system:node:n2', 'system:nodes');
  t.equal(authorizer.authorize(request(n2, 'get secrets ns/env')).decision, 'no-opinion');
  tell(authorizer, pod, 'DELETED');
  t.equal(authorizer.authorize(request(n1, 'get secrets ns/env')).decision, 'no-opinion', 'the pod is gone');
});

void t.test('403 says who cannot do what, and where', async (t) => {
  const bob = user('bob');
  for (const [text, reason, message] of [
    [
      'list pods default',
      '',
      'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"',
    ],
    [
      'update apps:deployments/scale default/web',
      '',
      'deployments.apps "web" is forbidden: User "bob" cannot update resource "deployments/scale" in API group "apps" in the namespace "default"',
    ],
    [
      'get nodes',
      'why',
      'nodes is forbidden: User "bob" cannot get resource "nodes" in API group "" at the cluster scope: why',
    ],
    ['get /metrics', '', 'forbidden: User "bob" cannot get path "/metrics"'],
  ] as const) {
    const error = newForbiddenRequest(request(bob, text), reason);
    t.match(error.status, { code: 403, reason: 'Forbidden', message });
  }
});

void t.test('uncovered rules are what one would gain', async (t) => {
  const owner = [
    { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] },
    { verbs: ['*'], nonResourceURLs: ['/healthz*'] },
  ];
  t.same(uncoveredRules(owner, [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], resourceNames: ['x'] }]), []);
  t.same(uncoveredRules(owner, [{ verbs: ['get'], nonResourceURLs: ['/healthz/ping'] }]), []);
  const missing = uncoveredRules(owner, [
    { verbs: ['get', 'delete'], apiGroups: [''], resources: ['pods', 'secrets'] },
  ]);
  t.same(missing.map(formatRule), [
    '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}',
    '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
    '{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}',
  ]);
  t.equal(uncoveredRules([{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }], missing).length, 0);
});

void t.test('bootstrap objects are of known kinds, each once', async (t) => {
  const seen = new Set<string>();
  for (const { apiVersion, kind, metadata } of bootstrapObjects()) {
    const resource = findResourceByKind({ ...parseApiVersion(apiVersion), kind });
    t.ok(resource, `${apiVersion} ${kind}`);
    t.equal(metadata.namespace !== undefined, resource?.namespaced, `${kind} ${metadata.name ?? ''}`);
    seen.add(`${kind}/${metadata.namespace ?? ''}/${metadata.name ?? ''}`);
  }
  t.equal(seen.size, bootstrapObjects().length);
});
