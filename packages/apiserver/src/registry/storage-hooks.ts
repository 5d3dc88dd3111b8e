import type { UnstructuredObject } from '@naru/api';

/** What a hook has begun; exactly one of the two is called, once the write is done or has failed. */
export interface Transition {
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

export interface HookContext {
  /** Nothing may be kept: the write will not happen. */
  readonly dryRun: boolean;
}

/**
 * Steps of a kind's writes that need the store beyond the object itself, such as the allocation of a Service's addresses.
 * They run after admission and validation and may set fields of the object. They refuse with a StatusError.
 */
export interface StorageHooks {
  beforeCreate?(object: UnstructuredObject, context: HookContext): Promise<Transition>;
  beforeUpdate?(object: UnstructuredObject, old: UnstructuredObject, context: HookContext): Promise<Transition>;
  /** After the object is gone from the store. */
  afterDelete?(object: UnstructuredObject): Promise<void>;
}
