/** The built-in resources. Data: names, scope, short names, categories and subresources are upstream's. */
import type * as objects from './object.ts';
import { allVerbs, defineResource, scaleSubresource, statusSubresource, type Resource } from './resource.ts';

export const bindings = defineResource<objects.Binding>({
  resource: 'bindings',
  kind: 'Binding',
  model: 'V1Binding',
  namespaced: true,
  verbs: ['create'],
  stored: false,
});
export const componentStatuses = defineResource<objects.ComponentStatus>({
  resource: 'componentstatuses',
  kind: 'ComponentStatus',
  model: 'V1ComponentStatus',
  namespaced: false,
  shortNames: ['cs'],
  verbs: ['get', 'list'],
  stored: false,
});
export const configMaps = defineResource<objects.ConfigMap>({
  resource: 'configmaps',
  kind: 'ConfigMap',
  model: 'V1ConfigMap',
  namespaced: true,
  shortNames: ['cm'],
});
export const endpoints = defineResource<objects.Endpoints>({
  resource: 'endpoints',
  kind: 'Endpoints',
  model: 'V1Endpoints',
  namespaced: true,
  shortNames: ['ep'],
});
export const events = defineResource<objects.CoreEvent>({
  resource: 'events',
  kind: 'Event',
  model: 'CoreV1Event',
  namespaced: true,
  shortNames: ['ev'],
});
export const limitRanges = defineResource<objects.LimitRange>({
  resource: 'limitranges',
  kind: 'LimitRange',
  model: 'V1LimitRange',
  namespaced: true,
  shortNames: ['limits'],
});
export const namespaces = defineResource<objects.Namespace>({
  resource: 'namespaces',
  kind: 'Namespace',
  model: 'V1Namespace',
  namespaced: false,
  shortNames: ['ns'],
  verbs: allVerbs.filter((verb) => verb !== 'deletecollection'),
  subresources: [{ name: 'finalize', verbs: ['update'] }, statusSubresource],
});
export const nodes = defineResource<objects.Node>({
  resource: 'nodes',
  kind: 'Node',
  model: 'V1Node',
  namespaced: false,
  shortNames: ['no'],
  subresources: [
    { name: 'proxy', kind: 'NodeProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] },
    statusSubresource,
  ],
});
export const persistentVolumeClaims = defineResource<objects.PersistentVolumeClaim>({
  resource: 'persistentvolumeclaims',
  kind: 'PersistentVolumeClaim',
  model: 'V1PersistentVolumeClaim',
  namespaced: true,
  shortNames: ['pvc'],
  subresources: [statusSubresource],
});
export const persistentVolumes = defineResource<objects.PersistentVolume>({
  resource: 'persistentvolumes',
  kind: 'PersistentVolume',
  model: 'V1PersistentVolume',
  namespaced: false,
  shortNames: ['pv'],
  subresources: [statusSubresource],
});
export const pods = defineResource<objects.Pod>({
  resource: 'pods',
  kind: 'Pod',
  model: 'V1Pod',
  namespaced: true,
  shortNames: ['po'],
  categories: ['all'],
  subresources: [
    { name: 'attach', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
    { name: 'binding', kind: 'Binding', verbs: ['create'] },
    { name: 'ephemeralcontainers', verbs: ['get', 'patch', 'update'] },
    { name: 'eviction', group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
    { name: 'exec', kind: 'PodExecOptions', verbs: ['create', 'get'] },
    { name: 'log', verbs: ['get'] },
    { name: 'portforward', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
    { name: 'proxy', kind: 'PodProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] },
    { name: 'resize', verbs: ['get', 'patch', 'update'] },
    statusSubresource,
  ],
});
export const podTemplates = defineResource<objects.PodTemplate>({
  resource: 'podtemplates',
  kind: 'PodTemplate',
  model: 'V1PodTemplate',
  namespaced: true,
});
export const replicationControllers = defineResource<objects.ReplicationController>({
  resource: 'replicationcontrollers',
  kind: 'ReplicationController',
  model: 'V1ReplicationController',
  namespaced: true,
  shortNames: ['rc'],
  categories: ['all'],
  subresources: [scaleSubresource, statusSubresource],
});
export const resourceQuotas = defineResource<objects.ResourceQuota>({
  resource: 'resourcequotas',
  kind: 'ResourceQuota',
  model: 'V1ResourceQuota',
  namespaced: true,
  shortNames: ['quota'],
  subresources: [statusSubresource],
});
export const secrets = defineResource<objects.Secret>({
  resource: 'secrets',
  kind: 'Secret',
  model: 'V1Secret',
  namespaced: true,
});
export const serviceAccounts = defineResource<objects.ServiceAccount>({
  resource: 'serviceaccounts',
  kind: 'ServiceAccount',
  model: 'V1ServiceAccount',
  namespaced: true,
  shortNames: ['sa'],
  subresources: [
    { name: 'token', group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] },
  ],
});
export const services = defineResource<objects.Service>({
  resource: 'services',
  kind: 'Service',
  model: 'V1Service',
  namespaced: true,
  shortNames: ['svc'],
  categories: ['all'],
  subresources: [
    { name: 'proxy', kind: 'ServiceProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] },
    statusSubresource,
  ],
});
export const mutatingAdmissionPolicies = defineResource<objects.MutatingAdmissionPolicy>({
  group: 'admissionregistration.k8s.io',
  resource: 'mutatingadmissionpolicies',
  kind: 'MutatingAdmissionPolicy',
  model: 'V1MutatingAdmissionPolicy',
  namespaced: false,
  categories: ['api-extensions'],
});
export const mutatingAdmissionPolicyBindings = defineResource<objects.MutatingAdmissionPolicyBinding>({
  group: 'admissionregistration.k8s.io',
  resource: 'mutatingadmissionpolicybindings',
  kind: 'MutatingAdmissionPolicyBinding',
  model: 'V1MutatingAdmissionPolicyBinding',
  namespaced: false,
  categories: ['api-extensions'],
});
export const mutatingWebhookConfigurations = defineResource<objects.MutatingWebhookConfiguration>({
  group: 'admissionregistration.k8s.io',
  resource: 'mutatingwebhookconfigurations',
  kind: 'MutatingWebhookConfiguration',
  model: 'V1MutatingWebhookConfiguration',
  namespaced: false,
  categories: ['api-extensions'],
});
export const validatingAdmissionPolicies = defineResource<objects.ValidatingAdmissionPolicy>({
  group: 'admissionregistration.k8s.io',
  resource: 'validatingadmissionpolicies',
  kind: 'ValidatingAdmissionPolicy',
  model: 'V1ValidatingAdmissionPolicy',
  namespaced: false,
  categories: ['api-extensions'],
  subresources: [statusSubresource],
});
export const validatingAdmissionPolicyBindings = defineResource<objects.ValidatingAdmissionPolicyBinding>({
  group: 'admissionregistration.k8s.io',
  resource: 'validatingadmissionpolicybindings',
  kind: 'ValidatingAdmissionPolicyBinding',
  model: 'V1ValidatingAdmissionPolicyBinding',
  namespaced: false,
  categories: ['api-extensions'],
});
export const validatingWebhookConfigurations = defineResource<objects.ValidatingWebhookConfiguration>({
  group: 'admissionregistration.k8s.io',
  resource: 'validatingwebhookconfigurations',
  kind: 'ValidatingWebhookConfiguration',
  model: 'V1ValidatingWebhookConfiguration',
  namespaced: false,
  categories: ['api-extensions'],
});
export const customResourceDefinitions = defineResource<objects.CustomResourceDefinition>({
  group: 'apiextensions.k8s.io',
  resource: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  model: 'V1CustomResourceDefinition',
  namespaced: false,
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  subresources: [statusSubresource],
});
export const apiServices = defineResource<objects.APIService>({
  group: 'apiregistration.k8s.io',
  resource: 'apiservices',
  kind: 'APIService',
  model: 'V1APIService',
  namespaced: false,
  categories: ['api-extensions'],
  subresources: [statusSubresource],
});
export const controllerRevisions = defineResource<objects.ControllerRevision>({
  group: 'apps',
  resource: 'controllerrevisions',
  kind: 'ControllerRevision',
  model: 'V1ControllerRevision',
  namespaced: true,
});
export const daemonSets = defineResource<objects.DaemonSet>({
  group: 'apps',
  resource: 'daemonsets',
  kind: 'DaemonSet',
  model: 'V1DaemonSet',
  namespaced: true,
  shortNames: ['ds'],
  categories: ['all'],
  subresources: [statusSubresource],
});
export const deployments = defineResource<objects.Deployment>({
  group: 'apps',
  resource: 'deployments',
  kind: 'Deployment',
  model: 'V1Deployment',
  namespaced: true,
  shortNames: ['deploy'],
  categories: ['all'],
  subresources: [scaleSubresource, statusSubresource],
});
export const replicaSets = defineResource<objects.ReplicaSet>({
  group: 'apps',
  resource: 'replicasets',
  kind: 'ReplicaSet',
  model: 'V1ReplicaSet',
  namespaced: true,
  shortNames: ['rs'],
  categories: ['all'],
  subresources: [scaleSubresource, statusSubresource],
});
export const statefulSets = defineResource<objects.StatefulSet>({
  group: 'apps',
  resource: 'statefulsets',
  kind: 'StatefulSet',
  model: 'V1StatefulSet',
  namespaced: true,
  shortNames: ['sts'],
  categories: ['all'],
  subresources: [scaleSubresource, statusSubresource],
});
export const selfSubjectReviews = defineResource<objects.SelfSubjectReview>({
  group: 'authentication.k8s.io',
  resource: 'selfsubjectreviews',
  kind: 'SelfSubjectReview',
  model: 'V1SelfSubjectReview',
  namespaced: false,
  verbs: ['create'],
  stored: false,
});
export const tokenReviews = defineResource<objects.TokenReview>({
  group: 'authentication.k8s.io',
  resource: 'tokenreviews',
  kind: 'TokenReview',
  model: 'V1TokenReview',
  namespaced: false,
  verbs: ['create'],
  stored: false,
});
export const localSubjectAccessReviews = defineResource<objects.LocalSubjectAccessReview>({
  group: 'authorization.k8s.io',
  resource: 'localsubjectaccessreviews',
  kind: 'LocalSubjectAccessReview',
  model: 'V1LocalSubjectAccessReview',
  namespaced: true,
  verbs: ['create'],
  stored: false,
});
export const selfSubjectAccessReviews = defineResource<objects.SelfSubjectAccessReview>({
  group: 'authorization.k8s.io',
  resource: 'selfsubjectaccessreviews',
  kind: 'SelfSubjectAccessReview',
  model: 'V1SelfSubjectAccessReview',
  namespaced: false,
  verbs: ['create'],
  stored: false,
});
export const selfSubjectRulesReviews = defineResource<objects.SelfSubjectRulesReview>({
  group: 'authorization.k8s.io',
  resource: 'selfsubjectrulesreviews',
  kind: 'SelfSubjectRulesReview',
  model: 'V1SelfSubjectRulesReview',
  namespaced: false,
  verbs: ['create'],
  stored: false,
});
export const subjectAccessReviews = defineResource<objects.SubjectAccessReview>({
  group: 'authorization.k8s.io',
  resource: 'subjectaccessreviews',
  kind: 'SubjectAccessReview',
  model: 'V1SubjectAccessReview',
  namespaced: false,
  verbs: ['create'],
  stored: false,
});
export const horizontalPodAutoscalers = defineResource<objects.HorizontalPodAutoscaler>({
  group: 'autoscaling',
  version: 'v2',
  resource: 'horizontalpodautoscalers',
  kind: 'HorizontalPodAutoscaler',
  model: 'V2HorizontalPodAutoscaler',
  namespaced: true,
  shortNames: ['hpa'],
  categories: ['all'],
  subresources: [statusSubresource],
});
/** The older shape of `horizontalPodAutoscalers`: the same stored objects. */
export const horizontalPodAutoscalersV1 = defineResource<objects.HorizontalPodAutoscalerV1>({
  group: 'autoscaling',
  resource: 'horizontalpodautoscalers',
  kind: 'HorizontalPodAutoscaler',
  model: 'V1HorizontalPodAutoscaler',
  namespaced: true,
  shortNames: ['hpa'],
  categories: ['all'],
  subresources: [statusSubresource],
});
export const cronJobs = defineResource<objects.CronJob>({
  group: 'batch',
  resource: 'cronjobs',
  kind: 'CronJob',
  model: 'V1CronJob',
  namespaced: true,
  shortNames: ['cj'],
  categories: ['all'],
  subresources: [statusSubresource],
});
export const jobs = defineResource<objects.Job>({
  group: 'batch',
  resource: 'jobs',
  kind: 'Job',
  model: 'V1Job',
  namespaced: true,
  categories: ['all'],
  subresources: [statusSubresource],
});
export const certificateSigningRequests = defineResource<objects.CertificateSigningRequest>({
  group: 'certificates.k8s.io',
  resource: 'certificatesigningrequests',
  kind: 'CertificateSigningRequest',
  model: 'V1CertificateSigningRequest',
  namespaced: false,
  shortNames: ['csr'],
  subresources: [{ name: 'approval', verbs: ['get', 'patch', 'update'] }, statusSubresource],
});
export const leases = defineResource<objects.Lease>({
  group: 'coordination.k8s.io',
  resource: 'leases',
  kind: 'Lease',
  model: 'V1Lease',
  namespaced: true,
});
export const endpointSlices = defineResource<objects.EndpointSlice>({
  group: 'discovery.k8s.io',
  resource: 'endpointslices',
  kind: 'EndpointSlice',
  model: 'V1EndpointSlice',
  namespaced: true,
});
/** Events in the shape of group events.k8s.io: the same stored objects as `events`. */
export const eventsEvents = defineResource<objects.EventsEvent>({
  group: 'events.k8s.io',
  resource: 'events',
  kind: 'Event',
  model: 'EventsV1Event',
  namespaced: true,
  shortNames: ['ev'],
});
export const flowSchemas = defineResource<objects.FlowSchema>({
  group: 'flowcontrol.apiserver.k8s.io',
  resource: 'flowschemas',
  kind: 'FlowSchema',
  model: 'V1FlowSchema',
  namespaced: false,
  subresources: [statusSubresource],
});
export const priorityLevelConfigurations = defineResource<objects.PriorityLevelConfiguration>({
  group: 'flowcontrol.apiserver.k8s.io',
  resource: 'prioritylevelconfigurations',
  kind: 'PriorityLevelConfiguration',
  model: 'V1PriorityLevelConfiguration',
  namespaced: false,
  subresources: [statusSubresource],
});
export const ingressClasses = defineResource<objects.IngressClass>({
  group: 'networking.k8s.io',
  resource: 'ingressclasses',
  kind: 'IngressClass',
  model: 'V1IngressClass',
  namespaced: false,
});
export const ingresses = defineResource<objects.Ingress>({
  group: 'networking.k8s.io',
  resource: 'ingresses',
  kind: 'Ingress',
  model: 'V1Ingress',
  namespaced: true,
  shortNames: ['ing'],
  subresources: [statusSubresource],
});
export const ipAddresses = defineResource<objects.IPAddress>({
  group: 'networking.k8s.io',
  resource: 'ipaddresses',
  kind: 'IPAddress',
  model: 'V1IPAddress',
  namespaced: false,
  shortNames: ['ip'],
});
export const networkPolicies = defineResource<objects.NetworkPolicy>({
  group: 'networking.k8s.io',
  resource: 'networkpolicies',
  kind: 'NetworkPolicy',
  model: 'V1NetworkPolicy',
  namespaced: true,
  shortNames: ['netpol'],
});
export const serviceCIDRs = defineResource<objects.ServiceCIDR>({
  group: 'networking.k8s.io',
  resource: 'servicecidrs',
  kind: 'ServiceCIDR',
  model: 'V1ServiceCIDR',
  namespaced: false,
  subresources: [statusSubresource],
});
export const runtimeClasses = defineResource<objects.RuntimeClass>({
  group: 'node.k8s.io',
  resource: 'runtimeclasses',
  kind: 'RuntimeClass',
  model: 'V1RuntimeClass',
  namespaced: false,
});
export const podDisruptionBudgets = defineResource<objects.PodDisruptionBudget>({
  group: 'policy',
  resource: 'poddisruptionbudgets',
  kind: 'PodDisruptionBudget',
  model: 'V1PodDisruptionBudget',
  namespaced: true,
  shortNames: ['pdb'],
  subresources: [statusSubresource],
});
export const clusterRoleBindings = defineResource<objects.ClusterRoleBinding>({
  group: 'rbac.authorization.k8s.io',
  resource: 'clusterrolebindings',
  kind: 'ClusterRoleBinding',
  model: 'V1ClusterRoleBinding',
  namespaced: false,
});
export const clusterRoles = defineResource<objects.ClusterRole>({
  group: 'rbac.authorization.k8s.io',
  resource: 'clusterroles',
  kind: 'ClusterRole',
  model: 'V1ClusterRole',
  namespaced: false,
});
export const roleBindings = defineResource<objects.RoleBinding>({
  group: 'rbac.authorization.k8s.io',
  resource: 'rolebindings',
  kind: 'RoleBinding',
  model: 'V1RoleBinding',
  namespaced: true,
});
export const roles = defineResource<objects.Role>({
  group: 'rbac.authorization.k8s.io',
  resource: 'roles',
  kind: 'Role',
  model: 'V1Role',
  namespaced: true,
});
export const deviceClasses = defineResource<objects.DeviceClass>({
  group: 'resource.k8s.io',
  resource: 'deviceclasses',
  kind: 'DeviceClass',
  model: 'V1DeviceClass',
  namespaced: false,
});
export const resourceClaims = defineResource<objects.ResourceClaim>({
  group: 'resource.k8s.io',
  resource: 'resourceclaims',
  kind: 'ResourceClaim',
  model: 'ResourceV1ResourceClaim',
  namespaced: true,
  subresources: [statusSubresource],
});
export const resourceClaimTemplates = defineResource<objects.ResourceClaimTemplate>({
  group: 'resource.k8s.io',
  resource: 'resourceclaimtemplates',
  kind: 'ResourceClaimTemplate',
  model: 'V1ResourceClaimTemplate',
  namespaced: true,
});
export const resourceSlices = defineResource<objects.ResourceSlice>({
  group: 'resource.k8s.io',
  resource: 'resourceslices',
  kind: 'ResourceSlice',
  model: 'V1ResourceSlice',
  namespaced: false,
});
export const priorityClasses = defineResource<objects.PriorityClass>({
  group: 'scheduling.k8s.io',
  resource: 'priorityclasses',
  kind: 'PriorityClass',
  model: 'V1PriorityClass',
  namespaced: false,
  shortNames: ['pc'],
});
export const csiDrivers = defineResource<objects.CSIDriver>({
  group: 'storage.k8s.io',
  resource: 'csidrivers',
  kind: 'CSIDriver',
  model: 'V1CSIDriver',
  namespaced: false,
});
export const csiNodes = defineResource<objects.CSINode>({
  group: 'storage.k8s.io',
  resource: 'csinodes',
  kind: 'CSINode',
  model: 'V1CSINode',
  namespaced: false,
});
export const csiStorageCapacities = defineResource<objects.CSIStorageCapacity>({
  group: 'storage.k8s.io',
  resource: 'csistoragecapacities',
  kind: 'CSIStorageCapacity',
  model: 'V1CSIStorageCapacity',
  namespaced: true,
});
export const storageClasses = defineResource<objects.StorageClass>({
  group: 'storage.k8s.io',
  resource: 'storageclasses',
  kind: 'StorageClass',
  model: 'V1StorageClass',
  namespaced: false,
  shortNames: ['sc'],
});
export const volumeAttachments = defineResource<objects.VolumeAttachment>({
  group: 'storage.k8s.io',
  resource: 'volumeattachments',
  kind: 'VolumeAttachment',
  model: 'V1VolumeAttachment',
  namespaced: false,
  subresources: [statusSubresource],
});
export const volumeAttributesClasses = defineResource<objects.VolumeAttributesClass>({
  group: 'storage.k8s.io',
  resource: 'volumeattributesclasses',
  kind: 'VolumeAttributesClass',
  model: 'V1VolumeAttributesClass',
  namespaced: false,
  shortNames: ['vac'],
});

/** Every built-in resource, by group, version and name in the order that discovery lists them. */
export const builtInResources: readonly Resource[] = [
  bindings,
  componentStatuses,
  configMaps,
  endpoints,
  events,
  limitRanges,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  podTemplates,
  replicationControllers,
  resourceQuotas,
  secrets,
  serviceAccounts,
  services,
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  mutatingWebhookConfigurations,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  validatingWebhookConfigurations,
  customResourceDefinitions,
  apiServices,
  controllerRevisions,
  daemonSets,
  deployments,
  replicaSets,
  statefulSets,
  selfSubjectReviews,
  tokenReviews,
  localSubjectAccessReviews,
  selfSubjectAccessReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
  horizontalPodAutoscalers,
  horizontalPodAutoscalersV1,
  cronJobs,
  jobs,
  certificateSigningRequests,
  leases,
  endpointSlices,
  eventsEvents,
  flowSchemas,
  priorityLevelConfigurations,
  ingressClasses,
  ingresses,
  ipAddresses,
  networkPolicies,
  serviceCIDRs,
  runtimeClasses,
  podDisruptionBudgets,
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
  deviceClasses,
  resourceClaims,
  resourceClaimTemplates,
  resourceSlices,
  priorityClasses,
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
];

const byResource: ReadonlyMap<string, Resource> = new Map(
  builtInResources.map((each) => [`${each.group}/${each.version}/${each.resource}`, each]),
);
const byKind: ReadonlyMap<string, Resource> = new Map(
  builtInResources.map((each) => [`${each.group}/${each.version}/${each.kind}`, each]),
);

/** The built-in resource of a group, version and plural name. */
export function findResource(name: {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
}): Resource | undefined {
  return byResource.get(`${name.group}/${name.version}/${name.resource}`);
}

/** The built-in resource of a group, version and kind. */
export function findResourceByKind(name: {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}): Resource | undefined {
  return byKind.get(`${name.group}/${name.version}/${name.kind}`);
}
