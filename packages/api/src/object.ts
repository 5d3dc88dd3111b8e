/**
 * TypeScript types of Kubernetes objects as they are on the wire: the models of @kubernetes/client-node, imported as
 * types only, with every `Date` as an RFC 3339 string.
 */
import type * as models from '@kubernetes/client-node';

/** A model of client-node as JSON: dates are strings, methods are gone. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer E)[]
    ? Wire<E>[]
    : T extends object
      ? { [K in keyof T]: Wire<T[K]> }
      : T;

/** An object of a built-in kind whose type meta and name metadata are known to be there. */
export type Typed<T> = Omit<Wire<T>, 'apiVersion' | 'kind' | 'metadata'> & KubeObject;

export type ObjectMeta = Wire<models.V1ObjectMeta>;
export type OwnerReference = Wire<models.V1OwnerReference>;

/** What every stored object has. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** An object whose other fields are reached by name: what generic code works on. */
export type UnstructuredObject = KubeObject & { [field: string]: unknown };

export interface ListMeta {
  resourceVersion?: string;
  continue?: string;
  remainingItemCount?: number;
}

export interface KubeList<T extends KubeObject = KubeObject> {
  apiVersion: string;
  kind: string;
  metadata: ListMeta;
  items: T[];
}

export type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';

export type Pod = Typed<models.V1Pod>;
export type PodSpec = Wire<models.V1PodSpec>;
export type PodStatus = Wire<models.V1PodStatus>;
export type PodTemplateSpec = Wire<models.V1PodTemplateSpec>;
export type Container = Wire<models.V1Container>;
export type ContainerStatus = Wire<models.V1ContainerStatus>;
export type Probe = Wire<models.V1Probe>;
export type Volume = Wire<models.V1Volume>;
export type Node = Typed<models.V1Node>;
export type Taint = Wire<models.V1Taint>;
export type Toleration = Wire<models.V1Toleration>;
export type Affinity = Wire<models.V1Affinity>;
export type NodeSelectorTerm = Wire<models.V1NodeSelectorTerm>;
export type Namespace = Typed<models.V1Namespace>;
export type Service = Typed<models.V1Service>;
export type ServicePort = Wire<models.V1ServicePort>;
export type ServiceAccount = Typed<models.V1ServiceAccount>;
export type ConfigMap = Typed<models.V1ConfigMap>;
export type Secret = Typed<models.V1Secret>;
export type Endpoints = Typed<models.V1Endpoints>;
export type EndpointSlice = Typed<models.V1EndpointSlice>;
export type CoreEvent = Typed<models.CoreV1Event>;
export type Deployment = Typed<models.V1Deployment>;
export type ReplicaSet = Typed<models.V1ReplicaSet>;
export type ControllerRevision = Typed<models.V1ControllerRevision>;
export type StatefulSet = Typed<models.V1StatefulSet>;
export type DaemonSet = Typed<models.V1DaemonSet>;
export type Job = Typed<models.V1Job>;
export type CronJob = Typed<models.V1CronJob>;
export type Lease = Typed<models.V1Lease>;
export type PriorityClass = Typed<models.V1PriorityClass>;
export type Binding = Typed<models.V1Binding>;
export type ComponentStatus = Typed<models.V1ComponentStatus>;
export type LimitRange = Typed<models.V1LimitRange>;
export type PersistentVolume = Typed<models.V1PersistentVolume>;
export type PersistentVolumeClaim = Typed<models.V1PersistentVolumeClaim>;
export type PodTemplate = Typed<models.V1PodTemplate>;
export type ReplicationController = Typed<models.V1ReplicationController>;
export type ResourceQuota = Typed<models.V1ResourceQuota>;
export type MutatingAdmissionPolicy = Typed<models.V1MutatingAdmissionPolicy>;
export type MutatingAdmissionPolicyBinding = Typed<models.V1MutatingAdmissionPolicyBinding>;
export type MutatingWebhookConfiguration = Typed<models.V1MutatingWebhookConfiguration>;
export type ValidatingAdmissionPolicy = Typed<models.V1ValidatingAdmissionPolicy>;
export type ValidatingAdmissionPolicyBinding = Typed<models.V1ValidatingAdmissionPolicyBinding>;
export type ValidatingWebhookConfiguration = Typed<models.V1ValidatingWebhookConfiguration>;
export type CustomResourceDefinition = Typed<models.V1CustomResourceDefinition>;
export type APIService = Typed<models.V1APIService>;
export type SelfSubjectReview = Typed<models.V1SelfSubjectReview>;
export type TokenReview = Typed<models.V1TokenReview>;
export type TokenRequest = Typed<models.AuthenticationV1TokenRequest>;
export type LocalSubjectAccessReview = Typed<models.V1LocalSubjectAccessReview>;
export type SelfSubjectAccessReview = Typed<models.V1SelfSubjectAccessReview>;
export type SelfSubjectRulesReview = Typed<models.V1SelfSubjectRulesReview>;
export type SubjectAccessReview = Typed<models.V1SubjectAccessReview>;
export type HorizontalPodAutoscalerV1 = Typed<models.V1HorizontalPodAutoscaler>;
export type HorizontalPodAutoscaler = Typed<models.V2HorizontalPodAutoscaler>;
export type Scale = Typed<models.V1Scale>;
export type CertificateSigningRequest = Typed<models.V1CertificateSigningRequest>;
export type EventsEvent = Typed<models.EventsV1Event>;
export type FlowSchema = Typed<models.V1FlowSchema>;
export type PriorityLevelConfiguration = Typed<models.V1PriorityLevelConfiguration>;
export type Ingress = Typed<models.V1Ingress>;
export type IngressClass = Typed<models.V1IngressClass>;
export type IPAddress = Typed<models.V1IPAddress>;
export type NetworkPolicy = Typed<models.V1NetworkPolicy>;
export type ServiceCIDR = Typed<models.V1ServiceCIDR>;
export type RuntimeClass = Typed<models.V1RuntimeClass>;
export type PodDisruptionBudget = Typed<models.V1PodDisruptionBudget>;
export type Eviction = Typed<models.V1Eviction>;
export type DeviceClass = Typed<models.V1DeviceClass>;
export type ResourceClaim = Typed<models.ResourceV1ResourceClaim>;
export type ResourceClaimTemplate = Typed<models.V1ResourceClaimTemplate>;
export type ResourceSlice = Typed<models.V1ResourceSlice>;
export type CSIDriver = Typed<models.V1CSIDriver>;
export type CSINode = Typed<models.V1CSINode>;
export type CSIStorageCapacity = Typed<models.V1CSIStorageCapacity>;
export type StorageClass = Typed<models.V1StorageClass>;
export type VolumeAttachment = Typed<models.V1VolumeAttachment>;
export type VolumeAttributesClass = Typed<models.V1VolumeAttributesClass>;
export type Role = Typed<models.V1Role>;
export type RoleBinding = Typed<models.V1RoleBinding>;
export type ClusterRole = Typed<models.V1ClusterRole>;
export type ClusterRoleBinding = Typed<models.V1ClusterRoleBinding>;
export type PolicyRule = Wire<models.V1PolicyRule>;
export type LabelSelector = Wire<models.V1LabelSelector>;
export type IntOrString = number | string;
export type Condition = Wire<models.V1Condition>;
export type DeleteOptions = Wire<models.V1DeleteOptions>;
