import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type DaemonSet,
  type Deployment,
  type FieldError,
  type IntOrString,
  type PodTemplateSpec,
  type ReplicaSet,
  type StatefulSet,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { deepEqual, immutable, intOrPercent, nonNegative, notOver100Percent, optionalOneOf } from './field-rules.ts';
import { validatePodTemplate } from './pod-spec.ts';
import {
  setDaemonSetDefaults,
  setDeploymentDefaults,
  setReplicaSetDefaults,
  setReplicationControllerDefaults,
  setStatefulSetDefaults,
} from './workload-defaults.ts';
import { validateLongRunning, validateSelectorAndTemplate } from './workload-rules.ts';

function validateDeployment(object: UnstructuredObject): FieldError[] {
  const deployment = (object as unknown as Deployment).spec;
  if (deployment === undefined) return [...validateSelectorAndTemplate(undefined, 'deployment')];
  const { minReadySeconds = 0, progressDeadlineSeconds } = deployment;
  const errors = [
    ...nonNegative('spec.replicas', deployment.replicas),
    ...validateSelectorAndTemplate(deployment, 'deployment'),
    ...validateLongRunning(deployment.template, 'ReplicaSet'),
    ...validateDeploymentStrategy('spec.strategy', deployment.strategy),
    ...nonNegative('spec.minReadySeconds', minReadySeconds),
    ...nonNegative('spec.revisionHistoryLimit', deployment.revisionHistoryLimit),
    ...nonNegative('spec.progressDeadlineSeconds', progressDeadlineSeconds),
  ];
  if (progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds)
    errors.push(
      fieldInvalid('spec.progressDeadlineSeconds', progressDeadlineSeconds, 'must be greater than minReadySeconds'),
    );
  return errors;
}

const isZero = (value: IntOrString): boolean =>
  typeof value === 'number' ? value === 0 : Number.parseInt(value, 10) === 0;

