import { isJsonObject } from '../patch/json.ts';
import { mapKeyOf } from './list-uniqueness.ts';
import type { JsonSchema } from './structural-schema.ts';

/** Finds what an item of a list was in the old list; only lists that are maps can tell. */
export function listCorrelation(old: unknown, schema: JsonSchema): (item: unknown) => unknown {
  if (schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(old)) return () => undefined;
  const byKey = new Map<string, unknown>();
  for (const item of old) if (isJsonObject(item)) byKey.set(mapKeyOf(item, schema), item);
  return (item) => (isJsonObject(item) ? byKey.get(mapKeyOf(item, schema)) : undefined);
}
