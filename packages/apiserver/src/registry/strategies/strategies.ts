import type { Resource } from '@naru/api';
import type { Strategy } from '../strategy.ts';
import * as admission from './admission-policies.ts';
import { apiServiceStrategy } from './api-service.ts';
import * as batch from './batch.ts';
import * as core from './core-kinds.ts';
import * as csi from './csi-kinds.ts';
import { customResourceDefinitionStrategy } from './definitions/custom-resource-definition.ts';
import * as flowControl from './flow-control-kinds.ts';
import * as network from './network-kinds.ts';
import { podStrategy } from './pod.ts';
import * as policy from './policy-kinds.ts';
import * as rbac from './rbac-kinds.ts';
import { requiredFieldErrors } from './required-fields.ts';
import { resourceQuotaStrategy } from './resource-quota.ts';
import { serviceStrategy } from './service.ts';
import * as storage from './storage-kinds.ts';
import * as templates from './template-kinds.ts';
import * as workloads from './workloads.ts';

/** By plural name and group, as error messages name resources. */
const strategies: Readonly<Record<string, Strategy>> = {
  configmaps: core.configMapStrategy,
  endpoints: network.endpointsStrategy,
  events: core.eventStrategy,
  limitranges: policy.limitRangeStrategy,
  namespaces: core.namespaceStrategy,
  nodes: core.nodeStrategy,
  persistentvolumeclaims: storage.persistentVolumeClaimStrategy,
  persistentvolumes: storage.persistentVolumeStrategy,
  pods: podStrategy,
  podtemplates: templates.podTemplateStrategy,
  replicationcontrollers: workloads.replicationControllerStrategy,
  resourcequotas: resourceQuotaStrategy,
  secrets: core.secretStrategy,
  services: serviceStrategy,
  'mutatingadmissionpolicies.admissionregistration.k8s.io': admission.mutatingAdmissionPolicyStrategy,
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io': admission.mutatingAdmissionPolicyBindingStrategy,
  'validatingadmissionpolicies.admissionregistration.k8s.io': admission.validatingAdmissionPolicyStrategy,
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': admission.validatingAdmissionPolicyBindingStrategy,
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': policy.mutatingWebhookStrategy,
  'validatingwebhookconfigurations.admissionregistration.k8s.io': policy.validatingWebhookStrategy,
  'customresourcedefinitions.apiextensions.k8s.io': customResourceDefinitionStrategy,
  'apiservices.apiregistration.k8s.io': apiServiceStrategy,
  'controllerrevisions.apps': templates.controllerRevisionStrategy,
  'daemonsets.apps': workloads.daemonSetStrategy,
  'deployments.apps': workloads.deploymentStrategy,
  'replicasets.apps': workloads.replicaSetStrategy,
  'statefulsets.apps': workloads.statefulSetStrategy,
  'horizontalpodautoscalers.autoscaling': policy.hpaStrategy,
  'cronjobs.batch': batch.cronJobStrategy,
  'jobs.batch': batch.jobStrategy,
  'certificatesigningrequests.certificates.k8s.io': policy.csrStrategy,
  'leases.coordination.k8s.io': core.leaseStrategy,
  'endpointslices.discovery.k8s.io': network.endpointSliceStrategy,
  'flowschemas.flowcontrol.apiserver.k8s.io': flowControl.flowSchemaStrategy,
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': flowControl.priorityLevelConfigurationStrategy,
  'ingressclasses.networking.k8s.io': network.ingressClassStrategy,
  'ingresses.networking.k8s.io': network.ingressStrategy,
  'networkpolicies.networking.k8s.io': network.networkPolicyStrategy,
  'runtimeclasses.node.k8s.io': policy.runtimeClassStrategy,
  'poddisruptionbudgets.policy': policy.pdbStrategy,
  'clusterrolebindings.rbac.authorization.k8s.io': rbac.clusterRoleBindingStrategy,
  'clusterroles.rbac.authorization.k8s.io': rbac.clusterRoleStrategy,
  'rolebindings.rbac.authorization.k8s.io': rbac.roleBindingStrategy,
  'roles.rbac.authorization.k8s.io': rbac.roleStrategy,
  'priorityclasses.scheduling.k8s.io': policy.priorityClassStrategy,
  'csidrivers.storage.k8s.io': csi.csiDriverStrategy,
  'csinodes.storage.k8s.io': csi.csiNodeStrategy,
  'storageclasses.storage.k8s.io': storage.storageClassStrategy,
  'volumeattachments.storage.k8s.io': csi.volumeAttachmentStrategy,
};

/** Whether a resource has rules of its own, beyond its schema. */
export function hasOwnStrategy({ group, resource }: Pick<Resource, 'group' | 'resource'>): boolean {
  return Object.hasOwn(strategies, group === '' ? resource : `${resource}.${group}`);
}

/** The strategy of a resource; one without rules of its own only has the fields that its schema requires. */
export function strategyFor({ group, resource, model }: Pick<Resource, 'group' | 'resource' | 'model'>): Strategy {
  const key = group === '' ? resource : `${resource}.${group}`;
  return strategies[key] ?? { validate: (object) => requiredFieldErrors(model, object) };
}
