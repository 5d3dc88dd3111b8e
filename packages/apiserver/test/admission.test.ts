import {
  certificateSigningRequests,
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  ingressClasses,
  ingresses,
  limitRanges,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  priorityClasses,
  resourceQuotas,
  runtimeClasses,
  serviceAccounts,
  storageClasses,
  type KubeObject,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import { VirtualClock } from '@naru/testkit';
import t from 'tap';
import type { AdmissionAttributes, AdmissionPlugin } from '../src/admission/admission.ts';
import { createAdmissionPlugins } from '../src/admission/admission-plugins.ts';
import { readAdmissionConfig } from '../src/admission/admission-config.ts';
import { WebhookClient } from '../src/admission/webhooks/webhook-client.ts';
import type { UserInfo } from '../src/authentication/authenticator.ts';
import { bootstrapPolicy } from '../src/authorization/bootstrap-policy.ts';
import { createAuthorizer } from '../src/authorization/cluster-authorizer.ts';
import { MemoryObjects, refusalOf } from './object-fixture.ts';

const alice: UserInfo = { name: 'alice', groups: ['system:authenticated'] };
const clock = new VirtualClock();
const random = (): number => 0.5;
const webhooks = new WebhookClient({ endpointRouting: true, random });

function plugins(extra: Partial<Parameters<typeof createAdmissionPlugins>[0]> = {}): readonly AdmissionPlugin[] {
  return createAdmissionPlugins({ clock, random, webhooks, ...extra });
}

interface Request {
  readonly resource: Resource;
  readonly object?: KubeObject | Record<string, unknown>;
  readonly oldObject?: KubeObject | Record<string, unknown>;
  readonly operation?: AdmissionAttributes['operation'];
  readonly subresource?: string;
  readonly user?: UserInfo;
}

/** Lets a request through every plugin, or rejects with the first refusal. */
async function admit(
  list: readonly AdmissionPlugin[],
  store: MemoryObjects,
  request: Request,
): Promise<UnstructuredObject> {
  const { resource, operation = 'CREATE', subresource = '', user = alice } = request;
  const object = request.object as UnstructuredObject | undefined;
  const oldObject = request.oldObject as UnstructuredObject | undefined;
  const { namespace = '', name = '' } = (object ?? oldObject)?.metadata ?? {};
  const attributes: AdmissionAttributes = {
    operation,
    resource,
    subresource,
    namespace,
    name,
    user,
    dryRun: false,
    object,
    oldObject,
    warn: () => undefined,
  };
  const concerned = list.filter((plugin) => plugin.handles(operation, resource, subresource));
  for (const plugin of concerned) await plugin.admit?.(attributes, store);
  for (const plugin of concerned) await plugin.validate?.(attributes, store);
  return object ?? { apiVersion: '', kind: '', metadata: {} };
}

const cluster = (): MemoryObjects =>
  new MemoryObjects()
    .set(namespaces, { metadata: { name: 'ns' }, status: { phase: 'Active' } })
    .set(namespaces, { metadata: { name: 'going', deletionTimestamp: '2026-01-01T00:00:00Z' } })
    .set(serviceAccounts, { metadata: { name: 'default', namespace: 'ns' }, imagePullSecrets: [{ name: 'pull' }] });

const newPod = (spec: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'ns', ...metadata },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
});

void t.test('nothing is created in a namespace that is missing or being deleted', async (t) => {
  const configMap = (namespace: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'c', namespace },
  });
  const store = cluster();
  await admit(plugins(), store, { resource: configMaps, object: configMap('ns') });
  t.match(await refusalOf(admit(plugins(), store, { resource: configMaps, object: configMap('nope') })), {
    code: 404,
    message: 'namespaces "nope" not found',
  });
  t.match(await refusalOf(admit(plugins(), store, { resource: configMaps, object: configMap('going') })), {
    code: 403,
    message:
      'configmaps "c" is forbidden: unable to create new content in namespace going because it is being terminated',
    details: {
      causes: [
        {
          reason: 'NamespaceTerminating',
          message: 'namespace going is being terminated',
          field: 'metadata.namespace',
        },
      ],
    },
  });
  const old = { metadata: { name: 'kube-system' } };
  await t.rejects(admit(plugins(), store, { resource: namespaces, oldObject: old, operation: 'DELETE' }), {
    message: 'namespaces "kube-system" is forbidden: this namespace may not be deleted',
  });
});

