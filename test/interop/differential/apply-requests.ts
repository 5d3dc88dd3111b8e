/** Server-side apply and managedFields of built-in kinds: who owns what, who is in whose way, and what goes away. */
import type { CorpusRequest, Json } from './request.ts';

/** Where the objects are; Pods need its ServiceAccount. */
export const APPLY_NAMESPACE = 'applies';

const paths: Readonly<Record<string, string>> = {
  ConfigMap: `/api/v1/namespaces/${APPLY_NAMESPACE}/configmaps`,
  Secret: `/api/v1/namespaces/${APPLY_NAMESPACE}/secrets`,
  ServiceAccount: `/api/v1/namespaces/${APPLY_NAMESPACE}/serviceaccounts`,
  Service: `/api/v1/namespaces/${APPLY_NAMESPACE}/services`,
  Pod: `/api/v1/namespaces/${APPLY_NAMESPACE}/pods`,
  ResourceQuota: `/api/v1/namespaces/${APPLY_NAMESPACE}/resourcequotas`,
  Deployment: `/apis/apps/v1/namespaces/${APPLY_NAMESPACE}/deployments`,
  StatefulSet: `/apis/apps/v1/namespaces/${APPLY_NAMESPACE}/statefulsets`,
  Job: `/apis/batch/v1/namespaces/${APPLY_NAMESPACE}/jobs`,
  Role: `/apis/rbac.authorization.k8s.io/v1/namespaces/${APPLY_NAMESPACE}/roles`,
  NetworkPolicy: `/apis/networking.k8s.io/v1/namespaces/${APPLY_NAMESPACE}/networkpolicies`,
  Ingress: `/apis/networking.k8s.io/v1/namespaces/${APPLY_NAMESPACE}/ingresses`,
  Node: '/api/v1/nodes',
};

function pathOf(kind: string): string {
  return paths[kind] ?? '';
}

interface Meta {
  readonly name: string;
  readonly [field: string]: unknown;
}

function object(kind: string, metadata: Meta | string, fields: Json = {}): Json & { readonly metadata: Meta } {
  const [, group = '', version = ''] = /^\/apis\/([^/]+)\/([^/]+)\//u.exec(pathOf(kind)) ?? [];
  const meta = typeof metadata === 'string' ? { name: metadata } : metadata;
  return { apiVersion: group === '' ? 'v1' : `${group}/${version}`, kind, metadata: meta, ...fields };
}

type Applied = ReturnType<typeof object>;

function request(name: string, step: Omit<CorpusRequest, 'name'>): CorpusRequest {
  return { name: `apply: ${name}`, ...step };
}

/** `query` is who applies, and what else is asked for. */
function apply(name: string, query: string, body: Applied, more: Partial<CorpusRequest> = {}): CorpusRequest {
  const path = `${pathOf(String(body['kind']))}/${body.metadata.name}`;
  return request(name, {
    method: 'PATCH',
    path: `${path}?fieldManager=${query}`,
    type: 'application/apply-patch+yaml',
    body,
    ...more,
  });
}

function patch(name: string, at: string, body: Json): CorpusRequest {
  return request(name, { method: 'PATCH', path: at, type: 'application/merge-patch+json', body });
}

const get = (name: string, path: string, more: Partial<CorpusRequest> = {}): CorpusRequest =>
  request(name, { method: 'GET', path, ...more });

function container(name: string, fields: Json = {}): Json {
  return { name, image: 'i', ...fields };
}

function deployment(name: string, spec: Json, containers: readonly Json[], pod: Json = {}): Applied {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers, ...pod } };
  return object('Deployment', name, { spec: { selector: { matchLabels: labels }, template, ...spec } });
}

const configMap = (name: string, fields: Json, metadata: Json = {}): Applied =>
  object('ConfigMap', { name, ...metadata }, fields);

const data = (values: Json, metadata: Json = {}): Applied => configMap('c', { data: values }, metadata);
const configMapAt = (name: string): string => `${pathOf('ConfigMap')}/${name}`;

