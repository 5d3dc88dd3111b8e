import { newModifiedConflict, newNotFound, type KubeObject, type Resource, type UnstructuredObject } from '@naru/api';
import type { AdmissionStore } from '../admission/admission.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import { objectKey, prefixEnd, resourcePrefix } from '../storage/keys.ts';
import { decodeObject, encodeObject } from '../storage/object-codec.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Tries of a change that others' writes get in the way of. */
const UPDATE_TRIES_MAX = 64;
/** Objects that one list from the store reads. */
const LIST_MAX = 500;

/** The caches as admission and authorization read them: typed objects, parsed once. */
export class AdmissionCaches implements AdmissionStore {
  readonly #caches: ReadonlyMap<string, WatchCache>;
  readonly #store: ObjectStore;

  readonly #etcdPrefix: string;

  /** `caches` by key prefix. */
  constructor(caches: ReadonlyMap<string, WatchCache>, store: ObjectStore, etcdPrefix: string) {
    this.#caches = caches;
    this.#store = store;
    this.#etcdPrefix = etcdPrefix;
  }

  get<T extends KubeObject>(resource: Resource<T>, namespace: string, name: string): T | undefined {
    const cache = this.#cacheOf(resource);
    const object = cache.get(objectKey(cache.prefix, resource.namespaced ? namespace : '', name));
    return object === undefined ? undefined : (cache.parsed(object) as unknown as T);
  }

  list<T extends KubeObject>(resource: Resource<T>, namespace = ''): readonly T[] {
    const cache = this.#cacheOf(resource);
    const { objects } = cache.page({ namespace, limit: 0 });
    return objects.map((object) => cache.parsed(object) as unknown as T);
  }

  changedRevision(resource: Resource): number {
    return this.#cacheOf(resource).changedRevision;
  }

  async getConsistent<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
  ): Promise<T | undefined> {
    const stored = await this.#store.get(
      objectKey(resourcePrefix(resource, this.#etcdPrefix), resource.namespaced ? namespace : '', name),
    );
    return stored === undefined ? undefined : (decodeObject(stored.value, stored.modRevision) as unknown as T);
  }

  async listConsistent<T extends KubeObject>(resource: Resource<T>, namespace: string): Promise<readonly T[]> {
    const prefix = resourcePrefix(resource, this.#etcdPrefix);
    const start = namespace === '' ? prefix : `${prefix}${namespace}/`;
    const { items } = await this.#store.range(start, prefixEnd(start), { limit: LIST_MAX, revision: 0 });
    return items.map(({ value, modRevision }) => decodeObject(value, modRevision) as unknown as T);
  }

  async guaranteedUpdate<T extends KubeObject>(
    resource: Resource<T>,
    { namespace, name }: { readonly namespace: string; readonly name: string },
    change: (object: T) => T,
  ): Promise<T | undefined> {
    const cache = this.#cacheOf(resource);
    const key = objectKey(cache.prefix, resource.namespaced ? namespace : '', name);
    const cached = cache.get(key);
    let current = cached === undefined ? undefined : { value: cached.bytes, modRevision: cached.revision };
    let isFresh = false;
    for (let tries = 0; tries < UPDATE_TRIES_MAX; tries++) {
      if (current === undefined) {
        current = await this.#store.get(key);
        isFresh = true;
        if (current === undefined) return undefined;
      }
      const object = decodeObject(current.value, current.modRevision) as unknown as T;
      let changed: T;
      try {
        changed = change(object);
      } catch (error) {
        if (isFresh) throw error;
        // What it refuses may be the cache's age.
        current = undefined;
        continue;
      }
      if (changed === object) return object;
      const value = encodeObject(changed as unknown as UnstructuredObject);
      const result = await this.#store.update(key, current.modRevision, value);
      if (result.succeeded) return changed;
      current = result.current;
      isFresh = true;
      if (current === undefined) return undefined;
    }
    throw newModifiedConflict(resource, name);
  }

  #cacheOf(resource: Resource): WatchCache {
    const cache = this.#caches.get(resourcePrefix(resource, this.#etcdPrefix));
    if (cache === undefined) throw newNotFound(resource, '');
    return cache;
  }
}
