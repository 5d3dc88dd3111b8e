/** `fieldValidation`: what becomes of unknown and duplicate fields, in upstream's words. */
import { validateSchema } from './decode.ts';
import type { GroupVersionKind } from './schema.ts';
import { newBadRequest, type StatusError } from './status.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/** `Pod in version "v1" cannot be handled as a Pod: …`: the 400 of a body that cannot be decoded. */
export function newDecodeError({ version, kind }: GroupVersionKind, why: string): StatusError {
  return newBadRequest(`${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${why}`);
}

/** A body and what it is to be. */
export interface DecodeRequest {
  readonly gvk: GroupVersionKind;
  /** Name of the model, such as `V1Pod`. */
  readonly model: string;
  readonly fieldValidation: FieldValidation;
  /** Of the body as it came in, from `duplicateFields`: the decoded object no longer shows them. */
  readonly duplicateFields?: readonly string[];
}

/**
 * Decodes the object in place (see `validateSchema`) and returns the warnings that the client gets; throws BadRequest where
 * it cannot be decoded, or has unknown or duplicate fields that `Strict` refuses. Unknown fields are dropped in any case.
 */
export function decodeObject(object: unknown, request: DecodeRequest): string[] {
  const { gvk, model, fieldValidation } = request;
  const { error, unknownFields } = validateSchema(model, object);
  if (error !== undefined) throw newDecodeError(gvk, error);
  if (fieldValidation === 'Ignore') return [];
  const strict = [
    ...unknownFields.map((path) => `unknown field ${JSON.stringify(path)}`),
    ...(request.duplicateFields ?? []).map((path) => `duplicate field ${JSON.stringify(path)}`),
  ];
  if (fieldValidation === 'Strict' && strict.length > 0)
    throw newDecodeError(gvk, `strict decoding error: ${strict.join(', ')}`);
  return strict;
}
