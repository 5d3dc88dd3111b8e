/** Pods: what admission adds, their subresources, and the limits of a namespace. */
import type { CorpusRequest, Json } from './request.ts';
import { NAMESPACE } from './kind-samples.ts';

const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
const merge = 'application/merge-patch+json';
const strategic = 'application/strategic-merge-patch+json';
const container = { name: 'c', image: 'nginx' };

function pod(name: string, spec: Json = {}, metadata: Json = {}): Json {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata }, spec: { containers: [container], ...spec } };
}

function creation(name: string, spec: Json, metadata: Json = {}): CorpusRequest {
  return {
    name: `pods: create ${name}`,
    method: 'POST',
    path: `${pods}?dryRun=All`,
    body: pod('p', spec, metadata),
  };
}

const container2 = (fields: Json): Json => ({ containers: [{ ...container, ...fields }] });

const creations: readonly CorpusRequest[] = [
  creation('a plain one', {}),
  creation('one of an unknown ServiceAccount', { serviceAccountName: 'nobody' }),
  creation('one of an unknown PriorityClass', { priorityClassName: 'nothing' }),
  creation('one of the system', { priorityClassName: 'system-node-critical' }),
  creation('one with a priority of its own', { priority: 5 }),
  creation('one of an unknown RuntimeClass', { runtimeClassName: 'nothing' }),
  creation('one without containers', { containers: [] }),
  creation('two containers of one name', { containers: [container, container] }),
  creation('a container without an image', { containers: [{ name: 'c' }] }),
  creation('a container without a name', { containers: [{ image: 'i' }] }),
  creation('a bad name of a container', { containers: [{ name: 'C_1', image: 'i' }] }),
  creation('requests over limits', container2({ resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } })),
  creation('limits only', container2({ resources: { limits: { cpu: '1', memory: '1Gi' } } })),
  creation('a resource that is none', container2({ resources: { limits: { apples: '1' } } })),
  creation('ports', container2({ ports: [{ containerPort: 80 }, { containerPort: 81, name: 'x', protocol: 'UDP' }] })),
  creation('a port that is too high', container2({ ports: [{ containerPort: 80_000 }] })),
  creation('ports of one name', container2({ ports: [1, 2].map((containerPort) => ({ containerPort, name: 'a' })) })),
  creation('host ports without the host network', {
    hostNetwork: true,
    containers: [{ ...container, ports: [{ containerPort: 80, hostPort: 81 }] }],
  }),
  creation('a mount without volume', container2({ volumeMounts: [{ name: 'none', mountPath: '/x' }] })),
  creation('volumes', {
    containers: [{ ...container, volumeMounts: [{ name: 'v', mountPath: '/v', readOnly: true }] }],
    volumes: [
      { name: 'v', emptyDir: {} },
      { name: 'c', configMap: { name: 'c' } },
      { name: 's', secret: { secretName: 's' } },
      { name: 'h', hostPath: { path: '/h' } },
      { name: 'd', downwardAPI: { items: [{ path: 'l', fieldRef: { fieldPath: 'metadata.labels' } }] } },
    ],
  }),
  creation('a volume twice', { volumes: [1, 2].map(() => ({ name: 'v', emptyDir: {} })) }),
  creation('a volume of nothing', { volumes: [{ name: 'v' }] }),
  creation('a volume of two sorts', { volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/x' } }] }),
  creation(
    'environment',
    container2({
      env: [
        { name: 'A', value: '1' },
        { name: 'B', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      ],
    }),
  ),
  creation(
    'bad environment',
    container2({
      env: [
        { name: '', value: '1' },
        { name: 'B', value: 'x', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      ],
    }),
  ),
  creation(
    'probes',
    container2({ livenessProbe: { httpGet: { path: '/', port: 80 } }, readinessProbe: { exec: { command: ['ls'] } } }),
  ),
  creation('a probe of nothing', container2({ livenessProbe: {} })),
  creation('a probe of two sorts', container2({ livenessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 1 } } })),
  creation(
    'a startup probe that needs two successes',
    container2({ startupProbe: { tcpSocket: { port: 1 }, successThreshold: 2 } }),
  ),
  creation('a policy of restarts that is none', { restartPolicy: 'Perhaps' }),
  creation('a DNS policy that is none', { dnsPolicy: 'Some' }),
  creation('no DNS at all', { dnsPolicy: 'None' }),
  creation('a bad node selector', { nodeSelector: { 'a b': 'c' } }),
  creation('affinity', {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: { a: 'b' } }, topologyKey: 'kubernetes.io/hostname' },
        ],
      },
    },
  }),
  creation('affinity without a topology', {
    affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: {} }] } },
  }),
  creation('a toleration of all', { tolerations: [{ operator: 'Exists' }] }),
  creation('a bad toleration', {
    tolerations: [
      { key: 'k', operator: 'Exists', value: 'v' },
      { key: 'k', effect: 'No' },
    ],
  }),
  creation('a negative deadline', { activeDeadlineSeconds: -1 }),
  creation('a negative grace period', { terminationGracePeriodSeconds: -1 }),
  creation(
    'a privileged one that may not escalate',
    container2({ securityContext: { privileged: true, allowPrivilegeEscalation: false } }),
  ),
  creation('a root that may not be', { securityContext: { runAsUser: 0, runAsNonRoot: true } }),
  creation('a negative user', { securityContext: { runAsUser: -1 } }),
  creation('a host name that is none', { hostname: 'A_b', subdomain: 'x.y' }),
  creation('aliases of hosts', { hostAliases: [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }] }),
  creation('bad aliases of hosts', { hostAliases: [{ ip: 'x', hostnames: ['A_'] }] }),
  creation('spread over zones', {
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }],
  }),
  creation('spread badly', { topologySpreadConstraints: [{ maxSkew: 0, whenUnsatisfiable: 'Maybe' }] }),
  creation('a readiness gate', { readinessGates: [{ conditionType: 'example.com/ready' }] }),
  creation('init containers', { initContainers: [{ name: 'i', image: 'busybox:latest' }] }),
  creation('an init container named as another', { initContainers: [container] }),
  creation('a pull policy that is none', container2({ imagePullPolicy: 'Rarely' })),
  creation('a node', { nodeName: 'n-1' }),
  creation('a mirror of a static one', {}, { annotations: { 'kubernetes.io/config.mirror': 'x' } }),
];