const managers: readonly CorpusRequest[] = [
  apply('one makes it', 'one', data({ a: '1', b: '1' }, { labels: { l: '1' } })),
  apply('one again', 'one', data({ a: '1', b: '1' }, { labels: { l: '1' } })),
  apply('two adds and shares', 'two', data({ b: '1', c: '1' }, { labels: { m: '1' } })),
  apply('two is in the way of one', 'two', data({ a: '2', c: '1' })),
  apply('dry run with force', 'two&force=true&dryRun=All', data({ a: '2', c: '1' })),
  apply('three is in the way of one', 'three', data({ a: '3', b: '1' }, { labels: { l: '3' } })),
  apply('with force', 'two&force=true', data({ a: '2', c: '1' })),
  apply('force that is no boolean', 'two&force=maybe', data({ a: '2' })),
  apply('one takes away what two shares', 'one', data({}, { labels: { l: '1' } })),
  apply('one takes away its labels', 'one', data({})),
  apply('two takes away all', 'two', object('ConfigMap', 'c')),
  patch('an update takes over', `${configMapAt('c')}?fieldManager=four`, { data: { a: '4', d: '4' } }),
  apply('in the way of an update', 'one', data({ a: '1' })),
  apply('the same as an update', 'one', data({ a: '4' })),
  patch('an update changes what two own', `${configMapAt('c')}?fieldManager=five`, { data: { a: '5' } }),
  patch('an update removes what is owned', `${configMapAt('c')}?fieldManager=five`, { data: { d: null } }),
  patch('an update removes a map', `${configMapAt('c')}?fieldManager=five`, { data: null }),
  apply('as Table', 'one&force=true', data({ a: '6' }), {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  }),
  get('read as Table', configMapAt('c'), { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }),
  get('read the metadata', configMapAt('c'), {
    headers: { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' },
  }),
];

const wrongEntries: Readonly<Record<string, Json>> = {
  'an operation that is none': { operation: 'Guess' },
  'a type that is none': { fieldsType: 'FieldsV9' },
  'no type': { fieldsType: '' },
  'fields that are none': { fieldsV1: { data: {} } },
  'a version that is none': { apiVersion: 'v9' },
  'a version of nowhere': { apiVersion: 'a/b/c' },
  'no version': { apiVersion: '' },
  'a long manager': { manager: 'x'.repeat(200) },
};

const entries: readonly CorpusRequest[] = [
  apply('to own entries', 'one', configMap('e', { data: { a: '1' } })),
  patch('and to share them', `${configMapAt('e')}?fieldManager=two`, { data: { b: '1' } }),
  request('update with an empty list', {
    method: 'PUT',
    path: `${configMapAt('e')}?fieldManager=three`,
    body: configMap('e', { data: { a: '1', b: '1', c: '1' } }, { managedFields: [] }),
  }),
  request('update with entries of its own', {
    method: 'PUT',
    path: `${configMapAt('e')}?fieldManager=three`,
    body: configMap(
      'e',
      { data: { a: '1', b: '2', c: '1' } },
      {
        managedFields: [
          {
            manager: 'renamed',
            operation: 'Apply',
            apiVersion: 'v1',
            time: '2020-01-01T00:00:00Z',
            fieldsType: 'FieldsV1',
            fieldsV1: { 'f:data': { 'f:a': {}, 'f:none': {} } },
          },
        ],
      },
    ),
  }),
  ...Object.entries(wrongEntries).map(([what, more]) =>
    request(`update with entries with ${what}`, {
      method: 'PUT',
      path: `${configMapAt('e')}?fieldManager=three&dryRun=All`,
      body: configMap(
        'e',
        { data: { a: '1', b: '3' } },
        {
          managedFields: [
            {
              manager: 'given',
              operation: 'Update',
              apiVersion: 'v1',
              time: '2020-01-01T00:00:00Z',
              fieldsType: 'FieldsV1',
              fieldsV1: { 'f:data': { 'f:a': {} } },
              ...more,
            },
          ],
        },
      ),
    }),
  ),
  request('create with entries', {
    method: 'POST',
    path: pathOf('ConfigMap'),
    body: configMap(
      'given',
      { data: { a: '1' } },
      {
        managedFields: [
          {
            manager: 'given',
            operation: 'Apply',
            apiVersion: 'v1',
            fieldsType: 'FieldsV1',
            fieldsV1: { 'f:data': {} },
          },
        ],
      },
    ),
  }),
  request('update with an empty entry', {
    method: 'PUT',
    path: `${configMapAt('e')}?fieldManager=three`,
    body: configMap('e', { data: { a: '1', b: '2' } }, { managedFields: [{}] }),
  }),
  patch('an update of what nobody owns', `${configMapAt('e')}?fieldManager=three`, { data: { b: '3' } }),
  apply('in the way of those before', 'four', configMap('e', { data: { a: '2' } })),
  apply('after those before', 'four', configMap('e', { data: { a: '1', d: '1' } })),
];

const values: readonly CorpusRequest[] = [
  apply('empty maps', 'one', configMap('v', { data: {} }, { labels: {}, annotations: {}, finalizers: [] })),
  apply('nulls', 'one', configMap('v', { data: null }, { labels: null, annotations: { a: null }, finalizers: null })),
  apply('no metadata but a name', 'one', configMap('v', {})),
  apply('finalizers', 'one', configMap('v', {}, { finalizers: ['a.com/x', 'a.com/y'] })),
  apply('more finalizers', 'two', configMap('v', {}, { finalizers: ['a.com/z', 'a.com/x'] })),
  apply('fewer finalizers', 'one', configMap('v', {}, { finalizers: ['a.com/y'] })),
  apply('a finalizer twice', 'one', configMap('v', {}, { finalizers: ['a.com/y', 'a.com/y'] })),
  apply('no finalizers', 'one', configMap('v', {})),
  apply('none by the other either', 'two', configMap('v', {})),
  apply('an owner', 'one', configMap('v', {}, { ownerReferences: [owner('1')] })),
  apply('another owner', 'two', configMap('v', {}, { ownerReferences: [owner('2')] })),
  apply('an owner without uid', 'two', configMap('v', {}, { ownerReferences: [{ ...owner('2'), uid: undefined }] })),
  apply('a new one with a resourceVersion', 'one', configMap('new', {}, { resourceVersion: '1' })),
  apply('a new one with a uid', 'one', configMap('new', {}, { uid: '11111111-2222-3333-4444-555555555555' })),
  apply('a new one with a generated name', 'one', configMap('new', {}, { generateName: 'generated-' })),
  apply('an old one with another uid', 'one', configMap('v', {}, { uid: '11111111-2222-3333-4444-555555555555' })),
  apply(
    'fields that nobody owns',
    'one',
    configMap('v', {}, { generation: 7, selfLink: '/x', creationTimestamp: null }),
  ),
  apply('a secret as strings', 'one', object('Secret', 's', { stringData: { a: 'b' } })),
  apply('the secret again', 'one', object('Secret', 's', { stringData: { a: 'b' } })),
  apply('the secret as bytes', 'two', object('Secret', 's', { data: { a: 'Yg==', c: 'ZA==' } })),
  apply('another secret', 'two', object('Secret', 's', { data: { a: 'YQ==' } })),
];

function owner(uid: string): Json {
  return { apiVersion: 'v1', kind: 'ConfigMap', name: `o${uid}`, uid };
}

const port = (number: number, more: Json = {}): Json => ({ containerPort: number, ...more });
const web = (spec: Json, containers: readonly Json[], pod: Json = {}): Applied =>
  deployment('web', spec, containers, pod);
const webAt = `${pathOf('Deployment')}/web`;
const full = container('a', {
  args: ['x'],
  env: [
    { name: 'A', value: '1' },
    { name: 'B', value: '2' },
  ],
  ports: [port(80, { protocol: 'TCP' }), port(80, { protocol: 'UDP' })],
  volumeMounts: [{ name: 'v', mountPath: '/v' }],
  resources: { limits: { cpu: '1000m', memory: '1Gi' } },
});
const probed = container('a', { readinessProbe: { httpGet: { path: '/', port: 80 } } });
const volumes = [{ name: 'v', emptyDir: {} }];

const workloads: readonly CorpusRequest[] = [
  apply('a deployment', 'one', web({ replicas: 2 }, [full], { volumes })),
  apply('the deployment again', 'one', web({ replicas: 2 }, [full], { volumes })),
  apply('the deployment as it was defaulted', 'two', web({ replicas: 2, progressDeadlineSeconds: 600 }, [full])),
  apply('another number', 'two', web({ replicas: 3 }, [full])),
  apply('another image', 'two', web({}, [container('a', { image: 'j' })])),
  apply('other arguments', 'two', web({}, [container('a', { args: ['y'] })])),
  apply('another value of the environment', 'two', web({}, [container('a', { env: [{ name: 'A', value: '3' }] })])),
  apply('a quantity that is the same', 'two', web({}, [container('a', { resources: { limits: { cpu: '1' } } })])),
  apply('a quantity that is not', 'two', web({}, [container('a', { resources: { limits: { cpu: '2' } } })])),
  apply('much else', 'two', web({ replicas: 5, paused: true }, [container('a', { image: 'j', args: [], tty: true })])),
  apply('a second container', 'two', web({}, [container('b', { env: [{ name: 'C', value: '1' }] })])),
  apply('both the other way round', 'three&dryRun=All', web({}, [container('b'), container('a')])),
  apply('more ports', 'two', web({}, [container('b', { ports: [port(81, { protocol: 'TCP' })] })])),
  apply('a port by its default protocol', 'two', web({}, [container('b', { ports: [port(82)] })])),
  apply(
    'the same port by both',
    'two',
    web({}, [container('b', { ports: [port(82), port(82, { protocol: 'TCP' })] })]),
  ),
  apply('a port without number', 'two', web({}, [container('b', { ports: [{ name: 'p' }] })])),
  apply('a container twice', 'two', web({}, [container('b'), container('b')])),
  apply('a container without name', 'two', web({}, [{ image: 'i' }])),
  apply('a variable twice', 'two', web({}, [container('b', { env: [{ name: 'C' }, { name: 'C', value: '1' }] })])),
  apply('a variable without name', 'two', web({}, [container('b', { env: [{ value: '1' }] })])),
  apply('a mount without path', 'two', web({}, [container('b', { volumeMounts: [{ name: 'v' }] })])),
  apply('several that are wrong', 'two', web({}, [{ image: 'i' }, container('b', { env: [{ value: '1' }] })])),
  apply('containers that are none', 'two', web({}, [null as unknown as Json])),
  apply('no containers', 'two', web({}, [])),
  apply('less of the environment', 'one', web({ replicas: 2 }, [container('a', { env: [{ name: 'A', value: '1' }] })])),
  apply('no replicas', 'one', web({}, [container('a')])),
  apply('no containers of mine', 'two', object('Deployment', 'web', { spec: { minReadySeconds: 1 } })),
  apply('a tolerated taint', 'two', web({}, [container('a')], { tolerations: [{ key: 'k', operator: 'Exists' }] })),
  apply('another tolerated taint', 'three', web({}, [container('a')], { tolerations: [{ operator: 'Exists' }] })),
  apply('where it may run', 'two', web({}, [container('a')], { nodeSelector: { a: '1' } })),
  apply('where else it may run', 'three&dryRun=All', web({}, [container('a')], { nodeSelector: { b: '1' } })),
  apply('secrets to pull with', 'two', web({}, [container('a')], { imagePullSecrets: [{ name: 'p' }, { name: 'q' }] })),
  apply('names of hosts', 'three', web({}, [container('a')], { hostAliases: [{ ip: '10.0.0.9', hostnames: ['h'] }] })),
  apply('a security context', 'three', web({}, [container('a')], { securityContext: { runAsUser: 1, fsGroup: 2 } })),
  apply('how it is updated', 'three', web({ strategy: { rollingUpdate: { maxSurge: 1 } } }, [container('a')])),
  apply('a probe', 'two', web({}, [probed])),
  apply(
    'another probe',
    'three&dryRun=All',
    web({}, [container('a', { readinessProbe: { tcpSocket: { port: 80 } } })]),
  ),
  apply('a volume', 'two', web({}, [probed], { volumes: [{ name: 'w', configMap: { name: 'c' } }] })),
  apply('another volume', 'three', web({}, [container('a')], { volumes: [{ name: 'w', emptyDir: {} }] })),
  patch('an update of the deployment', `${webAt}?fieldManager=four`, {
    spec: { template: { spec: { terminationGracePeriodSeconds: 7 } } },
  }),
  patch('an update without what is applied', `${webAt}?fieldManager=four`, {
    spec: { template: { spec: { volumes: null, nodeSelector: null, tolerations: [] } } },
  }),
  get('what scale it has', `${webAt}/scale`),
  patch('an update of the scale', `${webAt}/scale?fieldManager=scaler`, { spec: { replicas: 9 } }),
  get('what was scaled', webAt),
  apply('in the way of the scale', 'one&dryRun=All', web({ replicas: 2 }, [container('a')])),
  apply('the scale', 'one', object('Deployment', 'web'), {
    path: `${webAt}/scale?fieldManager=other`,
    body: { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'web' }, spec: { replicas: 4 } },
  }),
  apply('the status', 'controller', object('Deployment', 'web', { status: { replicas: 3, conditions: [] } }), {
    path: `${webAt}/status?fieldManager=controller`,
  }),
  apply('a condition', 'controller', object('Deployment', 'web'), {
    path: `${webAt}/status?fieldManager=controller`,
    body: object('Deployment', 'web', {
      status: { conditions: [{ type: 'Available', status: 'True', lastUpdateTime: '2020-01-01T00:00:00Z' }] },
    }),
  }),
  apply('the status with a spec', 'other', object('Deployment', 'web'), {
    path: `${webAt}/status?fieldManager=other&dryRun=All`,
    body: object('Deployment', 'web', { spec: { replicas: 1 }, status: { observedGeneration: 1 } }),
  }),
  get('what has a status', webAt),
];

