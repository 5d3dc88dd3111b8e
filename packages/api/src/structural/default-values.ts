/** Defaulting by a structural schema (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting). */
import { cloneJson, isJsonObject, setOwn } from '../patch/json.ts';
import { additionalOf, propertyOf, type JsonSchema } from './structural-schema.ts';

/** Sets defaults in place; a null that its schema does not allow counts as absent, and goes away without a default. */
export function applySchemaDefaults(value: unknown, schema: JsonSchema): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return;
    for (const [i, each] of value.entries())
      if (isForbiddenNull(each, items) && items.default !== undefined) value[i] = cloneJson(items.default);
      else applySchemaDefaults(each, items);
    return;
  }
  if (!isJsonObject(value)) return;
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (property.default === undefined) continue;
    if (!Object.hasOwn(value, name) || isForbiddenNull(value[name], property))
      setOwn(value, name, cloneJson(property.default));
  }
  const additional = additionalOf(schema);
  for (const key of Object.keys(value)) {
    const field = propertyOf(schema, key) ?? additional;
    if (field === undefined) continue;
    if (!isForbiddenNull(value[key], field)) applySchemaDefaults(value[key], field);
    else if (field.default !== undefined) setOwn(value, key, cloneJson(field.default));
    else if (propertyOf(schema, key) !== undefined) delete value[key];
  }
}

function isForbiddenNull(value: unknown, schema: JsonSchema): boolean {
  return value === null && schema.nullable !== true;
}
