/** Lists that are sets, or maps by keys of their items: nothing may be in them twice. */
import { fieldDuplicate, type FieldError } from '../field-error.ts';
import { isJsonObject, type JsonObject } from '../patch/json.ts';
import { additionalOf, propertyOf, type JsonSchema } from './structural-schema.ts';

/** What makes an item of a map list the one it is, as text; keys that are left out are those of the schema's defaults. */
export function mapKeyOf(item: JsonObject, schema: JsonSchema): string {
  return JSON.stringify(keysOf(item, schema));
}

function keysOf(item: JsonObject, schema: JsonSchema): Record<string, unknown> {
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  return Object.fromEntries(keys.map((key) => [key, item[key]]));
}

export function listUniquenessErrors(value: unknown, schema: JsonSchema, path = ''): FieldError[] {
  if (Array.isArray(value)) return [...duplicates(value, schema, path), ...itemErrors(value, schema, path)];
  if (!isJsonObject(value)) return [];
  return Object.entries(value).flatMap(([name, each]) => {
    const property = propertyOf(schema, name);
    if (property !== undefined) return listUniquenessErrors(each, property, path === '' ? name : `${path}.${name}`);
    const additional = additionalOf(schema);
    return additional === undefined ? [] : listUniquenessErrors(each, additional, `${path}[${name}]`);
  });
}

function itemErrors(list: readonly unknown[], { items }: JsonSchema, path: string): FieldError[] {
  if (items === undefined) return [];
  return list.flatMap((item, i) => listUniquenessErrors(item, items, `${path}[${i}]`));
}

function duplicates(list: readonly unknown[], schema: JsonSchema, path: string): FieldError[] {
  const type = schema['x-kubernetes-list-type'];
  if (type !== 'set' && type !== 'map') return [];
  const seen = new Set<string>();
  return list.flatMap((item, i) => {
    const shown = type === 'map' && isJsonObject(item) ? keysOf(item, schema) : item;
    const key = JSON.stringify(shown);
    if (seen.has(key)) return [fieldDuplicate(`${path}[${i}]`, shown)];
    seen.add(key);
    return [];
  });
}
