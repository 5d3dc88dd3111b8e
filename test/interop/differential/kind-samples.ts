/** A good object of each kind that 1.20 serves in a GA version, and bad ones. */
import type { Json } from './request.ts';

export const NAMESPACE = 'corpus';

export interface KindSample {
  readonly apiVersion: string;
  readonly kind: string;
  readonly resource: string;
  /** Default: `corpus`; '' is cluster-scoped. */
  readonly namespace?: string;
  /** The object without apiVersion, kind, metadata. */
  readonly object: Json;
  /** What an update changes, by merge patch. */
  readonly change?: Json;
  readonly subresources?: readonly ('status' | 'scale')[];
  /** A merge patch of status. */
  readonly status?: Json;
  /** Fields of the object replaced, each of which is to be refused. */
  readonly bad?: Readonly<Record<string, Json>>;
  /** Merge patches of the stored object that are to be refused. */
  readonly badChanges?: Readonly<Record<string, Json>>;
}

const container = { name: 'c', image: 'nginx:1' };
const labels = { app: 'web' };
const template = { metadata: { labels }, spec: { containers: [container] } };
const selector = { matchLabels: labels };
const otherSelector = { matchLabels: { app: 'other' } };

const core: readonly KindSample[] = [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    resource: 'configmaps',
    object: { data: { a: '1', b: 'zwei' }, binaryData: { c: 'AAEC' } },
    change: { data: { a: '2' } },
    bad: {
      'a key that is no key': { data: { 'a b': '1' } },
      'a key twice': { data: { c: '1' } },
      'a number': { data: { a: 1 } },
      'binary data that is not base64': { binaryData: { c: '*' } },
      'data that is a list': { data: ['a'] },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Secret',
    resource: 'secrets',
    object: { data: { password: 'c2VjcmV0' }, stringData: { user: 'joe' } },
    change: { stringData: { user: 'eve' } },
    bad: {
      'docker config without its key': { type: 'kubernetes.io/dockerconfigjson' },
      'docker config that is not JSON': {
        type: 'kubernetes.io/dockerconfigjson',
        stringData: { '.dockerconfigjson': '{' },
      },
      'a TLS pair without key': { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } },
      'basic auth without anything': { type: 'kubernetes.io/basic-auth' },
      'an SSH key without key': { type: 'kubernetes.io/ssh-auth' },
      'a token of nobody': { type: 'kubernetes.io/service-account-token' },
      'a key that is no key': { stringData: { 'a/b': '1' } },
    },
    badChanges: { 'another type': { type: 'other' } },
  },
  {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    resource: 'serviceaccounts',
    object: { imagePullSecrets: [{ name: 'pull' }], automountServiceAccountToken: false },
    change: { automountServiceAccountToken: true },
  },
  {
    apiVersion: 'v1',
    kind: 'Endpoints',
    resource: 'endpoints',
    object: {
      subsets: [
        { addresses: [{ ip: '10.1.0.2' }, { ip: '10.1.0.1', nodeName: 'n' }], ports: [{ name: 'http', port: 80 }] },
        { addresses: [{ ip: '10.1.0.3' }], notReadyAddresses: [{ ip: '10.1.0.4' }], ports: [{ port: 81 }] },
      ],
    },
    change: { subsets: [{ addresses: [{ ip: '10.1.0.9' }], ports: [{ port: 80, protocol: 'UDP' }] }] },
    bad: {
      'an address that is no address': { subsets: [{ addresses: [{ ip: 'x' }], ports: [{ port: 80 }] }] },
      'a loopback address': { subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ port: 80 }] }] },
      'a port that is too high': { subsets: [{ addresses: [{ ip: '10.1.0.1' }], ports: [{ port: 80_000 }] }] },
      'no addresses': { subsets: [{ ports: [{ port: 80 }] }] },
      'ports without names': { subsets: [{ addresses: [{ ip: '10.1.0.1' }], ports: [{ port: 1 }, { port: 2 }] }] },
      'a protocol that is none': {
        subsets: [{ addresses: [{ ip: '10.1.0.1' }], ports: [{ port: 80, protocol: 'HTTP' }] }],
      },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Event',
    resource: 'events',
    object: {
      involvedObject: { kind: 'Pod', namespace: NAMESPACE, name: 'p', apiVersion: 'v1' },
      reason: 'Started',
      message: 'Started container',
      type: 'Normal',
      source: { component: 'kubelet', host: 'n' },
      count: 1,
      firstTimestamp: '2020-01-01T00:00:00Z',
      lastTimestamp: '2020-01-01T00:00:00Z',
    },
    change: { count: 2 },
    bad: {
      'another namespace': { involvedObject: { kind: 'Pod', namespace: 'other', name: 'p' } },
      'a cluster-scoped object of a namespace': { involvedObject: { kind: 'Node', name: 'n', apiVersion: 'v1' } },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'LimitRange',
    resource: 'limitranges',
    namespace: 'kube-public',
    object: { spec: { limits: [{ type: 'Container', max: { cpu: '2' }, default: { cpu: '1500m' } }] } },
    change: { spec: { limits: [{ type: 'Pod', max: { memory: '1024Mi' }, min: { memory: '1Ki' } }] } },
    bad: {
      'a minimum over the maximum': { spec: { limits: [{ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' } }] } },
      'a default over the maximum': {
        spec: { limits: [{ type: 'Container', default: { cpu: '2' }, max: { cpu: '1' } }] },
      },
      'a type twice': { spec: { limits: [{ type: 'Pod' }, { type: 'Pod' }] } },
      'defaults of pods': { spec: { limits: [{ type: 'Pod', default: { cpu: '1' } }] } },
      'a ratio below one': { spec: { limits: [{ type: 'Container', maxLimitRequestRatio: { cpu: '0.5' } }] } },
      'a quantity that is none': { spec: { limits: [{ type: 'Container', max: { cpu: 'much' } }] } },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    resource: 'resourcequotas',
    namespace: 'kube-public',
    object: { spec: { hard: { pods: '10', 'requests.cpu': '0.5', 'count/jobs.batch': '3' } } },
    change: { spec: { hard: { pods: '20' } } },
    subresources: ['status'],
    status: { hard: { pods: '10' }, used: { pods: '1' } },
    bad: {
      'a negative quantity': { spec: { hard: { pods: '-1' } } },
      'a resource that is none': { spec: { hard: { nonsense: '1' } } },
      'half a pod': { spec: { hard: { pods: '0.5' } } },
      'scopes that exclude each other': { spec: { hard: { pods: '1' }, scopes: ['BestEffort', 'NotBestEffort'] } },
      'a scope that is none': { spec: { hard: { pods: '1' }, scopes: ['All'] } },
      'a scope that does not fit': { spec: { hard: { services: '1' }, scopes: ['BestEffort'] } },
    },
    badChanges: { 'other scopes': { spec: { scopes: ['Terminating'] } } },
  },
  {
    apiVersion: 'v1',
    kind: 'Namespace',
    resource: 'namespaces',
    namespace: '',
    object: { spec: { finalizers: ['kubernetes'] } },
    change: { metadata: { labels: { team: 'blue' } } },
    subresources: ['status'],
    status: { conditions: [{ type: 'NamespaceContentRemaining', status: 'False', reason: 'None' }] },
  },
  {
    apiVersion: 'v1',
    kind: 'Node',
    resource: 'nodes',
    namespace: '',
    object: {
      spec: { podCIDR: '10.2.0.0/24', providerID: 'x://1', taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] },
      status: { capacity: { cpu: '4', memory: '8Gi' } },
    },
    change: { spec: { unschedulable: true } },
    subresources: ['status'],
    status: {
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }],
      nodeInfo: { kubeletVersion: 'v1.20.0' },
      addresses: [{ type: 'InternalIP', address: '10.9.0.1' }],
      allocatable: { cpu: '3500m' },
    },
    bad: {
      'a taint with an effect that is none': { spec: { taints: [{ key: 'k', effect: 'No' }] } },
      'a taint twice': {
        spec: { taints: ['a', 'b'].map((value) => ({ key: 'k', value, effect: 'NoSchedule' })) },
      },
      'a podCIDR that is none': { spec: { podCIDR: 'x' } },
      'a taint without a key': { spec: { taints: [{ effect: 'NoSchedule' }] } },
    },
    badChanges: {
      'another podCIDR': { spec: { podCIDR: '10.3.0.0/24' } },
      'another providerID': { spec: { providerID: 'x://2' } },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    resource: 'persistentvolumes',
    namespace: '',
    object: {
      spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/tmp/x' } },
    },
    change: { spec: { persistentVolumeReclaimPolicy: 'Delete' } },
    subresources: ['status'],
    status: { phase: 'Available', message: 'free' },
    bad: {
      'no source': { spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] } },
      'no capacity': { spec: { accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } } },
      'no modes': { spec: { capacity: { storage: '1Gi' }, hostPath: { path: '/x' } } },
      'two sources': {
        spec: {
          capacity: { storage: '1Gi' },
          accessModes: ['ReadWriteOnce'],
          hostPath: { path: '/x' },
          nfs: { server: 's', path: '/y' },
        },
      },
      'a path that goes up': {
        spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x/../y' } },
      },
      'a policy that is none': {
        spec: {
          capacity: { storage: '1Gi' },
          accessModes: ['ReadWriteOnce'],
          hostPath: { path: '/x' },
          persistentVolumeReclaimPolicy: 'Keep',
        },
      },
    },
    badChanges: { 'another source': { spec: { hostPath: { path: '/tmp/y' } } } },
  },
  {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    resource: 'persistentvolumeclaims',
    object: {
      spec: {
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '1Gi' } },
        storageClassName: 'fast',
      },
    },
    change: { metadata: { labels: { team: 'blue' } } },
    subresources: ['status'],
    status: { phase: 'Pending', capacity: { storage: '1Gi' } },
    bad: {
      'no modes': { spec: { resources: { requests: { storage: '1Gi' } } } },
      'no size': { spec: { accessModes: ['ReadWriteOnce'] } },
      'a mode that is none': { spec: { accessModes: ['Write'], resources: { requests: { storage: '1Gi' } } } },
      'a size of nothing': { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '0' } } } },
    },
    badChanges: {
      'other modes': { spec: { accessModes: ['ReadOnlyMany'] } },
      'another class': { spec: { storageClassName: 'slow' } },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'PodTemplate',
    resource: 'podtemplates',
    object: { template },
    change: { template: { metadata: { labels: { app: 'two' } } } },
    bad: { 'no containers': { template: { spec: {} } } },
  },
  {
    apiVersion: 'v1',
    kind: 'ReplicationController',
    resource: 'replicationcontrollers',
    object: { spec: { replicas: 2, selector: labels, template } },
    change: { spec: { replicas: 3 } },
    subresources: ['status', 'scale'],
    status: { replicas: 1, observedGeneration: 1 },
    bad: {
      'a selector of others': { spec: { selector: { app: 'other' }, template } },
      'no template': { spec: { selector: labels } },
      'negative replicas': { spec: { replicas: -1, selector: labels, template } },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    resource: 'services',
    object: { spec: { selector: labels, ports: [{ port: 80, targetPort: 'http' }] } },
    change: { spec: { sessionAffinity: 'ClientIP' } },
    subresources: ['status'],
    status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] } },
    bad: {
      'no ports': { spec: { selector: labels } },
      'a port of zero': { spec: { ports: [{ port: 0 }] } },
      'ports without names': { spec: { ports: [{ port: 1 }, { port: 2 }] } },
      'a port twice': {
        spec: {
          ports: [
            { name: 'a', port: 1 },
            { name: 'b', port: 1 },
          ],
        },
      },
      'a type that is none': { spec: { type: 'Mystery', ports: [{ port: 1 }] } },
      'a cluster IP outside of the range': { spec: { clusterIP: '1.2.3.4', ports: [{ port: 1 }] } },
      'a cluster IP that is none': { spec: { clusterIP: 'x', ports: [{ port: 1 }] } },
      'an external name without a name': { spec: { type: 'ExternalName' } },
      'a node port of a ClusterIP': { spec: { ports: [{ port: 1, nodePort: 30_100 }] } },
      'a node port outside of the range': { spec: { type: 'NodePort', ports: [{ port: 1, nodePort: 1000 }] } },
      'an affinity that is none': { spec: { sessionAffinity: 'Some', ports: [{ port: 1 }] } },
      'a target port that is no name': { spec: { ports: [{ port: 1, targetPort: 'not_a_name' }] } },
      'local traffic of a ClusterIP': { spec: { externalTrafficPolicy: 'Local', ports: [{ port: 1 }] } },
      'load balancer ranges of a ClusterIP': {
        spec: { loadBalancerSourceRanges: ['1.2.3.0/24'], ports: [{ port: 1 }] },
      },
      'a label that is none': { spec: { selector: { 'a b': 'c' }, ports: [{ port: 1 }] } },
      'a headless NodePort': { spec: { type: 'NodePort', clusterIP: 'None', ports: [{ port: 1 }] } },
    },
    badChanges: { 'another cluster IP': { spec: { clusterIP: '10.0.0.77' } }, 'no ports': { spec: { ports: [] } } },
  },
];

