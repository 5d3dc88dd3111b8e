/** OpenAPI definitions of custom resources (k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder). */
import { apiVersionOf, type Resource } from '../resource.ts';
import { builtInDocs } from '../schemas.ts';
import type { JsonSchema } from '../structural/structural-schema.ts';
import type { OpenApiSchema, OpenApiVersion } from './definitions.ts';

/** In upstream’s words, which clients look for. */
const METADATA = "Standard object's metadata.";
/** Keywords of JSON schema that OpenAPI v2 does not have. */
const onlyV3: ReadonlySet<string> = new Set(['allOf', 'anyOf', 'oneOf', 'not', 'nullable']);

function gvkOf({ group, version }: Resource, kind: string): object[] {
  return [{ group, version, kind }];
}

/** apiVersion and kind, which are described alike in all kinds. */
function typeMeta(): Record<'apiVersion' | 'kind', JsonSchema> {
  const { apiVersion = '', kind = '' } = builtInDocs()['V1ConfigMap'] ?? {};
  return { apiVersion: { description: apiVersion, type: 'string' }, kind: { description: kind, type: 'string' } };
}

export function customDefinition(
  resource: Resource,
  objectMeta: OpenApiSchema,
  version: OpenApiVersion,
): OpenApiSchema {
  const { schema = {}, kind } = resource;
  const gvk = { 'x-kubernetes-group-version-kind': gvkOf(resource, kind) };
  // Beside any property kubectl takes no field that it is not told of.
  if (version === 'v2' && schema['x-kubernetes-preserve-unknown-fields'] === true) return { type: 'object', ...gvk };
  // Beside a $ref nothing counts in v3, hence allOf.
  const reference = version === 'v3' ? { allOf: [objectMeta] } : objectMeta;
  const ownFields = { ...typeMeta(), metadata: { description: METADATA, ...reference } };
  const rendered = new Renderer(version, ownFields).render(schema);
  return { ...rendered, type: 'object', properties: { ...propertiesOf(rendered), ...ownFields }, ...gvk };
}

export function customListDefinition(resource: Resource, item: OpenApiSchema, listMeta: OpenApiSchema): OpenApiSchema {
  const { kind, listKind = `${kind}List` } = resource;
  return {
    description: `${listKind} is a list of ${kind} of ${apiVersionOf(resource)}`,
    type: 'object',
    required: ['items'],
    properties: { ...typeMeta(), items: { type: 'array', items: item }, metadata: listMeta },
    'x-kubernetes-group-version-kind': gvkOf(resource, listKind),
  };
}

function propertiesOf(schema: OpenApiSchema): OpenApiSchema {
  return (schema['properties'] ?? {}) as OpenApiSchema;
}

class Renderer {
  readonly #version: OpenApiVersion;
  /** apiVersion, kind and metadata. */
  readonly #objectFields: OpenApiSchema;

  constructor(version: OpenApiVersion, objectFields: OpenApiSchema) {
    this.#version = version;
    this.#objectFields = objectFields;
  }

  render(schema: JsonSchema): OpenApiSchema {
    const isV2 = this.#version === 'v2';
    const preserves = schema['x-kubernetes-preserve-unknown-fields'] === true;
    const out: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(schema)) {
      if (isV2 && onlyV3.has(key)) continue;
      // In v2 a type would contradict what is more than that type.
      if (isV2 && (preserves || schema.nullable === true) && ['type', 'properties', 'items'].includes(key)) continue;
      if (isV2 && key === 'required') {
        const required = schema.required?.filter((name) => schema.properties?.[name]?.nullable !== true) ?? [];
        if (required.length > 0) out[key] = required;
      } else out[key] = this.#keyword(key, value);
    }
    if (schema['x-kubernetes-embedded-resource'] !== true || (isV2 && preserves)) return out;
    const required = [...new Set([...(schema.required ?? []), 'kind', 'apiVersion'])];
    return { ...out, properties: { ...propertiesOf(out), ...this.#objectFields }, required };
  }

  #keyword(key: string, value: unknown): unknown {
    switch (key) {
      case 'properties':
        return Object.fromEntries(
          Object.entries(value as Record<string, JsonSchema>).map(([name, each]) => [name, this.render(each)]),
        );
      case 'items':
      case 'not':
        return this.render(value as JsonSchema);
      case 'additionalProperties':
        return typeof value === 'boolean' ? value : this.render(value as JsonSchema);
      case 'allOf':
      case 'anyOf':
      case 'oneOf':
        return (value as readonly JsonSchema[]).map((each) => this.render(each));
      default:
        return value;
    }
  }
}
