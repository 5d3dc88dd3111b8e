/** OpenAPI definitions of custom resources (k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder). */
import { apiVersionOf, type Resource } from '../resource.ts';
import type { JsonSchema } from '../structural/structural-schema.ts';
import type { OpenApiSchema, OpenApiVersion } from './definitions.ts';

const API_VERSION: JsonSchema = {
  description: 'Version of the schema of this object, such as apps/v1.',
  type: 'string',
};
const KIND: JsonSchema = { description: 'What this object is, in CamelCase.', type: 'string' };

/** Keywords of JSON schema that OpenAPI v2 does not have. */
const onlyV3: ReadonlySet<string> = new Set(['allOf', 'anyOf', 'oneOf', 'not', 'nullable']);

function gvkOf({ group, version }: Resource, kind: string): object[] {
  return [{ group, version, kind }];
}

export function customDefinition(
  resource: Resource,
  objectMeta: OpenApiSchema,
  version: OpenApiVersion,
): OpenApiSchema {
  const { schema = {}, kind } = resource;
  const rendered = render(schema, version);
  const properties = rendered['properties'] as Record<string, OpenApiSchema> | undefined;
  const metadata = version === 'v3' ? { allOf: [objectMeta] } : objectMeta;
  return {
    ...rendered,
    type: 'object',
    ...(schema['x-kubernetes-preserve-unknown-fields'] === true && properties === undefined
      ? {}
      : { properties: { ...properties, apiVersion: API_VERSION, kind: KIND, metadata } }),
    'x-kubernetes-group-version-kind': gvkOf(resource, kind),
  };
}

export function customListDefinition(resource: Resource, item: OpenApiSchema, listMeta: OpenApiSchema): OpenApiSchema {
  const { kind, listKind = `${kind}List` } = resource;
  return {
    description: `${listKind} is a list of ${kind} of ${apiVersionOf(resource)}`,
    type: 'object',
    required: ['items'],
    properties: { apiVersion: API_VERSION, items: { type: 'array', items: item }, kind: KIND, metadata: listMeta },
    'x-kubernetes-group-version-kind': gvkOf(resource, listKind),
  };
}

function render(schema: JsonSchema, version: OpenApiVersion): OpenApiSchema {
  const out: Record<string, unknown> = {};
  // In v2 a type would contradict what is more than that type.
  const isAnything =
    version === 'v2' && (schema.nullable === true || schema['x-kubernetes-preserve-unknown-fields'] === true);
  for (const [key, value] of Object.entries(schema)) {
    if (version === 'v2' && onlyV3.has(key)) continue;
    if (isAnything && ['type', 'properties', 'items', 'required'].includes(key)) continue;
    out[key] = renderKeyword(key, value, version);
  }
  return out;
}

function renderKeyword(key: string, value: unknown, version: OpenApiVersion): unknown {
  switch (key) {
    case 'properties':
      return Object.fromEntries(
        Object.entries(value as Record<string, JsonSchema>).map(([name, each]) => [name, render(each, version)]),
      );
    case 'items':
    case 'not':
      return render(value as JsonSchema, version);
    case 'additionalProperties':
      return typeof value === 'boolean' ? value : render(value as JsonSchema, version);
    case 'allOf':
    case 'anyOf':
    case 'oneOf':
      return (value as readonly JsonSchema[]).map((each) => render(each, version));
    default:
      return value;
  }
}
