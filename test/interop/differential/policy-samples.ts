/** Samples of the kinds that say who may do what and how the cluster behaves; see kind-samples.ts. */
import type { KindSample } from './kind-samples.ts';

const backend = { service: { name: 'web', port: { number: 80 } } };
const path = { path: '/', pathType: 'Prefix', backend };
const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }];
const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'joe' }];
const rbac = 'rbac.authorization.k8s.io';

const networking: readonly KindSample[] = [
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    resource: 'ingresses',
    object: {
      spec: { rules: [{ host: 'a.example.com', http: { paths: [path] } }], tls: [{ hosts: ['a.example.com'] }] },
    },
    change: { spec: { defaultBackend: backend } },
    subresources: ['status'],
    status: { loadBalancer: { ingress: [{ hostname: 'lb.example.com' }] } },
    bad: {
      'neither backend nor rules': { spec: {} },
      'no type of path': { spec: { rules: [{ http: { paths: [{ path: '/', backend }] } }] } },
      'a path without slash': { spec: { rules: [{ http: { paths: [{ ...path, path: 'x' }] } }] } },
      'a host that is none': { spec: { rules: [{ host: 'A_b', http: { paths: [path] } }] } },
      'a host that is an address': { spec: { rules: [{ host: '1.2.3.4', http: { paths: [path] } }] } },
      'a backend without port': { spec: { defaultBackend: { service: { name: 'web' } } } },
      'a backend of two sorts': { spec: { defaultBackend: { ...backend, resource: { kind: 'K', name: 'n' } } } },
    },
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IngressClass',
    resource: 'ingressclasses',
    namespace: '',
    object: { spec: { controller: 'example.com/c', parameters: { apiGroup: 'k.example.com', kind: 'P', name: 'p' } } },
    change: { metadata: { annotations: { note: 'x' } } },
    bad: { 'a controller without domain': { spec: { controller: 'c' } }, 'no controller': { spec: {} } },
    badChanges: { 'another controller': { spec: { controller: 'example.com/d' } } },
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    resource: 'networkpolicies',
    object: {
      spec: {
        podSelector: { matchLabels: { app: 'web' } },
        ingress: [{ from: [{ podSelector: {} }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }] }],
        egress: [{ ports: [{ port: 53, protocol: 'UDP' }] }],
      },
    },
    change: { spec: { policyTypes: ['Ingress'] } },
    bad: {
      'a peer of two sorts': {
        spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }] },
      },
      'an empty peer': { spec: { podSelector: {}, ingress: [{ from: [{}] }] } },
      'a network that is none': { spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 'x' } }] }] } },
      'an exception outside': {
        spec: { podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }] }] },
      },
      'a port that is too high': { spec: { podSelector: {}, ingress: [{ ports: [{ port: 70_000 }] }] } },
      'a type that is none': { spec: { podSelector: {}, policyTypes: ['Both'] } },
    },
  },
  {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    resource: 'leases',
    object: { spec: { holderIdentity: 'a', leaseDurationSeconds: 10, renewTime: '2020-01-01T00:00:00.123456Z' } },
    change: { spec: { leaseTransitions: 1 } },
    bad: {
      'a duration of nothing': { spec: { leaseDurationSeconds: 0 } },
      'negative transitions': { spec: { leaseTransitions: -1 } },
    },
  },
  {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    resource: 'events',
    object: {
      eventTime: '2020-01-01T00:00:00.000000Z',
      reportingController: 'example.com/controller',
      reportingInstance: 'controller-1',
      action: 'Starting',
      reason: 'Started',
      type: 'Normal',
      note: 'it goes',
      regarding: { kind: 'Pod', namespace: 'corpus', name: 'p', apiVersion: 'v1' },
    },
    change: { series: { count: 2, lastObservedTime: '2020-01-02T00:00:00.000000Z' } },
    bad: {
      'no time': { reportingController: 'c', reportingInstance: 'i', action: 'a', reason: 'r', type: 'Normal' },
      'no controller': {
        eventTime: '2020-01-01T00:00:00.000000Z',
        reportingInstance: 'i',
        action: 'a',
        reason: 'r',
        type: 'Normal',
        regarding: { namespace: 'corpus' },
      },
    },
    badChanges: { 'another note': { note: 'changed' }, 'another reason': { reason: 'Changed' } },
  },
];

