import { isStatusError } from '@naru/api';

/** Whether the server refused to create something because its namespace is being deleted. */
export function isNamespaceTerminating(error: unknown): boolean {
  return (
    isStatusError(error) &&
    error.code === 403 &&
    error.status.details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true
  );
}
