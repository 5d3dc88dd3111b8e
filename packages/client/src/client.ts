import type { DeleteOptions, KubeList, KubeObject, Resource, WatchEventType } from '@naru/api';

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface NamespaceOptions extends CallOptions {
  /** Required for single objects of a namespaced resource; for lists and watches, none means all namespaces. */
  readonly namespace?: string | undefined;
}

export interface SubresourceOptions extends NamespaceOptions {
  readonly subresource?: string;
}

export interface PatchOptions extends SubresourceOptions {
  /** Who applies; required for the patch type `apply`. */
  readonly fieldManager?: string;
  /** For `apply`: takes fields over from other managers. */
  readonly force?: boolean;
}

export interface ListOptions extends NamespaceOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}

export interface WatchOptions extends ListOptions {
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
}

export interface WatchEvent<T extends KubeObject> {
  readonly type: Exclude<WatchEventType, 'ERROR'>;
  readonly object: T;
}

/** How a patch body is read; the value is its content type. */
export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

export type PatchType = keyof typeof patchTypes;

/**
 * Calls to an API server. Every method rejects with a StatusError when the server answers with a failure (ask with
 * isNotFound, isConflict…), and with another Error when it cannot be reached. Nothing is retried here.
 */
export interface Client {
  get<T extends KubeObject>(resource: Resource<T>, name: string, options?: SubresourceOptions): Promise<T>;
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<KubeList<T>>;
  /** One watch request: ends when the server ends it. An ERROR event is thrown as a StatusError (410: list again). */
  watch<T extends KubeObject>(resource: Resource<T>, options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(resource: Resource<T>, object: T, options?: NamespaceOptions): Promise<T>;
  /** POST to a subresource such as `binding` or `eviction`; the body is of another kind. */
  createSubresource<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    subresource: string,
    body: KubeObject,
    options?: NamespaceOptions,
  ): Promise<KubeObject>;
  /** PUT; the object's resourceVersion, when set, must be the stored one. */
  update<T extends KubeObject>(resource: Resource<T>, object: T, options?: SubresourceOptions): Promise<T>;
  patch<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    type: PatchType,
    patch: unknown,
    options?: PatchOptions,
  ): Promise<T>;
  delete<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    options?: NamespaceOptions & { readonly body?: DeleteOptions },
  ): Promise<void>;
  deleteCollection<T extends KubeObject>(
    resource: Resource<T>,
    options?: ListOptions & { readonly body?: DeleteOptions },
  ): Promise<void>;
  /** Any path, for discovery, logs and the like; resolves with the parsed JSON body, or the text if it is not JSON. */
  raw(method: string, path: string, options?: CallOptions & { readonly body?: unknown }): Promise<unknown>;
}
