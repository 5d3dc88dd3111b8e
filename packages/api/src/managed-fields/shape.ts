/**
 * What a schema says of ownership (structured-merge-diff's schema): which values are owned as a whole and which by their
 * parts, and how the elements of a list are named.
 */
import { isJsonObject, type JsonObject } from '../patch/json.ts';
import type { FieldSchema, FieldType } from '../schema.ts';
import { schemaOf } from '../schemas.ts';
import { additionalOf, propertyOf, type JsonSchema } from '../structural/structural-schema.ts';

/** What a custom resource's schema says. */
export interface StructuralType {
  readonly type: 'structural';
  readonly schema: JsonSchema;
  /** The schema, or one around it, preserves unknown fields. */
  readonly preserves: boolean;
  /** The value is an object with type meta and metadata, whatever its schema says. */
  readonly isResource: boolean;
}

/** Nothing is known of `undefined`: its maps are granular and its lists atomic. */
export type Typed = FieldSchema | FieldType | StructuralType | undefined;

/** The type of the objects of a custom resource. */
export function structuralType(schema: JsonSchema, isResource = true, preserves = false): StructuralType {
  return {
    type: 'structural',
    schema,
    preserves: preserves || schema['x-kubernetes-preserve-unknown-fields'] === true,
    isResource: isResource || schema['x-kubernetes-embedded-resource'] === true,
  };
}

function within({ preserves }: StructuralType, schema: JsonSchema): StructuralType {
  return structuralType(schema, false, preserves);
}

const resourceFields: Readonly<Record<string, FieldType>> = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: { type: 'ref', ref: 'V1ObjectMeta' },
};

/** The type of a property; undefined: it is none. */
function propertyTypeOf(type: StructuralType, name: string): Typed {
  if (type.isResource && Object.hasOwn(resourceFields, name)) return resourceFields[name];
  const property = propertyOf(type.schema, name);
  return property === undefined ? undefined : within(type, property);
}

/** Whether there may be such a field. */
export function isDeclared(type: Typed, name: string): boolean {
  if (type?.type === 'ref') return schemaOf(type.ref) === undefined || fieldTypeOf(type, name) !== undefined;
  if (type?.type !== 'structural' || propertyTypeOf(type, name) !== undefined) return true;
  const { schema, preserves, isResource } = type;
  if (schema.additionalProperties !== undefined) return schema.additionalProperties !== false;
  return preserves || (!isResource && Object.keys(schema.properties ?? {}).length === 0);
}

/** Whether lists or maps of the type are owned as a whole. */
export function isAtomic(type: Typed): boolean {
  switch (type?.type) {
    case 'structural': {
      const { schema } = type;
      if (schema.type === 'array') return !['set', 'map'].includes(schema['x-kubernetes-list-type'] ?? '');
      return schema['x-kubernetes-map-type'] === 'atomic';
    }
    case 'array':
      return !['set', 'map'].includes((type as FieldSchema).listType ?? '');
    case 'ref':
      return (type as FieldSchema).mapType === 'atomic' || schemaOf(type.ref)?.mapType === 'atomic';
    case 'map':
      return (type as FieldSchema).mapType === 'atomic';
    default:
      return type?.type === 'any';
  }
}

/** Of custom resources: whether the value is what the type says. */
export function isOfType({ schema, isResource }: StructuralType, value: unknown): boolean {
  switch (isResource ? 'object' : schema.type) {
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isJsonObject(value);
    case 'string':
    case 'boolean':
      return typeof value === schema.type;
    case 'integer':
    case 'number':
      return typeof value === 'number';
    default:
      return true;
  }
}

function structuralShape(type: StructuralType, value: unknown): Shape {
  if (!isOfType(type, value) || isAtomic(type)) return 'leaf';
  if (isJsonObject(value)) return 'map';
  if (!Array.isArray(value)) return 'leaf';
  const listType = type.schema['x-kubernetes-list-type'];
  return listType === 'map' ? 'list-map' : listType === 'set' ? 'set' : 'leaf';
}

export type Shape = 'leaf' | 'map' | 'set' | 'list-map';

export function shapeOf(type: Typed, value: unknown): Shape {
  if (type?.type === 'structural') return structuralShape(type, value);
  if (Array.isArray(value)) {
    if (type?.type !== 'array') return 'leaf';
    const { listType } = type as FieldSchema;
    return listType === 'map' ? 'list-map' : listType === 'set' ? 'set' : 'leaf';
  }
  if (!isJsonObject(value)) return 'leaf';
  switch (type?.type) {
    case undefined:
      return 'map';
    case 'ref':
    case 'map':
      return isAtomic(type) ? 'leaf' : 'map';
    default:
      return 'leaf';
  }
}

