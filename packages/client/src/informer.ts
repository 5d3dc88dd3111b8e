import type { KubeObject, Resource } from '@naru/api';

export interface InformerHandlers<T> {
  readonly added?: (object: T) => void;
  readonly updated?: (object: T, old: T) => void;
  readonly deleted?: (object: T) => void;
}

export interface InformerOptions<T extends KubeObject> {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Secondary indexes: each maps an object to the keys under which `byIndex` finds it. */
  readonly indexers?: Readonly<Record<string, (object: T) => readonly string[]>>;
  /** Reduces an object before it is cached, to save memory. */
  readonly transform?: (object: T) => T;
}

/** Read access to an informer's cache. Objects are shared: never change one. All answers are in memory and synchronous. */
export interface Lister<T extends KubeObject> {
  get(namespace: string, name: string): T | undefined;
  list(namespace?: string): readonly T[];
  byIndex(index: string, key: string): readonly T[];
}

/**
 * Keeps a cache of a resource in step with the API server: list, then watch from there, resumed after every end, listed
 * anew after 410, with backoff after errors. Handlers run synchronously, after the cache has changed, in the order of events.
 */
export interface Informer<T extends KubeObject> extends Lister<T>, AsyncDisposable {
  readonly resource: Resource<T>;
  /** Handlers added after the first list are called with `added` for each cached object. */
  addHandlers(handlers: InformerHandlers<T>): void;
  /** Starts the loop; returns at once. It ends with the signal or on disposal. */
  start(signal: AbortSignal): void;
  readonly hasSynced: boolean;
  /** Resolves when the first list is in the cache; rejects with the signal's reason. */
  synced(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/** One informer per resource and selector, shared by all who ask. */
export interface InformerFactory extends AsyncDisposable {
  informer<T extends KubeObject>(resource: Resource<T>, options?: InformerOptions<T>): Informer<T>;
  /** The informer that somebody has asked for already, of all objects of the resource. */
  find<T extends KubeObject>(resource: Resource<T>): Informer<T> | undefined;
  /** Starts all informers asked for so far. */
  start(signal: AbortSignal): void;
  synced(options?: { readonly signal?: AbortSignal }): Promise<void>;
}
