/**
 * Deletion: grace periods, finalizers and what becomes of dependents
 * (k8s.io/apiserver/pkg/registry/rest/delete.go, generic/registry/store.go).
 */
import {
  cloneJson,
  formatTime,
  newBadRequest,
  newInvalid,
  fieldInvalid,
  type DeleteOptions,
  type ObjectMeta,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import {
  checkPreconditions,
  strategyContext,
  type GenericRegistry,
  type UpdateStep,
  type UpdatedObject,
} from './generic-registry.ts';
import type { RequestContext } from './request-context.ts';

const orphanFinalizer = 'orphan';
const foregroundFinalizer = 'foregroundDeletion';

/** @throws StatusError Invalid or BadRequest. */
export function validateDeleteOptions(options: DeleteOptions): void {
  const { orphanDependents, propagationPolicy } = options;
  const kind = { group: 'meta.k8s.io', kind: 'DeleteOptions' };
  if (orphanDependents !== undefined && propagationPolicy !== undefined)
    throw newInvalid(kind, '', [
      fieldInvalid(
        'propagationPolicy',
        propagationPolicy,
        'orphanDependents and deletionPropagation cannot be both set',
      ),
    ]);
  if (propagationPolicy !== undefined && !['Foreground', 'Background', 'Orphan'].includes(propagationPolicy))
    throw newInvalid(kind, '', [
      {
        type: 'FieldValueNotSupported',
        field: 'propagationPolicy',
        value: propagationPolicy,
        detail: 'supported values: "Foreground", "Background", "Orphan", "nil"',
      },
    ]);
  for (const value of options.dryRun ?? [])
    if (value !== 'All')
      throw newInvalid(kind, '', [
        { type: 'FieldValueNotSupported', field: 'dryRun', value: options.dryRun, detail: 'supported values: "All"' },
      ]);
  if (options.gracePeriodSeconds !== undefined && !Number.isInteger(options.gracePeriodSeconds))
    throw newBadRequest('gracePeriodSeconds must be an integer');
}

/** Deletes an object, or marks it as being deleted when something must happen first. */
export async function deleteObject(
  registry: GenericRegistry,
  name: string,
  options: DeleteOptions,
  context: RequestContext,
): Promise<UpdatedObject> {
  const step: UpdateStep = async (old) => {
    const object = cloneJson(old);
    checkPreconditions(registry.resource, object, options.preconditions?.uid, options.preconditions?.resourceVersion);
    const attributes = registry.attributes('DELETE', '', undefined, old, { ...context, options });
    await registry.admit(attributes);
    await registry.validateAdmission(attributes);
    if (object.metadata.deletionTimestamp === undefined)
      registry.strategy.prepareForDelete?.(object, strategyContext(context));
    const remove = isNamespace(registry.resource)
      ? markNamespace(object, options, registry, context)
      : markObject(object, options, registry, context);
    // An object that goes is reported as it was, but that the rest of its grace was cut.
    const isHurried = old.metadata.deletionTimestamp !== undefined;
    return { object: remove && !isHurried ? old : object, remove };
  };
  return await registry.guaranteedUpdate(context.namespace, name, context, step);
}

/** Changes the object to what a deletion makes of it; true: nothing is left to wait for. */
function markObject(
  object: UnstructuredObject,
  options: DeleteOptions,
  registry: GenericRegistry,
  context: RequestContext,
): boolean {
  const { metadata } = object;
  const grace = gracePeriodOf(object, options, registry);
  setFinalizers(metadata, finalizersFor(metadata, options, registry.strategy.defaultPropagation));
  const pendingFinalizers = (metadata.finalizers ?? []).length > 0;
  if (grace === undefined || grace === 0) {
    if (pendingFinalizers || (grace === 0 && metadata.deletionTimestamp !== undefined))
      mark(metadata, 0, context.nowMs);
    return !pendingFinalizers;
  }
  mark(metadata, grace, context.nowMs);
  return false;
}

/** The grace period in seconds; undefined for kinds without one. */
function gracePeriodOf(
  object: UnstructuredObject,
  options: DeleteOptions,
  registry: GenericRegistry,
): number | undefined {
  const requested = options.gracePeriodSeconds;
  // Upstream takes a negative period for one second.
  const seconds = requested !== undefined && requested < 0 ? 1 : requested;
  const grace = registry.strategy.gracePeriodSeconds?.(object, seconds);
  const { deletionTimestamp, deletionGracePeriodSeconds } = object.metadata;
  if (grace === undefined || deletionTimestamp === undefined) return grace;
  const pending = deletionGracePeriodSeconds ?? 0;
  // A deletion under way can only be hurried.
  return seconds === undefined ? pending : Math.min(pending, grace);
}

/** Sets deletionTimestamp, or brings it forward. */
function mark(metadata: ObjectMeta, graceSeconds: number, nowMs: number): void {
  const { deletionTimestamp, deletionGracePeriodSeconds: before } = metadata;
  if (deletionTimestamp === undefined) {
    metadata.deletionTimestamp = formatTime(nowMs + graceSeconds * 1000);
    if (metadata.generation !== undefined && metadata.generation > 0) metadata.generation++;
  } else if (before === undefined || before > graceSeconds) {
    const requestedAt = Date.parse(deletionTimestamp) - (before ?? 0) * 1000;
    metadata.deletionTimestamp = formatTime(requestedAt + graceSeconds * 1000);
  }
  metadata.deletionGracePeriodSeconds = Math.min(before ?? graceSeconds, graceSeconds);
}

/** The finalizers with those of garbage collection as the options, or else the object itself, want them. */
function finalizersFor(
  metadata: ObjectMeta,
  options: DeleteOptions,
  defaultPropagation: 'Background' | 'Orphan' | undefined,
): string[] {
  const present = metadata.finalizers ?? [];
  const others = present.filter((each) => each !== orphanFinalizer && each !== foregroundFinalizer);
  const { orphanDependents, propagationPolicy } = options;
  const isToldOtherwise = orphanDependents !== undefined || propagationPolicy !== undefined;
  const orphan = isToldOtherwise
    ? orphanDependents === true || propagationPolicy === 'Orphan'
    : present.includes(orphanFinalizer) ||
      (defaultPropagation === 'Orphan' &&
        metadata.deletionTimestamp === undefined &&
        !present.includes(foregroundFinalizer));
  const foreground = isToldOtherwise
    ? propagationPolicy === 'Foreground'
    : !orphan && present.includes(foregroundFinalizer);
  const wanted = [...others];
  if (orphan) wanted.push(orphanFinalizer);
  if (foreground) wanted.push(foregroundFinalizer);
  const isSame = wanted.length === present.length && wanted.every((each) => present.includes(each));
  return isSame ? present : wanted;
}

function setFinalizers(metadata: ObjectMeta, finalizers: string[]): void {
  if (finalizers.length === 0) delete metadata.finalizers;
  else metadata.finalizers = finalizers;
}

function isNamespace({ group, resource }: Resource): boolean {
  return group === '' && resource === 'namespaces';
}

/** A namespace terminates: it goes when its finalizers are gone, which the namespace controller sees to. */
function markNamespace(
  object: UnstructuredObject,
  options: DeleteOptions,
  registry: GenericRegistry,
  context: RequestContext,
): boolean {
  const { metadata } = object;
  setFinalizers(metadata, finalizersFor(metadata, options, registry.strategy.defaultPropagation));
  metadata.deletionTimestamp ??= formatTime(context.nowMs);
  object['status'] = { ...(object['status'] as object | undefined), phase: 'Terminating' };
  const spec = object['spec'] as { finalizers?: string[] } | undefined;
  return (spec?.finalizers ?? []).length === 0 && (metadata.finalizers ?? []).length === 0;
}

/** Kinds whose deletion answers with the object that went; the others answer with a Status. */
const returnsDeletedObject: ReadonlySet<string> = new Set([
  'csidrivers.storage.k8s.io',
  'csinodes.storage.k8s.io',
  'persistentvolumeclaims.',
  'persistentvolumes.',
  'pods.',
  'podtemplates.',
  'resourcequotas.',
  'serviceaccounts.',
  'services.',
  'storageclasses.storage.k8s.io',
  'volumeattachments.storage.k8s.io',
]);

/** Whether DELETE answers with the object. */
export function answersWithObject({ group, resource }: Resource, result: UpdatedObject): boolean {
  return result.effect !== 'removed' || returnsDeletedObject.has(`${resource}.${group}`);
}
