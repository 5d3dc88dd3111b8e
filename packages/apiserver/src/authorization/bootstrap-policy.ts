/** The RBAC objects that every cluster starts with: upstream's plugin/pkg/auth/authorizer/rbac/bootstrappolicy as data. */
import type { KubeObject } from '@naru/api';
import type { PolicyRule } from './rbac-rules.ts';

const group = 'rbac.authorization.k8s.io';
const apiVersion = `${group}/v1`;
const bootstrapMeta = {
  labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
  annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
} as const;

const read = ['get', 'list', 'watch'];
const write = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const readWrite = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** Words of a space-separated list; `core` is the group ''. */
const words = (text: string | readonly string[]): string[] => (typeof text === 'string' ? text.split(' ') : [...text]);

function rule(verbs: string | readonly string[], groups: string, resources: string, names?: string): PolicyRule {
  return {
    verbs: words(verbs),
    apiGroups: words(groups).map((each) => (each === 'core' ? '' : each)),
    resources: words(resources),
    ...(names === undefined ? {} : { resourceNames: words(names) }),
  };
}

const urls = (verbs: string, paths: string): PolicyRule => ({ verbs: words(verbs), nonResourceURLs: words(paths) });

const eventsRule = rule('create patch update', 'core events.k8s.io', 'events');
const leaderElection = (name: string): readonly PolicyRule[] => [
  rule('create', 'coordination.k8s.io', 'leases'),
  rule('get update', 'coordination.k8s.io', 'leases', name),
  rule('list watch', 'coordination.k8s.io', 'leasecandidates'),
];

const aggregateToAdmin: readonly PolicyRule[] = [
  rule('create', 'authorization.k8s.io', 'localsubjectaccessreviews'),
  rule(readWrite, group, 'roles rolebindings'),
];

const aggregateToEdit: readonly PolicyRule[] = [
  rule(read, 'core', 'pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy'),
  rule('impersonate', 'core', 'serviceaccounts'),
  rule(write, 'core', 'pods pods/attach pods/proxy pods/exec pods/portforward'),
  rule('create', 'core', 'pods/eviction'),
  rule(
    write,
    'core',
    'replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy persistentvolumeclaims configmaps secrets events',
  ),
  rule('create', 'core', 'serviceaccounts/token'),
  rule(
    write,
    'apps',
    'statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets replicasets/scale',
  ),
  rule(write, 'autoscaling', 'horizontalpodautoscalers'),
  rule(write, 'batch', 'jobs cronjobs'),
  rule(
    write,
    'extensions',
    'daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale replicationcontrollers/scale networkpolicies',
  ),
  rule(write, 'policy', 'poddisruptionbudgets'),
  rule(write, 'networking.k8s.io', 'networkpolicies ingresses'),
  rule(readWrite, 'coordination.k8s.io', 'leases'),
  rule(write, 'resource.k8s.io', 'resourceclaims resourceclaimtemplates'),
];

const aggregateToView: readonly PolicyRule[] = [
  rule(
    read,
    'core',
    'pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps',
  ),
  rule(
    read,
    'core',
    'limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status replicationcontrollers/status pods/log',
  ),
  rule(read, 'core', 'namespaces'),
  rule(read, 'discovery.k8s.io', 'endpointslices'),
  rule(
    read,
    'apps',
    'controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale',
  ),
  rule(read, 'autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status'),
  rule(read, 'batch', 'jobs cronjobs cronjobs/status jobs/status'),
  rule(
    read,
    'extensions',
    'daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies',
  ),
  rule(read, 'policy', 'poddisruptionbudgets poddisruptionbudgets/status'),
  rule(read, 'networking.k8s.io', 'networkpolicies ingresses ingresses/status'),
  rule(read, 'resource.k8s.io', 'resourceclaims resourceclaims/status resourceclaimtemplates'),
];

