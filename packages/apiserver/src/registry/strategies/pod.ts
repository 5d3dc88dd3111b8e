import {
  cloneJson,
  fieldForbidden,
  fieldInvalid,
  podQosClass,
  type Container,
  type FieldError,
  type Pod,
  type PodSpec,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { deepEqual, required } from './field-rules.ts';
import { setPodSpecDefaults } from './pod-defaults.ts';
import { validatePodSpec } from './pod-spec.ts';
import { ephemeralContainersStrategy, resizeStrategy } from './pod-subresources.ts';
import { validateTolerations } from './scheduling.ts';

const mirrorAnnotation = 'kubernetes.io/config.mirror';

const asPod = (object: UnstructuredObject): Pod => object;
const emptySpec: PodSpec = { containers: [] };
const specOf = (object: UnstructuredObject): PodSpec => asPod(object).spec ?? emptySpec;

type OptionalField =
  | 'activeDeadlineSeconds'
  | 'affinity'
  | 'nodeSelector'
  | 'schedulingGates'
  | 'terminationGracePeriodSeconds'
  | 'tolerations';

const changeableFields = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
].join(',');

function prepareForCreate(object: UnstructuredObject): void {
  const pod = asPod(object);
  const spec = specOf(object);
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1;
  pod.status = { phase: 'Pending', qosClass: podQosClass(spec) };
  if ((spec.schedulingGates ?? []).length > 0)
    pod.status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
      },
    ];
}

/** The mirror of a static pod is on the node of the kubelet that runs it. */
function validateMirror({ metadata, spec }: Pod): FieldError[] {
  const value = metadata?.annotations?.[mirrorAnnotation];
  if (value === undefined || (spec?.nodeName ?? '') !== '') return [];
  const path = `metadata.annotations[${mirrorAnnotation}]`;
  return [fieldInvalid(path, value, 'must set spec.nodeName if mirror pod annotation is set')];
}

function validate(object: UnstructuredObject): FieldError[] {
  const pod = asPod(object);
  const errors = [...validateMirror(pod), ...validatePodSpec(pod.spec, 'spec')];
  for (const [field, containers] of [
    ['containers', pod.spec?.containers],
    ['initContainers', pod.spec?.initContainers],
  ] as const) {
    for (const [i, { image = '' }] of (containers ?? []).entries())
      if (image.trim() !== image)
        errors.push(fieldInvalid(`spec.${field}[${i}].image`, image, 'must not have leading or trailing whitespace'));
  }
  if ((pod.spec?.ephemeralContainers ?? []).length > 0)
    errors.push(fieldForbidden('spec.ephemeralContainers', 'cannot be set on create'));
  return errors;
}

function validateUpdate(object: UnstructuredObject, oldObject: UnstructuredObject): FieldError[] {
  const spec = specOf(object);
  const old = specOf(oldObject);
  const errors = [...validateMirror(asPod(object)), ...validatePodSpec(spec, 'spec')];
  const counts = validateContainerCounts(spec, old);
  if (counts.length > 0) return [...errors, ...counts];
  errors.push(...validateImages(spec, old), ...validateDeadline(spec, old), ...validateAddedTolerations(spec, old));
  // What may change is set to the old value; the rest must then be as it was.
  const munged = cloneJson(spec);
  for (const field of ['containers', 'initContainers'] as const) {
    for (const [i, container] of (munged[field] ?? []).entries()) {
      const image = old[field]?.[i]?.image;
      if (image !== undefined) container.image = image;
    }
  }
  copyField(munged, old, 'activeDeadlineSeconds');
  copyField(munged, old, 'tolerations');
  copyField(munged, old, 'schedulingGates');
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1)
    copyField(munged, old, 'terminationGracePeriodSeconds');
  if ((old.schedulingGates ?? []).length > 0) {
    errors.push(...validateGatedScheduling(munged, old));
    copyField(munged, old, 'nodeSelector');
    copyField(munged, old, 'affinity');
  }
  errors.push(...validateGates(spec, old));
  if (!deepEqual(munged, old))
    errors.push(
      fieldForbidden(
        'spec',
        `pod updates may not change fields other than ${changeableFields}\n${differences(old, munged, '').join('\n')}`,
      ),
    );
  return errors;
}

function copyField(into: PodSpec, from: PodSpec, field: OptionalField): void {
  if (from[field] === undefined) delete into[field];
  else Object.assign(into, { [field]: from[field] });
}

function validateContainerCounts(spec: PodSpec, old: PodSpec): FieldError[] {
  return (['containers', 'initContainers'] as const).flatMap((field) =>
    (spec[field] ?? []).length === (old[field] ?? []).length
      ? []
      : [fieldForbidden(`spec.${field}`, 'pod updates may not add or remove containers')],
  );
}

function validateImages(spec: PodSpec, old: PodSpec): FieldError[] {
  const check = (field: string, containers: readonly Container[] = [], before: readonly Container[] = []) =>
    containers.flatMap(({ image }, i) =>
      image === before[i]?.image ? [] : required(`spec.${field}[${i}].image`, image?.trim()),
    );
  return [
    ...check('containers', spec.containers, old.containers),
    ...check('initContainers', spec.initContainers, old.initContainers),
  ];
}

