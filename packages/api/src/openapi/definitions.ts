/** OpenAPI definitions of the models, with Kubernetes' extensions. */
import type { FieldSchema, FieldType, ModelSchema } from '../schema.ts';
import type { Resource } from '../resource.ts';
import { builtInDocs, builtInSchemas, schemaOf } from '../schemas.ts';

import { customDefinition, customListDefinition } from './custom-definitions.ts';

export type OpenApiVersion = 'v2' | 'v3';
export type OpenApiSchema = Readonly<Record<string, unknown>>;

const RAW_EXTENSION = 'io.k8s.apimachinery.pkg.runtime.RawExtension';
const INT_OR_STRING = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';
const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const TIME = 'io.k8s.apimachinery.pkg.apis.meta.v1.Time';
const MICRO_TIME = 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime';
export const PATCH = 'io.k8s.apimachinery.pkg.apis.meta.v1.Patch';

/** Definitions that are no models of their own. */
const scalarDefinitions: Readonly<Record<string, (version: OpenApiVersion) => OpenApiSchema>> = {
  [TIME]: () => ({ description: 'A time, RFC 3339 with seconds.', format: 'date-time', type: 'string' }),
  [MICRO_TIME]: () => ({ description: 'A time, RFC 3339 with microseconds.', format: 'date-time', type: 'string' }),
  [QUANTITY]: (version) => ({
    description: 'An amount: a decimal number with an optional suffix, such as 100m, 1.5Gi, 12e6.',
    ...(version === 'v2' ? { type: 'string' } : { oneOf: [{ type: 'string' }, { type: 'number' }] }),
  }),
  [INT_OR_STRING]: (version) => ({
    description: 'An integer or a string: a number of objects or a percentage, a port or its name.',
    format: 'int-or-string',
    ...(version === 'v2' ? { type: 'string' } : { oneOf: [{ type: 'integer' }, { type: 'string' }] }),
  }),
  [RAW_EXTENSION]: () => ({ description: 'Any object.', type: 'object' }),
  [PATCH]: () => ({ description: 'A patch, in the form that its media type tells.', type: 'object' }),
};

const definitionOfScalar = {
  IntOrString: INT_OR_STRING,
  Quantity: QUANTITY,
  Time: TIME,
  MicroTime: MICRO_TIME,
} as const;

export function referenceTo(definition: string, version: OpenApiVersion): OpenApiSchema {
  return { $ref: version === 'v2' ? `#/definitions/${definition}` : `#/components/schemas/${definition}` };
}

function isScalarReference(type: FieldType['type']): type is keyof typeof definitionOfScalar {
  return Object.hasOwn(definitionOfScalar, type);
}

/** Collects the definitions that are referred to while schemas are made. */
class Definitions {
  readonly #version: OpenApiVersion;
  readonly #made = new Map<string, OpenApiSchema>();
  readonly #custom: ReadonlyMap<string, Resource>;

  constructor(version: OpenApiVersion, resources: readonly Resource[]) {
    this.#version = version;
    this.#custom = new Map(resources.filter((each) => each.schema !== undefined).map((each) => [each.model, each]));
  }