const nodeRules: readonly PolicyRule[] = [
  rule('create', 'authentication.k8s.io', 'tokenreviews'),
  rule('create', 'authorization.k8s.io', 'localsubjectaccessreviews subjectaccessreviews'),
  rule(read, 'core', 'services'),
  rule('create get list watch', 'core', 'nodes'),
  rule('patch update', 'core', 'nodes/status'),
  rule('patch update', 'core', 'nodes'),
  rule('create patch update', 'core', 'events'),
  rule(read, 'core', 'pods'),
  rule('create delete', 'core', 'pods'),
  rule('patch update', 'core', 'pods/status'),
  rule('create', 'core', 'pods/eviction'),
  rule(read, 'core', 'configmaps secrets'),
  rule('get', 'core', 'persistentvolumeclaims persistentvolumes'),
  rule('get', 'core', 'endpoints'),
  rule('create get list watch', 'certificates.k8s.io', 'certificatesigningrequests'),
  rule('create delete get patch update', 'coordination.k8s.io', 'leases'),
  rule('get', 'storage.k8s.io', 'volumeattachments'),
  rule('create', 'core', 'serviceaccounts/token'),
  rule('get patch update', 'core', 'persistentvolumeclaims/status'),
  rule(read, 'storage.k8s.io', 'csidrivers'),
  rule('create delete get patch update', 'storage.k8s.io', 'csinodes'),
  rule(read, 'node.k8s.io', 'runtimeclasses'),
  rule('get', 'resource.k8s.io', 'resourceclaims'),
  rule('deletecollection', 'resource.k8s.io', 'resourceslices'),
  rule('create delete get list patch update watch', 'resource.k8s.io', 'resourceslices'),
];

const schedulerRules: readonly PolicyRule[] = [
  eventsRule,
  ...leaderElection('kube-scheduler'),
  rule(read, 'core', 'nodes'),
  rule('delete get list watch', 'core', 'pods'),
  rule('create', 'core', 'bindings pods/binding'),
  rule('patch update', 'core', 'pods/status'),
  rule(read, 'core', 'replicationcontrollers services'),
  rule(read, 'apps extensions', 'replicasets'),
  rule(read, 'apps', 'statefulsets'),
  rule(read, 'policy', 'poddisruptionbudgets'),
  rule('get list watch update', 'core', 'persistentvolumeclaims persistentvolumes'),
  rule('create', 'authentication.k8s.io', 'tokenreviews'),
  rule('create', 'authorization.k8s.io', 'subjectaccessreviews'),
  rule(read, 'storage.k8s.io', 'csinodes'),
  rule(read, 'core', 'namespaces'),
  rule(read, 'storage.k8s.io', 'csidrivers csistoragecapacities storageclasses volumeattachments'),
  rule('get list watch', 'resource.k8s.io', 'deviceclasses resourceslices'),
  rule('get list watch patch update', 'resource.k8s.io', 'resourceclaims'),
  rule('get patch update', 'resource.k8s.io', 'resourceclaims/status'),
];

const controllerManagerRules: readonly PolicyRule[] = [
  eventsRule,
  ...leaderElection('kube-controller-manager'),
  rule('create', 'core', 'secrets serviceaccounts'),
  rule('delete', 'core', 'secrets'),
  rule('get', 'core', 'configmaps namespaces secrets serviceaccounts'),
  rule('update', 'core', 'secrets serviceaccounts'),
  rule('create', 'authentication.k8s.io', 'tokenreviews'),
  rule('create', 'authorization.k8s.io', 'subjectaccessreviews'),
  rule('list watch', '*', '*'),
  rule('create', 'core', 'serviceaccounts/token'),
];

