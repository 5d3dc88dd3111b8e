/** Values with a schema: the set of their fields, what differs between two, merging and taking fields out. */
import { equalJson, isJsonObject, setOwn, type JsonObject } from '../patch/json.ts';
import { childOf, hasSelf, LEAF, SELF, type FieldSet } from './field-set.ts';
import {
  elementOf,
  fieldTypeOf,
  isDeclared,
  isNamedField,
  isOfType,
  itemsOf,
  KEYLESS,
  mapKeysOf,
  shapeOf,
  zeroOf,
  type StructuralType,
  type Typed,
} from './shape.ts';

type Children = Record<string, FieldSet>;
type List = readonly unknown[];

/** The set of the fields of a value, as an applied configuration owns them. */
export function setOf(value: unknown, type: Typed): FieldSet | undefined {
  const shape = shapeOf(type, value);
  if (shape === 'leaf') return LEAF;
  const children: Children = {};
  let count = 0;
  if (shape === 'map') {
    const map = value as JsonObject;
    for (const name of Object.keys(map)) {
      const fieldType = fieldTypeOf(type, name);
      const own = isJsonObject(map[name]) && Object.keys(map[name]).length === 0 ? LEAF : setOf(map[name], fieldType);
      const isMember = !isNamedField(type, name);
      if (own === undefined && !isMember) continue;
      children[`f:${name}`] = isMember ? withSelf(own) : (own ?? LEAF);
      count++;
    }
  } else {
    for (const item of value as List) {
      const element = elementOf(shape, type, item);
      children[element] = Object.hasOwn(children, element) ? LEAF : withSelf(setOf(item, itemsOf(type)));
      count++;
    }
  }
  return count === 0 ? undefined : children;
}

function withSelf(set: FieldSet | undefined): FieldSet {
  if (set === undefined) return LEAF;
  return hasSelf(set) ? set : { [SELF]: LEAF, ...set };
}

/** The fields that `value` has and `old` has not, or has otherwise; what is new is itself in the set. */
export function changedFields(old: unknown, value: unknown, type: Typed): FieldSet | undefined {
  if (old === value || value === undefined) return undefined;
  const shape = shapeOf(type, value);
  if (shape === 'leaf' || (old !== undefined && shapeOf(type, old) !== shape))
    return old !== undefined && equalJson(old, value) ? undefined : LEAF;
  const children = shape === 'map' ? changedMap(old, value as JsonObject, type) : changedList(old, value as List, type);
  return old === undefined ? withSelf(children) : children;
}

function changedMap(old: unknown, map: JsonObject, type: Typed): FieldSet | undefined {
  const before = isJsonObject(old) ? old : undefined;
  let children: Children | undefined;
  for (const name of Object.keys(map)) {
    const value = map[name];
    const earlier =
      before === undefined ? undefined : Object.hasOwn(before, name) ? before[name] : zeroOf(type, name, value);
    if (earlier !== undefined && typeof value !== 'object' && earlier === value) continue;
    const changed = changedFields(earlier, value, fieldTypeOf(type, name));
    if (changed !== undefined) (children ??= {})[`f:${name}`] = changed;
  }
  return children;
}

function changedList(old: unknown, list: List, type: Typed): FieldSet | undefined {
  // Naming elements costs more than comparing them.
  if (old !== undefined && equalJson(old, list)) return undefined;
  const before = elementsOf(old, type);
  const itemType = itemsOf(type);
  let children: Children | undefined;
  for (const [element, items] of elementsOf(list, type)) {
    const earlier = before.get(element) ?? [];
    let changed: FieldSet | undefined;
    if (items.length === 1) changed = changedFields(onlyOf(earlier), items[0], itemType);
    else if (!equalJson(earlier, items)) changed = LEAF;
    if (changed !== undefined) (children ??= {})[element] = changed;
  }
  return children;
}

/**
 * Elements of a list by name. Updates, unlike configurations, may bring several of one name: those are owned together, as a
 * whole, and another number of them is another thing.
 */
function elementsOf(list: unknown, type: Typed): Map<string, unknown[]> {
  const elements = new Map<string, unknown[]>();
  if (!Array.isArray(list)) return elements;
  const shape = shapeOf(type, list);
  for (const item of list) {
    const element = elementOf(shape, type, item);
    const same = elements.get(element);
    if (same === undefined) elements.set(element, [item]);
    else same.push(item);
  }
  return elements;
}

function onlyOf(items: List): unknown {
  return items.length === 1 ? items[0] : undefined;
}

/** The fields that `old` has and `value` has not. */
export function removedFields(old: unknown, value: unknown, type: Typed): FieldSet | undefined {
  if (old === undefined || old === value) return undefined;
  if (value === undefined) return changedFields(undefined, old, type);
  const shape = shapeOf(type, old);
  if (shape === 'leaf' || shapeOf(type, value) !== shape) return undefined;
  let children: Children | undefined;
  if (shape === 'map') {
    const [before, after] = [old as JsonObject, value as JsonObject];
    for (const name of Object.keys(before)) {
      const earlier = before[name];
      let rest: unknown;
      if (Object.hasOwn(after, name)) rest = after[name];
      else if (typeof earlier === 'object') rest = zeroOf(type, name, earlier);
      if (typeof earlier !== 'object' && rest !== undefined) continue;
      const removed = removedFields(earlier, rest, fieldTypeOf(type, name));
      if (removed !== undefined) (children ??= {})[`f:${name}`] = removed;
    }
  } else if (!equalJson(old, value)) {
    const after = elementsOf(value, type);
    for (const [element, items] of elementsOf(old, type)) {
      const rest = after.get(element) ?? [];
      let removed: FieldSet | undefined;
      if (items.length === 1) removed = removedFields(items[0], onlyOf(rest), itemsOf(type));
      else if (rest.length === 0) removed = LEAF;
      if (removed !== undefined) (children ??= {})[element] = removed;
    }
  }
  return children;
}