function validateDeadline(
  { activeDeadlineSeconds: now }: PodSpec,
  { activeDeadlineSeconds: before }: PodSpec,
): FieldError[] {
  const path = 'spec.activeDeadlineSeconds';
  if (before === undefined || now === before) return [];
  if (now === undefined) return [fieldInvalid(path, null, 'must not update from a positive integer to nil value')];
  return now > before ? [fieldInvalid(path, now, 'must be less than or equal to previous value')] : [];
}

function validateAddedTolerations(spec: PodSpec, old: PodSpec): FieldError[] {
  const path = 'spec.tolerations';
  const isKept = (toleration: object): boolean =>
    (spec.tolerations ?? []).some((each) =>
      deepEqual({ ...each, tolerationSeconds: undefined }, { ...toleration, tolerationSeconds: undefined }),
    );
  if (!(old.tolerations ?? []).every(isKept))
    return [fieldForbidden(path, 'existing toleration can not be modified except its tolerationSeconds')];
  return validateTolerations(path, spec.tolerations);
}

/** Scheduling gates may be removed, never added. */
function validateGates(spec: PodSpec, old: PodSpec): FieldError[] {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  const added = (spec.schedulingGates ?? []).filter(({ name }) => !before.has(name));
  return added.length === 0
    ? []
    : [
        fieldForbidden(
          'spec.schedulingGates',
          'only deletion is allowed, but found new scheduling gates: ' +
            `{${added.map(({ name }) => name).join(', ')}}`,
        ),
      ];
}

/** A gated pod's node selector may only become narrower. */
function validateGatedScheduling(spec: PodSpec, old: PodSpec): FieldError[] {
  const isWider = Object.entries(old.nodeSelector ?? {}).some(([key, value]) => spec.nodeSelector?.[key] !== value);
  return isWider
    ? [
        fieldInvalid(
          'spec.nodeSelector',
          spec.nodeSelector ?? null,
          'only additions are allowed for pods that are gated',
        ),
      ]
    : [];
}

/** `- path: value` and `+ path: value` of what differs. */
function differences(old: unknown, now: unknown, path: string): string[] {
  if (deepEqual(old, now)) return [];
  const isNode = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
  if (isNode(old) && isNode(now))
    return [...new Set([...Object.keys(old), ...Object.keys(now)])].flatMap((key) =>
      differences(old[key], now[key], `${path}${Array.isArray(old) ? `[${key}]` : `${path === '' ? '' : '.'}${key}`}`),
    );
  const line = (sign: string, value: unknown): string[] =>
    value === undefined ? [] : [`${sign} ${path}: ${JSON.stringify(value)}`];
  return [...line('-', old), ...line('+', now)];
}

/** The kubelet's writes: nothing but status and metadata, and never owner references. */
function prepareForStatusUpdate(object: UnstructuredObject, old: UnstructuredObject): void {
  const pod = asPod(object);
  const before = asPod(old);
  if (before.spec !== undefined) pod.spec = before.spec;
  if (before.metadata.ownerReferences === undefined) delete pod.metadata.ownerReferences;
  else pod.metadata.ownerReferences = before.metadata.ownerReferences;
  if (pod.status !== undefined && before.status?.qosClass !== undefined) pod.status.qosClass ??= before.status.qosClass;
}

function warnings(object: UnstructuredObject): string[] {
  const found: string[] = [];
  for (const [field, containers] of [
    ['containers', specOf(object).containers],
    ['initContainers', specOf(object).initContainers],
  ] as const) {
    for (const [i, { env = [] }] of (containers ?? []).entries()) {
      const seen = new Set<string>();
      for (const [j, { name }] of env.entries()) {
        if (seen.has(name))
          found.push(
            `spec.${field}[${i}].env[${j}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`,
          );
        seen.add(name);
      }
    }
  }
  return found;
}

export const podStrategy: Strategy = {
  resetFields: { status: ['spec', 'metadata.ownerReferences', 'metadata.deletionTimestamp'] },
  applyDefaults(object) {
    const spec = asPod(object).spec;
    if (spec === undefined) return;
    setPodSpecDefaults(spec, { isPod: true });
  },
  prepareForCreate,
  validate,
  prepareForUpdate(object, old) {
    const status = asPod(old).status;
    if (status === undefined) delete asPod(object).status;
    else asPod(object).status = status;
  },
  validateUpdate,
  prepareForStatusUpdate,
  subresources: { ephemeralcontainers: ephemeralContainersStrategy, resize: resizeStrategy },
  warnings,
  gracePeriodSeconds(object, requested) {
    const { spec, status } = asPod(object);
    if ((spec?.nodeName ?? '') === '' || status?.phase === 'Failed' || status?.phase === 'Succeeded') return 0;
    const period = requested ?? spec?.terminationGracePeriodSeconds ?? 0;
    return period < 0 ? 1 : period;
  },
  selectableFields: {
    'spec.nodeName': (object) => specOf(object).nodeName ?? '',
    'spec.restartPolicy': (object) => specOf(object).restartPolicy ?? '',
    'spec.schedulerName': (object) => specOf(object).schedulerName ?? '',
    'spec.serviceAccountName': (object) => specOf(object).serviceAccountName ?? '',
    'spec.hostNetwork': (object) => String(specOf(object).hostNetwork ?? false),
    'status.phase': (object) => asPod(object).status?.phase ?? '',
    'status.podIP': (object) => asPod(object).status?.podIP ?? '',
    'status.podIPs': (object) => asPod(object).status?.podIP ?? '',
    'status.nominatedNodeName': (object) => asPod(object).status?.nominatedNodeName ?? '',
  },
};
