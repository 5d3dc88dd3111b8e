/** What a write changes, as each version of the kind has it: owners of fields own them in the version in which they set them. */
import type { UnstructuredObject } from '../object.ts';
import { equalJson } from '../patch/json.ts';
import { ownedPart, typeIn, type Entry, type FieldOwnership } from './entries.ts';
import { difference, union, type FieldSet } from './field-set.ts';
import { changedFields, removedFields } from './typed-value.ts';

/** An object, and the version that it is wanted in. The object must not be changed. */
export interface VersionRequest {
  readonly object: UnstructuredObject;
  readonly apiVersion: string;
}

/** Work that asks for objects in other versions as it goes: how they are got is its caller's. */
export type Versioned<T> = Generator<VersionRequest, T, UnstructuredObject>;

export function* inVersion(object: UnstructuredObject, apiVersion: string): Versioned<UnstructuredObject> {
  return object.apiVersion === apiVersion ? object : yield { object, apiVersion };
}

export interface Changes {
  /** Fields that are new, or not as they were. */
  readonly changed: FieldSet | undefined;
  readonly removed: FieldSet | undefined;
}

/** By version; of versions that are no more, there is nothing. */
export type ChangesByVersion = ReadonlyMap<string, Changes>;

export function* changesIn(
  apiVersion: string,
  old: UnstructuredObject | undefined,
  object: UnstructuredObject,
  owner: FieldOwnership,
): Versioned<Changes> {
  const type = typeIn(owner, apiVersion);
  const before = old === undefined ? {} : ownedPart(yield* inVersion(old, apiVersion), owner);
  const after = ownedPart(yield* inVersion(object, apiVersion), owner);
  dropEqual(before, after);
  return { changed: changedFields(before, after, type), removed: removedFields(before, after, type) };
}

/** The changes in the versions of entries, beginning with those that are known. */
export function* changesByVersion(
  known: readonly [apiVersion: string, changes: Changes],
  old: UnstructuredObject | undefined,
  object: UnstructuredObject,
  { entries, owner }: { readonly entries: readonly Entry[]; readonly owner: FieldOwnership },
): Versioned<ChangesByVersion> {
  const changesBy = new Map([known]);
  for (const { meta } of entries) {
    const { apiVersion = '' } = meta;
    if (changesBy.has(apiVersion) || owner.modelOf(apiVersion) === undefined) continue;
    changesBy.set(apiVersion, yield* changesIn(apiVersion, old, object, owner));
  }
  return changesBy;
}

/** The entry without what another's write took from it; none where its version is no more. */
export function withoutLost(entry: Entry, changesBy: ChangesByVersion): Entry[] {
  const changes = changesBy.get(entry.meta.apiVersion ?? '');
  if (changes === undefined) return [];
  return [{ ...entry, set: difference(entry.set, union(changes.changed, changes.removed)) }];
}

/** Most writes leave most of an object as it is: that is compared once. */
function dropEqual(before: Record<string, unknown>, after: Record<string, unknown>): void {
  for (const field of Object.keys(before))
    if (equalJson(before[field], after[field])) {
      delete before[field];
      delete after[field];
    }
}