const update = (name: string, body: Json, type = strategic): CorpusRequest => ({
  name: `pods: patch ${name}`,
  method: 'PATCH',
  path: `${pods}/web`,
  type,
  body,
});

const lives: readonly CorpusRequest[] = [
  {
    name: 'pods: create',
    method: 'POST',
    path: pods,
    body: pod('web', {}, { labels: { app: 'web', corpus: 'yes' } }),
    keep: 'pod',
  },
  { name: 'pods: get', method: 'GET', path: `${pods}/web` },
  {
    name: 'pods: get as Table',
    method: 'GET',
    path: `${pods}/web`,
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  },
  update('the image', { spec: { containers: [{ name: 'c', image: 'nginx:2' }] } }),
  update('the image away', { spec: { containers: [{ name: 'c', image: '' }] } }),
  update('a toleration to it', { spec: { tolerations: [{ key: 'a', operator: 'Exists' }] } }),
  update('the name of its node', { spec: { nodeName: 'n' } }),
  update('a container to it', { spec: { containers: [{ name: 'd', image: 'i' }] } }),
  update('a deadline to it', { spec: { activeDeadlineSeconds: 100 } }),
  update('a later deadline', { spec: { activeDeadlineSeconds: 200 } }),
  update('its ServiceAccount', { spec: { serviceAccountName: 'other' } }),
  update('an unknown directive', { spec: { containers: [{ $patch: 'nothing', name: 'c' }] } }),
  update('its status by the way', { status: { phase: 'Running' } }, merge),
  {
    name: 'pods: bind to nothing',
    method: 'POST',
    path: `${pods}/web/binding`,
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'web' }, target: { kind: 'Node' } },
  },
  {
    name: 'pods: bind to a Pod',
    method: 'POST',
    path: `${pods}/web/binding`,
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'web' }, target: { kind: 'Pod', name: 'n-1' } },
  },
  ...['bind', 'bind again'].map((name): CorpusRequest => ({
    name: `pods: ${name}`,
    method: 'POST',
    path: `${pods}/web/binding`,
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'web' }, target: { kind: 'Node', name: 'n-1' } },
  })),
  { name: 'pods: get when it is bound', method: 'GET', path: `${pods}/web` },
  {
    name: 'pods: bind what is not there',
    method: 'POST',
    path: `/api/v1/namespaces/${NAMESPACE}/bindings`,
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'none' }, target: { kind: 'Node', name: 'n-1' } },
  },
  {
    name: 'pods: patch status',
    method: 'PATCH',
    path: `${pods}/web/status`,
    type: strategic,
    body: {
      status: {
        phase: 'Running',
        podIP: '10.3.0.1',
        podIPs: [{ ip: '10.3.0.1' }],
        hostIP: '10.9.0.1',
        startTime: '2020-01-01T00:00:00Z',
        conditions: [{ type: 'Ready', status: 'True' }],
        containerStatuses: [
          {
            name: 'c',
            ready: true,
            restartCount: 3,
            image: 'nginx',
            imageID: 'x',
            state: { running: { startedAt: '2020-01-01T00:00:00Z' } },
          },
        ],
      },
    },
  },
  {
    name: 'pods: patch status with restarts that go down',
    method: 'PATCH',
    path: `${pods}/web/status`,
    type: merge,
    body: { spec: { nodeName: 'other' }, status: { phase: 'Walking' } },
  },
  {
    name: 'pods: list as Table when it runs',
    method: 'GET',
    path: `${pods}?labelSelector=app%3Dweb`,
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  },
  ...[
    'status.phase%3DRunning',
    'spec.nodeName%3Dn-1',
    'status.podIP%3D10.3.0.1',
    'spec.restartPolicy%21%3DAlways',
    'metadata.name%3Dweb%2Cspec.nodeName%3Dn-1',
    'spec.schedulerName%3Dother',
    'status.nominatedNodeName%3D',
    'spec.serviceAccountName%3Ddefault',
    'spec.none%3Dx',
    'metadata.name',
  ].map((selector): CorpusRequest => ({
    name: `pods: list by ${decodeURIComponent(selector)}`,
    method: 'GET',
    path: `${pods}?fieldSelector=${selector}`,
  })),
  {
    name: 'pods: a budget that allows nothing',
    method: 'GET',
    path: `/api/v1/namespaces/${NAMESPACE}/pods/web/log`,
  },
  {
    name: 'pods: delete with grace',
    method: 'DELETE',
    path: `${pods}/web`,
    body: { gracePeriodSeconds: 20, propagationPolicy: 'Background' },
  },
  { name: 'pods: delete with less grace', method: 'DELETE', path: `${pods}/web?gracePeriodSeconds=5` },
  { name: 'pods: delete with more grace', method: 'DELETE', path: `${pods}/web?gracePeriodSeconds=50` },
  { name: 'pods: add a finalizer too late', ...finalizer('example.com/late') },
  { name: 'pods: delete at once', method: 'DELETE', path: `${pods}/web?gracePeriodSeconds=0` },
  { name: 'pods: get when it is gone', method: 'GET', path: `${pods}/web` },
  {
    name: 'pods: watch its life',
    method: 'GET',
    path: `${pods}?watch=1&resourceVersion={{pod.metadata.resourceVersion}}&timeoutSeconds=5&labelSelector=app%3Dweb`,
    events: { deleted: 'web' },
  },
];

