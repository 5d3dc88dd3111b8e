import type { GroupResource } from '@naru/api';
import type { TableConvertor } from '../strategy.ts';
import * as core from './core-columns.ts';
import { podTable } from './pod-columns.ts';
import * as policy from './policy-columns.ts';
import * as workload from './workload-columns.ts';

/** By plural name and group, as error messages name resources. Others show name and time of creation. */
const tables: Readonly<Record<string, TableConvertor>> = {
  componentstatuses: core.componentStatusTable,
  configmaps: core.configMapTable,
  endpoints: core.endpointsTable,
  events: core.eventTable,
  'events.events.k8s.io': core.eventTable,
  namespaces: core.namespaceTable,
  nodes: core.nodeTable,
  persistentvolumeclaims: policy.persistentVolumeClaimTable,
  persistentvolumes: policy.persistentVolumeTable,
  pods: podTable,
  podtemplates: workload.podTemplateTable,
  replicationcontrollers: workload.replicationControllerTable,
  resourcequotas: policy.resourceQuotaTable,
  secrets: core.secretTable,
  serviceaccounts: core.serviceAccountTable,
  services: core.serviceTable,
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': policy.webhookConfigurationTable,
  'validatingwebhookconfigurations.admissionregistration.k8s.io': policy.webhookConfigurationTable,
  'validatingadmissionpolicies.admissionregistration.k8s.io': policy.validatingAdmissionPolicyTable,
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': policy.validatingAdmissionPolicyBindingTable,
  'apiservices.apiregistration.k8s.io': policy.apiServiceTable,
  'controllerrevisions.apps': workload.controllerRevisionTable,
  'daemonsets.apps': workload.daemonSetTable,
  'deployments.apps': workload.deploymentTable,
  'replicasets.apps': workload.replicaSetTable,
  'statefulsets.apps': workload.statefulSetTable,
  'horizontalpodautoscalers.autoscaling': policy.hpaTable,
  'cronjobs.batch': workload.cronJobTable,
  'jobs.batch': workload.jobTable,
  'certificatesigningrequests.certificates.k8s.io': policy.csrTable,
  'leases.coordination.k8s.io': core.leaseTable,
  'endpointslices.discovery.k8s.io': core.endpointSliceTable,
  'flowschemas.flowcontrol.apiserver.k8s.io': policy.flowSchemaTable,
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': policy.priorityLevelConfigurationTable,
  'ingressclasses.networking.k8s.io': core.ingressClassTable,
  'ingresses.networking.k8s.io': core.ingressTable,
  'ipaddresses.networking.k8s.io': core.ipAddressTable,
  'networkpolicies.networking.k8s.io': core.networkPolicyTable,
  'servicecidrs.networking.k8s.io': core.serviceCidrTable,
  'runtimeclasses.node.k8s.io': policy.runtimeClassTable,
  'poddisruptionbudgets.policy': policy.pdbTable,
  'clusterrolebindings.rbac.authorization.k8s.io': policy.bindingTable,
  'rolebindings.rbac.authorization.k8s.io': policy.bindingTable,
  'priorityclasses.scheduling.k8s.io': policy.priorityClassTable,
  'csinodes.storage.k8s.io': policy.csiNodeTable,
  'storageclasses.storage.k8s.io': policy.storageClassTable,
  'volumeattachments.storage.k8s.io': policy.volumeAttachmentTable,
};

/** The table of a resource, by group and plural name. */
export function tableFor({ group, resource }: GroupResource): TableConvertor {
  const key = group === '' ? resource : `${resource}.${group}`;
  return tables[key] ?? policy.createdAtTable;
}
