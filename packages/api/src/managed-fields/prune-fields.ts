/** Taking out of an object what its applier applies no longer. */
import type { ObjectMeta, UnstructuredObject } from '../object.ts';
import { isJsonObject } from '../patch/json.ts';
import { inVersion, type Versioned } from './changes.ts';
import { ignored, ignoredMeta, typeIn, type Entry, type FieldOwnership } from './entries.ts';
import { difference, intersection, union, type FieldSet } from './field-set.ts';
import type { Typed } from './shape.ts';
import { setOf, withNamedFields, withoutFields } from './typed-value.ts';

export interface PruneOptions {
  readonly application: FieldOwnership;
  /** What the manager applied before. */
  readonly last: Entry | undefined;
  /** What it applies now. */
  readonly set: FieldSet | undefined;
  readonly others: readonly Entry[];
}

/** Takes out what the manager applied before, applies no longer, and nobody else owns, in whatever version. */
export function* pruneFields(merged: UnstructuredObject, options: PruneOptions): Versioned<UnstructuredObject> {
  const { application, last, set, others } = options;
  const { apiVersion } = application;
  const managed = new Map([[apiVersion, set]]);
  for (const each of others) {
    const { apiVersion: version = '' } = each.meta;
    managed.set(version, union(managed.get(version), each.set));
  }
  const lastVersion = last?.meta.apiVersion ?? apiVersion;
  if (difference(last?.set, managed.get(lastVersion)) === undefined) return merged;
  const before = yield* inVersion(merged, lastVersion);
  const type = typeIn(application, lastVersion);
  const owned = withNamedFields(last?.set, type);
  let pruned = take(before, owned, type);
  // Conversion may need what is owned in the version in which it was taken out: that comes back first.
  const versions = new Set([...(managed.has(lastVersion) ? [lastVersion] : []), ...managed.keys()]);
  for (const version of versions)
    pruned = yield* addBack(merged, pruned, { version, fields: managed.get(version), application });
  pruned = yield* inVersion(pruned, lastVersion);
  const gone = intersection(difference(allFields(before, type), allFields(pruned, type)), owned);
  return yield* inVersion(take(before, difference(gone, ignored), type), apiVersion);
}

/** Of what has been taken out, what is owned in a version. */
function* addBack(
  merged: UnstructuredObject,
  pruned: UnstructuredObject,
  options: { readonly version: string; readonly fields: FieldSet | undefined; readonly application: FieldOwnership },
): Versioned<UnstructuredObject> {
  const { version, fields, application } = options;
  const type = typeIn(application, version);
  const before = yield* inVersion(merged, version);
  const kept = union(allFields(yield* inVersion(pruned, version), type), withNamedFields(fields, type));
  return take(before, difference(allFields(before, type), kept), type);
}

function allFields(object: UnstructuredObject, type: Typed): FieldSet | undefined {
  return withNamedFields(setOf(object, type), type);
}

/** The object without fields; names and the like are nobody's: they stay. */
function take(object: UnstructuredObject, set: FieldSet | undefined, type: Typed): UnstructuredObject {
  if (set === undefined) return object;
  const { metadata = {}, ...rest } = (withoutFields(object, set, type) ?? {}) as Record<string, unknown>;
  const kept = Object.fromEntries(Object.entries(object.metadata).filter(([field]) => ignoredMeta.has(field)));
  const meta = { ...kept, ...(isJsonObject(metadata) ? metadata : {}) } as ObjectMeta;
  return { ...rest, apiVersion: object.apiVersion, kind: object.kind, metadata: meta };
}
