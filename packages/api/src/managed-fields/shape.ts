/**
 * What a schema says of ownership (structured-merge-diff's schema): which values are owned as a whole and which by their
 * parts, and how the elements of a list are named.
 */
import { isJsonObject, type JsonObject } from '../patch/json.ts';
import type { FieldSchema, FieldType } from '../schema.ts';
import { schemaOf } from '../schemas.ts';

/** Nothing is known of `undefined`: its maps are granular and its lists atomic. */
export type Typed = FieldSchema | FieldType | undefined;

export type Shape = 'leaf' | 'map' | 'set' | 'list-map';

export function shapeOf(type: Typed, value: unknown): Shape {
  if (Array.isArray(value)) {
    if (type?.type !== 'array') return 'leaf';
    const { listType } = type as FieldSchema;
    return listType === 'map' ? 'list-map' : listType === 'set' ? 'set' : 'leaf';
  }
  if (!isJsonObject(value)) return 'leaf';
  switch (type?.type) {
    case undefined:
    case 'any':
      return 'map';
    case 'ref': {
      const atomic = (type as FieldSchema).mapType === 'atomic' || schemaOf(type.ref)?.mapType === 'atomic';
      return atomic ? 'leaf' : 'map';
    }
    case 'map':
      return (type as FieldSchema).mapType === 'atomic' ? 'leaf' : 'map';
    default:
      return 'leaf';
  }
}

/** Type of a map's or struct's field; undefined: unknown. */
export function fieldTypeOf(type: Typed, name: string): Typed {
  if (type?.type === 'map') return type.items;
  if (type?.type !== 'ref') return undefined;
  const fields = schemaOf(type.ref)?.fields;
  // Of kinds without a schema, metadata is known.
  if (fields === undefined) return name === 'metadata' ? { type: 'ref', ref: 'V1ObjectMeta' } : undefined;
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

/** Whether it is a struct's field rather than a map's key: the fields of a custom resource are the former. */
export function isNamedField(type: Typed, name: string): boolean {
  return type?.type === 'ref' && (fieldTypeOf(type, name) !== undefined || schemaOf(type.ref) === undefined);
}

export function itemsOf(type: Typed): Typed {
  return type?.type === 'array' ? type.items : undefined;
}

/** `k:{…}` of an element of a list that is a map, or the key that it lacks. */
export function keyElement(type: Typed, item: JsonObject): { readonly element: string; readonly missing?: string } {
  const { listMapKeys = [] } = (type ?? {}) as Partial<FieldSchema>;
  const keys: JsonObject = {};
  let missing: string | undefined;
  const ordered = listMapKeys.length > 1 ? listMapKeys.toSorted() : listMapKeys;
  for (const key of ordered) {
    const value = Object.hasOwn(item, key) ? item[key] : defaultOf(itemsOf(type), key);
    if (value === undefined) missing ??= key;
    else keys[key] = value;
  }
  const element = `k:${JSON.stringify(keys)}`;
  return missing === undefined ? { element } : { element, missing };
}

function defaultOf(type: Typed, field: string): unknown {
  return (fieldTypeOf(type, field) as Partial<FieldSchema> | undefined)?.default;
}

/** How the element of a set or of a list that is a map is named. */
export function elementOf(shape: Shape, type: Typed, item: unknown): string {
  return shape === 'list-map' && isJsonObject(item) ? keyElement(type, item).element : `v:${JSON.stringify(item)}`;
}

/**
 * Fields that are structs rather than pointers in Go: they are always there, so that nobody owns them, only what is in
 * them.
 */
const structs: ReadonlySet<string> = new Set([
  'metadata',
  'spec',
  'status',
  'template',
  'strategy',
  'updateStrategy',
  'resources',
  'state',
  'lastState',
  'loadBalancer',
  'daemonEndpoints',
  'nodeInfo',
  'involvedObject',
  'source',
]);

/** Whether a struct's field is itself owned by who adds it, not only what is in it. */
export function isOwnedItself(type: Typed, name: string): boolean {
  if (type?.type === 'ref' && structs.has(name)) return false;
  const { required } = (fieldTypeOf(type, name) ?? {}) as Partial<FieldSchema>;
  return required !== true;
}
