/**
 * Entries of custom resources whose schema has become another: what was owned by its parts is owned as a whole, or the other
 * way round (structured-merge-diff's ReconcileFieldSetWithSchema).
 */
import type { UnstructuredObject } from '../object.ts';
import { isJsonObject } from '../patch/json.ts';
import { inVersion, type Versioned } from './changes.ts';
import { typeIn, type Entry, type FieldOwnership } from './entries.ts';
import { LEAF, SELF, type FieldSet } from './field-set.ts';
import { elementOf, fieldTypeOf, isAtomic, itemsOf, shapeOf, type Typed } from './shape.ts';
import { setOf } from './typed-value.ts';

export function* reconcileEntries(
  entries: Entry[],
  live: UnstructuredObject,
  owner: FieldOwnership,
): Versioned<Entry[]> {
  const reconciled: Entry[] = [];
  for (const entry of entries) {
    const { apiVersion = '' } = entry.meta;
    const type = typeIn(owner, apiVersion);
    if (type?.type !== 'structural' || entry.set === undefined) reconciled.push(entry);
    else reconciled.push({ ...entry, set: reconcile(entry.set, yield* inVersion(live, apiVersion), type) });
  }
  return reconciled;
}

function reconcile(set: FieldSet, value: unknown, type: Typed): FieldSet {
  // Only the schemas of custom resources become others.
  if (type?.type !== 'structural') return set;
  const hasParts = Object.keys(set).some((each) => each !== SELF);
  if (isAtomic(type)) return hasParts ? LEAF : set;
  const shape = shapeOf(type, value);
  if (shape === 'leaf') return set;
  if (!hasParts) return setOf(value, type) ?? set;
  const valueOf = partsOf(value, type);
  return Object.fromEntries(
    Object.entries(set).map(([element, below]) => {
      const partType = element.startsWith('f:') ? fieldTypeOf(type, element.slice(2)) : itemsOf(type);
      return [element, element === SELF ? below : reconcile(below, valueOf(element), partType)];
    }),
  );
}

/** Finds parts of a value by how sets name them. */
function partsOf(value: unknown, type: Typed): (element: string) => unknown {
  if (isJsonObject(value)) return (element) => value[element.slice(2)];
  const items = Array.isArray(value) ? (value as readonly unknown[]) : [];
  const shape = shapeOf(type, items);
  return (element) => items.find((item) => elementOf(shape, type, item) === element);
}