  /** The definitions so far, by name in order. */
  all(): Record<string, OpenApiSchema> {
    return Object.fromEntries([...this.#made].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** A reference to a model's definition, which is made if it was not yet. */
  model(model: string): OpenApiSchema {
    const custom = this.#custom.get(model) ?? this.#custom.get(model.replace(/List$/u, ''));
    if (custom !== undefined) return this.#customModel(model, custom);
    const schema = schemaOf(model);
    if (schema === undefined) throw new Error(`no schema of model ${model}`);
    if (!this.#made.has(schema.name)) {
      // Recursive models find themselves already there.
      this.#made.set(schema.name, {});
      this.#made.set(schema.name, this.#definition(model, schema));
    }
    return referenceTo(schema.name, this.#version);
  }

  #customModel(model: string, resource: Resource): OpenApiSchema {
    if (!this.#made.has(model)) {
      const definition =
        model === resource.model
          ? customDefinition(resource, this.model('V1ObjectMeta'), this.#version)
          : customListDefinition(resource, this.model(resource.model), this.model('V1ListMeta'));
      this.#made.set(model, definition);
    }
    return referenceTo(model, this.#version);
  }

  scalar(definition: string): OpenApiSchema {
    const make = scalarDefinitions[definition];
    if (make !== undefined && !this.#made.has(definition)) this.#made.set(definition, make(this.#version));
    return referenceTo(definition, this.#version);
  }

  #definition(model: string, { fields, gvk, mapType, unions }: ModelSchema): OpenApiSchema {
    const docs = builtInDocs()[model] ?? {};
    const entries = Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1));
    const required = entries.filter(([, field]) => field.required === true).map(([name]) => name);
    return {
      ...(docs[''] === undefined ? {} : { description: docs[''] }),
      type: 'object',
      ...(required.length === 0 ? {} : { required }),
      properties: Object.fromEntries(entries.map(([name, field]) => [name, this.#field(field, docs[name])])),
      ...(gvk === undefined ? {} : { 'x-kubernetes-group-version-kind': [gvk] }),
      ...(mapType === undefined ? {} : { 'x-kubernetes-map-type': mapType }),
      ...(unions === undefined
        ? {}
        : {
            'x-kubernetes-unions': unions.map(({ discriminator, fields: members }) => ({
              discriminator,
              'fields-to-discriminateBy': Object.fromEntries(
                members.map((each) => [each.fieldName, each.discriminatorValue]),
              ),
            })),
          }),
    };
  }

  #field(field: FieldSchema, description: string | undefined): OpenApiSchema {
    const type = this.#type(field);
    // Beside a $ref nothing counts in v3, hence allOf.
    const wrapped = Object.hasOwn(type, '$ref') && this.#version === 'v3' ? { allOf: [type] } : type;
    return {
      ...(description === undefined ? {} : { description }),
      ...wrapped,
      ...(field.default === undefined ? {} : { default: field.default }),
      ...(field.enum === undefined ? {} : enumOf(field, field.enum, wrapped)),
      ...(field.listType === undefined ? {} : { 'x-kubernetes-list-type': field.listType }),
      ...(field.listMapKeys === undefined ? {} : { 'x-kubernetes-list-map-keys': field.listMapKeys }),
      ...(field.mapType === undefined ? {} : { 'x-kubernetes-map-type': field.mapType }),
      ...(field.patchStrategy === undefined ? {} : { 'x-kubernetes-patch-strategy': field.patchStrategy }),
      ...(field.patchMergeKey === undefined ? {} : { 'x-kubernetes-patch-merge-key': field.patchMergeKey }),
    };
  }

  #type(type: FieldType): OpenApiSchema {
    switch (type.type) {
      case 'string':
      case 'boolean':
        return { type: type.type };
      case 'number':
        return { type: 'number', format: 'double' };
      case 'integer':
        return { type: 'integer', format: type.format };
      case 'bytes':
        return { type: 'string', format: 'byte' };
      case 'array':
        return { type: 'array', items: this.#type(type.items) };
      case 'map':
        return { type: 'object', additionalProperties: this.#type(type.items) };
      case 'ref':
        return this.model(type.ref);
      case 'any':
        return this.scalar(RAW_EXTENSION);
      default:
        return isScalarReference(type.type) ? this.scalar(definitionOfScalar[type.type]) : {};
    }
  }
}

/** Upstream's values stand at the string, or at the elements of a list of strings. */
function enumOf(field: FieldType, values: readonly string[], schema: OpenApiSchema): OpenApiSchema {
  if (field.type !== 'array') return { enum: values };
  return { items: { ...(schema['items'] as object), enum: values } };
}

/** `resources` are those whose schemas are their own. */
export function newDefinitions(version: OpenApiVersion, resources: readonly Resource[]): Definitions {
  return new Definitions(version, resources);
}

export type { Definitions };

/** Name of the model of a kind's list, if there is one. */
export function listModelOf({ model, schema }: Resource): string | undefined {
  if (schema !== undefined) return `${model}List`;
  return Object.hasOwn(builtInSchemas(), `${model}List`) ? `${model}List` : undefined;
}
