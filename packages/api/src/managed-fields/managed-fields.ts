/**
 * metadata.managedFields: who set which field of an object, by updates and by server-side apply
 * (k8s.io/apimachinery/pkg/util/managedfields, sigs.k8s.io/structured-merge-diff/merge).
 */
import type { ObjectMeta, UnstructuredObject } from '../object.ts';
import { cloneJson, equalJson, isJsonObject } from '../patch/json.ts';
import { newStatusError, newUnknownError, type StatusCause, type StatusError } from '../status.ts';
import { difference, intersection, LEAF, parseFieldsV1, pathsOf, union, type FieldSet } from './field-set.ts';
import type { Typed } from './shape.ts';
import {
  applyProblems,
  changedFields,
  mergeTyped,
  removedFields,
  setOf,
  withNamedFields,
  withoutFields,
} from './typed-value.ts';

export type ManagedFieldsEntry = NonNullable<ObjectMeta['managedFields']>[number];

/** Who writes what, as far as ownership is concerned. */
export interface FieldOwnership {
  readonly manager: string;
  /** '' for the object itself. */
  readonly subresource: string;
  /** Key of the kind's schema; what has none is owned field by field. */
  readonly model: string;
  /** Whether the kind's status is written by a subresource of its own. */
  readonly hasStatus: boolean;
  /** RFC 3339. */
  readonly now: string;
}

/** Entries of updates that are kept; older ones become one of `ancient-changes`. */
const UPDATE_ENTRIES_MAX = 10;

/** Nobody owns these, of whatever object (upstream's stripMeta). */
const ignored: FieldSet = {
  'f:apiVersion': LEAF,
  'f:kind': LEAF,
  'f:metadata': {
    '.': LEAF,
    ...Object.fromEntries(
      [
        'name',
        'namespace',
        'creationTimestamp',
        'selfLink',
        'uid',
        'clusterName',
        'generation',
        'managedFields',
        'resourceVersion',
      ].map((field) => [`f:${field}`, LEAF]),
    ),
  },
};
const ignoredMeta = new Set(Object.keys(ignored['f:metadata'] ?? {}).map((element) => element.slice(2)));

/** The part of an object that a write to it, or to its subresource, can set. */
function ownedPart(object: UnstructuredObject, { subresource, hasStatus }: FieldOwnership): Record<string, unknown> {
  if (subresource === 'status' || subresource === 'approval')
    return object['status'] === undefined ? {} : { status: object['status'] };
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...part } = object;
  const meta: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(metadata)) if (!ignoredMeta.has(field)) meta[field] = value;
  if (hasStatus) delete part['status'];
  return Object.keys(meta).length === 0 ? part : { metadata: meta, ...part };
}

function typeOf(model: string): Typed {
  return { type: 'ref', ref: model };
}

interface Entry {
  readonly meta: Omit<ManagedFieldsEntry, 'fieldsV1'>;
  readonly set: FieldSet | undefined;
}

/** Entries of a stored object, which were checked when they were stored. */
function storedEntries(object: UnstructuredObject | undefined): Entry[] {
  return (object?.metadata.managedFields ?? []).map(({ fieldsV1, ...meta }) => ({
    meta,
    set: fieldsV1 as FieldSet | undefined,
  }));
}

/** Entries that a client sends; undefined: one of them cannot be read. */
function decodeEntries(entries: readonly ManagedFieldsEntry[] | undefined): Entry[] | undefined {
  try {
    return (entries ?? []).map(({ fieldsV1, ...meta }) => {
      if (meta.operation !== 'Apply' && meta.operation !== 'Update') throw new Error('unknown operation');
      return { meta, set: parseFieldsV1(fieldsV1) };
    });
  } catch {
    return undefined;
  }
}

function isReset(entries: readonly ManagedFieldsEntry[] | undefined): boolean {
  return entries?.length === 1 && Object.keys(entries[0] ?? {}).length === 0;
}