void t.test('a pod gets its account, token volume, tolerations and priority', async (t) => {
  const pod = await admit(plugins(), cluster(), { resource: pods, object: newPod() });
  const spec = pod['spec'] as Record<string, unknown>;
  const name = 'kube-api-access-';
  t.match(spec, {
    serviceAccountName: 'default',
    serviceAccount: 'default',
    imagePullSecrets: [{ name: 'pull' }],
    priority: 0,
    preemptionPolicy: 'PreemptLowerPriority',
    tolerations: [
      { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
      { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
    ],
    volumes: [
      {
        name: new RegExp(`^${name}[a-z0-9]{5}$`, 'u'),
        projected: {
          defaultMode: 420,
          sources: [
            { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
            { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
            { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
          ],
        },
      },
    ],
    containers: [{ volumeMounts: [{ readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }] }],
  });
  const before = JSON.stringify(spec);
  await admit(plugins(), cluster(), {
    resource: pods,
    object: pod,
    oldObject: structuredClone(pod),
    operation: 'UPDATE',
  });
  t.equal(JSON.stringify(spec), before, 'an update adds nothing twice');
});

void t.test('a pod may say no to the token, and tolerate on its own terms', async (t) => {
  const tolerations = [{ operator: 'Exists' }];
  const pod = await admit(plugins(), cluster(), {
    resource: pods,
    object: newPod({ automountServiceAccountToken: false, tolerations }),
  });
  const spec = pod['spec'] as Record<string, unknown>;
  t.equal(spec['volumes'], undefined);
  t.same(spec['tolerations'], [{ operator: 'Exists' }]);
  const off = await admit(plugins({ mountServiceAccountTokens: false }), cluster(), {
    resource: pods,
    object: newPod(),
  });
  t.equal((off['spec'] as Record<string, unknown>)['volumes'], undefined);
});

void t.test('pods that ask for what is not there are refused', async (t) => {
  const store = cluster().set(priorityClasses, { metadata: { name: 'high' }, value: 100 });
  for (const [spec, message] of [
    [
      { serviceAccountName: 'nobody' },
      'pods "p" is forbidden: error looking up service account ns/nobody: serviceaccount "nobody" not found',
    ],
    [{ priorityClassName: 'low' }, 'pods "p" is forbidden: no PriorityClass with name low was found'],
    [
      { priorityClassName: 'high', priority: 5 },
      'pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 100 from the given PriorityClass name',
    ],
  ] as const)
    await t.rejects(admit(plugins(), store, { resource: pods, object: newPod(spec) }), { message });
  const pod = await admit(plugins(), store, { resource: pods, object: newPod({ priorityClassName: 'high' }) });
  t.equal((pod['spec'] as { priority: number }).priority, 100);
});

void t.test('the default account of a new namespace is waited for', async (t) => {
  const store = new MemoryObjects().set(namespaces, { metadata: { name: 'ns' } });
  const waiting = admit(plugins(), store, { resource: pods, object: newPod() });
  await clock.advance(100);
  store.set(serviceAccounts, { metadata: { name: 'default', namespace: 'ns' } });
  await clock.advance(100);
  t.match(await waiting, { spec: { serviceAccountName: 'default' } });
  const given = admit(plugins(), new MemoryObjects().set(namespaces, { metadata: { name: 'ns' } }), {
    resource: pods,
    object: newPod(),
  });
  const refused = t.rejects(given, { message: /serviceaccount "default" not found/u });
  for (let i = 0; i < 10; i++) await clock.advance(100);
  await refused;
});

void t.test('a new node is tainted, and a kubelet keeps to its own', async (t) => {
  const node = (name: string, labels: Record<string, string> = {}) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
  });
  const n1: UserInfo = { name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] };
  const own = { 'kubernetes.io/hostname': 'n1', 'topology.kubernetes.io/zone': 'a', 'example.com/x': 'y' };
  const created = await admit(plugins(), cluster(), { resource: nodes, object: node('n1', own), user: n1 });
  t.match(created, { spec: { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] } });
  const pod = newPod({ nodeName: 'n2' });
  const cases: readonly (readonly [Request, string])[] = [
    [{ resource: nodes, object: node('n2') }, 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'],
    [
      { resource: nodes, object: node('n1', { 'node-role.kubernetes.io/control-plane': '' }) },
      'nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-role.kubernetes.io/control-plane',
    ],
    [
      { resource: nodes, operation: 'UPDATE', object: { ...node('n1'), spec: { taints: [] } }, oldObject: created },
      'nodes "n1" is forbidden: node "n1" is not allowed to modify taints',
    ],
    [
      { resource: pods, operation: 'UPDATE', subresource: 'status', object: pod, oldObject: pod },
      'pods "p" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself',
    ],
    [
      { resource: pods, operation: 'DELETE', oldObject: pod },
      'pods "p" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself',
    ],
    [
      { resource: pods, object: newPod({ nodeName: 'n1' }) },
      'pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods',
    ],
  ];
  for (const [request, message] of cases) {
    const oldObject =
      request.oldObject === created
        ? { ...node('n1'), spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } }
        : request.oldObject;
    await t.rejects(
      admit(plugins(), cluster(), { ...request, user: n1, ...(oldObject === undefined ? {} : { oldObject }) }),
      { message },
    );
  }
  const mine = newPod({ nodeName: 'n1' });
  await admit(plugins(), cluster(), {
    resource: pods,
    operation: 'UPDATE',
    subresource: 'status',
    object: mine,
    oldObject: mine,
    user: n1,
  });
});

void t.test('limit ranges give defaults and bounds', async (t) => {
  const limits = [
    {
      type: 'Container',
      default: { cpu: '200m' },
      defaultRequest: { cpu: '100m' },
      max: { cpu: '1' },
      min: { cpu: '50m' },
    },
  ];
  const store = cluster().set(limitRanges, { metadata: { name: 'l', namespace: 'ns' }, spec: { limits } });
  const resourcesOf = async (resources: Record<string, unknown> | undefined): Promise<unknown> => {
    const object = newPod({
      containers: [{ name: 'c', image: 'i', ...(resources === undefined ? {} : { resources }) }],
    });
    const pod = await admit(plugins(), store, { resource: pods, object });
    const { containers } = pod['spec'] as { containers: { resources: unknown }[] };
    return containers[0]?.resources;
  };
  t.same(await resourcesOf(undefined), { limits: { cpu: '200m' }, requests: { cpu: '100m' } });
  t.same(await resourcesOf({ limits: { cpu: '500m' } }), { limits: { cpu: '500m' }, requests: { cpu: '500m' } });
  await t.rejects(resourcesOf({ limits: { cpu: '2' }, requests: { cpu: '10m' } }), {
    message:
      'pods "p" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 1, but limit is 2]',
  });
});

void t.test('nobody grants what they do not have', async (t) => {
  const authorizer = createAuthorizer();
  const tell = (resource: string, object: KubeObject): void =>
    authorizer.observe({ type: 'ADDED', resource: { group: 'rbac.authorization.k8s.io', resource }, object });
  for (const object of bootstrapPolicy()) {
    if (object.kind === 'ClusterRole') tell('clusterroles', object);
    if (object.kind === 'ClusterRoleBinding') tell('clusterrolebindings', object);
  }
  const list = plugins({ authorizer });
  const role = (verb: string) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'r' },
    rules: [{ apiGroups: ['authorization.k8s.io'], resources: ['selfsubjectaccessreviews'], verbs: [verb] }],
  });
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'b' },
    roleRef: { kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'User', name: 'alice' }],
  };
  const unresolved = { ...binding, roleRef: { kind: 'ClusterRole', name: 'gone' } };
  const create = (user: UserInfo, resource: Resource, object: KubeObject) =>
    admit(list, cluster(), { resource, object, user });
  await create(alice, clusterRoles, role('create'));
  await t.rejects(create(alice, clusterRoles, role('delete')), {
    message:
      'clusterroles.rbac.authorization.k8s.io "r" is forbidden: user "alice" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:["authorization.k8s.io"], Resources:["selfsubjectaccessreviews"], Verbs:["delete"]}',
  });
  await t.rejects(create(alice, clusterRoleBindings, binding), { message: /attempting to grant RBAC permissions/u });
  await create({ name: 'root', groups: ['system:masters'] }, clusterRoleBindings, binding);
  await t.rejects(create(alice, clusterRoleBindings, unresolved), {
    message: 'clusterroles.rbac.authorization.k8s.io "gone" not found',
  });
});