const access: readonly KindSample[] = [
  {
    apiVersion: `${rbac}/v1`,
    kind: 'Role',
    resource: 'roles',
    object: { rules },
    change: { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] },
    bad: {
      'a rule without verbs': { rules: [{ apiGroups: [''], resources: ['pods'] }] },
      'a rule without resources': { rules: [{ apiGroups: [''], verbs: ['get'] }] },
      'a rule without groups': { rules: [{ resources: ['pods'], verbs: ['get'] }] },
      'paths in a namespace': { rules: [{ nonResourceURLs: ['/healthz'], verbs: ['get'] }] },
    },
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRole',
    resource: 'clusterroles',
    namespace: '',
    object: { rules: [...rules, { nonResourceURLs: ['/metrics', '/logs/*'], verbs: ['get'] }] },
    change: { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { none: 'such' } }] } },
    bad: {
      'paths and resources': {
        rules: [{ nonResourceURLs: ['/x'], apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
      },
      'an aggregation of nothing': { rules: [], aggregationRule: {} },
      'a path with a star within': { rules: [{ nonResourceURLs: ['/a/*/b'], verbs: ['get'] }] },
    },
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    resource: 'rolebindings',
    object: { roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'view' }, subjects },
    change: { subjects: [{ kind: 'ServiceAccount', name: 'sa', namespace: 'corpus' }] },
    bad: {
      'a role of another group': { roleRef: { apiGroup: 'x', kind: 'Role', name: 'r' } },
      'a kind of role that is none': { roleRef: { apiGroup: rbac, kind: 'Roll', name: 'r' } },
      'no role': { subjects },
      'a ServiceAccount without namespace': {
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'r' },
        subjects: [{ kind: 'ServiceAccount', name: 'sa' }],
      },
      'a user of another group': {
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'r' },
        subjects: [{ kind: 'User', apiGroup: 'x', name: 'joe' }],
      },
      'a subject that is none': {
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'r' },
        subjects: [{ kind: 'Robot', name: 'r' }],
      },
    },
    badChanges: { 'another role': { roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'edit' } } },
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRoleBinding',
    resource: 'clusterrolebindings',
    namespace: '',
    object: { roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'view' }, subjects },
    change: { subjects: [{ kind: 'Group', apiGroup: rbac, name: 'ops' }] },
    bad: { 'a Role': { roleRef: { apiGroup: rbac, kind: 'Role', name: 'r' }, subjects } },
    badChanges: { 'another role': { roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'edit' } } },
  },
  {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    resource: 'certificatesigningrequests',
    namespace: '',
    object: {
      spec: {
        // CN=joe, O=dev.
        request:
          'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIWE1INENBUUF3SERFTU1Bb0dBMVVFQXd3RGFtOWxNUXd3Q2dZRFZRUUtEQU5rWlhZd1dUQVRCZ2NxaGtqTwpQUUlCQmdncWhrak9QUU1CQndOQ0FBVEgwWm1TdVZDZUJ4NXo2blJaUzJJRkwxVGQ2WEVVL1RtTG9nTjNROWIwClE3d3VyWExSK2FjbWJqelVYcjRna3pUNThWWXdyUlluUW1vTzRpanJuNExUb0FBd0NnWUlLb1pJemowRUF3SUQKU1FBd1JnSWhBSkRiQlNUL1ljOTNGSzRkKzRTVFlQektOSDROR2t0cWZmcDNVNjI2bmdLZ0FpRUEzWXZNdG1OWQpCVEN6T3VEMGFyV3N4Zzh3ZFM5eHhSREc4V3Z2dUxJRmswQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==',
        signerName: 'example.com/signer',
        usages: ['digital signature', 'client auth'],
      },
    },
    bad: {
      'a request that is none': { spec: { request: 'YQ==', signerName: 'example.com/s', usages: ['any'] } },
      'no usages': { spec: { signerName: 'example.com/s' } },
      'a usage that is none': { spec: { signerName: 'example.com/s', usages: ['talking'] } },
    },
    badChanges: { 'another signer': { spec: { signerName: 'example.com/other' } } },
  },
];

