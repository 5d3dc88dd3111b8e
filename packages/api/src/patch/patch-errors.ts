/** Errors of strategic merge patch, with upstream's wording and codes. */
import { newBadRequest, StatusError } from '../status.ts';
import { formatGoValue, type JsonObject } from './json.ts';

/** What upstream does not classify: a 500 without a reason. */
export function newPlainError(message: string): StatusError {
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, code: 500 });
}

export const newNoMergeKey = (element: JsonObject, mergeKey: string): StatusError =>
  newPlainError(`map: ${formatGoValue(element)} does not contain declared merge key: ${mergeKey}`);

export const newBadPatchType = (directive: unknown, element: JsonObject): StatusError =>
  newPlainError(`unknown patch type: ${formatGoValue(directive)} in map: ${formatGoValue(element)}`);

export const newBadFormat = (what: 'primitive list' | 'retainKeys' | 'setElementOrder list'): StatusError =>
  newBadRequest(`invalid patch format of ${what}`);
