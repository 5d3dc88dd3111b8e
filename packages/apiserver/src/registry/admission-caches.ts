import { newNotFound, type KubeObject, type Resource } from '@naru/api';
import type { AdmissionStore } from '../admission/admission.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import { objectKey, resourcePrefix } from '../storage/keys.ts';
import { decodeObject } from '../storage/object-codec.ts';
import type { ObjectStore } from '../storage/object-store.ts';

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

  #cacheOf(resource: Resource): WatchCache {
    const cache = this.#caches.get(resourcePrefix(resource, this.#etcdPrefix));
    if (cache === undefined) throw newNotFound(resource, '');
    return cache;
  }
}
