import type { KubeObject, Resource, UnstructuredObject } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';

export type AdmissionOperation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

/** The versions in which a resource is served, and how its objects come from one to another. */
export interface EquivalentResources {
  readonly resources: readonly Resource[];
  /** The argument is not changed. @throws StatusError. */
  convert(object: UnstructuredObject, to: Resource): Promise<UnstructuredObject>;
}

export interface AdmissionAttributes {
  readonly operation: AdmissionOperation;
  readonly resource: Resource;
  /** As the client names the resource, where the objects are in another version. */
  readonly requestResource?: Resource;
  /** Undefined: there is one version. */
  readonly equivalents?: EquivalentResources | undefined;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** The new object; undefined for DELETE. `admit` may change it. */
  readonly object: UnstructuredObject | undefined;
  /** The stored object for UPDATE and DELETE. */
  readonly oldObject: UnstructuredObject | undefined;
  /** Options of the request (DeleteOptions and the like), where there are any. */
  readonly options?: unknown;
  warn(message: string): void;
  /** Adds to the annotations of the request's audit event. */
  annotate?(key: string, value: string): void;
}

/** What admission plugins may read: stored objects, from the caches, and for some a consistent read. */
export interface AdmissionStore {
  /** From the watch cache. */
  get<T extends KubeObject>(resource: Resource<T>, namespace: string, name: string): T | undefined;
  list<T extends KubeObject>(resource: Resource<T>, namespace?: string): readonly T[];
  /** Revision of the resource's last change in the watch cache: what is derived from its objects holds while this does. */
  changedRevision(resource: Resource): number;
  /** From the store itself. */
  getConsistent<T extends KubeObject>(resource: Resource<T>, namespace: string, name: string): Promise<T | undefined>;
  /** From the store itself; of kinds that have no cache here, too. */
  listConsistent<T extends KubeObject>(resource: Resource<T>, namespace: string): Promise<readonly T[]>;
  /**
   * Changes the status of a stored object atomically; undefined: it is not there. `change` may run again on a newer version;
   * it must not change what it is given, and leaves the object alone by answering with it.
   */
  guaranteedUpdate<T extends KubeObject>(
    resource: Resource<T>,
    where: { readonly namespace: string; readonly name: string },
    change: (object: T) => T,
  ): Promise<T | undefined>;
}

/** Mutating plugins have `admit`, validating ones `validate`; all admits run before all validates. They refuse with a StatusError. */
export interface AdmissionPlugin {
  readonly name: string;
  handles(operation: AdmissionOperation, resource: Resource, subresource: string): boolean;
  admit?(attributes: AdmissionAttributes, store: AdmissionStore): Promise<void> | void;
  validate?(attributes: AdmissionAttributes, store: AdmissionStore): Promise<void> | void;
}
