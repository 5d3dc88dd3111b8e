import { newModifiedConflict, newNotFound, type KubeObject, type Resource, type UnstructuredObject } from '@naru/api';
import type { Clock } from '@naru/component';
import type { AdmissionStore } from '../admission/admission.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import { objectKey, prefixEnd, resourcePrefix } from '../storage/keys.ts';
import { decodeObject, encodeObject } from '../storage/object-codec.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { builtInVersions } from './kind-versions.ts';
import { ownFieldManager } from './request-context.ts';
import { trackFields } from './track-fields.ts';

/** Tries of a change that others' writes get in the way of. */
const UPDATE_TRIES_MAX = 64;
/** Objects that one list from the store reads. */
const LIST_MAX = 500;

/** The caches as admission and authorization read them: typed objects, parsed once. */
export class AdmissionCaches implements AdmissionStore {
  readonly #caches: ReadonlyMap<string, WatchCache>;
  readonly #store: ObjectStore;

  readonly #etcdPrefix: string;
  readonly #clock: Clock;

  /** `caches` by key prefix. */
  constructor(
    caches: ReadonlyMap<string, WatchCache>,
    options: { readonly store: ObjectStore; readonly etcdPrefix: string; readonly clock: Clock },
  ) {
    this.#caches = caches;
    this.#store = options.store;
    this.#etcdPrefix = options.etcdPrefix;
    this.#clock = options.clock;
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
      await this.#own(resource, changed as unknown as UnstructuredObject, object as unknown as UnstructuredObject);
      const value = encodeObject(changed as unknown as UnstructuredObject);
      const result = await this.#store.update(key, current.modRevision, value);
      if (result.succeeded) return changed;
      current = result.current;
      isFresh = true;
      if (current === undefined) return undefined;
    }
    throw newModifiedConflict(resource, name);
  }

  /** What admission writes of a status is the server's. */
  async #own(resource: Resource, object: UnstructuredObject, old: UnstructuredObject): Promise<void> {
    const write = { fieldManager: ownFieldManager('status'), nowMs: this.#clock.now() };
    await trackFields(object, { old, versions: builtInVersions(resource), resetFields: ['spec'] }, write);
  }

  #cacheOf(resource: Resource): WatchCache {
    const cache = this.#caches.get(resourcePrefix(resource, this.#etcdPrefix));
    if (cache === undefined) throw newNotFound(resource, '');
    return cache;
  }
}