const others: readonly CorpusRequest[] = [
  apply('a role', 'one', object('Role', 'r', { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] })),
  apply(
    'other rules',
    'two',
    object('Role', 'r', { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] }),
  ),
  apply(
    'the rules again',
    'two',
    object('Role', 'r', { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] }),
  ),
  apply('no rules', 'one', object('Role', 'r')),
  apply('rules that are empty', 'two', object('Role', 'r', { rules: [] })),
  apply(
    'an account',
    'one',
    object('ServiceAccount', 'a', { secrets: [{ name: 'x' }], imagePullSecrets: [{ name: 'y' }] }),
  ),
  apply('more of the account', 'two', object('ServiceAccount', 'a', { imagePullSecrets: [{ name: 'z' }] })),
  apply('a quota', 'one', object('ResourceQuota', 'q', { spec: { hard: { cpu: '1000m', pods: '10' } } })),
  apply('the quota again', 'one', object('ResourceQuota', 'q', { spec: { hard: { cpu: '1000m', pods: '10' } } })),
  apply('a quota written otherwise', 'two', object('ResourceQuota', 'q', { spec: { hard: { cpu: '1' } } })),
  apply('a larger quota', 'two', object('ResourceQuota', 'q', { spec: { hard: { cpu: '2' } } })),
  apply('a network policy', 'one', object('NetworkPolicy', 'n', { spec: { podSelector: {}, ingress: [{}] } })),
  apply('another network policy', 'two', object('NetworkPolicy', 'n', { spec: { policyTypes: ['Egress'] } })),
  apply(
    'a job',
    'one',
    object('Job', 'j', { spec: { template: { spec: { containers: [container('a')], restartPolicy: 'Never' } } } }),
  ),
  apply('a job with more', 'two', object('Job', 'j', { spec: { parallelism: 2, ttlSecondsAfterFinished: 5 } })),
  apply('a stateful set', 'one', stateful('1Gi')),
  apply('its claims otherwise', 'two', stateful('2Gi')),
  apply('a pod', 'one', object('Pod', 'p', { spec: { containers: [container('a')] } })),
  apply(
    'a pod with another image',
    'two',
    object('Pod', 'p', { spec: { containers: [container('a', { image: 'j' })] } }),
  ),
  apply(
    'a pod with that image by force',
    'two&force=true',
    object('Pod', 'p', { spec: { containers: [container('a', { image: 'j' })] } }),
  ),
  apply('a condition of a pod', 'kubelet', object('Pod', 'p'), {
    path: `${pathOf('Pod')}/p/status?fieldManager=kubelet`,
    body: object('Pod', 'p', {
      status: {
        phase: 'Running',
        conditions: [
          { type: 'Ready', status: 'True', lastTransitionTime: '2020-01-01T00:00:00Z', lastProbeTime: null },
        ],
      },
    }),
  }),
  apply('another condition of a pod', 'gate', object('Pod', 'p'), {
    path: `${pathOf('Pod')}/p/status?fieldManager=gate`,
    body: object('Pod', 'p', {
      status: { conditions: [{ type: 'Gate', status: 'True', lastTransitionTime: '2020-01-01T00:00:00Z' }] },
    }),
  }),
  apply('that condition of a pod otherwise', 'other', object('Pod', 'p'), {
    path: `${pathOf('Pod')}/p/status?fieldManager=other`,
    body: object('Pod', 'p', { status: { phase: 'Failed', conditions: [{ type: 'Gate', status: 'False' }] } }),
  }),
  apply('no condition of a pod', 'gate', object('Pod', 'p'), {
    path: `${pathOf('Pod')}/p/status?fieldManager=gate`,
    body: object('Pod', 'p'),
  }),
  apply('a node', 'one', object('Node', 'n-applied', { spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } })),
  apply(
    'another taint',
    'two',
    object('Node', 'n-applied', { spec: { taints: [{ key: 'b', effect: 'NoSchedule' }] } }),
  ),
  request('delete the node', { method: 'DELETE', path: '/api/v1/nodes/n-applied' }),
  apply('a service', 'one', service([{ port: 80, protocol: 'TCP', name: 'a' }])),
  apply('a second port of it', 'two', service([{ port: 81, protocol: 'TCP', name: 'b' }])),
  apply('its first port otherwise', 'two', service([{ port: 80, protocol: 'TCP', name: 'c' }])),
  apply('an ingress', 'one', ingress('/a')),
  apply('other rules of it', 'two', ingress('/b')),
];