const apps: readonly KindSample[] = [
  {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    resource: 'controllerrevisions',
    object: { revision: 1, data: { spec: { a: 1 } } },
    change: { revision: 2 },
    bad: { 'a negative revision': { revision: -1, data: { a: 1 } }, 'no data': { revision: 1, data: null } },
    badChanges: { 'other data': { data: { spec: { a: 2 } } } },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    resource: 'daemonsets',
    object: { spec: { selector, template } },
    change: { spec: { updateStrategy: { type: 'OnDelete' } } },
    subresources: ['status'],
    status: { currentNumberScheduled: 1, desiredNumberScheduled: 1, numberMisscheduled: 0, numberReady: 1 },
    bad: {
      'a selector of others': { spec: { selector: otherSelector, template } },
      'no selector': { spec: { template } },
      'pods that end': {
        spec: { selector, template: { ...template, spec: { containers: [container], restartPolicy: 'Never' } } },
      },
      'a strategy that is none': { spec: { selector, template, updateStrategy: { type: 'Some' } } },
      'an update of nothing': {
        spec: { selector, template, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0 } } },
      },
    },
    badChanges: { 'another selector': { spec: { selector: otherSelector } } },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    resource: 'deployments',
    object: { spec: { replicas: 2, selector, template } },
    change: { spec: { replicas: 3 } },
    subresources: ['status', 'scale'],
    status: { replicas: 2, updatedReplicas: 2, readyReplicas: 1, availableReplicas: 1, observedGeneration: 1 },
    bad: {
      'a selector of others': { spec: { selector: otherSelector, template } },
      'an empty selector': { spec: { selector: {}, template } },
      'no selector': { spec: { template } },
      'negative replicas': { spec: { replicas: -1, selector, template } },
      'two zeros of a rolling update': {
        spec: { selector, template, strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } },
      },
      'a strategy that is none': { spec: { selector, template, strategy: { type: 'Some' } } },
      'a rolling update of Recreate': {
        spec: { selector, template, strategy: { type: 'Recreate', rollingUpdate: { maxSurge: 1 } } },
      },
      'a percentage that is none': {
        spec: { selector, template, strategy: { rollingUpdate: { maxSurge: '10' } } },
      },
      'a deadline before it is ready': {
        spec: { selector, template, minReadySeconds: 10, progressDeadlineSeconds: 5 },
      },
      'replicas in words': { spec: { replicas: 'two', selector, template } },
    },
    badChanges: { 'another selector': { spec: { selector: otherSelector } } },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    resource: 'replicasets',
    object: { spec: { replicas: 2, selector, template } },
    change: { spec: { replicas: 3 } },
    subresources: ['status', 'scale'],
    status: { replicas: 2, readyReplicas: 1 },
    bad: {
      'a selector of others': { spec: { selector: otherSelector, template } },
      'more ready than there are': { spec: { replicas: -3, selector, template } },
    },
    badChanges: { 'another selector': { spec: { selector: otherSelector } } },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    resource: 'statefulsets',
    object: {
      spec: {
        replicas: 2,
        serviceName: 'web',
        selector,
        template,
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
          },
        ],
      },
    },
    change: { spec: { replicas: 3 } },
    subresources: ['status', 'scale'],
    status: { replicas: 2, readyReplicas: 1, currentRevision: 'web-1' },
    bad: {
      'a selector of others': { spec: { selector: otherSelector, template, serviceName: 'x' } },
      'a policy that is none': { spec: { selector, template, serviceName: 'x', podManagementPolicy: 'Some' } },
      'a negative partition': {
        spec: { selector, template, serviceName: 'x', updateStrategy: { rollingUpdate: { partition: -1 } } },
      },
    },
    badChanges: { 'another service': { spec: { serviceName: 'other' } } },
  },
];

