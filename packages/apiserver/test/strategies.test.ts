import { builtInResources, formatFieldError, type UnstructuredObject } from '@naru/api';
import t from 'tap';
import { nameProblems, nameRuleOf } from '../src/registry/object-meta.ts';
import { registrationFor } from '../src/registry/registrations.ts';
import { strategyFor } from '../src/registry/strategies/strategies.ts';

type Json = Record<string, unknown>;

const resources: Readonly<Record<string, { group: string; resource: string; model: string }>> = {
  Pod: { group: '', resource: 'pods', model: 'V1Pod' },
  Service: { group: '', resource: 'services', model: 'V1Service' },
  Node: { group: '', resource: 'nodes', model: 'V1Node' },
  Namespace: { group: '', resource: 'namespaces', model: 'V1Namespace' },
  ConfigMap: { group: '', resource: 'configmaps', model: 'V1ConfigMap' },
  Endpoints: { group: '', resource: 'endpoints', model: 'V1Endpoints' },
  Secret: { group: '', resource: 'secrets', model: 'V1Secret' },
  Event: { group: '', resource: 'events', model: 'CoreV1Event' },
  LimitRange: { group: '', resource: 'limitranges', model: 'V1LimitRange' },
  PersistentVolumeClaim: { group: '', resource: 'persistentvolumeclaims', model: 'V1PersistentVolumeClaim' },
  PersistentVolume: { group: '', resource: 'persistentvolumes', model: 'V1PersistentVolume' },
  ResourceQuota: { group: '', resource: 'resourcequotas', model: 'V1ResourceQuota' },
  HorizontalPodAutoscaler: {
    group: 'autoscaling',
    resource: 'horizontalpodautoscalers',
    model: 'V2HorizontalPodAutoscaler',
  },
  ValidatingWebhookConfiguration: {
    group: 'admissionregistration.k8s.io',
    resource: 'validatingwebhookconfigurations',
    model: 'V1ValidatingWebhookConfiguration',
  },
  Deployment: { group: 'apps', resource: 'deployments', model: 'V1Deployment' },
  ReplicaSet: { group: 'apps', resource: 'replicasets', model: 'V1ReplicaSet' },
  StatefulSet: { group: 'apps', resource: 'statefulsets', model: 'V1StatefulSet' },
  DaemonSet: { group: 'apps', resource: 'daemonsets', model: 'V1DaemonSet' },
  Job: { group: 'batch', resource: 'jobs', model: 'V1Job' },
  CronJob: { group: 'batch', resource: 'cronjobs', model: 'V1CronJob' },
  Lease: { group: 'coordination.k8s.io', resource: 'leases', model: 'V1Lease' },
  EndpointSlice: { group: 'discovery.k8s.io', resource: 'endpointslices', model: 'V1EndpointSlice' },
  Ingress: { group: 'networking.k8s.io', resource: 'ingresses', model: 'V1Ingress' },
  NetworkPolicy: { group: 'networking.k8s.io', resource: 'networkpolicies', model: 'V1NetworkPolicy' },
  ClusterRoleBinding: {
    group: 'rbac.authorization.k8s.io',
    resource: 'clusterrolebindings',
    model: 'V1ClusterRoleBinding',
  },
  ClusterRole: { group: 'rbac.authorization.k8s.io', resource: 'clusterroles', model: 'V1ClusterRole' },
  PriorityClass: { group: 'scheduling.k8s.io', resource: 'priorityclasses', model: 'V1PriorityClass' },
  CertificateSigningRequest: {
    group: 'certificates.k8s.io',
    resource: 'certificatesigningrequests',
    model: 'V1CertificateSigningRequest',
  },
  CSIDriver: { group: 'storage.k8s.io', resource: 'csidrivers', model: 'V1CSIDriver' },
  ControllerRevision: { group: 'apps', resource: 'controllerrevisions', model: 'V1ControllerRevision' },
  PodTemplate: { group: '', resource: 'podtemplates', model: 'V1PodTemplate' },
};

const context = { now: '2026-01-01T00:00:00Z', user: { name: 'alice', groups: ['devs'] } };

function strategyOf(kind: string) {
  const resource = resources[kind];
  if (resource === undefined) throw new Error(`no resource for ${kind}`);
  return strategyFor(resource);
}

function objectOf(kind: string, fields: Json): UnstructuredObject {
  const { metadata = {}, ...rest } = structuredClone(fields);
  return { apiVersion: 'v1', kind, metadata: { name: 'x', namespace: 'default', ...(metadata as object) }, ...rest };
}

/** What the registry does before it stores a new object. */
function create(kind: string, fields: Json): { object: UnstructuredObject; errors: string[] } {
  const strategy = strategyOf(kind);
  const object = objectOf(kind, fields);
  strategy.applyDefaults?.(object);
  strategy.prepareForCreate?.(object, context);
  return { object, errors: (strategy.validate?.(object) ?? []).map(formatFieldError) };
}