/** ClusterRoles by name. Those that aggregate carry their labels in `aggregateTo`. */
interface RoleDefinition {
  readonly rules: readonly PolicyRule[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly aggregates?: readonly string[];
}

const aggregateLabel = (name: string): string => `rbac.authorization.k8s.io/aggregate-to-${name}`;

const clusterRoles: Readonly<Record<string, RoleDefinition>> = {
  'cluster-admin': { rules: [rule('*', '*', '*'), urls('*', '*')] },
  admin: { rules: [...aggregateToAdmin, ...aggregateToEdit, ...aggregateToView], aggregates: ['admin'] },
  edit: {
    rules: [...aggregateToEdit, ...aggregateToView],
    aggregates: ['edit'],
    labels: { [aggregateLabel('admin')]: 'true' },
  },
  view: { rules: aggregateToView, aggregates: ['view'], labels: { [aggregateLabel('edit')]: 'true' } },
  'system:aggregate-to-admin': { rules: aggregateToAdmin, labels: { [aggregateLabel('admin')]: 'true' } },
  'system:aggregate-to-edit': { rules: aggregateToEdit, labels: { [aggregateLabel('edit')]: 'true' } },
  'system:aggregate-to-view': { rules: aggregateToView, labels: { [aggregateLabel('view')]: 'true' } },
  'system:discovery': {
    rules: [urls('get', '/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/')],
  },
  'system:monitoring': {
    rules: [urls('get', '/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*')],
  },
  'system:basic-user': {
    rules: [
      rule('create', 'authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews'),
      rule('create', 'authentication.k8s.io', 'selfsubjectreviews'),
    ],
  },
  'system:public-info-viewer': { rules: [urls('get', '/healthz /livez /readyz /version /version/')] },
  'system:heapster': {
    rules: [rule(read, 'core', 'events namespaces nodes pods'), rule(read, 'extensions', 'deployments')],
  },
  'system:node': { rules: nodeRules },
  'system:node-problem-detector': {
    rules: [rule('get', 'core', 'nodes'), rule('patch', 'core', 'nodes/status'), eventsRule],
  },
  'system:node-proxier': {
    rules: [
      rule('list watch', 'core', 'endpoints services'),
      rule('get list watch', 'core', 'nodes'),
      eventsRule,
      rule('list watch', 'discovery.k8s.io', 'endpointslices'),
      rule('list watch', 'networking.k8s.io', 'servicecidrs'),
    ],
  },
  'system:kubelet-api-admin': {
    rules: [
      rule(read, 'core', 'nodes'),
      rule('proxy', 'core', 'nodes'),
      rule('*', 'core', 'nodes/log nodes/metrics nodes/proxy nodes/stats'),
    ],
  },
  'system:node-bootstrapper': {
    rules: [rule('create get list watch', 'certificates.k8s.io', 'certificatesigningrequests')],
  },
  'system:auth-delegator': {
    rules: [
      rule('create', 'authentication.k8s.io', 'tokenreviews'),
      rule('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    ],
  },
  'system:kube-aggregator': { rules: [rule(read, 'core', 'endpoints services')] },
  'system:kube-controller-manager': { rules: controllerManagerRules },
  'system:kube-dns': { rules: [rule('list watch', 'core', 'endpoints services')] },
  'system:persistent-volume-provisioner': {
    rules: [
      rule('create delete get list watch', 'core', 'persistentvolumes'),
      rule('get list update watch', 'core', 'persistentvolumeclaims'),
      rule(read, 'storage.k8s.io', 'storageclasses'),
      rule('watch', 'core', 'events'),
      eventsRule,
    ],
  },
  'system:kube-scheduler': { rules: schedulerRules },
  'system:volume-scheduler': {
    rules: [
      rule('get list patch update watch', 'core', 'persistentvolumes'),
      rule(read, 'storage.k8s.io', 'storageclasses'),
      rule('get list patch update watch', 'core', 'persistentvolumeclaims'),
    ],
  },
  'system:certificates.k8s.io:certificatesigningrequests:nodeclient': {
    rules: [rule('create', 'certificates.k8s.io', 'certificatesigningrequests/nodeclient')],
  },
  'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient': {
    rules: [rule('create', 'certificates.k8s.io', 'certificatesigningrequests/selfnodeclient')],
  },
  'system:certificates.k8s.io:legacy-unknown-approver': {
    rules: [rule('approve', 'certificates.k8s.io', 'signers', 'kubernetes.io/legacy-unknown')],
  },
  'system:certificates.k8s.io:kubelet-serving-approver': {
    rules: [rule('approve', 'certificates.k8s.io', 'signers', 'kubernetes.io/kubelet-serving')],
  },
  'system:certificates.k8s.io:kube-apiserver-client-approver': {
    rules: [rule('approve', 'certificates.k8s.io', 'signers', 'kubernetes.io/kube-apiserver-client')],
  },
  'system:certificates.k8s.io:kube-apiserver-client-kubelet-approver': {
    rules: [rule('approve', 'certificates.k8s.io', 'signers', 'kubernetes.io/kube-apiserver-client-kubelet')],
  },
  'system:service-account-issuer-discovery': {
    rules: [
      urls(
        'get',
        '/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/',
      ),
    ],
  },
};

const podControllerRules = (kind: string, groups: string): readonly PolicyRule[] => [
  rule('get list patch update watch', groups, kind),
  rule('update', groups, `${kind}/finalizers`),
  rule('update', groups, `${kind}/status`),
  rule('create delete list patch watch', 'core', 'pods'),
  eventsRule,
];

/** Rules of each controller's own ClusterRole, `system:controller:NAME`. */
const controllerRules: Readonly<Record<string, readonly PolicyRule[]>> = {
  'attachdetach-controller': [
    rule('list watch', 'core', 'persistentvolumeclaims persistentvolumes'),
    rule(read, 'core', 'nodes'),
    rule('patch update', 'core', 'nodes/status'),
    rule('list watch', 'core', 'pods'),
    eventsRule,
    rule('create delete get list watch', 'storage.k8s.io', 'volumeattachments'),
    rule(read, 'storage.k8s.io', 'csidrivers csinodes'),
  ],
  'clusterrole-aggregation-controller': [rule('escalate get list patch update watch', group, 'clusterroles')],
  'cronjob-controller': [
    rule('get list update watch', 'batch', 'cronjobs'),
    rule('create delete get list patch update watch', 'batch', 'jobs'),
    rule('update', 'batch', 'cronjobs/status'),
    rule('update', 'batch', 'cronjobs/finalizers'),
    rule('delete list', 'core', 'pods'),
    eventsRule,
  ],
  'daemon-set-controller': [
    rule(read, 'apps extensions', 'daemonsets'),
    rule('update', 'apps extensions', 'daemonsets/status'),
    rule('update', 'apps extensions', 'daemonsets/finalizers'),
    rule('list watch', 'core', 'nodes'),
    rule('create delete list patch watch', 'core', 'pods'),
    rule('create', 'core', 'pods/binding'),
    rule('create delete get list patch update watch', 'apps', 'controllerrevisions'),
    eventsRule,
  ],
  'deployment-controller': [
    rule('get list update watch', 'apps extensions', 'deployments'),
    rule('update', 'apps extensions', 'deployments/status'),
    rule('update', 'apps extensions', 'deployments/finalizers'),
    rule('create delete get list patch update watch', 'apps extensions', 'replicasets'),
    rule('get list update watch', 'core', 'pods'),
    eventsRule,
  ],
  'disruption-controller': [
    rule(read, 'apps extensions', 'deployments'),
    rule(read, 'apps extensions', 'replicasets'),
    rule(read, 'core', 'replicationcontrollers'),
    rule(read, 'policy', 'poddisruptionbudgets'),
    rule(read, 'apps', 'statefulsets'),
    rule('patch update', 'policy', 'poddisruptionbudgets/status'),
    rule('patch', 'core', 'pods/status'),
    rule(read, 'core', 'pods'),
    rule('get', '*', '*/scale'),
    eventsRule,
  ],
  'endpoint-controller': [
    rule(read, 'core', 'pods services'),
    rule('create delete get list update', 'core', 'endpoints'),
    rule('create', 'core', 'endpoints/restricted'),
    eventsRule,
  ],
  'endpointslice-controller': [
    rule(read, 'core', 'nodes pods services'),
    rule('update', 'core', 'services/finalizers'),
    rule('create delete get list update', 'discovery.k8s.io', 'endpointslices'),
    rule('create', 'discovery.k8s.io', 'endpointslices/restricted'),
    eventsRule,
  ],
  'endpointslicemirroring-controller': [
    rule(read, 'core', 'endpoints services'),
    rule('update', 'core', 'services/finalizers'),
    rule('update', 'core', 'endpoints/finalizers'),
    rule('create delete get list update', 'discovery.k8s.io', 'endpointslices'),
    rule('create', 'discovery.k8s.io', 'endpointslices/restricted'),
    eventsRule,
  ],
  'ephemeral-volume-controller': [
    rule(read, 'core', 'pods'),
    rule('update', 'core', 'pods/finalizers'),
    rule('create get list watch', 'core', 'persistentvolumeclaims'),
    eventsRule,
  ],
  'expand-controller': [
    rule('get list patch update watch', 'core', 'persistentvolumes'),
    rule('patch update', 'core', 'persistentvolumeclaims/status'),
    rule(read, 'core', 'persistentvolumeclaims'),
    rule(read, 'storage.k8s.io', 'storageclasses'),
    eventsRule,
  ],
  'generic-garbage-collector': [rule('delete get list patch update watch', '*', '*'), eventsRule],
  'horizontal-pod-autoscaler': [
    rule(read, 'autoscaling', 'horizontalpodautoscalers'),
    rule('update', 'autoscaling', 'horizontalpodautoscalers/status'),
    rule('get update', '*', '*/scale'),
    rule('list', 'core', 'pods'),
    rule('list', 'metrics.k8s.io', 'pods'),
    rule('get list', 'custom.metrics.k8s.io', '*'),
    rule('get list', 'external.metrics.k8s.io', '*'),
    eventsRule,
  ],
  'job-controller': [
    rule('get list patch update watch', 'batch', 'jobs'),
    rule('update', 'batch', 'jobs/status'),
    rule('update', 'batch', 'jobs/finalizers'),
    rule('create delete list patch watch', 'core', 'pods'),
    eventsRule,
  ],
  'legacy-service-account-token-cleaner': [
    rule('get', 'core', 'configmaps', 'kube-apiserver-legacy-service-account-token-tracking'),
    rule('delete patch', 'core', 'secrets'),
  ],
  'namespace-controller': [
    rule('delete get list watch', 'core', 'namespaces'),
    rule('update', 'core', 'namespaces/finalize namespaces/status'),
    rule('delete deletecollection get list', '*', '*'),
  ],
  'node-controller': [
    rule('delete get list patch update', 'core', 'nodes'),
    rule('patch update', 'core', 'nodes/status'),
    rule('patch update', 'core', 'pods/status'),
    rule('delete get list', 'core', 'pods'),
    eventsRule,
  ],
  'persistent-volume-binder': [
    rule('create delete get list update watch', 'core', 'persistentvolumes'),
    rule('update', 'core', 'persistentvolumes/status'),
    rule('get list update watch', 'core', 'persistentvolumeclaims'),
    rule('update', 'core', 'persistentvolumeclaims/status'),
    rule('create delete get list watch', 'core', 'pods'),
    rule(read, 'storage.k8s.io', 'storageclasses'),
    rule('create delete get', 'core', 'endpoints services'),
    rule('get list', 'core', 'secrets'),
    rule('get list', 'core', 'nodes'),
    rule('watch', 'core', 'events'),
    eventsRule,
  ],
  'pod-garbage-collector': [
    rule('delete list watch', 'core', 'pods'),
    rule('get list', 'core', 'nodes'),
    rule('patch', 'core', 'pods/status'),
  ],
  'pv-protection-controller': [rule('get list update watch', 'core', 'persistentvolumes'), eventsRule],
  'pvc-protection-controller': [
    rule('get list update watch', 'core', 'persistentvolumeclaims'),
    rule(read, 'core', 'pods'),
    eventsRule,
  ],
  'replicaset-controller': podControllerRules('replicasets', 'apps extensions'),
  'replication-controller': podControllerRules('replicationcontrollers', 'core'),
  'resource-claim-controller': [
    rule('get list watch', 'core', 'pods'),
    rule('update', 'core', 'pods/finalizers'),
    rule('create delete get list watch', 'resource.k8s.io', 'resourceclaims'),
    rule('patch update', 'resource.k8s.io', 'resourceclaims resourceclaims/status'),
    rule('patch', 'core', 'pods/status'),
    eventsRule,
  ],
  'resourcequota-controller': [
    rule('list watch', '*', '*'),
    rule('update', 'core', 'resourcequotas/status'),
    eventsRule,
  ],
  'root-ca-cert-publisher': [rule('create update', 'core', 'configmaps'), eventsRule],
  'route-controller': [rule('list watch', 'core', 'nodes'), rule('patch', 'core', 'nodes/status'), eventsRule],
  'service-account-controller': [rule('create', 'core', 'serviceaccounts'), eventsRule],
  'service-cidrs-controller': [
    rule('get list patch update watch', 'networking.k8s.io', 'servicecidrs'),
    rule('patch update', 'networking.k8s.io', 'servicecidrs/finalizers'),
    rule('patch update', 'networking.k8s.io', 'servicecidrs/status'),
    rule(read, 'networking.k8s.io', 'ipaddresses'),
    eventsRule,
  ],
  'service-controller': [
    rule(read, 'core', 'services'),
    rule('patch update', 'core', 'services/status'),
    rule('list watch', 'core', 'nodes'),
    eventsRule,
  ],
  'statefulset-controller': [
    rule('list watch', 'core', 'pods'),
    rule(read, 'apps', 'statefulsets'),
    rule('update', 'apps', 'statefulsets/status'),
    rule('update', 'apps', 'statefulsets/finalizers'),
    rule('create delete get patch update', 'core', 'pods'),
    rule('create delete get list patch update watch', 'apps', 'controllerrevisions'),
    rule('create get', 'core', 'persistentvolumeclaims'),
    rule('delete update', 'core', 'persistentvolumeclaims'),
    eventsRule,
  ],
  'ttl-after-finished-controller': [rule('delete get list watch', 'batch', 'jobs'), eventsRule],
  'ttl-controller': [rule('list patch update watch', 'core', 'nodes'), eventsRule],
  'validatingadmissionpolicy-status-controller': [
    rule(read, 'admissionregistration.k8s.io', 'validatingadmissionpolicies'),
    rule('get patch update', 'admissionregistration.k8s.io', 'validatingadmissionpolicies/status'),
    eventsRule,
  ],
  'certificate-controller': [
    rule('delete get list watch', 'certificates.k8s.io', 'certificatesigningrequests'),
    rule('update', 'certificates.k8s.io', 'certificatesigningrequests/approval certificatesigningrequests/status'),
    rule('approve', 'certificates.k8s.io', 'signers', 'kubernetes.io/kube-apiserver-client-kubelet'),
    rule(
      'sign',
      'certificates.k8s.io',
      'signers',
      'kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown',
    ),
    rule('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    eventsRule,
  ],
};

/** Subjects of each ClusterRoleBinding whose name is its role's. */
const clusterRoleBindings: Readonly<Record<string, readonly Subject[]>> = {
  'cluster-admin': [groupSubject('system:masters')],
  'system:monitoring': [groupSubject('system:monitoring')],
  'system:discovery': [groupSubject('system:authenticated')],
  'system:basic-user': [groupSubject('system:authenticated')],
  'system:public-info-viewer': [groupSubject('system:authenticated'), groupSubject('system:unauthenticated')],
  'system:node': [],
  'system:node-proxier': [userSubject('system:kube-proxy')],
  'system:kube-controller-manager': [userSubject('system:kube-controller-manager')],
  'system:kube-dns': [{ kind: 'ServiceAccount', name: 'kube-dns', namespace: 'kube-system' }],
  'system:kube-scheduler': [userSubject('system:kube-scheduler')],
  'system:volume-scheduler': [userSubject('system:kube-scheduler')],
  'system:service-account-issuer-discovery': [groupSubject('system:serviceaccounts')],
};

interface Subject {
  readonly kind: string;
  readonly apiGroup?: string;
  readonly name: string;
  readonly namespace?: string;
}

function groupSubject(name: string): Subject {
  return { kind: 'Group', apiGroup: group, name };
}

function userSubject(name: string): Subject {
  return { kind: 'User', apiGroup: group, name };
}

interface NamespacedRole {
  readonly namespace: string;
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly subjects: readonly Subject[];
}

const leaderLockRules = (name: string): readonly PolicyRule[] => [
  rule('watch', 'core', 'configmaps'),
  rule('get update', 'core', 'configmaps', name),
];

const kubeSystem = 'kube-system';
const account = (name: string): Subject => ({ kind: 'ServiceAccount', name, namespace: kubeSystem });

/** Roles and, where there are subjects, the RoleBindings of the same name. */
const roles: readonly NamespacedRole[] = [
  {
    namespace: kubeSystem,
    name: 'extension-apiserver-authentication-reader',
    rules: [rule(read, 'core', 'configmaps', 'extension-apiserver-authentication')],
    subjects: [],
  },
  {
    namespace: kubeSystem,
    name: 'system:controller:bootstrap-signer',
    rules: [rule(read, 'core', 'secrets')],
    subjects: [account('bootstrap-signer'), userSubject('system:kube-controller-manager')],
  },
  {
    namespace: kubeSystem,
    name: 'system:controller:cloud-provider',
    rules: [rule('create get list watch', 'core', 'configmaps')],
    subjects: [account('cloud-provider')],
  },
  {
    namespace: kubeSystem,
    name: 'system:controller:token-cleaner',
    rules: [rule('delete get list watch', 'core', 'secrets'), eventsRule],
    subjects: [account('token-cleaner'), userSubject('system:kube-controller-manager')],
  },
  {
    namespace: kubeSystem,
    name: 'system::leader-locking-kube-controller-manager',
    rules: leaderLockRules('kube-controller-manager'),
    subjects: [userSubject('system:kube-controller-manager'), account('kube-controller-manager')],
  },
  {
    namespace: kubeSystem,
    name: 'system::leader-locking-kube-scheduler',
    rules: leaderLockRules('kube-scheduler'),
    subjects: [userSubject('system:kube-scheduler'), account('kube-scheduler')],
  },
  {
    namespace: 'kube-public',
    name: 'system:controller:bootstrap-signer',
    rules: [rule(read, 'core', 'configmaps'), rule('update', 'core', 'configmaps', 'cluster-info'), eventsRule],
    subjects: [account('bootstrap-signer'), userSubject('system:kube-controller-manager')],
  },
];

/** RoleBindings to a role of another name. */
const extensionReaders: readonly Subject[] = [
  userSubject('system:kube-controller-manager'),
  userSubject('system:kube-scheduler'),
];

function metadata(name: string, extra: Readonly<Record<string, unknown>> = {}): KubeObject['metadata'] {
  return {
    name,
    labels: { ...bootstrapMeta.labels },
    annotations: { ...bootstrapMeta.annotations },
    ...extra,
  };
}

function binding(
  kind: 'ClusterRoleBinding' | 'RoleBinding',
  meta: KubeObject['metadata'],
  roleRef: { readonly kind: string; readonly name: string },
  subjects: readonly Subject[],
): KubeObject {
  const object = { apiVersion, kind, metadata: meta, roleRef: { apiGroup: group, ...roleRef }, subjects };
  return object;
}

function clusterRole(name: string, { rules, labels, aggregates }: RoleDefinition): KubeObject {
  const object = {
    apiVersion,
    kind: 'ClusterRole',
    metadata: metadata(name, { labels: { ...bootstrapMeta.labels, ...labels } }),
    rules,
    ...(aggregates === undefined
      ? {}
      : {
          aggregationRule: {
            clusterRoleSelectors: aggregates.map((each) => ({ matchLabels: { [aggregateLabel(each)]: 'true' } })),
          },
        }),
  };
  return object;
}

/**
 * All bootstrap RBAC objects, in the order in which they may be created. Upstream's controllers each use a ServiceAccount of
 * their own in kube-system; our controller-manager uses one identity for all, which upstream's documentation asks to be
 * granted the controllers' roles: so system:kube-controller-manager is a subject of each.
 */
export function bootstrapPolicy(): readonly KubeObject[] {
  const controllers = Object.entries(controllerRules).map(([name, rules]) => ({
    name,
    role: `system:controller:${name}`,
    rules,
  }));
  return [
    ...Object.entries(clusterRoles).map(([name, definition]) => clusterRole(name, definition)),
    ...controllers.map(({ role, rules }) => clusterRole(role, { rules })),
    ...Object.entries(clusterRoleBindings).map(([name, subjects]) =>
      binding('ClusterRoleBinding', metadata(name), { kind: 'ClusterRole', name }, subjects),
    ),
    ...controllers.map(({ name, role }) =>
      binding('ClusterRoleBinding', metadata(role), { kind: 'ClusterRole', name: role }, [
        account(name),
        userSubject('system:kube-controller-manager'),
      ]),
    ),
    ...roles.map(({ namespace, name, rules }) => {
      const object = { apiVersion, kind: 'Role', metadata: metadata(name, { namespace }), rules };
      return object;
    }),
    ...roles
      .filter(({ subjects }) => subjects.length > 0)
      .map(({ namespace, name, subjects }) =>
        binding('RoleBinding', metadata(name, { namespace }), { kind: 'Role', name }, subjects),
      ),
    binding(
      'RoleBinding',
      metadata('system::extension-apiserver-authentication-reader', { namespace: kubeSystem }),
      { kind: 'Role', name: 'extension-apiserver-authentication-reader' },
      extensionReaders,
    ),
  ];
}