function stateful(storage: string): Applied {
  const labels = { app: 'st' };
  const claim = {
    metadata: { name: 'd' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
  };
  return object('StatefulSet', 'st', {
    spec: {
      serviceName: 'st',
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container('a')] } },
      volumeClaimTemplates: [claim],
    },
  });
}

function service(ports: readonly Json[]): Applied {
  return object('Service', 'svc', { spec: { clusterIP: 'None', ports } });
}

function ingress(path: string): Applied {
  const backend = { service: { name: 's', port: { number: 80 } } };
  return object('Ingress', 'i', { spec: { rules: [{ http: { paths: [{ path, pathType: 'Prefix', backend }] } }] } });
}

/** kubectl apply on the client, and then on the server. */
function lastApplied(config: Applied): Json {
  const { annotations: _annotations, ...metadata } = config.metadata as Meta & { annotations?: unknown };
  const text = `${JSON.stringify({ ...config, metadata })}\n`;
  return {
    ...config,
    metadata: { ...metadata, annotations: { 'kubectl.kubernetes.io/last-applied-configuration': text } },
  };
}

const client = (values: Json): Applied => configMap('k', { data: values }, { namespace: APPLY_NAMESPACE });
const kubectl: readonly CorpusRequest[] = [
  request('kubectl on the client', {
    method: 'POST',
    path: `${pathOf('ConfigMap')}?fieldManager=kubectl-client-side-apply`,
    body: lastApplied(client({ a: '1', b: '1', c: '1' })),
  }),
  patch('somebody else', `${configMapAt('k')}?fieldManager=somebody`, { data: { b: '2' } }),
  apply('kubectl over somebody else', 'kubectl', client({ a: '2', b: '3' })),
  apply('not kubectl over kubectl', 'helm', client({ a: '2' })),
  apply('kubectl on the server', 'kubectl', client({ a: '2', b: '2', d: '1' })),
  apply('kubectl again', 'kubectl', client({ a: '2', b: '2', d: '1' })),
  apply('kubectl takes something away', 'kubectl', client({ a: '2', b: '2' })),
  apply('kubectl with force', 'kubectl&force=true', client({ a: '2', b: '4' })),
  get('what kubectl made', configMapAt('k')),
];

/** What the server has made by itself, by now. */
const ofServer: readonly CorpusRequest[] = [
  '/api/v1/namespaces/default',
  '/api/v1/namespaces/kube-system',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin',
  '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin',
  '/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/extension-apiserver-authentication-reader',
  '/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical',
].map((path) =>
  get(`the server’s own ${path.split('/').slice(-2).join(' ')}`, path, { until: ({ status }) => status === 200 }),
);

export const applyRequests: readonly CorpusRequest[] = [
  ...ofServer,
  ...managers,
  ...entries,
  ...values,
  ...workloads,
  ...others,
  ...kubectl,
];