/** The errors of an update of what `create` makes of `fields`. */
function update(kind: string, fields: Json, change: (object: UnstructuredObject) => void): string[] {
  const strategy = strategyOf(kind);
  const { object: old, errors } = create(kind, fields);
  if (errors.length > 0) throw new Error(errors.join('\n'));
  const object = structuredClone(old);
  change(object);
  strategy.applyDefaults?.(object);
  strategy.prepareForUpdate?.(object, old, context);
  return (strategy.validateUpdate?.(object, old) ?? []).map(formatFieldError);
}

const spec = (object: UnstructuredObject): Json => object['spec'] as Json;
const container = (fields: Json = {}): Json => ({ name: 'c', image: 'nginx:1', ...fields });
const pod = (fields: Json = {}, containerFields: Json = {}): Json => ({
  spec: { containers: [container(containerFields)], ...fields },
});
const labels = { app: 'web' };
const workload = (fields: Json = {}, podSpec: Json = { containers: [container()] }): Json => ({
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec }, ...fields },
});
const service = (fields: Json = {}): Json => ({ spec: { ports: [{ port: 80 }], selector: labels, ...fields } });

const label63 =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

void t.test('defaults of a pod are upstream’s', async (t) => {
  const { object, errors } = create('Pod', {
    spec: {
      containers: [
        {
          name: 'c',
          image: 'nginx',
          ports: [{ containerPort: 80 }],
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } },
          env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
          livenessProbe: { httpGet: { port: 80 } },
          volumeMounts: [{ name: 's', mountPath: '/s' }],
        },
      ],
      volumes: [
        { name: 's', secret: { secretName: 'a' } },
        { name: 'e' },
        { name: 'h', hostPath: { path: '/h' } },
        { name: 'p', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
      ],
    },
    status: { phase: 'Running' },
  });
  t.same(errors, []);
  t.same(spec(object), {
    containers: [
      {
        name: 'c',
        image: 'nginx',
        imagePullPolicy: 'Always',
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
        ports: [{ containerPort: 80, protocol: 'TCP' }],
        resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m', memory: '1Gi' } },
        env: [{ name: 'IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } }],
        livenessProbe: {
          httpGet: { port: 80, path: '/', scheme: 'HTTP' },
          timeoutSeconds: 1,
          periodSeconds: 10,
          successThreshold: 1,
          failureThreshold: 3,
        },
        volumeMounts: [{ name: 's', mountPath: '/s' }],
      },
    ],
    volumes: [
      { name: 's', secret: { secretName: 'a', defaultMode: 420 } },
      { name: 'e', emptyDir: {} },
      { name: 'h', hostPath: { path: '/h', type: '' } },
      {
        name: 'p',
        projected: { defaultMode: 420, sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }] },
      },
    ],
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    enableServiceLinks: true,
    securityContext: {},
    schedulerName: 'default-scheduler',
  });
  t.same(object['status'], { phase: 'Pending', qosClass: 'Burstable' });
  const again = structuredClone(object);
  strategyOf('Pod').applyDefaults?.(again);
  t.same(again, object, 'defaulting is idempotent');
});

