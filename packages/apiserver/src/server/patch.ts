/** Patch bodies: JSON patch, merge patch, strategic merge patch. */
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  cloneJson,
  newBadRequest,
  patchTypes,
  type UnstructuredObject,
} from '@naru/api';
import type { RequestContext } from '../registry/request-context.ts';
import { requiredBody, type ApiRequest } from './api-request.ts';
import { mediaTypeOf, unsupportedMediaType } from './object-body.ts';
import { checkObject, type BodyKind } from './object-decoder.ts';

/**
 * What makes the new object out of the stored one; it may be called again on a newer one.
 * @throws StatusError BadRequest, Invalid or UnsupportedMediaType, now or when it is called.
 */
export function newPatch(
  request: ApiRequest,
  kind: BodyKind,
  context: RequestContext,
): (old: UnstructuredObject) => UnstructuredObject {
  const type = mediaTypeOf(request.raw.headers['content-type']);
  const body = requiredBody(request);
  const parse = (): unknown => {
    try {
      return JSON.parse(body.toString());
    } catch (error) {
      throw newBadRequest(`error decoding patch: ${(error as Error).message}`);
    }
  };
  const apply = applierOf(type, kind);
  parse();
  return (old) => checkObject(apply(old, parse()), kind, context);
}

type Apply = (old: UnstructuredObject, patch: unknown) => Record<string, unknown>;

function applierOf(type: string, kind: BodyKind): Apply {
  switch (type) {
    case patchTypes.json:
      return applyJsonPatch;
    case patchTypes.merge:
      // What the patch does not touch would be the old object's own parts, which defaulting may change.
      return (old, patch) => applyMergePatch(cloneJson(old), patch);
    case patchTypes.strategicMerge:
      return (old, patch) => applyStrategicMergePatch(old, patch, kind.model);
    default:
      throw unsupportedMediaType([patchTypes.json, patchTypes.merge, patchTypes.strategicMerge]);
  }
}
