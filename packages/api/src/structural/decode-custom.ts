/** Decodes objects of custom resources: ObjectMeta as everywhere, the rest by the structural schema. */
import { validateSchema } from '../decode.ts';
import { newDecodeError, type DecodeRequest } from '../field-validation.ts';
import { isJsonObject, type JsonObject } from '../patch/json.ts';
import { applySchemaDefaults } from './default-values.ts';
import { pruneObject } from './prune.ts';
import type { JsonSchema } from './structural-schema.ts';

/**
 * Decodes the object in place: metadata is checked, unknown fields are pruned, defaults set. Returns the warnings that the
 * client gets. @throws StatusError BadRequest where it cannot be decoded, or where `Strict` refuses its fields.
 */
export function decodeCustomObject(
  object: JsonObject,
  schema: JsonSchema,
  request: Omit<DecodeRequest, 'model'>,
): string[] {
  const { gvk, fieldValidation } = request;
  const metadata = (object['metadata'] ??= {});
  const { error, unknownFields } = validateSchema('V1ObjectMeta', metadata);
  if (error !== undefined) throw newDecodeError(gvk, error);
  const pruned = pruneObject(object, schema);
  applySchemaDefaults(object, schema);
  if (fieldValidation === 'Ignore') return [];
  const strict = [
    ...unknownFields.map((path) => `unknown field ${JSON.stringify(`metadata.${path}`)}`),
    ...pruned.map((path) => `unknown field ${JSON.stringify(path)}`),
    ...(request.duplicateFields ?? []).map((path) => `duplicate field ${JSON.stringify(path)}`),
  ];
  if (fieldValidation === 'Strict' && strict.length > 0)
    throw newDecodeError(gvk, `strict decoding error: ${strict.join(', ')}`);
  return strict;
}

/** A stored object as a version of it is read: without what its schema does not know, and with the defaults of today. */
export function readCustomObject(object: unknown, schema: JsonSchema): void {
  if (!isJsonObject(object)) return;
  pruneObject(object, schema);
  applySchemaDefaults(object, schema);
}