const cluster: readonly KindSample[] = [
  {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    resource: 'priorityclasses',
    namespace: '',
    object: { value: 1000, description: 'some' },
    change: { description: 'other' },
    bad: {
      'a value of the system': { value: 2_000_000_000 },
      'a policy that is none': { value: 1, preemptionPolicy: 'Sometimes' },
    },
    badChanges: { 'another value': { value: 2000 } },
  },
  {
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    resource: 'runtimeclasses',
    namespace: '',
    object: { handler: 'runc', overhead: { podFixed: { cpu: '10m' } } },
    change: { metadata: { labels: { a: 'b' } } },
    bad: { 'a handler that is no name': { handler: 'Run C' }, 'no handler': {} },
    badChanges: { 'another handler': { handler: 'kata' } },
  },
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    resource: 'storageclasses',
    namespace: '',
    object: { provisioner: 'example.com/p', parameters: { a: 'b' } },
    change: { allowVolumeExpansion: true },
    bad: {
      'no provisioner': {},
      'a policy that is none': { provisioner: 'p', reclaimPolicy: 'Keep' },
      'a mode that is none': { provisioner: 'p', volumeBindingMode: 'Later' },
    },
    badChanges: { 'another provisioner': { provisioner: 'other' }, 'other parameters': { parameters: { a: 'c' } } },
  },
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    resource: 'csidrivers',
    namespace: '',
    object: { spec: { attachRequired: false, podInfoOnMount: true } },
    change: { metadata: { labels: { a: 'b' } } },
  },
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSINode',
    resource: 'csinodes',
    namespace: '',
    object: { spec: { drivers: [{ name: 'd.example.com', nodeID: 'n', topologyKeys: ['k'] }] } },
    change: { spec: { drivers: [] } },
    bad: {
      'a driver without id': { spec: { drivers: [{ name: 'd.example.com' }] } },
      'a driver twice': {
        spec: {
          drivers: [
            { name: 'd', nodeID: 'a' },
            { name: 'd', nodeID: 'b' },
          ],
        },
      },
    },
  },
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    resource: 'volumeattachments',
    namespace: '',
    object: { spec: { attacher: 'd.example.com', nodeName: 'n', source: { persistentVolumeName: 'pv' } } },
    change: { metadata: { labels: { a: 'b' } } },
    subresources: ['status'],
    status: { attached: true },
    bad: {
      'no source': { spec: { attacher: 'd', nodeName: 'n', source: {} } },
      'no attacher': { spec: { nodeName: 'n', source: { persistentVolumeName: 'pv' } } },
    },
    badChanges: { 'another node': { spec: { nodeName: 'm' } } },
  },
  {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    resource: 'validatingwebhookconfigurations',
    namespace: '',
    object: { webhooks: [webhook()] },
    change: { webhooks: [{ ...webhook(), timeoutSeconds: 5 }] },
    bad: {
      'a name without domain': { webhooks: [{ ...webhook(), name: 'short' }] },
      'no versions': { webhooks: [{ ...webhook(), admissionReviewVersions: [] }] },
      'an unknown version': { webhooks: [{ ...webhook(), admissionReviewVersions: ['v9'] }] },
      'side effects that are some': { webhooks: [{ ...webhook(), sideEffects: 'Some' }] },
      'a timeout of a minute': { webhooks: [{ ...webhook(), timeoutSeconds: 60 }] },
      'a URL that is not https': { webhooks: [{ ...webhook(), clientConfig: { url: 'http://x.example.com' } }] },
      'neither URL nor service': { webhooks: [{ ...webhook(), clientConfig: {} }] },
      'a policy that is none': { webhooks: [{ ...webhook(), failurePolicy: 'Perhaps' }] },
      'a rule without operations': {
        webhooks: [{ ...webhook(), rules: [{ apiGroups: ['x'], apiVersions: ['v1'], resources: ['y'] }] }],
      },
    },
  },
  {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    resource: 'mutatingwebhookconfigurations',
    namespace: '',
    object: { webhooks: [webhook()] },
    change: { webhooks: [{ ...webhook(), reinvocationPolicy: 'IfNeeded' }] },
    bad: { 'a reinvocation that is none': { webhooks: [{ ...webhook(), reinvocationPolicy: 'Always' }] } },
  },
];

/** Of a group that is not there: it is never called. */
function webhook(): Readonly<Record<string, unknown>> {
  return {
    name: 'hook.example.com',
    clientConfig: { service: { namespace: 'corpus', name: 'hook' } },
    rules: [{ apiGroups: ['none.example.com'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['things'] }],
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  };
}

export const policySamples: readonly KindSample[] = [...networking, ...access, ...cluster];