/** `live` with everything that `config` says. Neither is changed; the result may share parts of both. */
export function mergeTyped(live: unknown, config: unknown, type: Typed): unknown {
  if (config === undefined) return live;
  const shape = shapeOf(type, config);
  if (live === undefined || shape === 'leaf' || shapeOf(type, live) !== shape) return config;
  if (shape === 'map') {
    const merged: JsonObject = {};
    const [before, wanted] = [live as JsonObject, config as JsonObject];
    for (const name of Object.keys(before)) setOwn(merged, name, before[name]);
    for (const name of Object.keys(wanted)) {
      const earlier = Object.hasOwn(before, name) ? before[name] : undefined;
      setOwn(merged, name, mergeTyped(earlier, wanted[name], fieldTypeOf(type, name)));
    }
    return merged;
  }
  return mergeList(live as List, config as List, type);
}

/** The configuration's elements in its order; those that only the live list has stay where they were before them. */
function mergeList(live: List, config: List, type: Typed): unknown[] {
  const shape = shapeOf(type, live);
  const wanted = new Set(config.map((item) => elementOf(shape, type, item)));
  const before = elementsOf(live, type);
  const done = new Set<string>();
  const merged: unknown[] = [];
  let next = 0;
  const takeWanted = (): void => {
    const item = config[next++];
    const element = elementOf(shape, type, item);
    done.add(element);
    merged.push(mergeTyped(onlyOf(before.get(element) ?? []), item, itemsOf(type)));
  };
  for (const item of live) {
    const element = elementOf(shape, type, item);
    if (!wanted.has(element)) merged.push(item);
    else while (!done.has(element)) takeWanted();
  }
  while (next < config.length) takeWanted();
  return merged;
}

/** The value without the fields of a set; undefined when nothing is left of it. */
export function withoutFields(value: unknown, set: FieldSet, type: Typed): unknown {
  const shape = shapeOf(type, value);
  if (shape === 'leaf') return value;
  const keep = (element: string, each: unknown, eachType: Typed): unknown => {
    const below = childOf(set, element);
    if (below === undefined) return each;
    return hasSelf(below) ? undefined : withoutFields(each, below, eachType);
  };
  if (shape === 'map') {
    const rest: JsonObject = {};
    const map = value as JsonObject;
    for (const name of Object.keys(map)) {
      const kept = keep(`f:${name}`, map[name], fieldTypeOf(type, name));
      if (kept !== undefined) setOwn(rest, name, kept);
    }
    return Object.keys(rest).length === 0 && Object.keys(map).length > 0 ? undefined : rest;
  }
  const list = value as List;
  const rest = list
    .map((item) => keep(elementOf(shape, type, item), item, itemsOf(type)))
    .filter((item) => item !== undefined);
  return rest.length === 0 && list.length > 0 ? undefined : rest;
}

/** The set with every struct's field in it of which something below is in it. */
export function withNamedFields(set: FieldSet | undefined, type: Typed): FieldSet | undefined {
  if (set === undefined) return undefined;
  const children: Children = {};
  for (const element of Object.keys(set)) {
    if (element === SELF) {
      children[SELF] = LEAF;
      continue;
    }
    const isField = element.startsWith('f:');
    const name = element.slice(2);
    const below = withNamedFields(set[element], isField ? fieldTypeOf(type, name) : itemsOf(type)) ?? LEAF;
    children[element] = isField && isNamedField(type, name) ? withSelf(below) : below;
  }
  return children;
}

/** What makes a configuration one that cannot be applied: elements without a key, or twice the same. */
export function applyProblems(value: unknown, type: Typed, path = ''): string[] {
  if (type?.type === 'structural' && value !== null && !isOfType(type, value)) return [misfit(type, value, path)];
  const shape = shapeOf(type, value);
  if (shape === 'leaf') return [];
  if (shape === 'map')
    return Object.entries(value as JsonObject).flatMap(([name, each]) =>
      isDeclared(type, name)
        ? applyProblems(each, fieldTypeOf(type, name), `${path}.${name}`)
        : [`${path}.${name}: field not declared in schema`],
    );
  const seen = new Set<string>();
  return (value as List).flatMap((item, i) => {
    if (shape === 'list-map') {
      if (!isJsonObject(item)) {
        const what = item === null ? 'a null element' : 'non-map elements';
        return [`${path}: element ${i}: associative list with keys may not have ${what}`];
      }
    }
    const element = elementOf(shape, type, item);
    if (element === KEYLESS) {
      const keys = mapKeysOf(type).map((key) => JSON.stringify(key));
      return [
        `${path}: element ${i}: associative list with keys has an element that omits all key fields [${keys.join(' ')}] (and doesn't have default values for any key fields)`,
      ];
    }
    const printed = shape === 'set' ? `[=${element.slice(2)}]` : printKeys(element);
    if (seen.has(element)) return [`${path}: duplicate entries for key ${printed}`];
    seen.add(element);
    return applyProblems(item, itemsOf(type), path + printed);
  });
}

const expected: Readonly<Record<string, string>> = {
  array: 'list',
  object: 'map',
  integer: 'numeric (int or float)',
  number: 'numeric (int or float)',
};

function misfit({ schema, isResource }: StructuralType, value: unknown, path: string): string {
  const type = isResource ? 'object' : (schema.type ?? '');
  return `${path}: expected ${expected[type] ?? type}, got ${JSON.stringify(value)}`;
}

function printKeys(element: string): string {
  const keys = Object.entries(JSON.parse(element.slice(2)) as object);
  return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
}