void t.test('plugins are turned on and off by name', async (t) => {
  const names = (options: Parameters<typeof plugins>[0]): string[] => plugins(options).map(({ name }) => name);
  t.ok(names({}).includes('Priority'));
  t.notOk(names({ disable: ['Priority', 'PodSecurity'] }).includes('Priority'));
  t.throws(() => names({ disable: ['Nope'] }), { message: 'disable-admission-plugins: plugin "Nope" is unknown' });
  t.throws(() => names({ enable: ['PodNodeSelector'] }), {
    message: 'enable-admission-plugins: plugin "PodNodeSelector" is not supported',
  });
});

void t.test('a namespace keeps to its ResourceQuotas', async (t) => {
  const store = cluster().set(resourceQuotas, {
    metadata: { name: 'q', namespace: 'ns' },
    spec: { hard: { pods: '2', 'requests.cpu': '1', 'count/configmaps': '5' } },
    status: {
      hard: { pods: '2', 'requests.cpu': '1', 'count/configmaps': '5' },
      used: { pods: '0', 'requests.cpu': '0' },
    },
  });
  const pod = (name: string, cpu?: string) =>
    newPod(
      { containers: [{ name: 'c', image: 'i', resources: cpu === undefined ? {} : { requests: { cpu } } }] },
      { name },
    );
  const used = () => store.get(resourceQuotas, 'ns', 'q')?.status?.used;
  const list = plugins();
  const create = async (object: ReturnType<typeof pod>) => await admit(list, store, { resource: pods, object });
  t.match(await refusalOf(create(pod('a'))), {
    code: 403,
    message: 'pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c',
  });
  await create(pod('a', '600m'));
  t.match(used(), { pods: '1', 'requests.cpu': '600m' });
  t.match(await refusalOf(create(pod('b', '600m'))), {
    message:
      'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1',
  });
  const many = await Promise.allSettled(['c', 'd', 'e'].map(async (name) => await create(pod(name, '100m'))));
  t.equal(many.filter(({ status }) => status === 'fulfilled').length, 1, 'of requests at once only so many fit');
  t.match(used(), { pods: '2', 'requests.cpu': '700m' });
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm', namespace: 'ns' } };
  t.match(await refusalOf(admit(list, store, { resource: configMaps, object: configMap })), {
    message: 'configmaps "m" is forbidden: status unknown for quota: q, resources: count/configmaps',
  });
});

