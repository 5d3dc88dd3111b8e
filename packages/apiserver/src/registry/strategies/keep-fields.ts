import type { UnstructuredObject } from '@naru/api';

/** Takes fields from the stored object, whatever the client sent: absent stays absent, so that equal objects are equal. */
export function keepFields(object: UnstructuredObject, old: UnstructuredObject, ...fields: readonly string[]): void {
  for (const field of fields)
    if (old[field] === undefined) delete object[field];
    else object[field] = old[field];
}
