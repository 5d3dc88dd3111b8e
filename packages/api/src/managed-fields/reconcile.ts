/**
 * Entries of objects whose schema has become another: what was owned by its parts, and is owned as a whole now, is owned so
 * (structured-merge-diff's ReconcileFieldSetWithSchema). Not the other way round: who owned the whole keeps that, without
 * what is in it.
 */
import { typeIn, type Entry, type FieldOwnership } from './entries.ts';
import { LEAF, SELF, type FieldSet } from './field-set.ts';
import { fieldTypeOf, isAtomic, itemsOf, type Typed } from './shape.ts';

export function reconcileEntries(entries: readonly Entry[], owner: FieldOwnership): Entry[] {
  return entries.map((entry) => {
    const type = typeIn(owner, entry.meta.apiVersion);
    if (type === undefined || entry.set === undefined) return entry;
    return { ...entry, set: reconcile(entry.set, type) };
  });
}

/** The set itself where nothing in it changes. */
function reconcile(set: FieldSet, type: Typed): FieldSet {
  let changed: Record<string, FieldSet> | undefined;
  for (const element of Object.keys(set)) {
    if (element === SELF) continue;
    if (isAtomic(type)) return LEAF;
    const below = set[element] ?? LEAF;
    const after = reconcile(below, element.startsWith('f:') ? fieldTypeOf(type, element.slice(2)) : itemsOf(type));
    if (after !== below) (changed ??= {})[element] = after;
  }
  return changed === undefined ? set : { ...set, ...changed };
}
