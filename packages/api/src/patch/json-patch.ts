/** JSON patch (RFC 6902), with upstream's limits and error codes. */
import jsonpatch, { type Operation } from 'fast-json-patch';
import { newBadRequest, newStatusError, type StatusError } from '../status.ts';
import { cloneJson, isJsonObject, type JsonObject } from './json.ts';

/** A patch with more operations is refused with 413. */
export const JSON_PATCH_OPERATIONS_MAX = 10_000;

/** Characters of JSON that all `copy` operations of a patch together may add: each can double the document. */
export const JSON_PATCH_COPIED_MAX = 3 * 1024 * 1024;

/** What upstream answers, whatever does not apply; the cause stays in the log. */
function newNotApplicable(cause: unknown): StatusError {
  const message = 'the server rejected our request due to an error in our request';
  return newStatusError('Invalid', message, {}, { cause });
}

function goTypeOf(value: unknown): string {
  return isJsonObject(value) ? 'object' : typeof value === 'boolean' ? 'bool' : typeof value;
}

function applyAll(document: JsonObject, patch: readonly Operation[]): unknown {
  let patched: unknown = cloneJson(document);
  let copied = 0;
  for (const [i, operation] of patch.entries()) {
    if (operation.op === 'copy') {
      const source: unknown = jsonpatch.getValueByPointer(patched, operation.from);
      copied += (JSON.stringify(source) ?? '').length;
      if (copied > JSON_PATCH_COPIED_MAX) throw new Error(`copies of ${copied} exceed the limit`);
    }
    patched = jsonpatch.applyOperation(patched, operation, true, true, true, i).newDocument;
  }
  return patched;
}

/**
 * The document with the patch applied; the document is not changed. Throws BadRequest where the patch is no list of
 * operations, RequestEntityTooLarge where there are too many, Invalid where one does not apply.
 */
export function applyJsonPatch(document: JsonObject, patch: unknown): JsonObject {
  if (!Array.isArray(patch))
    throw newBadRequest(`json: cannot unmarshal ${goTypeOf(patch)} into Go value of type jsonpatch.Patch`);
  if (!patch.every(isJsonObject)) {
    const wrong = patch.find((each) => !isJsonObject(each));
    throw newBadRequest(`json: cannot unmarshal ${goTypeOf(wrong)} into Go value of type jsonpatch.Operation`);
  }
  if (patch.length > JSON_PATCH_OPERATIONS_MAX)
    throw newStatusError(
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${JSON_PATCH_OPERATIONS_MAX}, got ${patch.length}`,
    );
  let patched: unknown;
  try {
    patched = applyAll(document, patch as unknown as Operation[]);
  } catch (error) {
    throw newNotApplicable(error);
  }
  if (!isJsonObject(patched)) throw newNotApplicable(new Error('the patched document is no object'));
  return patched;
}
