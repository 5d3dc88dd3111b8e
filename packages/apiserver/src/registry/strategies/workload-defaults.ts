/** Defaults of the kinds that make pods; upstream's pkg/apis/{apps,batch,autoscaling}/v1/defaults.go. */
import type {
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  PodSpec,
  PodTemplateSpec,
  ReplicaSet,
  StatefulSet,
  UnstructuredObject,
} from '@naru/api';
import { setPodSpecDefaults } from './pod-defaults.ts';

const DEFAULT_BACKOFF_LIMIT = 6;

export function setTemplateDefaults(template: PodTemplateSpec | undefined): void {
  if (template === undefined) return;
  template.metadata ??= {};
  template.spec ??= {} as PodSpec;
  setPodSpecDefaults(template.spec, { isPod: false });
}

interface Workload {
  spec?: { template?: PodTemplateSpec };
}

/** The spec of a workload, whose spec and template are there where they are not said, as Go's structs are. */
function specWithTemplate<T extends Workload>(object: T): NonNullable<T['spec']> {
  const spec = (object.spec ??= {});
  setTemplateDefaults((spec.template ??= {} as PodTemplateSpec));
  return spec;
}

/** A replica template whose labels make up for absent labels and selector, as only v1 ReplicationController still does. */
export function setReplicationControllerDefaults(object: UnstructuredObject): void {
  const spec = (object['spec'] ??= {}) as {
    replicas?: number;
    selector?: Record<string, string>;
    template?: PodTemplateSpec;
  };
  setTemplateDefaults(spec.template);
  const labels = spec.template?.metadata?.labels;
  if (labels !== undefined && Object.keys(labels).length > 0) {
    if (spec.selector === undefined || Object.keys(spec.selector).length === 0) spec.selector = { ...labels };
    if (Object.keys(object.metadata.labels ?? {}).length === 0) object.metadata.labels = { ...labels };
  }
  spec.replicas ??= 1;
}

export function setDeploymentDefaults(object: UnstructuredObject): void {
  const spec = specWithTemplate(object as unknown as Deployment);
  spec.replicas ??= 1;
  spec.strategy ??= {};
  spec.strategy.type ||= 'RollingUpdate';
  if (spec.strategy.type === 'RollingUpdate') {
    spec.strategy.rollingUpdate ??= {};
    spec.strategy.rollingUpdate.maxUnavailable ??= '25%';
    spec.strategy.rollingUpdate.maxSurge ??= '25%';
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
}

export function setReplicaSetDefaults(object: UnstructuredObject): void {
  const spec = specWithTemplate(object as unknown as ReplicaSet);
  spec.replicas ??= 1;
}

export function setStatefulSetDefaults(object: UnstructuredObject): void {
  const spec = specWithTemplate(object as unknown as StatefulSet);
  spec.podManagementPolicy ||= 'OrderedReady';
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.partition ??= 0;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= 'Retain';
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= 'Retain';
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion ??= 'v1';
    claim.kind ??= 'PersistentVolumeClaim';
    if (claim.spec !== undefined) claim.spec.volumeMode ??= 'Filesystem';
    claim.status ??= {};
    claim.status.phase ??= 'Pending';
  }
}

export function setDaemonSetDefaults(object: UnstructuredObject): void {
  const spec = specWithTemplate(object as unknown as DaemonSet);
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
}

function setJobSpecDefaults(spec: NonNullable<Job['spec']>): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? DEFAULT_BACKOFF_LIMIT : 2 ** 31 - 1;
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed';
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ??= 'True';
  }
}

export function setJobDefaults(object: UnstructuredObject): void {
  const spec = specWithTemplate(object as unknown as Job);
  setJobSpecDefaults(spec);
  const { metadata } = object;
  const labels = spec.template.metadata?.labels;
  if (Object.keys(metadata.labels ?? {}).length === 0 && labels !== undefined) metadata.labels = { ...labels };
}

export function setCronJobDefaults(object: UnstructuredObject): void {
  const spec = (object as unknown as CronJob).spec;
  if (spec === undefined) return;
  spec.concurrencyPolicy ||= 'Allow';
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  setTemplateDefaults(spec.jobTemplate?.spec?.template);
}