/** Type of a map's or struct's field; undefined: unknown. */
export function fieldTypeOf(type: Typed, name: string): Typed {
  if (type?.type === 'map') return type.items;
  if (type?.type === 'structural') {
    const additional = additionalOf(type.schema);
    return propertyTypeOf(type, name) ?? (additional === undefined ? undefined : within(type, additional));
  }
  if (type?.type !== 'ref') return undefined;
  const fields = schemaOf(type.ref)?.fields;
  // Of kinds without a schema, metadata is known.
  if (fields === undefined) return name === 'metadata' ? { type: 'ref', ref: 'V1ObjectMeta' } : undefined;
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

/** Whether it is a struct's field rather than a map's key: the fields of a custom resource are the former. */
export function isNamedField(type: Typed, name: string): boolean {
  if (type?.type === 'structural') return propertyTypeOf(type, name) !== undefined;
  return type?.type === 'ref' && (fieldTypeOf(type, name) !== undefined || schemaOf(type.ref) === undefined);
}

export function itemsOf(type: Typed): Typed {
  if (type?.type === 'array') return type.items;
  const items = type?.type === 'structural' ? type.schema.items : undefined;
  return items === undefined || type?.type !== 'structural' ? undefined : within(type, items);
}

/** `k:{…}` of an element of a list that is a map: by the keys that it has, which may be none. */
function keyElement(type: Typed, item: JsonObject): string {
  const listMapKeys = mapKeysOf(type);
  const keys: JsonObject = {};
  const ordered = listMapKeys.length > 1 ? listMapKeys.toSorted() : listMapKeys;
  for (const key of ordered) {
    const value = Object.hasOwn(item, key) ? item[key] : defaultOf(itemsOf(type), key);
    if (value !== undefined) keys[key] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

/** The name of an element without any of its keys. */
export const KEYLESS = 'k:{}';

export function mapKeysOf(type: Typed): readonly string[] {
  if (type?.type === 'structural') return type.schema['x-kubernetes-list-map-keys'] ?? [];
  return (type as Partial<FieldSchema> | undefined)?.listMapKeys ?? [];
}

/** Of built-in kinds, what is required is nothing of its type where it lacks: validation finds that. */
function defaultOf(type: Typed, field: string): unknown {
  if (type?.type === 'structural') return propertyOf(type.schema, field)?.default;
  const fieldType = fieldTypeOf(type, field) as Partial<FieldSchema> | undefined;
  if (fieldType?.default !== undefined || fieldType?.required !== true) return fieldType?.default;
  return fieldType.type === 'integer' ? 0 : '';
}

/** How the element of a set or of a list that is a map is named. */
export function elementOf(shape: Shape, type: Typed, item: unknown): string {
  return shape === 'list-map' && isJsonObject(item) ? keyElement(type, item) : `v:${JSON.stringify(item)}`;
}

/**
 * Fields that are structs rather than pointers in Go, as `field` or `Model.field`: they are always there, so that nobody
 * adds or removes them, only what is in them.
 */
const structs: ReadonlySet<string> = new Set([
  'metadata',
  'spec',
  'status',
  'strategy',
  'updateStrategy',
  'jobTemplate',
  'state',
  'lastState',
  'loadBalancer',
  'daemonEndpoints',
  'kubeletEndpoint',
  'nodeInfo',
  'source',
  'deprecatedSource',
  'clientConfig',
  'names',
  'acceptedNames',
  'limitResponse',
  ...['DaemonSetSpec', 'DeploymentSpec', 'JobSpec', 'ReplicaSetSpec', 'StatefulSetSpec'].map(
    (model) => `V1${model}.template`,
  ),
  'V1PodTemplate.template',
  ...['Container', 'EphemeralContainer', 'PersistentVolumeClaimSpec'].map((model) => `V1${model}.resources`),
  'V1IngressServiceBackend.port',
  'V1NetworkPolicySpec.podSelector',
  'V1ResourceClaimSpec.devices',
  'V1ResourceSliceSpec.pool',
]);

/**
 * What is in place of a field that nobody has set, where its kind is there: Go writes structs, and what it never omits, as
 * nothing of their type.
 */
export function zeroOf(type: Typed, name: string, like: unknown): unknown {
  if (type?.type === 'structural') return type.isResource && name === 'metadata' ? {} : undefined;
  if (type?.type !== 'ref') return undefined;
  const { required } = (fieldTypeOf(type, name) ?? {}) as Partial<FieldSchema>;
  if (required !== true && !structs.has(name) && !structs.has(`${type.ref}.${name}`)) return undefined;
  if (Array.isArray(like)) return [];
  if (isJsonObject(like)) return {};
  switch (typeof like) {
    case 'string':
      return '';
    case 'number':
      return 0;
    default:
      return false;
  }
}
