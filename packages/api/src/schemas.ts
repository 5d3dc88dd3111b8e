/**
 * Loads the generated schemas. The one module of this package that does I/O: it reads two files of its own package, at
 * first use, and never again.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelSchema, SchemaDocs, Schemas } from './schema.ts';

function load(file: string): unknown {
  return JSON.parse(readFileSync(join(import.meta.dirname, '..', 'generated', file), 'utf8'));
}

/** The value of a function that is called once, when it is first needed. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** All schemas, by model. */
export const builtInSchemas: () => Schemas = once(() => load('schemas.json') as Schemas);

/** All descriptions: only documentation needs them, so they are a file of their own. */
export const builtInDocs: () => SchemaDocs = once(() => load('docs.json') as SchemaDocs);

/** The schema of a model of client-node, such as `V1Pod`. */
export function schemaOf(model: string): ModelSchema | undefined {
  const schemas = builtInSchemas();
  return Object.hasOwn(schemas, model) ? schemas[model] : undefined;
}