function finalizer(name: string): Omit<CorpusRequest, 'name'> {
  return { method: 'PATCH', path: `${pods}/web`, type: merge, body: { metadata: { finalizers: [name] } } };
}

const eviction = (name: string, body: Json): CorpusRequest => ({
  name: `pods: evict ${name}`,
  method: 'POST',
  path: `${pods}/idle/eviction`,
  body: { apiVersion: 'policy/v1beta1', kind: 'Eviction', metadata: { name: 'idle' }, ...body },
});

const evictions: readonly CorpusRequest[] = [
  { name: 'pods: create one that never runs', method: 'POST', path: pods, body: pod('idle') },
  eviction('another', { metadata: { name: 'other' } }),
  eviction('dry', { deleteOptions: { dryRun: ['All'] } }),
  eviction('it', {}),
  { name: 'pods: get the evicted one', method: 'GET', path: `${pods}/idle` },
];

const limits = 'limited';
const limited = `/api/v1/namespaces/${limits}`;
const quota = (hard: Json): Json => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'q' },
  spec: { hard },
});

/** A namespace with limits, and then a quota. */
const limitRequests: readonly CorpusRequest[] = [
  { name: 'limits: namespace', method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name: limits } } },
  {
    name: 'limits: ServiceAccount',
    method: 'POST',
    path: `${limited}/serviceaccounts`,
    body: { metadata: { name: 'default' } },
  },
  {
    name: 'limits: create',
    method: 'POST',
    path: `${limited}/limitranges`,
    body: {
      metadata: { name: 'l' },
      spec: {
        limits: [
          {
            type: 'Container',
            default: { cpu: '500m', memory: '100Mi' },
            defaultRequest: { cpu: '100m' },
            max: { cpu: '1' },
            min: { memory: '10Mi' },
          },
          { type: 'Pod', max: { cpu: '1500m' } },
          { type: 'PersistentVolumeClaim', max: { storage: '1Gi' } },
        ],
      },
    },
  },
  {
    name: 'limits: a Pod gets defaults',
    method: 'POST',
    path: `${limited}/pods?dryRun=All`,
    body: pod('p'),
    until: ({ body }) => JSON.stringify(body).includes('500m'),
  },
  ...Object.entries({
    'a container over the maximum': pod('p', container2({ resources: { limits: { cpu: '2' } } })),
    'a container under the minimum': pod('p', container2({ resources: { limits: { memory: '1Mi' } } })),
    'a Pod over the maximum': pod('p', {
      containers: ['a', 'b'].map((name) => ({ name, image: 'i', resources: { limits: { cpu: '1' } } })),
    }),
  }).map(([name, body]): CorpusRequest => ({
    name: `limits: ${name}`,
    method: 'POST',
    path: `${limited}/pods?dryRun=All`,
    body,
  })),
  {
    name: 'limits: a claim over the maximum',
    method: 'POST',
    path: `${limited}/persistentvolumeclaims?dryRun=All`,
    body: {
      metadata: { name: 'c' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } } },
    },
  },
  {
    name: 'limits: create a quota',
    method: 'POST',
    path: `${limited}/resourcequotas`,
    body: quota({ pods: '1', 'requests.cpu': '1', 'count/configmaps': '1' }),
  },
  {
    // Which a controller does elsewhere.
    name: 'limits: the quota is counted',
    method: 'PUT',
    path: `${limited}/resourcequotas/q/status`,
    body: {
      ...quota({ pods: '1', 'requests.cpu': '1', 'count/configmaps': '1' }),
      status: {
        hard: { pods: '1', 'requests.cpu': '1', 'count/configmaps': '1' },
        used: { pods: '0', 'requests.cpu': '0', 'count/configmaps': '0' },
      },
    },
  },
  {
    name: 'limits: a Pod that takes it all',
    method: 'POST',
    path: `${limited}/pods`,
    body: pod('p', container2({ resources: { requests: { cpu: '900m' }, limits: { cpu: '900m' } } })),
  },
  {
    name: 'limits: the quota after it',
    method: 'GET',
    path: `${limited}/resourcequotas/q`,
    until: ({ body }) => (body as { status?: { used?: { pods?: string } } }).status?.used?.pods === '1',
  },
  { name: 'limits: one Pod too many', method: 'POST', path: `${limited}/pods?dryRun=All`, body: pod('p2') },
  { name: 'limits: a ConfigMap', method: 'POST', path: `${limited}/configmaps`, body: { metadata: { name: 'a' } } },
  {
    name: 'limits: one ConfigMap too many',
    method: 'POST',
    path: `${limited}/configmaps?dryRun=All`,
    body: { metadata: { name: 'b' } },
    until: ({ status }) => status === 403,
  },
  {
    name: 'limits: into a namespace that is not there',
    method: 'POST',
    path: '/api/v1/namespaces/nowhere/configmaps',
    body: { metadata: { name: 'a' } },
  },
  { name: 'limits: delete the namespace', method: 'DELETE', path: limited },
  { name: 'limits: delete the namespace again', method: 'DELETE', path: limited },
  {
    name: 'limits: a ConfigMap when it ends',
    method: 'POST',
    path: `${limited}/configmaps`,
    body: { metadata: { name: 'c' } },
    until: ({ status }) => status === 403,
  },
  { name: 'limits: delete default', method: 'DELETE', path: '/api/v1/namespaces/default' },
  {
    name: 'limits: finalize the namespace',
    method: 'PUT',
    path: `${limited}/finalize`,
    body: { metadata: { name: limits }, spec: { finalizers: [] } },
  },
  { name: 'limits: get the namespace', method: 'GET', path: limited },
];

export const podRequests: readonly CorpusRequest[] = [...creations, ...lives, ...evictions, ...limitRequests];