void t.test('a namespace takes the pods that its PodSecurity labels allow', async (t) => {
  const level = (name: string, mode = 'enforce') =>
    new MemoryObjects()
      .set(namespaces, { metadata: { name: 'ns', labels: { [`pod-security.kubernetes.io/${mode}`]: name } } })
      .set(serviceAccounts, { metadata: { name: 'default', namespace: 'ns' } });
  const container = (securityContext: object, more: object = {}) => ({
    name: 'c',
    image: 'i',
    securityContext,
    ...more,
  });
  const problem = async (name: string, spec: Record<string, unknown>): Promise<string | undefined> =>
    (await refusalOf(admit(plugins(), level(name), { resource: pods, object: newPod(spec) }))).message;
  const good = {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [container({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } })],
  };
  await admit(plugins(), level('restricted'), { resource: pods, object: newPod(good) });
  await admit(plugins(), level('baseline'), { resource: pods, object: newPod() });
  t.equal(
    await problem('restricted', {}),
    'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  );
  const bad = {
    hostNetwork: true,
    hostPID: true,
    volumes: [{ name: 'v', hostPath: { path: '/' } }],
    securityContext: { sysctls: [{ name: 'kernel.x', value: '1' }], seLinuxOptions: { type: 'spc_t', user: 'u' } },
    containers: [
      container(
        { privileged: true, capabilities: { add: ['SYS_ADMIN', 'CHOWN'] }, seccompProfile: { type: 'Unconfined' } },
        { ports: [{ containerPort: 1, hostPort: 80 }] },
      ),
    ],
  };
  t.equal(
    await problem('baseline', bad),
    'pods "p" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume "v"), hostPort (container "c" uses hostPort 80), privileged (container "c" must not set securityContext.privileged=true), seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set), seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined"), forbidden sysctls (kernel.x)',
  );
  await admit(plugins(), level('restricted', 'warn'), { resource: pods, object: newPod(bad) });
  const labelled = { metadata: { name: 'x', labels: { 'pod-security.kubernetes.io/enforce': 'strict' } } };
  t.match(await refusalOf(admit(plugins(), cluster(), { resource: namespaces, object: labelled })), {
    code: 422,
    message: /metadata\.labels\[pod-security\.kubernetes\.io\/enforce\]: Invalid value: "strict": must be one of/u,
  });
});