/** Upstream's order: appliers first, then by time, manager, version and subresource. */
function compareEntries({ meta: a }: Entry, { meta: b }: Entry): number {
  const keys = ['operation', 'time', 'manager', 'apiVersion', 'subresource'] as const;
  for (const key of keys) {
    const [left, right] = [a[key] ?? '', b[key] ?? ''];
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

function encodeEntries(entries: readonly Entry[]): ManagedFieldsEntry[] {
  const kept = entries.filter((each) => each.set !== undefined).toSorted(compareEntries);
  const updates = kept.filter((each) => each.meta.operation === 'Update');
  const surplus = new Set(updates.slice(0, Math.max(0, updates.length - UPDATE_ENTRIES_MAX + 1)));
  const result = updates.length <= UPDATE_ENTRIES_MAX ? kept : mergeOldest(kept, surplus);
  return result.map(({ meta, set }) => ({ ...meta, fieldsType: 'FieldsV1', fieldsV1: set ?? {} }));
}

function mergeOldest(entries: readonly Entry[], surplus: ReadonlySet<Entry>): Entry[] {
  const buckets = new Map<string, Entry>();
  for (const entry of surplus) {
    const { apiVersion = '', time } = entry.meta;
    const set = union(buckets.get(apiVersion)?.set, entry.set);
    const meta = {
      manager: 'ancient-changes',
      operation: 'Update',
      apiVersion,
      ...(time === undefined ? {} : { time }),
    };
    buckets.set(apiVersion, { meta, set });
  }
  return [...entries.filter((each) => !surplus.has(each)), ...buckets.values()].toSorted(compareEntries);
}

function setEntries(object: UnstructuredObject, entries: readonly Entry[]): void {
  const encoded = encodeEntries(entries);
  if (encoded.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = encoded;
}

function isOf(entry: Entry, operation: string, { manager, subresource }: FieldOwnership, apiVersion?: string): boolean {
  const { meta } = entry;
  return (
    meta.operation === operation &&
    meta.manager === manager &&
    (meta.subresource ?? '') === subresource &&
    (apiVersion === undefined || meta.apiVersion === apiVersion)
  );
}

function metaOf(operation: 'Apply' | 'Update', apiVersion: string, owner: FieldOwnership): Entry['meta'] {
  const { manager, subresource, now } = owner;
  return { manager, operation, apiVersion, time: now, ...(subresource === '' ? {} : { subresource }) };
}

/**
 * Sets metadata.managedFields of an object that is about to replace `old` (undefined: it is new) by anything but apply: the
 * manager owns what it changed, and nobody else does. A client may write the entries itself, and `[{}]` takes them all away.
 */
export function trackUpdate(
  object: UnstructuredObject,
  old: UnstructuredObject | undefined,
  owner: FieldOwnership,
): void {
  const given = object.metadata.managedFields;
  const live = old?.metadata.managedFields;
  let entries: Entry[] | undefined;
  if (owner.subresource === '' && !equalJson(given, live)) entries = isReset(given) ? [] : decodeEntries(given);
  const isLive = entries === undefined || (entries.length === 0 && !isReset(given));
  if (isLive) entries = storedEntries(old);
  entries ??= [];
  // Who took the entries away does not want them.
  if (entries.length === 0 && old !== undefined) {
    delete object.metadata.managedFields;
    return;
  }
  const type = typeOf(owner.model);
  const before = old === undefined ? {} : ownedPart(old, owner);
  const after = ownedPart(object, owner);
  dropEqual(before, after);
  const changed = changedFields(before, after, type);
  const removed = removedFields(before, after, type);
  if (changed === undefined && removed === undefined && isLive) {
    if (live === undefined) delete object.metadata.managedFields;
    else object.metadata.managedFields = live;
    return;
  }
  const { apiVersion } = object;
  const lost = union(changed, removed);
  const own = entries.find((each) => isOf(each, 'Update', owner, apiVersion));
  const rest = entries
    .filter((each) => each !== own || changed === undefined)
    .map((entry) => ({ ...entry, set: difference(entry.set, lost) }));
  if (changed !== undefined) {
    const set = union(difference(own?.set, removed), changed);
    rest.push({ meta: metaOf('Update', apiVersion, owner), set });
  }
  setEntries(object, rest);
}

/** Most writes leave most of an object as it is: that is compared once. */
function dropEqual(before: Record<string, unknown>, after: Record<string, unknown>): void {
  for (const field of Object.keys(before))
    if (equalJson(before[field], after[field])) {
      delete before[field];
      delete after[field];
    }
}

export interface Application extends FieldOwnership {
  /** The applied configuration: decoded, without defaults. */
  readonly config: UnstructuredObject;
  /** Takes fields that others own. */
  readonly force: boolean;
}

/**
 * Server-side apply: the object that a configuration makes out of the live one (undefined: there is none), with its
 * managedFields. Neither is changed.
 * @throws StatusError Conflict when it changes fields of others, BadRequest or InternalError for what cannot be applied.
 */
export function applyConfiguration(live: UnstructuredObject | undefined, application: Application): UnstructuredObject {
  const { config, force, model } = application;
  const type = typeOf(model);
  const { apiVersion } = config;
  checkConfiguration(config, type);
  const set = setOf(ownedPart(config, application), type);
  const lives = entriesBeforeApply(live, application);
  const own = lives.find((each) => isOf(each, 'Apply', application));
  const others = lives.filter((each) => each !== own);
  const merged = mergeTyped(live, config, type) as UnstructuredObject;
  const pruned = prune(merged, {
    last: own?.set,
    managed: others.reduce((all, each) => union(all, each.set), set),
    type,
  });
  const object = cloneJson(pruned);
  const before = live === undefined ? {} : ownedPart(live, application);
  const after = ownedPart(object, application);
  const changed = changedFields(before, after, type);
  const removed = removedFields(before, after, type);
  const conflicts = others.map((entry) => ({ entry, set: intersection(entry.set, changed) }));
  if (!force) refuseConflicts(conflicts);
  const lost = union(changed, removed);
  const rest = others.map((entry) => ({ ...entry, set: difference(entry.set, lost) }));
  const isSame = lost === undefined && own !== undefined && equalJson(own.set ?? {}, set ?? {});
  const meta = isSame && own.meta.apiVersion === apiVersion ? own.meta : metaOf('Apply', apiVersion, application);
  setEntries(object, [...rest, { meta, set }]);
  return object;
}

function checkConfiguration(config: UnstructuredObject, type: Typed): void {
  const problems = applyProblems(config, type);
  if (problems.length > 0) throw newTypedPatchError(config, problems);
}

/** The refusal of a configuration that does not fit the kind's schema: upstream’s, which is of no class. */
export function newTypedPatchError(
  { apiVersion, kind, metadata: { namespace = '', name = '' } }: UnstructuredObject,
  problems: readonly string[],
): StatusError {
  const gvk = `${apiVersion.includes('/') ? '' : '/'}${apiVersion}, Kind=${kind}`;
  const [only] = problems;
  const message = problems.length === 1 && only !== undefined ? only : ['errors:', ...problems].join('\n  ');
  return newUnknownError(`failed to create typed patch object (${namespace}/${name}; ${gvk}): ${message}`);
}

/** An object that nobody owns was made before anybody applied: all of it is an earlier manager's. */
function entriesBeforeApply(live: UnstructuredObject | undefined, application: Application): Entry[] {
  const entries = storedEntries(live);
  if (live === undefined || entries.length > 0) return entries;
  const owner = { ...application, manager: 'before-first-apply', subresource: '', hasStatus: false };
  const set = changedFields({}, ownedPart(live, owner), typeOf(application.model));
  return [{ meta: metaOf('Update', live.apiVersion, owner), set }];
}

/** Takes out what the manager applied before, applies no longer, and nobody else owns. */
function prune(
  merged: UnstructuredObject,
  owners: { readonly last: FieldSet | undefined; readonly managed: FieldSet | undefined; readonly type: Typed },
): UnstructuredObject {
  const { managed, type } = owners;
  if (owners.last === undefined || difference(owners.last, managed) === undefined) return merged;
  const named = (set: FieldSet | undefined): FieldSet | undefined => withNamedFields(set, type);
  const take = (set: FieldSet | undefined): Record<string, unknown> =>
    set === undefined ? merged : ((withoutFields(merged, set, type) ?? {}) as Record<string, unknown>);
  const all = named(setOf(merged, type));
  const last = named(owners.last);
  const withoutLast = take(last);
  const withOwned = take(difference(all, union(named(setOf(withoutLast, type)), named(managed))));
  const gone = intersection(difference(all, named(setOf(withOwned, type))), last);
  const { metadata = {}, ...rest } = take(difference(gone, ignored));
  // Names and the like are nobody's: they stay.
  const kept = Object.fromEntries(Object.entries(merged.metadata).filter(([field]) => ignoredMeta.has(field)));
  const meta = { ...kept, ...(isJsonObject(metadata) ? metadata : {}) } as ObjectMeta;
  return { ...rest, apiVersion: merged.apiVersion, kind: merged.kind, metadata: meta };
}

function refuseConflicts(conflicts: readonly { readonly entry: Entry; readonly set: FieldSet | undefined }[]): void {
  const found = conflicts
    .flatMap(({ entry, set }) => pathsOf(set).map((path) => ({ manager: printManager(entry), path })))
    .toSorted((a, b) => (a.manager < b.manager ? -1 : a.manager > b.manager ? 1 : 0));
  const [first] = found;
  if (first === undefined) return;
  const causes: StatusCause[] = found.map(({ manager, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${manager}`,
    field: path,
  }));
  throw newStatusError('Conflict', `Apply failed with ${conflictText(found)}`, { causes });
}

function conflictText(found: readonly { readonly manager: string; readonly path: string }[]): string {
  const [first] = found;
  if (found.length === 1 && first !== undefined) return `1 conflict: conflict with ${first.manager}: ${first.path}`;
  const lines: string[] = [];
  let manager = '';
  for (const each of found) {
    if (each.manager !== manager) lines.push(`conflicts with ${each.manager}:`);
    manager = each.manager;
    lines.push(`- ${each.path}`);
  }
  return `${found.length} conflicts: ${lines.join('\n')}`;
}

function printManager({ meta }: Entry): string {
  const name = JSON.stringify(meta.manager ?? '');
  const subresource = (meta.subresource ?? '') === '' ? '' : ` with subresource ${JSON.stringify(meta.subresource)}`;
  return meta.operation === 'Update' ? `${name}${subresource} using ${meta.apiVersion ?? ''}` : `${name}${subresource}`;
}

/** A write that changes nothing but the times of entries changes nothing: defaults may undo what a client sent. */
export function ignoreTimestamps(object: UnstructuredObject, old: UnstructuredObject): void {
  const { managedFields: entries } = object.metadata;
  const { managedFields: before } = old.metadata;
  if (entries === before || entries === undefined || entries.length !== before?.length) return;
  const others = { ...object, metadata: { ...object.metadata, managedFields: before } };
  const isSame = (entry: ManagedFieldsEntry, i: number): boolean =>
    equalJson({ ...entry, time: before[i]?.time }, before[i]);
  if (equalJson(others, old) && entries.every(isSame)) object.metadata.managedFields = before;
}
