/** Pruning: fields that a structural schema does not name are dropped (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning). */
import { isJsonObject, type JsonObject } from '../patch/json.ts';
import { additionalOf, propertyOf, type JsonSchema } from './structural-schema.ts';

/** Fields that every resource has, whatever its schema says. */
const resourceFields: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);

/** Drops unknown fields in place and returns their paths in the order of the document. The value is a whole resource. */
export function pruneObject(value: JsonObject, schema: JsonSchema): string[] {
  const pruned: string[] = [];
  pruneFields(value, schema, { path: '', isResource: true, pruned });
  return pruned;
}

interface Place {
  readonly path: string;
  readonly isResource: boolean;
  readonly pruned: string[];
}

function pruneValue(value: unknown, schema: JsonSchema, place: Place): void {
  if (Array.isArray(value)) {
    for (const [i, each] of value.entries())
      pruneElement(each, schema.items, { ...place, path: `${place.path}[${i}]`, isResource: false });
  } else if (isJsonObject(value)) {
    const isResource = place.isResource || schema['x-kubernetes-embedded-resource'] === true;
    pruneFields(value, schema, { ...place, isResource });
  }
}

function pruneElement(value: unknown, schema: JsonSchema | undefined, place: Place): void {
  pruneValue(value, schema ?? {}, place);
}

function pruneFields(value: JsonObject, schema: JsonSchema, place: Place): void {
  const preserves = schema['x-kubernetes-preserve-unknown-fields'] === true;
  for (const key of Object.keys(value)) {
    const path = place.path === '' ? key : `${place.path}.${key}`;
    if (place.isResource && resourceFields.has(key)) continue;
    const field = propertyOf(schema, key) ?? additionalOf(schema);
    if (field !== undefined) pruneValue(value[key], field, { ...place, path, isResource: false });
    else if (preserves || schema.additionalProperties === true) continue;
    else {
      place.pruned.push(path);
      delete value[key];
    }
  }
}
