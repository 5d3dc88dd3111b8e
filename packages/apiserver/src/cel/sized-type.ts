/** Types of values with the sizes that they can have, as upstream takes them from schemas (k8s.io/apiserver/pkg/cel/common). */
import { additionalOf, type JsonSchema } from '@naru/api';
import type { OperandKind } from './cost-model.ts';
import { escapedName } from './schema-values.ts';

export interface Size {
  readonly min: number;
  readonly max: number;
}

export interface SizedType {
  readonly kind: OperandKind;
  readonly size: Size;
  /** Of lists, and values of maps. */
  readonly items?: SizedType | undefined;
  readonly fields?: ReadonlyMap<string, SizedType>;
}

export interface SchemaType extends SizedType {
  /** Bytes of the shortest JSON. */
  readonly minSerializedSize: number;
}

/** More than any request has; sums and products do not go beyond it by much. */
export const UNBOUNDED = 2 ** 64;
export const unboundedProduct = (a: number, b: number): number => Math.min(a * b, UNBOUNDED);
export const unknownSize: Size = { min: 0, max: UNBOUNDED };
export const dynType: SizedType = { kind: 'dyn', size: unknownSize };
/** Of a computed number or the like. */
export const scalarType: SizedType = { kind: 'scalar', size: { min: 1, max: 1 } };
export const textOf = (size: Size): SizedType => ({ kind: 'string', size });
/** Upstream does not count what keys of maps can be. */
export const keyType: SizedType = textOf({ min: 0, max: 0 });

export const REQUEST_BYTES_MAX = 3 * 1024 * 1024;
/** Without quotes. */
const TEXT_MAX = REQUEST_BYTES_MAX - 2;
const UTF8_CHARACTER_BYTES_MAX = 4;

/** Shortest JSON and longest text of formats that are no strings to an expression. */
const formats: Readonly<Record<string, readonly [minSerializedSize: number, max: number]>> = {
  duration: [3, 32],
  date: [12, 12],
  'date-time': [21, 32],
};

const declared = (kind: OperandKind, max: number, minSerializedSize: number): SchemaType => ({
  kind,
  size: { min: 0, max },
  minSerializedSize,
});

/** Undefined: expressions do not see such values. */
export function schemaType(schema: JsonSchema): SchemaType | undefined {
  const { maxLength, maxItems, maxProperties, format = '' } = schema;
  if (schema['x-kubernetes-int-or-string'] === true) return declared('dyn', charactersMax(maxLength), 1);
  switch (schema.type) {
    // Upstream says of declared numbers and booleans that they have no size, and so costs nothing to compare.
    case 'boolean':
      return declared('scalar', 0, 4);
    case 'integer':
    case 'number':
      return declared('scalar', 0, 1);
    case 'string': {
      const [minSerializedSize, max] = formats[format] ?? [];
      if (minSerializedSize !== undefined && max !== undefined) return declared('scalar', max, minSerializedSize);
      if (format === 'byte') return declared('bytes', maxLength ?? TEXT_MAX, 2);
      return declared('string', maxLength === undefined ? longestOf(schema.enum) : charactersMax(maxLength), 2);
    }
    case 'array': {
      const items = schema.items === undefined ? undefined : schemaType(schema.items);
      if (items === undefined) return undefined;
      const max = maxItems ?? Math.floor(TEXT_MAX / (items.minSerializedSize + 1));
      return { ...declared('list', max, 2), items };
    }
    case 'object':
      return objectType(schema, maxProperties);
    default:
      return undefined;
  }
}

function objectType(schema: JsonSchema, maxProperties: number | undefined): SchemaType | undefined {
  const additional = additionalOf(schema);
  if (additional !== undefined) {
    const items = schemaType(additional);
    if (items === undefined) return undefined;
    // A key, its quotes, a colon and a comma.
    const max = maxProperties ?? Math.floor(TEXT_MAX / (items.minSerializedSize + 6));
    return { ...declared('map', max, 2), items };
  }
  const fields = new Map<string, SchemaType>();
  let minSerializedSize = 2;
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const type = schemaType(each);
    if (type === undefined) continue;
    const escaped = escapedName(name);
    if (escaped !== undefined) fields.set(escaped, type);
    if (schema.required?.includes(name) === true && each.default === undefined)
      minSerializedSize += name.length + type.minSerializedSize + 4;
  }
  return { ...declared('object', 0, minSerializedSize), fields };
}

const charactersMax = (maxLength: number | undefined): number =>
  maxLength === undefined ? TEXT_MAX : Math.max(maxLength, 0) * UTF8_CHARACTER_BYTES_MAX;

function longestOf(values: readonly unknown[] | undefined): number {
  if (values === undefined || values.length === 0) return TEXT_MAX;
  return values.reduce((max: number, each) => (typeof each === 'string' ? Math.max(max, each.length) : max), 0);
}

/** The same kinds of values, of which no schema says how large they are. */
export function undeclared(type: SizedType): SizedType {
  const { kind, items, fields } = type;
  return {
    kind,
    size: kind === 'scalar' ? scalarType.size : unknownSize,
    ...(items === undefined ? {} : { items: undeclared(items) }),
    ...(fields === undefined
      ? {}
      : { fields: new Map([...fields].map(([name, each]) => [name, undeclared(each)] as const)) }),
  };
}

export function unionOf(a: SizedType, b: SizedType): SizedType {
  const size = { min: Math.min(a.size.min, b.size.min), max: Math.max(a.size.max, b.size.max) };
  if (a.kind !== b.kind) return { kind: 'dyn', size };
  const items = a.items === undefined || b.items === undefined ? undefined : unionOf(a.items, b.items);
  // Both are of one object's type, where the expression is well typed.
  return { kind: a.kind, size, ...(items === undefined ? {} : { items }), ...(a.fields && { fields: a.fields }) };
}