void t.test('PodSecurity: versions, and what a configuration says where namespaces say nothing', async (t) => {
  const prefix = 'pod-security.kubernetes.io';
  const inNamespace = (labels: Record<string, string> = {}) =>
    new MemoryObjects()
      .set(namespaces, { metadata: { name: 'ns', labels } })
      .set(serviceAccounts, { metadata: { name: 'default', namespace: 'ns' } })
      .set(runtimeClasses, { metadata: { name: 'vm' } });
  const sysctl = { securityContext: { sysctls: [{ name: 'net.ipv4.tcp_rmem', value: '1' }] } };
  const problem = async (labels: Record<string, string>, spec: Record<string, unknown>): Promise<string> => {
    const request = { resource: pods, object: newPod(spec) };
    return (await refusalOf(admit(plugins(), inNamespace(labels), request))).message ?? '';
  };
  const versioned = (level: string, version: string): Record<string, string> => ({
    [`${prefix}/enforce`]: level,
    [`${prefix}/enforce-version`]: version,
  });
  await admit(plugins(), inNamespace(versioned('baseline', 'v1.32')), { resource: pods, object: newPod(sysctl) });
  t.match(await problem(versioned('baseline', 'v1.31'), sysctl), 'violates PodSecurity "baseline:v1.31": forbidden');
  const engine = { securityContext: { seLinuxOptions: { type: 'container_engine_t' } } };
  t.match(await problem(versioned('baseline', 'v1.30'), engine), 'seLinuxOptions');
  await admit(plugins(), inNamespace(versioned('baseline', 'v1.99')), { resource: pods, object: newPod(engine) });
  const old = await problem(versioned('restricted', 'v1.18'), {});
  t.match(old, /"restricted:v1\.18": allowPrivilegeEscalation != false .*, runAsNonRoot != true/u);
  t.notMatch(old, /seccompProfile|capabilities \(/u, 'asked of pods since 1.19 and 1.22');
  const added = { containers: [{ name: 'c', image: 'i', securityContext: { capabilities: { add: ['SYS_ADMIN'] } } }] };
  t.match(
    await problem(versioned('restricted', 'v1.18'), added),
    'non-default capabilities',
    "the baseline's check stays",
  );
  const windows = { os: { name: 'windows' } };
  t.match(await problem(versioned('restricted', 'v1.24'), windows), 'allowPrivilegeEscalation != false');
  t.notMatch(await problem(versioned('restricted', 'v1.25'), windows), 'allowPrivilegeEscalation');

  const folder = t.testdir({
    'config.yaml': `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins: [{name: PodSecurity, path: pods.yaml}]`,
    'pods.yaml': `apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline, enforce-version: v1.31, warn: restricted}
exemptions: {usernames: [alice], runtimeClasses: [vm], namespaces: [ours]}`,
    'bad.yaml': `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins: [{name: PodSecurity, configuration: {apiVersion: pod-security.admission.config.k8s.io/v1,
  kind: PodSecurityConfiguration, defaults: {enforce: strict}}}]`,
    'other.yaml': `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins: [{name: EventRateLimit, path: x}]`,
  });
  const config = await readAdmissionConfig(`${folder}/config.yaml`);
  const bob: UserInfo = { name: 'bob', groups: ['system:authenticated'] };
  const create = async (spec: Record<string, unknown>, labels: Record<string, string> = {}, user = bob) =>
    await admit(plugins({ config }), inNamespace(labels), { resource: pods, object: newPod(spec), user });
  t.match(await refusalOf(create(sysctl)), { message: /violates PodSecurity "baseline:v1\.31": forbidden sysctls/u });
  await create(sysctl, { [`${prefix}/enforce`]: 'privileged' });
  t.match(await refusalOf(create(sysctl, { [`${prefix}/enforce`]: 'restricted' })), {
    message: /"restricted:v1\.31"/u,
  });
  await create(sysctl, { [`${prefix}/enforce-version`]: 'latest' });
  await create({ ...sysctl, runtimeClassName: 'vm' });
  await create(sysctl, {}, alice);
  const ours = new MemoryObjects()
    .set(namespaces, { metadata: { name: 'ours' } })
    .set(serviceAccounts, { metadata: { name: 'default', namespace: 'ours' } });
  const request = { resource: pods, object: newPod(sysctl, { namespace: 'ours' }), user: bob };
  await admit(plugins({ config }), ours, request);
  await t.rejects(readAdmissionConfig(`${folder}/bad.yaml`), {
    message: /plugins\[0\]\.configuration\.defaults\.enforce: Unsupported value: "strict"/u,
  });
  await t.rejects(readAdmissionConfig(`${folder}/other.yaml`), {
    message: /plugins\[0\]\.name: configuration of EventRateLimit is not supported/u,
  });
});

void t.test('defaults of classes: storage, ingress and runtime', async (t) => {
  const isDefault = (annotation: string) => ({ annotations: { [annotation]: 'true' } });
  const store = cluster()
    .set(storageClasses, {
      metadata: { name: 'fast', ...isDefault('storageclass.kubernetes.io/is-default-class') },
      allowVolumeExpansion: false,
    })
    .set(ingressClasses, { metadata: { name: 'web', ...isDefault('ingressclass.kubernetes.io/is-default-class') } })
    .set(runtimeClasses, {
      metadata: { name: 'vm' },
      overhead: { podFixed: { cpu: '10m' } },
      scheduling: { nodeSelector: { vm: 'yes' } },
    });
  const claim = (spec: object, status: object = {}) => ({ metadata: { name: 'c', namespace: 'ns' }, spec, status });
  t.match(await admit(plugins(), store, { resource: persistentVolumeClaims, object: claim({}) }), {
    spec: { storageClassName: 'fast' },
  });
  t.match(
    await admit(plugins(), store, { resource: persistentVolumeClaims, object: claim({ storageClassName: '' }) }),
    { spec: { storageClassName: '' } },
  );
  const finalizers = ['kubernetes.io/pvc-protection'];
  t.match(await admit(plugins(), store, { resource: persistentVolumeClaims, object: claim({}) }), {
    metadata: { finalizers },
  });
  const protect = async (finalizers: readonly string[]): Promise<unknown> => {
    const object = { metadata: { name: 'v', finalizers: [...finalizers] } };
    return (await admit(plugins(), store, { resource: persistentVolumes, object })).metadata.finalizers;
  };
  const both = ['example.com/own', 'kubernetes.io/pv-protection'];
  t.strictSame(await protect(['example.com/own']), both);
  t.strictSame(await protect(both), both, 'what is there is not added again');
  const sized = (storage: string) =>
    claim({ storageClassName: 'fast', resources: { requests: { storage } } }, { phase: 'Bound' });
  t.match(
    await refusalOf(
      admit(plugins(), store, {
        resource: persistentVolumeClaims,
        operation: 'UPDATE',
        object: sized('2Gi'),
        oldObject: sized('1Gi'),
      }),
    ),
    { message: /only dynamically provisioned pvc can be resized/u },
  );
  const ingress = { metadata: { name: 'i', namespace: 'ns' }, spec: {} };
  t.match(await admit(plugins(), store, { resource: ingresses, object: ingress }), {
    spec: { ingressClassName: 'web' },
  });
  t.match(await admit(plugins(), store, { resource: pods, object: newPod({ runtimeClassName: 'vm' }) }), {
    spec: { overhead: { cpu: '10m' }, nodeSelector: { vm: 'yes' } },
  });
  t.match(await refusalOf(admit(plugins(), store, { resource: pods, object: newPod({ runtimeClassName: 'no' }) })), {
    message: 'pods "p" is forbidden: pod rejected: RuntimeClass "no" not found',
  });
});

void t.test('signing requests: who may approve and sign, and for whom nobody may', async (t) => {
  const authorizer = createAuthorizer({ modes: ['RBAC'] });
  const list = plugins({ authorizer });
  const signerName = 'kubernetes.io/kube-apiserver-client';
  const csr = (status: object = {}, request = '') => ({
    metadata: { name: 'csr' },
    spec: { signerName, request, usages: [] },
    status,
  });
  const update = {
    resource: certificateSigningRequests,
    operation: 'UPDATE' as const,
    object: csr(),
    oldObject: csr(),
  };
  t.match(await refusalOf(admit(list, cluster(), { ...update, subresource: 'approval' })), {
    message: `certificatesigningrequests.certificates.k8s.io "csr" is forbidden: user not permitted to approve requests with signerName "${signerName}"`,
  });
  const signed = { ...update, object: csr({ certificate: 'abc' }), subresource: 'status' };
  t.match(await refusalOf(admit(list, cluster(), signed)), { message: /user not permitted to sign requests/u });
  await admit(list, cluster(), { ...update, subresource: 'status' });
  // A subject of O=system:masters, as a request has it.
  const der = Buffer.concat([Buffer.from('060355040a130e', 'hex'), Buffer.from('system:masters')]).toString('base64');
  const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${der}\n-----END CERTIFICATE REQUEST-----\n`;
  const masters = csr({}, Buffer.from(pem).toString('base64'));
  t.match(await refusalOf(admit(list, cluster(), { resource: certificateSigningRequests, object: masters })), {
    message: /use of kubernetes\.io\/kube-apiserver-client signer with system:masters group is not allowed/u,
  });
});