function validateDeploymentStrategy(path: string, strategy: NonNullable<Deployment['spec']>['strategy']): FieldError[] {
  if (strategy === undefined) return [];
  const { type, rollingUpdate } = strategy;
  if (type === 'Recreate')
    return rollingUpdate === undefined
      ? []
      : [fieldForbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")];
  if (type !== 'RollingUpdate') return [fieldNotSupported(path, strategy, ['Recreate', 'RollingUpdate'])];
  if (rollingUpdate === undefined)
    return [fieldRequired(`${path}.rollingUpdate`, 'this should be defaulted and never be nil')];
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  const at = `${path}.rollingUpdate`;
  const errors = [...intOrPercent(`${at}.maxUnavailable`, maxUnavailable), ...intOrPercent(`${at}.maxSurge`, maxSurge)];
  if (isZero(maxUnavailable) && isZero(maxSurge))
    errors.push(fieldInvalid(`${at}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  errors.push(...notOver100Percent(`${at}.maxUnavailable`, maxUnavailable));
  return errors;
}

function validateReplicaSet(object: UnstructuredObject): FieldError[] {
  const replicaSet = (object as unknown as ReplicaSet).spec;
  return [
    ...nonNegative('spec.replicas', replicaSet?.replicas),
    ...nonNegative('spec.minReadySeconds', replicaSet?.minReadySeconds),
    ...validateSelectorAndTemplate(replicaSet, 'deployment'),
    ...validateLongRunning(replicaSet?.template, 'ReplicaSet'),
  ];
}

function validateReplicationController(object: UnstructuredObject): FieldError[] {
  const { replicas, selector, template, minReadySeconds } = (object['spec'] ?? {}) as {
    replicas?: number;
    minReadySeconds?: number;
    selector?: Record<string, string>;
    template?: PodTemplateSpec;
  };
  const errors = [...nonNegative('spec.replicas', replicas), ...nonNegative('spec.minReadySeconds', minReadySeconds)];
  if (Object.keys(selector ?? {}).length === 0) errors.push(fieldRequired('spec.selector'));
  if (template === undefined) return [...errors, fieldRequired('spec.template')];
  const labels = template.metadata?.labels;
  const isMatch = Object.entries(selector ?? {}).every(([key, value]) => labels?.[key] === value);
  if (!isMatch)
    errors.push(
      fieldInvalid('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'),
    );
  return [
    ...errors,
    ...validatePodTemplate(template, 'spec.template'),
    ...validateLongRunning(template, 'ReplicationController'),
  ];
}

function validateStatefulSet(object: UnstructuredObject): FieldError[] {
  const set = (object as unknown as StatefulSet).spec;
  if (set === undefined) return validateSelectorAndTemplate(undefined, 'statefulset');
  const { type, rollingUpdate } = set.updateStrategy ?? {};
  const errors: FieldError[] = [];
  if (set.podManagementPolicy !== 'OrderedReady' && set.podManagementPolicy !== 'Parallel')
    errors.push(
      fieldInvalid('spec.podManagementPolicy', set.podManagementPolicy, "must be 'OrderedReady' or 'Parallel'"),
    );
  if (type === 'OnDelete') {
    if (rollingUpdate !== undefined)
      errors.push(
        fieldInvalid(
          'spec.updateStrategy.rollingUpdate',
          rollingUpdate,
          "only allowed for updateStrategy 'RollingUpdate'",
        ),
      );
  } else if (type === 'RollingUpdate')
    errors.push(...nonNegative('spec.updateStrategy.rollingUpdate.partition', rollingUpdate?.partition));
  else errors.push(fieldInvalid('spec.updateStrategy', set.updateStrategy, "must be 'RollingUpdate' or 'OnDelete'"));
  const retention = set.persistentVolumeClaimRetentionPolicy;
  return [
    ...errors,
    ...optionalOneOf('spec.persistentVolumeClaimRetentionPolicy.whenDeleted', retention?.whenDeleted, [
      'Delete',
      'Retain',
    ]),
    ...optionalOneOf('spec.persistentVolumeClaimRetentionPolicy.whenScaled', retention?.whenScaled, [
      'Delete',
      'Retain',
    ]),
    ...nonNegative('spec.replicas', set.replicas),
    ...nonNegative('spec.minReadySeconds', set.minReadySeconds),
    ...nonNegative('spec.ordinals.start', set.ordinals?.start),
    ...validateSelectorAndTemplate(set, 'statefulset'),
    ...validateLongRunning(set.template, 'StatefulSet'),
  ];
}

const statefulSetMutable = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const;

function validateStatefulSetUpdate(object: UnstructuredObject, old: UnstructuredObject): FieldError[] {
  const errors = validateStatefulSet(object);
  const rest = (value: unknown): Record<string, unknown> => {
    const copy: Record<string, unknown> = { ...(value as object) };
    for (const field of statefulSetMutable) delete copy[field];
    return copy;
  };
  if (!deepEqual(rest(object['spec']), rest(old['spec'])))
    errors.push(
      fieldForbidden(
        'spec',
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
      ),
    );
  return errors;
}

function validateDaemonSet(object: UnstructuredObject): FieldError[] {
  const set = (object as unknown as DaemonSet).spec;
  if (set === undefined) return validateSelectorAndTemplate(undefined, 'daemonset');
  return [
    ...validateSelectorAndTemplate(set, 'daemonset'),
    ...validateLongRunning(set.template, 'DaemonSet'),
    ...nonNegative('spec.minReadySeconds', set.minReadySeconds),
    ...validateDaemonSetStrategy('spec.updateStrategy', set.updateStrategy),
    ...nonNegative('spec.revisionHistoryLimit', set.revisionHistoryLimit),
  ];
}

function validateDaemonSetStrategy(
  path: string,
  strategy: NonNullable<DaemonSet['spec']>['updateStrategy'],
): FieldError[] {
  const { type, rollingUpdate } = strategy ?? {};
  if (type === 'OnDelete') return [];
  if (type !== 'RollingUpdate') return [fieldNotSupported(path, strategy, ['RollingUpdate', 'OnDelete'])];
  if (rollingUpdate === undefined) return [fieldRequired(`${path}.rollingUpdate`)];
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  const at = `${path}.rollingUpdate`;
  const errors = [
    ...intOrPercent(`${at}.maxUnavailable`, maxUnavailable),
    ...notOver100Percent(`${at}.maxUnavailable`, maxUnavailable),
    ...intOrPercent(`${at}.maxSurge`, maxSurge),
    ...notOver100Percent(`${at}.maxSurge`, maxSurge),
  ];
  if (!isZero(maxUnavailable) && !isZero(maxSurge))
    errors.push(fieldInvalid(`${at}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero'));
  if (isZero(maxUnavailable) && isZero(maxSurge))
    errors.push(fieldRequired(`${at}.maxUnavailable`, 'cannot be 0 when maxSurge is 0'));
  return errors;
}

/** A workload whose selector stays what it was. */
function withFixedSelector(validate: (object: UnstructuredObject) => FieldError[]): Strategy['validateUpdate'] {
  return (object, old) => [
    ...validate(object),
    ...immutable(
      'spec.selector',
      (object['spec'] as { selector?: unknown } | undefined)?.selector,
      (old['spec'] as { selector?: unknown } | undefined)?.selector,
    ),
  ];
}

function workload(
  applyDefaults: (object: UnstructuredObject) => void,
  validate: (object: UnstructuredObject) => FieldError[],
  extra: Partial<Strategy> = {},
): Strategy {
  return { applyDefaults, validate, validateUpdate: withFixedSelector(validate), ...extra } as Strategy;
}

const replicasField = (object: UnstructuredObject): string =>
  String((object['status'] as { replicas?: number } | undefined)?.replicas ?? 0);

export const deploymentStrategy = workload(setDeploymentDefaults, validateDeployment, {
  emptyStatus: {},
  resetFields: { status: ['spec', 'metadata.labels'] },
});
export const replicaSetStrategy = workload(setReplicaSetDefaults, validateReplicaSet, {
  emptyStatus: { replicas: 0 },
  selectableFields: { 'status.replicas': replicasField },
});
export const replicationControllerStrategy = workload(setReplicationControllerDefaults, validateReplicationController, {
  emptyStatus: { replicas: 0 },
  selectableFields: { 'status.replicas': replicasField },
  defaultPropagation: 'Orphan',
  validateUpdate: validateReplicationController,
});
export const statefulSetStrategy = workload(setStatefulSetDefaults, validateStatefulSet, {
  emptyStatus: { replicas: 0, availableReplicas: 0 },
  validateUpdate: validateStatefulSetUpdate,
});
export const daemonSetStrategy = workload(setDaemonSetDefaults, validateDaemonSet, {
  emptyStatus: { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
});