void t.test('pull policy follows the tag, QoS the resources', async (t) => {
  for (const [image, policy] of [
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['nginx:1.2', 'IfNotPresent'],
    ['host:5000/nginx', 'Always'],
    ['nginx@sha256:abc', 'IfNotPresent'],
  ] as const) {
    const { object } = create('Pod', pod({}, { image }));
    t.equal((spec(object)['containers'] as Json[])[0]?.['imagePullPolicy'], policy, image);
  }
  for (const [requirements, qos] of [
    [{}, 'BestEffort'],
    [{ requests: { cpu: '1' } }, 'Burstable'],
    [{ limits: { cpu: '1', memory: '1Gi' } }, 'Guaranteed'],
    [{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m' } }, 'Guaranteed'],
    [{ limits: { cpu: '1' } }, 'Burstable'],
    [{ requests: { 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } }, 'BestEffort'],
  ] as const) {
    const { object } = create('Pod', pod({}, { resources: requirements }));
    t.equal((object['status'] as Json)['qosClass'], qos, JSON.stringify(requirements));
  }
});

void t.test('defaults of other kinds', async (t) => {
  const cases: readonly (readonly [string, Json, (object: UnstructuredObject) => unknown, unknown])[] = [
    [
      'Deployment',
      workload(),
      (object) => ({ ...spec(object), selector: undefined, template: undefined }),
      {
        selector: undefined,
        template: undefined,
        replicas: 1,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
        revisionHistoryLimit: 10,
        progressDeadlineSeconds: 600,
      },
    ],
    [
      'Deployment',
      workload({ strategy: { type: 'Recreate' } }),
      (object) => spec(object)['strategy'],
      { type: 'Recreate' },
    ],
    [
      'DaemonSet',
      workload(),
      (object) => spec(object)['updateStrategy'],
      { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    ],
    [
      'StatefulSet',
      workload({ serviceName: 's' }),
      (object) => [spec(object)['podManagementPolicy'], spec(object)['updateStrategy']],
      ['OrderedReady', { type: 'RollingUpdate', rollingUpdate: { partition: 0 } }],
    ],
    [
      'Service',
      service({ type: 'NodePort', sessionAffinity: 'ClientIP' }),
      spec,
      {
        ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
        selector: labels,
        type: 'NodePort',
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
        externalTrafficPolicy: 'Cluster',
        internalTrafficPolicy: 'Cluster',
        ipFamilies: ['IPv4'],
        ipFamilyPolicy: 'SingleStack',
      },
    ],
    [
      'Namespace',
      { metadata: { name: 'a', namespace: undefined } },
      (object) => [object.metadata.labels, object['spec'], object['status']],
      [{ 'kubernetes.io/metadata.name': 'a' }, { finalizers: ['kubernetes'] }, { phase: 'Active' }],
    ],
    [
      'Secret',
      { data: { a: 'MQ==' }, stringData: { b: '2' } },
      (object) => [object['type'], object['data'], object['stringData']],
      ['Opaque', { a: 'MQ==', b: 'Mg==' }, undefined],
    ],
    ['Node', { spec: { podCIDR: '127.3.0.0/24' } }, (object) => spec(object)['podCIDRs'], ['127.3.0.0/24']],
    [
      'Job',
      { metadata: { uid: 'u' }, spec: { template: { spec: { restartPolicy: 'Never', containers: [container()] } } } },
      (object) => [spec(object)['completions'], spec(object)['backoffLimit'], spec(object)['selector']],
      [1, 6, { matchLabels: { 'batch.kubernetes.io/controller-uid': 'u' } }],
    ],
    [
      'NetworkPolicy',
      { spec: { podSelector: {}, egress: [{ ports: [{ port: 53 }] }] } },
      spec,
      { podSelector: {}, policyTypes: ['Ingress', 'Egress'], egress: [{ ports: [{ port: 53, protocol: 'TCP' }] }] },
    ],
    [
      'ClusterRoleBinding',
      {
        roleRef: { kind: 'ClusterRole', name: 'r' },
        subjects: [
          { kind: 'User', name: 'u' },
          { kind: 'ServiceAccount', name: 's', namespace: 'n' },
        ],
      },
      (object) => [object['roleRef'], object['subjects']],
      [
        { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'r' },
        [
          { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'u' },
          { kind: 'ServiceAccount', name: 's', namespace: 'n' },
        ],
      ],
    ],
    [
      'LimitRange',
      { spec: { limits: [{ type: 'Container', max: { cpu: '2' }, min: { memory: '1Mi' } }] } },
      (object) => (spec(object)['limits'] as Json[])[0],
      {
        type: 'Container',
        max: { cpu: '2' },
        min: { memory: '1Mi' },
        default: { cpu: '2' },
        defaultRequest: { cpu: '2', memory: '1Mi' },
      },
    ],
    [
      'CertificateSigningRequest',
      { spec: { username: 'mallory', groups: ['system:masters'], signerName: 'a/b' } },
      spec,
      { username: 'alice', groups: ['devs'], signerName: 'a/b' },
    ],
  ];
  for (const [kind, fields, pick, wanted] of cases) t.same(pick(create(kind, fields).object), wanted, kind);
});

const csr = Buffer.from('-----BEGIN CERTIFICATE REQUEST-----').toString('base64');

void t.test('bad objects are refused with upstream’s errors', async (t) => {
  const cases: readonly (readonly [string, Json, readonly string[]])[] = [
    ['Pod', {}, ['spec.containers: Required value']],
    ['Pod', { spec: { containers: [] } }, ['spec.containers: Required value']],
    ['Pod', pod({}, { name: 'A' }), [`spec.containers[0].name: Invalid value: "A": ${label63}`]],
    ['Pod', pod({}, { image: undefined }), ['spec.containers[0].image: Required value']],
    [
      'Pod',
      pod({}, { image: ' nginx:1' }),
      ['spec.containers[0].image: Invalid value: " nginx:1": must not have leading or trailing whitespace'],
    ],
    ['Pod', { spec: { containers: [container(), container()] } }, ['spec.containers[1].name: Duplicate value: "c"']],
    [
      'Pod',
      pod({ restartPolicy: 'Sometimes' }),
      ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
    ],
    [
      'Pod',
      pod({}, { ports: [{ containerPort: 70_000 }, { name: 'x_y', containerPort: 1 }] }),
      [
        'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
        'spec.containers[0].ports[1].name: Invalid value: "x_y": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
      ],
    ],
    [
      'Pod',
      pod({}, { volumeMounts: [{ name: 'v', mountPath: '/v' }] }),
      ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ],
    [
      'Pod',
      pod({ volumes: [{ name: 'v', emptyDir: {}, secret: { secretName: 's' } }] }),
      ['spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type'],
    ],
    ['Pod', pod({ volumes: [{ name: 'v', secret: {} }] }), ['spec.volumes[0].secret.secretName: Required value']],
    [
      'Pod',
      pod({}, { env: [{ name: 'a', value: 'x', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }] }),
      ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ],
    [
      'Pod',
      pod({}, { livenessProbe: { httpGet: { port: 'http_x' }, successThreshold: 2 } }),
      [
        'spec.containers[0].livenessProbe.httpGet.port: Invalid value: "http_x": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
        'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1',
      ],
    ],
    [
      'Pod',
      pod({}, { readinessProbe: {} }),
      ['spec.containers[0].readinessProbe: Required value: must specify a handler type'],
    ],
    [
      'Pod',
      pod({}, { resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } }),
      ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ],
    [
      'Pod',
      pod({}, { resources: { limits: { potato: '1' } } }),
      [
        'spec.containers[0].resources.limits[potato]: Invalid value: "potato": must be a standard resource type or fully qualified',
        'spec.containers[0].resources.limits[potato]: Invalid value: "potato": must be a standard resource for containers',
        'spec.containers[0].resources.requests[potato]: Invalid value: "potato": must be a standard resource type or fully qualified',
        'spec.containers[0].resources.requests[potato]: Invalid value: "potato": must be a standard resource for containers',
      ],
    ],
    [
      'Pod',
      pod({ initContainers: [container({ name: 'i', livenessProbe: { exec: { command: ['a'] } } })] }),
      [
        'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
      ],
    ],
    [
      'Pod',
      pod({ tolerations: [{ operator: 'Equal' }, { key: 'a', operator: 'Exists', value: 'b' }] }),
      [
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
        'spec.tolerations[1].operator: Invalid value: {"key":"a","operator":"Exists","value":"b"}: value must be empty when `operator` is \'Exists\'',
      ],
    ],
    [
      'Pod',
      pod({
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } },
      }),
      [
        'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term',
      ],
    ],
    [
      'Pod',
      pod({ activeDeadlineSeconds: 0 }),
      ['spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    ],
    [
      'Deployment',
      {},
      [
        'spec.selector: Required value',
        'spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`',
        'spec.template.spec.containers: Required value',
      ],
    ],
    [
      'DaemonSet',
      {},
      [
        'spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`',
        'spec.template.spec.containers: Required value',
      ],
    ],
    [
      'Deployment',
      workload({ strategy: { type: 'Some' } }),
      ['spec.strategy: Unsupported value: {"type":"Some"}: supported values: "Recreate", "RollingUpdate"'],
    ],
    [
      'Deployment',
      {
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels }, spec: { containers: [container()] } },
        },
      },
      ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
    ],
    [
      'Deployment',
      workload({ replicas: -1 }),
      ['spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    ],
    [
      'Deployment',
      workload({}, { containers: [container()], restartPolicy: 'Never' }),
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
    [
      'Deployment',
      workload({ strategy: { type: 'Recreate', rollingUpdate: { maxSurge: 1 } } }),
      ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ],
    [
      'Deployment',
      workload({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } }),
      ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0'],
    ],
    [
      'Deployment',
      workload({}, { containers: [container({ image: '' })] }),
      ['spec.template.spec.containers[0].image: Required value'],
    ],
    ['Service', { spec: {} }, ['spec.ports: Required value']],
    [
      'Service',
      service({ ports: [{ port: 80 }, { port: 80 }] }),
      [
        'spec.ports[0].name: Required value',
        'spec.ports[1].name: Required value',
        'spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}',
      ],
    ],
    ['Service', service({ type: 'ExternalName' }), ['spec.externalName: Required value']],
    [
      'Service',
      service({ ports: [{ port: 80, nodePort: 30_000 }] }),
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      'Service',
      service({ clusterIP: '1.2.3' }),
      ['spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ],
    [
      'Service',
      service({ type: 'Magic' }),
      [
        'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
    [
      'ConfigMap',
      { data: { 'a/b': '1' } },
      [
        "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
      ],
    ],
    ['Secret', { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } }, ['data[tls.key]: Required value']],
    [
      'Job',
      { metadata: { uid: 'u' }, spec: { template: { spec: { containers: [container()] } } } },
      ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ],
    [
      'Job',
      {
        metadata: { uid: 'u' },
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { a: 'b' } }, spec: { restartPolicy: 'Never', containers: [container()] } },
        },
      },
      [
        'spec.selector: Invalid value: {"matchLabels":{"a":"b","batch.kubernetes.io/controller-uid":"u"}}: `selector` not auto-generated',
      ],
    ],
    ['Service', {}, ['spec.ports: Required value']],
    [
      'CertificateSigningRequest',
      { spec: { request: csr, signerName: 'a/b', usages: ['signing', 'client auth', 'signing'] } },
      ['spec.usages[2]: Duplicate value: "signing"'],
    ],
    [
      'PersistentVolume',
      { spec: { accessModes: ['ReadWriteOnce'], capacity: { cpu: '1' }, hostPath: { path: '/x' } } },
      ['spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage"'],
    ],
    [
      'Node',
      { spec: { taints: [{ key: 'a', effect: 'No' }] } },
      [
        'metadata.taints[0].effect: Unsupported value: "No": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
      ],
    ],
    [
      'CronJob',
      {
        spec: {
          schedule: '70 * * * *',
          jobTemplate: { spec: { template: { spec: { restartPolicy: 'Never', containers: [container()] } } } },
        },
      },
      ['spec.schedule: Invalid value: "70 * * * *": end of range (70) above maximum (59): 70'],
    ],
    [
      'Lease',
      { spec: { leaseDurationSeconds: 0 } },
      ['spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'],
    ],
    [
      'EndpointSlice',
      { addressType: 'IPv4', endpoints: [{ addresses: [] }, { addresses: ['x'] }], ports: [] },
      [
        'endpoints[0].addresses: Required value: must contain at least 1 address',
        'endpoints[1].addresses[0]: Invalid value: "x": must be a valid IPv4 address',
      ],
    ],
    [
      'Event',
      { involvedObject: { namespace: 'other' } },
      ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
    ],
    ['Ingress', { spec: {} }, ['spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified']],
    [
      'ClusterRole',
      { rules: [{ apiGroups: [''], resources: ['pods'], verbs: [] }] },
      ['rules[0].verbs: Required value: verbs must contain at least one value'],
    ],
    [
      'PriorityClass',
      { metadata: { name: 'x' }, value: 2_000_000_000 },
      ['value: Forbidden: maximum allowed value of a user defined priority is 1000000000'],
    ],
    [
      'PersistentVolumeClaim',
      { spec: {} },
      [
        'spec.accessModes: Required value: at least 1 access mode is required',
        'spec.resources[storage]: Required value',
      ],
    ],
    ['CSIDriver', {}, []],
    [
      'CSIDriver',
      { spec: { fsGroupPolicy: 'Some' } },
      ['spec.fsGroupPolicy: Unsupported value: "Some": supported values: "ReadWriteOnceWithFSType", "File", "None"'],
    ],
    ['ControllerRevision', { revision: 1 }, ['data: Required value: data is mandatory']],
    ['PodTemplate', {}, ['template.spec.containers: Required value']],
  ];
  for (const [kind, fields, wanted] of cases) {
    const { errors } = create(kind, fields);
    t.same(errors, wanted, `${kind} ${JSON.stringify(fields)}`);
  }
});

const cidrMessage = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';

void t.test('quotas and limits name resources, amounts and scopes that fit each other', async (t) => {
  const quota = (spec: Json): string[] => create('ResourceQuota', { spec }).errors;
  t.same(quota({ hard: { nonsense: '1' } }), [
    'spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource type or fully qualified',
    'spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource for quota',
  ]);
  t.same(quota({ hard: { storage: '1' } }), [
    'spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota',
  ]);
  t.same(quota({ hard: { pods: '0.5' } }), ['spec.hard[pods]: Invalid value: "500m": must be an integer']);
  const fine = { pods: '5', cpu: '500m', 'requests.storage': '1Gi', 'count/jobs.batch': '1', 'hugepages-2Mi': '2Mi' };
  t.same(quota({ hard: { ...fine, 'gold.storageclass.storage.k8s.io/requests.storage': '1Gi' } }), []);

  const both = ['BestEffort', 'NotBestEffort'];
  t.same(quota({ hard: { pods: '1' }, scopes: both }), [
    'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
  ]);
  t.same(quota({ hard: { pods: '1' }, scopes: ['Some'] }), ['spec.scopes: Invalid value: ["Some"]: unsupported scope']);
  t.same(quota({ hard: { pods: '1', cpu: '1' }, scopes: ['BestEffort'] }), [
    'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
  ]);
  t.same(quota({ hard: { services: '1' }, scopes: ['Terminating'] }), [
    'spec.scopes: Invalid value: ["Terminating"]: unsupported scope applied to resource',
  ]);
  const path = 'spec.scopeSelector.matchExpressions';
  const selects = (matchExpressions: Json[]): string[] =>
    quota({ hard: { pods: '1' }, scopeSelector: { matchExpressions } });
  t.same(selects([{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }]), []);
  t.same(selects([{ scopeName: 'PriorityClass', operator: 'In' }]), [
    `${path}.values: Required value: must be at least one value when \`operator\` is 'In' or 'NotIn' for scope selector`,
  ]);
  t.same(selects([{ scopeName: 'Some', operator: 'Like' }]), [
    `${path}.scopeName: Invalid value: "Some": unsupported scope`,
    `${path}.operator: Invalid value: "Like": not a valid selector operator`,
  ]);

  const limits = (limit: Json): string[] => create('LimitRange', { spec: { limits: [limit] } }).errors;
  const ratio = 'spec.limits[0].maxLimitRequestRatio[cpu]';
  t.same(limits({ type: 'Container', maxLimitRequestRatio: { cpu: '0.5' } }), [
    `${ratio}: Invalid value: "500m": ratio 500m is less than 1`,
  ]);
  t.same(limits({ type: 'Pod', min: { cpu: '1' }, max: { cpu: '2' }, maxLimitRequestRatio: { cpu: '3' } }), [
    `${ratio}: Invalid value: "3": ratio 3 is greater than max/min = 2.000000`,
  ]);
  t.same(limits({ type: 'Pod', min: { cpu: '1' }, max: { cpu: '2' }, maxLimitRequestRatio: { cpu: '2' } }), []);
  t.same(limits({ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' } }), [
    'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
    'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1',
    'spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
  ]);
});

void t.test('volumes, services, networks and webhooks are refused with upstream’s errors', async (t) => {
  const volume = (source: Json): string[] =>
    create('PersistentVolume', { spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, ...source } })
      .errors;
  t.same(volume({ hostPath: { path: '/x/../y' } }), [
    `spec.hostPath.path: Invalid value: "/x/../y": must not contain '..'`,
  ]);
  t.same(volume({ hostPath: { path: '/x' } }), []);
  t.same(
    create('PersistentVolumeClaim', {
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '0' } } },
    }).errors,
    ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
  );

  const service = (spec: Json, metadata: Json = {}): string[] =>
    create('Service', { metadata, spec: { ports: [{ port: 80 }], ...spec } }).errors;
  const onlyBalanced = "Forbidden: may only be used when `type` is 'LoadBalancer'";
  t.same(service({ loadBalancerSourceRanges: ['10.0.0.0/8'] }), [`spec.LoadBalancerSourceRanges: ${onlyBalanced}`]);
  const annotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';
  t.same(service({}, { annotations: { [annotation]: '10.0.0.0/8' } }), [
    `metadata.annotations[${annotation}]: ${onlyBalanced}`,
  ]);
  t.same(service({ type: 'LoadBalancer', loadBalancerSourceRanges: [' 10.0.0.0/8', 'x'] }), [
    `spec.LoadBalancerSourceRanges[1]: Invalid value: "x": ${cidrMessage}`,
  ]);
  for (const type of ['NodePort', 'LoadBalancer'])
    t.same(service({ type, clusterIP: 'None' }), [
      `spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for ${type} services`,
    ]);
  t.same(service({ type: 'LoadBalancer', ports: [{ port: 10_250 }] }), [
    'spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet',
  ]);

  const peer = (ipBlock: Json): string[] =>
    create('NetworkPolicy', { spec: { ingress: [{ from: [{ ipBlock }] }] } }).errors;
  const block = 'spec.ingress[0].from[0].ipBlock';
  t.same(peer({ cidr: 'x' }), [`${block}.cidr: Invalid value: "x": ${cidrMessage}`]);
  t.same(peer({ cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '11.0.0.0/16', '10.0.0.0/8', 'x', '::/0'] }), [
    `${block}.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of \`cidr\``,
    `${block}.except[2]: Invalid value: "10.0.0.0/8": must be a strict subset of \`cidr\``,
    `${block}.except[3]: Invalid value: "x": ${cidrMessage}`,
    `${block}.except[4]: Invalid value: "::/0": must be a strict subset of \`cidr\``,
  ]);
  t.same(peer({ cidr: '2001:db8::/32', except: ['2001:db8:1::/48', '::ffff:1.2.3.4/128'] }), [
    `${block}.except[1]: Invalid value: "::ffff:1.2.3.4/128": must be a strict subset of \`cidr\``,
  ]);
  t.same(peer({ cidr: '::/0', except: ['::1/128', '1::/16', '1:2:3:4:5:6:7:8/128', '::1.2.3.4/127'] }), []);

  const webhook = (fields: Json): string[] =>
    create('ValidatingWebhookConfiguration', {
      webhooks: [
        {
          name: 'a.example.com',
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          clientConfig: { url: 'https://localhost/' },
          ...fields,
        },
      ],
    }).errors;
  t.same(webhook({ admissionReviewVersions: ['v9'] }), [
    'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
  ]);
  t.same(webhook({ admissionReviewVersions: ['v1', 'v9', 'v1'] }), [
    'webhooks[0].admissionReviewVersions[2]: Invalid value: "v1": duplicate version',
  ]);
  const rule = 'webhooks[0].rules[0]';
  t.same(webhook({ rules: [{}] }), [
    `${rule}.operations: Required value`,
    `${rule}.apiGroups: Required value`,
    `${rule}.apiVersions: Required value`,
    `${rule}.resources: Required value`,
  ]);
  const matched = { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods', 'pods/*'] };
  t.same(webhook({ rules: [matched] }), []);
  t.same(webhook({ rules: [{ ...matched, operations: ['*', 'PATCH'], scope: 'Some' }] }), [
    `${rule}.operations: Invalid value: ["*","PATCH"]: if '*' is present, must not specify other operations`,
    `${rule}.operations[1]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"`,
    `${rule}.scope: Unsupported value: "Some": supported values: "*", "Cluster", "Namespaced"`,
  ]);
  t.same(webhook({ rules: [{ ...matched, resources: ['pods/*', 'pods/log', '*', 'nodes'] }] }), [
    `${rule}.resources[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log`,
    `${rule}.resources: Invalid value: ["pods/*","pods/log","*","nodes"]: if '*' is present, must not specify other resources without subresources`,
  ]);
});

void t.test('names that are parts of a path, mirrors without a node', async (t) => {
  const csr = builtInResources.find(({ resource }) => resource === 'certificatesigningrequests');
  if (csr === undefined) throw new Error('no such resource');
  t.strictSame(nameProblems('Bad_Name', nameRuleOf(csr)), []);
  t.strictSame(nameProblems('a/b', nameRuleOf(csr)), ["may not contain '/'"]);
  const target = { maxReplicas: 1, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'De/ploy', name: 'w/eb' } };
  t.same(create('HorizontalPodAutoscaler', { spec: target }).errors, [
    `spec.scaleTargetRef.kind: Invalid value: "De/ploy": may not contain '/'`,
    `spec.scaleTargetRef.name: Invalid value: "w/eb": may not contain '/'`,
  ]);
  const metadata = { annotations: { 'kubernetes.io/config.mirror': 'x' } };
  t.same(create('Pod', { metadata, ...pod() }).errors, [
    'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set',
  ]);
  t.same(create('Pod', { metadata, ...pod({ nodeName: 'n' }) }).errors, []);
});

void t.test('updates change what upstream lets them change', async (t) => {
  const cases: readonly (readonly [string, Json, (object: UnstructuredObject) => void, readonly string[]])[] = [
    ['Pod', pod(), (object) => (((spec(object)['containers'] as Json[])[0] ?? {})['image'] = 'nginx:2'), []],
    ['Pod', pod(), (object) => (spec(object)['tolerations'] = [{ key: 'a', operator: 'Exists' }]), []],
    [
      'Pod',
      pod(),
      (object) => (spec(object)['nodeName'] = 'n2'),
      [
        'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n+ nodeName: "n2"',
      ],
    ],
    [
      'Pod',
      pod(),
      (object) => (spec(object)['containers'] as Json[]).push(container({ name: 'd' })),
      ['spec.containers: Forbidden: pod updates may not add or remove containers'],
    ],
    [
      'Pod',
      pod({ tolerations: [{ key: 'a', operator: 'Exists' }] }),
      (object) => (spec(object)['tolerations'] = []),
      ['spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds'],
    ],
    [
      'Pod',
      pod({ activeDeadlineSeconds: 5 }),
      (object) => (spec(object)['activeDeadlineSeconds'] = 6),
      ['spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value'],
    ],
    ['Deployment', workload(), (object) => (spec(object)['replicas'] = 5), []],
    [
      'Deployment',
      workload(),
      (object) => {
        spec(object)['selector'] = { matchLabels: { app: 'web', tier: 'a' } };
        (spec(object)['template'] as Json)['metadata'] = { labels: { app: 'web', tier: 'a' } };
      },
      ['spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"a"}}: field is immutable'],
    ],
    [
      'StatefulSet',
      workload({ serviceName: 's' }),
      (object) => (spec(object)['serviceName'] = 't'),
      [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
      ],
    ],
    [
      'Service',
      service({ clusterIP: '127.101.0.5' }),
      (object) => {
        spec(object)['clusterIP'] = '127.101.0.6';
      },
      ['spec.clusterIPs[0]: Invalid value: ["127.101.0.6"]: may not change once set'],
    ],
    [
      'Service',
      service({ clusterIP: '127.101.0.5' }),
      (object) => {
        delete spec(object)['clusterIP'];
        delete spec(object)['clusterIPs'];
      },
      [],
    ],
    [
      'Node',
      { spec: { podCIDR: '127.3.0.0/24' } },
      (object) => {
        spec(object)['podCIDR'] = '127.3.1.0/24';
        spec(object)['podCIDRs'] = ['127.3.1.0/24'];
      },
      [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        '[]: Forbidden: node updates may only change labels, taints, or capacity',
      ],
    ],
    [
      'ConfigMap',
      { data: { a: '1' }, immutable: true },
      (object) => (object['data'] = { a: '2' }),
      ['data: Forbidden: field is immutable when `immutable` is set'],
    ],
    [
      'Secret',
      { data: {} },
      (object) => (object['type'] = 'example.com/x'),
      ['type: Invalid value: "example.com/x": field is immutable'],
    ],
    [
      'ClusterRoleBinding',
      { roleRef: { kind: 'ClusterRole', name: 'a' } },
      (object) => ((object['roleRef'] as Json)['name'] = 'b'),
      [
        'roleRef: Invalid value: {"kind":"ClusterRole","name":"b","apiGroup":"rbac.authorization.k8s.io"}: cannot change roleRef',
      ],
    ],
    [
      'Job',
      { metadata: { uid: 'u' }, spec: { template: { spec: { restartPolicy: 'Never', containers: [container()] } } } },
      (object) => (spec(object)['completions'] = 2),
      ['spec.completions: Invalid value: 2: field is immutable'],
    ],
  ];
  for (const [kind, fields, change, wanted] of cases)
    t.same(update(kind, fields, change), wanted, `${kind} ${change.toString()}`);
});

void t.test('an update of a service keeps what was allocated and drops what its new type has no use for', async (t) => {
  const strategy = strategyOf('Service');
  const { object: old } = create('Service', service({ type: 'NodePort', clusterIP: '127.101.0.5' }));
  (spec(old)['ports'] as Json[])[0] = { port: 80, protocol: 'TCP', targetPort: 80, nodePort: 30_080 };
  const bare = objectOf('Service', service({ type: 'NodePort' }));
  strategy.applyDefaults?.(bare);
  strategy.prepareForUpdate?.(bare, old, context);
  t.equal(spec(bare)['clusterIP'], '127.101.0.5');
  t.equal((spec(bare)['ports'] as Json[])[0]?.['nodePort'], 30_080);
  const internal = structuredClone(old);
  spec(internal)['type'] = 'ClusterIP';
  strategy.applyDefaults?.(internal);
  strategy.prepareForUpdate?.(internal, old, context);
  t.equal((spec(internal)['ports'] as Json[])[0]?.['nodePort'], undefined);
  t.same(strategy.validateUpdate?.(internal, old), []);
});

void t.test('a pod’s deletion waits for its kubelet only', async (t) => {
  const grace = strategyOf('Pod').gracePeriodSeconds;
  const on = (nodeName: string, phase: string): UnstructuredObject =>
    objectOf('Pod', { spec: { nodeName, terminationGracePeriodSeconds: 7 }, status: { phase } });
  t.equal(grace?.(on('', 'Pending'), undefined), 0);
  t.equal(grace?.(on('n', 'Running'), undefined), 7);
  t.equal(grace?.(on('n', 'Running'), 3), 3);
  t.equal(grace?.(on('n', 'Succeeded'), 3), 0);
  const fields = strategyOf('Pod').selectableFields;
  t.equal(fields?.['spec.nodeName']?.(on('n', 'Running')), 'n');
  t.equal(fields?.['status.phase']?.(on('n', 'Running')), 'Running');
});

void t.test('what is not there is Go’s zero value', async (t) => {
  const preferred = { weight: 1, podAffinityTerm: {} };
  const preference = { matchExpressions: [{ key: 'a' }], matchFields: [{ operator: 'In', values: ['a'] }] };
  const affinity = {
    nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1 }, { preference }] },
    podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [preferred, { weight: 1 }] },
  };
  const terms = 'spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution';
  const node = 'spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[1]';
  const { errors } = create('Pod', pod({ affinity, readinessGates: [{}] }, { livenessProbe: { httpGet: {} } }));
  t.strictSame(
    errors.filter((each) => !/name part must consist/u.test(each)),
    [
      'spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive',
      `${node}.weight: Invalid value: 0: must be in the range 1-100`,
      `${node}.preference.matchExpressions[0].operator: Invalid value: "": not a valid selector operator`,
      `${node}.preference.matchFields[0].key: Invalid value: "": not a valid field selector key`,
      ...[0, 1].flatMap((i) => [
        `${terms}[${i}].podAffinityTerm.topologyKey: Required value: can not be empty`,
        `${terms}[${i}].podAffinityTerm.topologyKey: Invalid value: "": name part must be non-empty`,
      ]),
      'spec.readinessGates[0].conditionType: Invalid value: "": name part must be non-empty',
    ],
  );
  t.match(create('Endpoints', { subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{}] }] }).errors, [
    'subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
  ]);
});

void t.test('an object that lacks everything is refused or stored, never an error of ours', async (t) => {
  const shapes: readonly Json[] = [
    {},
    { spec: {} },
    { spec: { template: {} } },
    { spec: { template: { spec: {} }, jobTemplate: {} } },
    { spec: { jobTemplate: { spec: {} }, selector: {} }, status: {} },
  ];
  for (const resource of builtInResources) {
    const { strategy, table } = registrationFor(resource);
    t.doesNotThrow(() => {
      for (const shape of shapes) {
        const object = objectOf(resource.kind, shape);
        const old = objectOf(resource.kind, shape);
        strategy.applyDefaults?.(object);
        strategy.prepareForCreate?.(object, context);
        strategy.validate?.(object);
        strategy.prepareForUpdate?.(object, old, context);
        strategy.validateUpdate?.(object, old);
        strategy.prepareForStatusUpdate?.(object, old, context);
        strategy.warnings?.(object);
        strategy.gracePeriodSeconds?.(object, undefined);
        for (const valueOf of Object.values(strategy.selectableFields ?? {})) valueOf(old);
        table.cells(old);
      }
    }, `${resource.resource}.${resource.group}`);
  }
});
