import type { GroupResource, KubeObject } from '@naru/api';

export interface ObjectChange {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: GroupResource;
  /** The object as it is now, or as it was last when deleted. */
  readonly object: KubeObject;
}

/** Keeps an index of stored objects in memory. It is told of all that exist, then of every change in order. */
export interface ObjectObserver {
  /** The resources that it wants to be told of. */
  readonly resources: readonly GroupResource[];
  observe(change: ObjectChange): void;
}
