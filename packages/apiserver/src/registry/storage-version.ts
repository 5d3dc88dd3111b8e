import type { UnstructuredObject } from '@naru/api';

/**
 * Between objects as a registry has them and as the store does, where the two differ. Neither method changes what it is
 * given. They reject with the StatusError that the client gets.
 */
export interface StorageVersion {
  toStored(object: UnstructuredObject): Promise<UnstructuredObject>;
  fromStored(object: UnstructuredObject): Promise<UnstructuredObject>;
}
