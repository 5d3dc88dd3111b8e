/** Values of custom resources as expressions see them, by their schema. */
import { additionalOf, isJsonObject, propertyOf, type JsonSchema } from '@naru/api';
import { toCel } from './cel-values.ts';

const reserved: ReadonlySet<string> = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

/** The name by which an expression says a property: `a-b` is `a__dash__b`. Undefined: it cannot be said. */
export function escapedName(name: string): string | undefined {
  if (reserved.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_][\w.\-/]*$/u.test(name)) return undefined;
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__');
}

/** The value for the evaluator: numbers by their schema's type, times as times, properties by their escaped names. */
export function celOfSchema(value: unknown, schema: JsonSchema | undefined): unknown {
  if (schema === undefined || value === null || value === undefined) return toCel(value);
  if (typeof value === 'number' && schema.type === 'number') return value;
  if (typeof value === 'string' && schema.format === 'date-time') return new Date(value);
  if (typeof value === 'string' && schema.format === 'byte') return new Uint8Array(Buffer.from(value, 'base64'));
  if (Array.isArray(value)) return value.map((each) => celOfSchema(each, schema.items));
  if (!isJsonObject(value)) return toCel(value);
  const additional = additionalOf(schema);
  const result: Record<string, unknown> = {};
  for (const [name, each] of Object.entries(value)) {
    const property = propertyOf(schema, name);
    if (property === undefined) {
      // Values of maps keep their keys; what the schema does not know is not seen.
      if (additional !== undefined) result[name] = celOfSchema(each, additional);
      else if (schema['x-kubernetes-preserve-unknown-fields'] === true) result[name] = toCel(each);
      continue;
    }
    const escaped = escapedName(name);
    if (escaped !== undefined) result[escaped] = celOfSchema(each, property);
  }
  return result;
}