const batch: readonly KindSample[] = [
  {
    apiVersion: 'batch/v1',
    kind: 'Job',
    resource: 'jobs',
    object: { spec: { template: { spec: { containers: [container], restartPolicy: 'Never' } } } },
    change: { spec: { parallelism: 2 } },
    subresources: ['status'],
    status: { active: 1, startTime: '2020-01-01T00:00:00Z' },
    bad: {
      'pods that always restart': {
        spec: { template: { spec: { containers: [container], restartPolicy: 'Always' } } },
      },
      'no policy of restarts': { spec: { template: { spec: { containers: [container] } } } },
      'negative numbers': {
        spec: {
          parallelism: -1,
          completions: -1,
          backoffLimit: -1,
          activeDeadlineSeconds: -1,
          template: { spec: { containers: [container], restartPolicy: 'Never' } },
        },
      },
      'a selector of its own': {
        spec: { selector, template: { spec: { containers: [container], restartPolicy: 'Never' } } },
      },
    },
    badChanges: { 'other completions': { spec: { completions: 5 } } },
  },
  {
    apiVersion: 'autoscaling/v1',
    kind: 'HorizontalPodAutoscaler',
    resource: 'horizontalpodautoscalers',
    object: {
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
        maxReplicas: 5,
        targetCPUUtilizationPercentage: 60,
      },
    },
    change: { spec: { maxReplicas: 6 } },
    subresources: ['status'],
    status: { currentReplicas: 1, desiredReplicas: 2 },
    bad: {
      'no maximum': { spec: { scaleTargetRef: { kind: 'Deployment', name: 'web' } } },
      'a minimum over the maximum': {
        spec: { scaleTargetRef: { kind: 'Deployment', name: 'web' }, minReplicas: 3, maxReplicas: 2 },
      },
      'no target': { spec: { maxReplicas: 2 } },
      'a target that is no name': { spec: { scaleTargetRef: { kind: 'De/ploy', name: 'w/eb' }, maxReplicas: 2 } },
    },
  },
];
export const workloadSamples: readonly KindSample[] = [...core, ...apps, ...batch];
