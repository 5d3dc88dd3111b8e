/** From a body to an object of the resource's kind: type meta, schema, field validation. */
import {
  apiVersionOf,
  decodeCustomObject,
  decodeObject,
  duplicateFields,
  newBadRequest,
  parseApiVersion,
  type FieldValidation,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import { mediaTypeOf, parseBody } from './object-body.ts';

export interface DecodeOptions {
  readonly fieldValidation: FieldValidation;
  readonly warn: (message: string) => void;
}

/** The kind that a body must be of. */
export type BodyKind = Pick<Resource, 'group' | 'version' | 'kind' | 'model' | 'schema'>;

/** @throws StatusError BadRequest or UnsupportedMediaType. */
export function decodeObjectBody(
  body: Buffer,
  contentType: string | undefined,
  kind: BodyKind,
  options: DecodeOptions,
): UnstructuredObject {
  const value = parseBody(body, contentType, kind.kind);
  const isJson = !/yaml|protobuf/u.test(mediaTypeOf(contentType));
  const duplicates = options.fieldValidation === 'Ignore' || !isJson ? [] : duplicateFields(body.toString());
  return checkObject(value, kind, options, duplicates);
}

/** Makes sure that a value is an object of the kind, in place; its type meta may be left out. */
export function checkObject(
  value: Record<string, unknown>,
  kind: BodyKind,
  options: DecodeOptions,
  duplicates: readonly string[] = [],
): UnstructuredObject {
  const expected = apiVersionOf(kind);
  const given = typeMetaOf(value);
  if (given.kind !== '' && given.apiVersion !== '' && given.apiVersion !== expected)
    throw newBadRequest(
      `the API version in the data (${given.apiVersion}) does not match the expected API version (${expected})`,
    );
  if (given.kind !== '' && given.kind !== kind.kind) {
    const { version } = parseApiVersion(given.apiVersion === '' ? expected : given.apiVersion);
    throw newBadRequest(
      `${given.kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind.kind}: no kind ${JSON.stringify(given.kind)} can be converted to a ${kind.kind}`,
    );
  }
  value['kind'] = kind.kind;
  value['apiVersion'] = expected;
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const { fieldValidation } = options;
  const request = { gvk, fieldValidation, duplicateFields: duplicates };
  const warnings =
    kind.schema === undefined
      ? decodeObject(value, { ...request, model: kind.model })
      : decodeCustomObject(value, kind.schema, request);
  for (const warning of warnings) options.warn(warning);
  const object = value as UnstructuredObject;
  object.metadata ??= {};
  return object;
}

function typeMetaOf(value: Record<string, unknown>): { readonly kind: string; readonly apiVersion: string } {
  const { kind, apiVersion } = value;
  for (const [field, each] of [
    ['kind', kind],
    ['apiVersion', apiVersion],
  ] as const)
    if (each !== undefined && each !== null && typeof each !== 'string')
      throw newBadRequest(
        `couldn't get version/kind; json parse error: json: cannot unmarshal ${typeof each} into Go struct field .${field} of type string`,
      );
  return { kind: (kind ?? '') as string, apiVersion: (apiVersion ?? '') as string };
}
