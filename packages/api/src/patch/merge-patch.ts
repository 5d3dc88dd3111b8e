/** JSON merge patch (RFC 7386). */
import { newBadRequest } from '../status.ts';
import { cloneJson, equalJson, isJsonObject, setOwn, type JsonObject } from './json.ts';

function merge(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return cloneJson(patch);
  const result: JsonObject = {};
  if (isJsonObject(target)) for (const key of Object.keys(target)) setOwn(result, key, target[key]);
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) delete result[key];
    else setOwn(result, key, merge(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}

/**
 * The document with the patch applied; the document is not changed, and parts that the patch does not touch are shared.
 * Throws BadRequest where the patch is no object.
 */
export function applyMergePatch(document: JsonObject, patch: unknown): JsonObject {
  if (!isJsonObject(patch))
    throw newBadRequest(
      `error decoding patch: json: cannot unmarshal ${Array.isArray(patch) ? 'array' : typeof patch} into Go value of type map[string]interface {}`,
    );
  return merge(document, patch) as JsonObject;
}

/** The smallest merge patch that makes `modified` of `original`; neither may hold a null. */
export function createMergePatch(original: JsonObject, modified: JsonObject): JsonObject {
  const patch: JsonObject = {};
  for (const key of Object.keys(original)) if (!Object.hasOwn(modified, key)) setOwn(patch, key, null);
  for (const key of Object.keys(modified)) {
    const after = modified[key];
    const before = Object.hasOwn(original, key) ? original[key] : undefined;
    if (isJsonObject(before) && isJsonObject(after)) {
      const inner = createMergePatch(before, after);
      if (Object.keys(inner).length > 0) setOwn(patch, key, inner);
    } else if (!equalJson(before, after)) {
      setOwn(patch, key, after);
    }
  }
  return patch;
}
