/** Entries of metadata.managedFields, and what of an object they are about (k8s.io/apimachinery/pkg/util/managedfields). */
import type { ObjectMeta, UnstructuredObject } from '../object.ts';
import { isJsonObject, type JsonObject } from '../patch/json.ts';
import type { JsonSchema } from '../structural/structural-schema.ts';
import { LEAF, parseFieldsV1, union, type FieldSet } from './field-set.ts';
import { structuralType, type Typed } from './shape.ts';

export type ManagedFieldsEntry = NonNullable<ObjectMeta['managedFields']>[number];

/** What is known of the fields of a kind; where nothing is, they are owned field by field. */
export interface KindModel {
  /** Key of the kind's schema. */
  readonly model: string;
  /** Of custom resources. */
  readonly schema?: JsonSchema | undefined;
}

/** Who writes what, as far as ownership is concerned. */
export interface FieldOwnership {
  readonly manager: string;
  /** '' for the object itself. */
  readonly subresource: string;
  /** The version in which the write is made. */
  readonly apiVersion: string;
  /** The kind's fields in a version; undefined: there is no such version, and who owned fields of it owns none. */
  modelOf(apiVersion: string): KindModel | undefined;
  /** Fields that the write cannot set, such as `status` or `metadata.labels`: nobody owns them by it. */
  readonly resetFields: readonly string[];
  /** RFC 3339. */
  readonly now: string;
}

/** Entries of updates that are kept; older ones become one of `ancient-changes`. */
const UPDATE_ENTRIES_MAX = 10;

/** Nobody owns these, of whatever object (upstream's stripMeta). */
export const ignored: FieldSet = {
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
export const ignoredMeta = new Set(Object.keys(ignored['f:metadata'] ?? {}).map((element) => element.slice(2)));

/** The part of an object that a write to it, or to its subresource, can set. */
export function ownedPart(object: UnstructuredObject, { resetFields }: FieldOwnership): Record<string, unknown> {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = object;
  const meta: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(metadata)) if (!ignoredMeta.has(field)) meta[field] = value;
  const part: Record<string, unknown> = Object.keys(meta).length === 0 ? rest : { metadata: meta, ...rest };
  for (const path of resetFields) {
    const [field = '', below] = path.split('.', 2);
    if (below === undefined) delete part[field];
    else if (isJsonObject(part[field])) part[field] = without(part[field], below);
  }
  return part;
}

function without(object: JsonObject, field: string): JsonObject {
  const { [field]: _dropped, ...rest } = object;
  return rest;
}

/** Undefined: there is no such version. */
export function typeIn({ modelOf }: FieldOwnership, apiVersion: string | undefined): Typed {
  const kind = apiVersion === undefined ? undefined : modelOf(apiVersion);
  if (kind === undefined) return undefined;
  return kind.schema === undefined ? { type: 'ref', ref: kind.model } : structuralType(kind.schema);
}

export interface Entry {
  readonly meta: Omit<ManagedFieldsEntry, 'fieldsV1'>;
  readonly set: FieldSet | undefined;
}

/** Entries of a stored object, which were checked when they were stored. */
export function storedEntries(object: UnstructuredObject | undefined): Entry[] {
  return (object?.metadata.managedFields ?? []).map(({ fieldsV1, ...meta }) => ({
    meta,
    set: fieldsV1 as FieldSet | undefined,
  }));
}

/** Entries that a client sends; undefined: one of them cannot be read. */
export function decodeEntries(entries: readonly ManagedFieldsEntry[] | undefined): Entry[] | undefined {
  try {
    return (entries ?? []).map(({ fieldsV1, ...meta }) => {
      if (meta.operation !== 'Apply' && meta.operation !== 'Update') throw new Error('unknown operation');
      if ((meta.apiVersion ?? '') === '' || meta.fieldsType !== 'FieldsV1') throw new Error('unknown fields');
      return { meta, set: parseFieldsV1(fieldsV1) };
    });
  } catch {
    return undefined;
  }
}

/** Whether a client takes all entries away: by an empty list, or by an empty entry. */
export function isReset(entries: readonly ManagedFieldsEntry[] | undefined): boolean {
  if (entries === undefined || entries.length > 1) return false;
  return Object.keys(entries[0] ?? {}).length === 0;
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
  return mergeOldest(kept).map(({ meta, set }) => ({ ...meta, fieldsType: 'FieldsV1', fieldsV1: set ?? {} }));
}

const ANCIENT = 'ancient-changes';

/** Where there are too many updates, the oldest of a version are merged two by two, until there are not. */
function mergeOldest(entries: Entry[]): Entry[] {
  const updates = entries.filter((each) => each.meta.operation === 'Update');
  let surplus = updates.length - UPDATE_ENTRIES_MAX;
  if (surplus <= 0) return entries;
  const kept = new Set(entries);
  const oldest = new Map<string, Entry>();
  for (const entry of updates) {
    if (surplus === 0) break;
    const { apiVersion = '', time } = entry.meta;
    const older = oldest.get(apiVersion);
    let merged = entry;
    if (older !== undefined) {
      const meta = { manager: ANCIENT, operation: 'Update', apiVersion, ...(time === undefined ? {} : { time }) };
      merged = { meta, set: union(older.set, entry.set) };
      kept.delete(older);
      kept.delete(entry);
      kept.add(merged);
      surplus--;
    }
    oldest.set(apiVersion, merged);
  }
  return [...kept].toSorted(compareEntries);
}

export function setEntries(object: UnstructuredObject, entries: readonly Entry[]): void {
  const encoded = encodeEntries(entries);
  if (encoded.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = encoded;
}

export function isOf(
  entry: Entry,
  operation: string,
  { manager, subresource }: FieldOwnership,
  apiVersion?: string,
): boolean {
  const { meta } = entry;
  return (
    meta.operation === operation &&
    meta.manager === manager &&
    (meta.subresource ?? '') === subresource &&
    (apiVersion === undefined || meta.apiVersion === apiVersion)
  );
}

export function metaOf(operation: 'Apply' | 'Update', apiVersion: string, owner: FieldOwnership): Entry['meta'] {
  const { manager, subresource, now } = owner;
  return { manager, operation, apiVersion, time: now, ...(subresource === '' ? {} : { subresource }) };
}
