/**
 * The OpenAPI v2 document as protobuf: gnostic's openapi.v2.Document, which is all that kubectl before 1.27 takes.
 *
 * It differs from the JSON in more than the encoding: an object of any keys is a list of names with values, what JSON schema
 * leaves open (default, enum, `x-…`) is YAML in a string, and where one of several forms may stand a message says which.
 */
import { createRequire } from 'node:module';
import { isJsonObject } from '@naru/api';
import type * as Protobuf from 'protobufjs';

type WriteValue = (writer: Protobuf.Writer, value: unknown) => void;
/** Number of a field, and the type of its value: a scalar's or one of `messages`; repeated with `[]` behind it. */
type Field = readonly [id: number, type: string];

/** Wire types of the protobuf encoding. */
const VARINT = 0;
const DOUBLE = 1;
const LENGTH_DELIMITED = 2;

const scalars: Readonly<Record<string, { readonly wireType: number; readonly write: WriteValue }>> = {
  boolean: { wireType: VARINT, write: (writer, value) => void writer.bool(value === true) },
  integer: { wireType: VARINT, write: (writer, value) => void writer.int64(Number(value)) },
  number: { wireType: DOUBLE, write: (writer, value) => void writer.double(Number(value)) },
  string: { wireType: LENGTH_DELIMITED, write: (writer, value) => void writer.string(String(value)) },
};

function writeField(writer: Protobuf.Writer, [id, type]: Field, value: unknown): void {
  if (type.endsWith('[]')) {
    const single: Field = [id, type.slice(0, -'[]'.length)];
    for (const each of value as readonly unknown[]) writeField(writer, single, each);
    return;
  }
  const scalar = scalars[type];
  writer.uint32((id << 3) | (scalar?.wireType ?? LENGTH_DELIMITED));
  if (scalar !== undefined) return scalar.write(writer, value);
  writer.fork();
  messages[type]?.(writer, value);
  writer.ldelim();
}

/** An object whose keys are known; `x-…` are extensions, and what else it has is left out. */
function struct(fields: Readonly<Record<string, Field>>, extensions: number): WriteValue {
  return (writer, value) => {
    for (const [key, each] of Object.entries(value as object)) {
      const field = fields[key];
      if (field !== undefined) writeField(writer, field, each);
      else if (key.startsWith('x-')) writeField(writer, [extensions, 'NamedAny'], [key, each]);
    }
  };
}

/** One entry of an object: its name and its value. */
function named(type: string): WriteValue {
  return (writer, entry) => {
    const [name, value] = entry as readonly [string, unknown];
    writeField(writer, [1, 'string'], name);
    writeField(writer, [2, type], value);
  };
}

/** An object of any keys. */
function entries(type: string): WriteValue {
  return (writer, value) => writeField(writer, [1, `${type}[]`], Object.entries(value as object));
}

/** An object of any keys that may have extensions, too. */
function entriesAnd(type: string, ids: { readonly entries: number; readonly extensions: number }): WriteValue {
  return (writer, value) => {
    for (const entry of Object.entries(value as object)) {
      const isExtension = entry[0].startsWith('x-');
      writeField(writer, isExtension ? [ids.extensions, 'NamedAny'] : [ids.entries, type], entry);
    }
  };
}

/** The field of the one form that the value has. */
function oneOf(choose: (value: unknown) => Field): WriteValue {
  return (writer, value) => writeField(writer, choose(value), value);
}

const stringOf = (value: unknown, key: string): unknown => (isJsonObject(value) ? value[key] : undefined);
const isReference = (value: unknown): boolean => stringOf(value, '$ref') !== undefined;
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

/** What header, query, path and form parameters, headers and items have in common, from the number of `type` on. */
function primitive(first: number, emptyValue: Readonly<Record<string, Field>> = {}): Readonly<Record<string, Field>> {
  const types = {
    type: 'string',
    format: 'string',
    items: 'PrimitivesItems',
    collectionFormat: 'string',
    default: 'Any',
    maximum: 'number',
    exclusiveMaximum: 'boolean',
    minimum: 'number',
    exclusiveMinimum: 'boolean',
    maxLength: 'integer',
    minLength: 'integer',
    pattern: 'string',
    maxItems: 'integer',
    minItems: 'integer',
    uniqueItems: 'boolean',
    enum: 'Any[]',
    multipleOf: 'number',
  };
  return {
    ...emptyValue,
    ...Object.fromEntries(Object.entries(types).map(([key, type], at) => [key, [first + at, type]])),
  };
}

const located: Readonly<Record<string, Field>> = {
  required: [1, 'boolean'],
  in: [2, 'string'],
  description: [3, 'string'],
  name: [4, 'string'],
};
const valued = { ...located, allowEmptyValue: [5, 'boolean'] } as const;

