import { newInternalError, type JsonObject, type UnstructuredObject } from '@naru/api';
import { strategyFor } from '../../registry/strategies/strategies.ts';
import { checkObject } from '../../server/object-decoder.ts';
import type { AdmissionAttributes } from '../admission.ts';

/** Makes the request's object what a mutation made of it: decoded and with defaults, as if it had come in so. @throws StatusError. */
export function acceptObject({ object, resource, subresource }: AdmissionAttributes, value: JsonObject): void {
  if (object === undefined) return;
  const isMain = subresource === '' || subresource === 'status';
  if (isMain) {
    try {
      checkObject(value, resource, { fieldValidation: 'Ignore', warn: () => undefined });
    } catch (error) {
      throw newInternalError((error as Error).message, { cause: error });
    }
    if (resource.schema === undefined) strategyFor(resource).applyDefaults?.(value as unknown as UnstructuredObject);
  }
  replaceObject(object, value as unknown as UnstructuredObject);
}

/** Makes one object the same as another, in place; its type stays. */
function replaceObject(object: UnstructuredObject, other: UnstructuredObject): void {
  const { kind, apiVersion } = object;
  for (const field of Object.keys(object)) if (!(field in other)) delete object[field];
  Object.assign(object, other, { kind, apiVersion });
}
