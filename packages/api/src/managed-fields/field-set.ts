/**
 * Sets of fields, in the very form in which `fieldsV1` writes them (sigs.k8s.io/structured-merge-diff, fieldpath):
 *
 *     set  = { ELEMENT: set, … }      `{}` is a field that is in the set, with nothing below it
 *     `.`                             the field itself is in the set, as well as what is below it
 *     f:NAME  k:{KEYS}  v:VALUE       a field, an element of a list by its keys, an element of a set
 *
 * The empty set is `undefined`. Sets are never changed: operations share what they keep.
 */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

/** A field with nothing below it. */
export const LEAF: FieldSet = Object.freeze({});
export const SELF = '.';

function isEmptyObject(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

/** Whether the field that the set stands under is itself in it. */
export function hasSelf(set: FieldSet): boolean {
  return Object.hasOwn(set, SELF) || isEmptyObject(set);
}

export function childOf(set: FieldSet | undefined, element: string): FieldSet | undefined {
  return set !== undefined && Object.hasOwn(set, element) ? set[element] : undefined;
}

function build(self: boolean, children: Record<string, FieldSet>): FieldSet | undefined {
  if (isEmptyObject(children)) return self ? LEAF : undefined;
  return self ? { [SELF]: LEAF, ...children } : children;
}

/** What is in either; `a` itself when it has all of `b`. */
export function union(a: FieldSet | undefined, b: FieldSet | undefined): FieldSet | undefined {
  if (a === undefined || a === b) return b;
  if (b === undefined) return a;
  let changed: Record<string, FieldSet> | undefined;
  for (const element of Object.keys(b)) {
    if (element === SELF) continue;
    const before = childOf(a, element);
    const both = union(before, b[element]) ?? LEAF;
    if (both !== before) (changed ??= {})[element] = both;
  }
  const self = hasSelf(a);
  const addsSelf = !self && hasSelf(b);
  if (changed === undefined) return addsSelf ? { [SELF]: LEAF, ...a } : a;
  return self || addsSelf ? { [SELF]: LEAF, ...a, ...changed } : { ...a, ...changed };
}

export function intersection(a: FieldSet | undefined, b: FieldSet | undefined): FieldSet | undefined {
  if (a === undefined || b === undefined) return undefined;
  const children: Record<string, FieldSet> = {};
  for (const element of Object.keys(a)) {
    if (element === SELF) continue;
    const both = intersection(a[element], childOf(b, element));
    if (both !== undefined) children[element] = both;
  }
  return build(hasSelf(a) && hasSelf(b), children);
}

/** What is in `a` and not in `b`; `a` itself when they have nothing in common. */
export function difference(a: FieldSet | undefined, b: FieldSet | undefined): FieldSet | undefined {
  if (a === undefined || b === undefined) return a;
  let rest: Record<string, FieldSet | undefined> | undefined;
  for (const element of Object.keys(b)) {
    if (element === SELF || !Object.hasOwn(a, element)) continue;
    const before = a[element];
    const left = difference(before, b[element]);
    if (left !== before) (rest ??= {})[element] = left;
  }
  const self = hasSelf(a);
  const losesSelf = self && hasSelf(b);
  if (rest === undefined && !losesSelf) return a;
  const children: Record<string, FieldSet> = {};
  for (const element of Object.keys(a)) {
    if (element === SELF) continue;
    const left = rest !== undefined && Object.hasOwn(rest, element) ? rest[element] : a[element];
    if (left !== undefined) children[element] = left;
  }
  return build(self && !losesSelf, children);
}

/** How upstream prints an element: `.name`, `[name="a"]`, `[=1]`. */
function formatElement(element: string): string {
  const text = element.slice(2);
  if (element.startsWith('f:')) return `.${text}`;
  if (element.startsWith('v:')) return `[=${text}]`;
  if (!element.startsWith('k:')) return `[${text}]`;
  const keys = Object.entries(JSON.parse(text) as object);
  return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
}

/** The paths of all fields of a set, as upstream prints them: `.spec.containers[name="a"].image`. */
export function pathsOf(set: FieldSet | undefined, prefix = ''): string[] {
  if (set === undefined) return [];
  const paths = hasSelf(set) && prefix !== '' ? [prefix] : [];
  for (const element of Object.keys(set).toSorted())
    if (element !== SELF) paths.push(...pathsOf(set[element], prefix + formatElement(element)));
  return paths;
}

const ELEMENT = /^(?:[fvk]:|i:\d)/u;

/** The set that `fieldsV1` of an entry writes. @throws Error for what is not one. */
export function parseFieldsV1(value: unknown): FieldSet | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('fieldsV1 must be an object');
  checkElements(value);
  return isEmptyObject(value as FieldSet) ? undefined : (value as FieldSet);
}

function checkElements(set: unknown): void {
  if (typeof set !== 'object' || set === null || Array.isArray(set)) throw new Error('fieldsV1 must hold objects');
  for (const [element, below] of Object.entries(set)) {
    if (element !== SELF && !ELEMENT.test(element)) throw new Error(`missing colon in ${JSON.stringify(element)}`);
    if (element.startsWith('k:')) JSON.parse(element.slice(2));
    checkElements(below);
  }
}