const messages: Readonly<Record<string, WriteValue>> = {
  Document: struct(
    {
      swagger: [1, 'string'],
      info: [2, 'Info'],
      host: [3, 'string'],
      basePath: [4, 'string'],
      schemes: [5, 'string[]'],
      consumes: [6, 'string[]'],
      produces: [7, 'string[]'],
      paths: [8, 'Paths'],
      definitions: [9, 'Definitions'],
    },
    16,
  ),
  Info: struct({ title: [1, 'string'], version: [2, 'string'], description: [3, 'string'] }, 7),
  Paths: entriesAnd('NamedPathItem', { entries: 2, extensions: 1 }),
  NamedPathItem: named('PathItem'),
  PathItem: struct(
    {
      $ref: [1, 'string'],
      get: [2, 'Operation'],
      put: [3, 'Operation'],
      post: [4, 'Operation'],
      delete: [5, 'Operation'],
      options: [6, 'Operation'],
      head: [7, 'Operation'],
      patch: [8, 'Operation'],
      parameters: [9, 'ParametersItem[]'],
    },
    10,
  ),
  Operation: struct(
    {
      tags: [1, 'string[]'],
      summary: [2, 'string'],
      description: [3, 'string'],
      externalDocs: [4, 'ExternalDocs'],
      operationId: [5, 'string'],
      produces: [6, 'string[]'],
      consumes: [7, 'string[]'],
      parameters: [8, 'ParametersItem[]'],
      responses: [9, 'Responses'],
      schemes: [10, 'string[]'],
      deprecated: [11, 'boolean'],
    },
    13,
  ),
  ParametersItem: oneOf((value) => (isReference(value) ? [2, 'JsonReference'] : [1, 'Parameter'])),
  Parameter: oneOf((value) => (stringOf(value, 'in') === 'body' ? [1, 'BodyParameter'] : [2, 'NonBodyParameter'])),
  BodyParameter: struct(
    {
      description: [1, 'string'],
      name: [2, 'string'],
      in: [3, 'string'],
      required: [4, 'boolean'],
      schema: [5, 'Schema'],
    },
    6,
  ),
  NonBodyParameter: oneOf((value) => {
    switch (stringOf(value, 'in')) {
      case 'header':
        return [1, 'HeaderOrPathParameter'];
      case 'formData':
        return [2, 'FormDataOrQueryParameter'];
      case 'query':
        return [3, 'FormDataOrQueryParameter'];
      default:
        return [4, 'HeaderOrPathParameter'];
    }
  }),
  HeaderOrPathParameter: struct(primitive(5, located), 22),
  FormDataOrQueryParameter: struct(primitive(6, valued), 23),
  PrimitivesItems: struct(primitive(1), 18),
  Responses: entriesAnd('NamedResponseValue', { entries: 1, extensions: 2 }),
  NamedResponseValue: named('ResponseValue'),
  ResponseValue: oneOf((value) => (isReference(value) ? [2, 'JsonReference'] : [1, 'Response'])),
  Response: struct(
    { description: [1, 'string'], schema: [2, 'SchemaItem'], headers: [3, 'Headers'], examples: [4, 'Examples'] },
    5,
  ),
  SchemaItem: oneOf(() => [1, 'Schema']),
  Headers: entries('NamedHeader'),
  NamedHeader: named('Header'),
  Header: struct({ ...primitive(1), description: [18, 'string'] }, 19),
  Examples: entries('NamedAny'),
  JsonReference: struct({ $ref: [1, 'string'], description: [2, 'string'] }, 0),
  Definitions: entries('NamedSchema'),
  Properties: entries('NamedSchema'),
  NamedSchema: named('Schema'),
  Schema: struct(
    {
      $ref: [1, 'string'],
      format: [2, 'string'],
      title: [3, 'string'],
      description: [4, 'string'],
      default: [5, 'Any'],
      multipleOf: [6, 'number'],
      maximum: [7, 'number'],
      exclusiveMaximum: [8, 'boolean'],
      minimum: [9, 'number'],
      exclusiveMinimum: [10, 'boolean'],
      maxLength: [11, 'integer'],
      minLength: [12, 'integer'],
      pattern: [13, 'string'],
      maxItems: [14, 'integer'],
      minItems: [15, 'integer'],
      uniqueItems: [16, 'boolean'],
      maxProperties: [17, 'integer'],
      minProperties: [18, 'integer'],
      required: [19, 'string[]'],
      enum: [20, 'Any[]'],
      additionalProperties: [21, 'AdditionalPropertiesItem'],
      type: [22, 'TypeItem'],
      items: [23, 'ItemsItem'],
      allOf: [24, 'Schema[]'],
      properties: [25, 'Properties'],
      discriminator: [26, 'string'],
      readOnly: [27, 'boolean'],
      externalDocs: [29, 'ExternalDocs'],
      example: [30, 'Any'],
    },
    31,
  ),
  AdditionalPropertiesItem: oneOf((value) => (typeof value === 'boolean' ? [2, 'boolean'] : [1, 'Schema'])),
  TypeItem: (writer, value) => writeField(writer, [1, 'string[]'], listOf(value)),
  ItemsItem: (writer, value) => writeField(writer, [1, 'Schema[]'], listOf(value)),
  ExternalDocs: struct({ description: [1, 'string'], url: [2, 'string'] }, 3),
  NamedAny: named('Any'),
  // JSON is YAML.
  Any: (writer, value) => writeField(writer, [2, 'string'], JSON.stringify(value)),
};

/** The message of a document in JSON, but for its security, tags, and shared parameters and responses, which ours lacks. */
export function encodeOpenApiV2(document: object): Buffer {
  const { Writer } = createRequire(import.meta.url)('protobufjs') as typeof Protobuf;
  const writer = Writer.create();
  messages['Document']?.(writer, document);
  return writer.finish() as Buffer;
}
