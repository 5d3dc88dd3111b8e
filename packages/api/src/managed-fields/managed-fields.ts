/**
 * metadata.managedFields: who set which field of an object, by updates and by server-side apply
 * (k8s.io/apimachinery/pkg/util/managedfields, sigs.k8s.io/structured-merge-diff/merge).
 */
import type { UnstructuredObject } from '../object.ts';
import { equalJson } from '../patch/json.ts';
import { changesByVersion, changesIn, withoutLost, type Versioned } from './changes.ts';
import {
  decodeEntries,
  isOf,
  isReset,
  metaOf,
  setEntries,
  storedEntries,
  type Entry,
  type FieldOwnership,
  type ManagedFieldsEntry,
} from './entries.ts';
import { difference, union } from './field-set.ts';
import { reconcileEntries } from './reconcile.ts';

/**
 * Sets metadata.managedFields of an object that is about to replace `old` (undefined: it is new) by anything but apply: the
 * manager owns what it changed, and nobody else does. A client may write the entries itself; `[]` and `[{}]` take them all
 * away.
 */
export function* trackUpdate(
  object: UnstructuredObject,
  old: UnstructuredObject | undefined,
  owner: FieldOwnership,
): Versioned<void> {
  const given = object.metadata.managedFields;
  const live = old?.metadata.managedFields;
  let entries: Entry[] | undefined;
  if (owner.subresource === '' && !equalJson(given, live)) entries = isReset(given) ? [] : decodeEntries(given);
  const isLive = entries === undefined || (entries.length === 0 && !isReset(given));
  if (isLive) entries = storedEntries(old);
  entries ??= [];
  // Who took the entries away does not want them, and with a version that is none, upstream does not know what to do.
  if ((entries.length === 0 && old !== undefined) || entries.some(hasNoVersion)) {
    delete object.metadata.managedFields;
    return;
  }
  const { apiVersion } = owner;
  const changes = yield* changesIn(apiVersion, old, object, owner);
  const { changed, removed } = changes;
  if (changed === undefined && removed === undefined && isLive) {
    if (live === undefined) delete object.metadata.managedFields;
    else object.metadata.managedFields = live;
    return;
  }
  // Schemas of built-in kinds change with releases only: what is in their entries waits until somebody applies.
  if (owner.modelOf(apiVersion)?.schema !== undefined) entries = reconcileEntries(entries, owner);
  const own = entries.find((each) => isOf(each, 'Update', owner, apiVersion));
  const others = changed === undefined ? entries : entries.filter((each) => each !== own);
  const changesBy = yield* changesByVersion([apiVersion, changes], old, object, { entries: others, owner });
  const rest = others.flatMap((entry) => withoutLost(entry, changesBy));
  if (changed !== undefined) {
    const set = union(difference(own?.set, removed), changed);
    rest.push({ meta: metaOf('Update', apiVersion, owner), set });
  }
  setEntries(object, rest);
}

function hasNoVersion({ meta: { apiVersion = '' } }: Entry): boolean {
  return apiVersion.split('/').length > 2;
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
