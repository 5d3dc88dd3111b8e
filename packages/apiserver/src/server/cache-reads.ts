/** Reads from a watch cache at the revision that a request asks for. */
import { newExpired } from '@naru/api';
import { isEtcdError } from '@naru/etcd';
import type { CachedObject, SelectableFields } from '../cache/cached-object.ts';
import { newCachedObject } from '../cache/cached-object.ts';
import type { StoreFeed } from '../cache/store-feed.ts';
import type { CachePage, PageOptions, WatchCache } from '../cache/watch-cache.ts';
import { prefixEnd } from '../storage/keys.ts';
import { decodeObject, spliceRevision } from '../storage/object-codec.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { decodeContinue, encodeContinue, expiredContinue, predicateOf, type ListOptions } from './list-options.ts';
import { newBadRequest } from '@naru/api';
import type { ObjectConverter } from './object-converter.ts';

export interface ListResult {
  readonly objects: readonly CachedObject[];
  readonly revision: number;
  readonly continue: string | undefined;
  /** Undefined where it cannot be told, as with selectors. */
  readonly remainingItemCount: number | undefined;
}

/** Keys per request when a list is read from the store itself. */
const STORE_PAGE_KEYS = 500;

export class CacheReads {
  readonly #feed: StoreFeed;
  readonly #store: ObjectStore;

  constructor(feed: StoreFeed, store: ObjectStore) {
    this.#feed = feed;
    this.#store = store;
  }

  /**
   * Resolves when the caches are at least as new as a read wants them: `undefined` is what the store has now, 0 whatever is
   * there.
   */
  async waitFor(resourceVersion: number | undefined): Promise<void> {
    if (resourceVersion === 0 && this.#feed.synced) return;
    await this.#feed.waitFor(resourceVersion ?? (await this.#store.currentRevision()));
  }

  get revision(): number {
    return this.#feed.revision;
  }

  async list(
    cache: WatchCache,
    namespace: string,
    options: ListOptions,
    selectable: SelectableFields,
  ): Promise<ListResult> {
    const matches = predicateOf(options, '');
    // As upstream: whoever takes any revision gets everything at once, for it is in memory.
    const limit = options.resourceVersion === 0 && options.continue === '' ? 0 : options.limit;
    if (options.continue !== '') {
      if (options.resourceVersion !== undefined && options.resourceVersion !== 0)
        throw newBadRequest('specifying resource version is not allowed when using continue');
      const { revision, startKey } = decodeContinue(options.continue, cache.prefix);
      return await this.#listAt(cache, revision, { namespace, limit, matches, startKey }, selectable);
    }
    if (isExact(options)) {
      const revision = options.resourceVersion ?? 0;
      await this.waitFor(revision);
      if (revision < cache.changedRevision)
        return await this.#listAt(cache, revision, { namespace, limit, matches }, selectable);
      // Nothing changed since: the current state is the state at that revision.
      return this.#result(cache, cache.page({ namespace, limit, matches }), revision, { matches });
    }
    await this.waitFor(options.resourceVersion);
    return this.#result(cache, cache.page({ namespace, limit, matches }), this.#feed.revision, { matches });
  }

  /** A list of a version that must be converted: selectors are about what the client sees. */
  async listConverted(
    converter: ObjectConverter,
    cache: WatchCache,
    namespace: string,
    options: ListOptions,
    selectable: SelectableFields,
  ): Promise<ListResult> {
    const matches = predicateOf(options, '');
    const { requirements = [] } = options.fieldSelector ?? {};
    // Conversion leaves names as they are.
    if (options.labelSelector === undefined && requirements.every(({ field }) => field.startsWith('metadata.'))) {
      const list = await this.list(cache, namespace, options, selectable);
      return { ...list, objects: await converter.objects(list.objects) };
    }
    const everything = { ...options, labelSelector: undefined, fieldSelector: undefined, limit: 0 };
    const all = await this.list(cache, namespace, everything, selectable);
    const objects = (await converter.objects(all.objects)).filter((each) => matches?.(each) ?? true);
    const isWhole = options.resourceVersion === 0 && options.continue === '';
    const next = isWhole || options.limit === 0 ? undefined : objects[options.limit];
    if (next === undefined) return { ...all, objects };
    const { revision } = all;
    return {
      objects: objects.slice(0, options.limit),
      revision,
      continue: encodeContinue({ revision, startKey: next.key }, cache.prefix),
      remainingItemCount: undefined,
    };
  }

  #result(
    cache: WatchCache,
    page: CachePage,
    revision: number,
    options: { readonly matches: PageOptions['matches'] },
  ): ListResult {
    const { objects, nextKey, remaining } = page;
    if (nextKey === undefined) return { objects, revision, continue: undefined, remainingItemCount: undefined };
    cache.keepSnapshot(revision);
    return {
      objects,
      revision,
      continue: encodeContinue({ revision, startKey: nextKey }, cache.prefix),
      remainingItemCount: options.matches === undefined ? remaining : undefined,
    };
  }

  async #listAt(
    cache: WatchCache,
    revision: number,
    options: PageOptions,
    selectable: SelectableFields,
  ): Promise<ListResult> {
    const page = cache.snapshotPage(revision, options) ?? (await this.#storePage(cache, revision, options, selectable));
    const { objects, nextKey, remaining } = page;
    return {
      objects,
      revision,
      continue: nextKey === undefined ? undefined : encodeContinue({ revision, startKey: nextKey }, cache.prefix),
      remainingItemCount: nextKey === undefined || options.matches !== undefined ? undefined : remaining,
    };
  }

  /** A page of the past that no cache of this server holds, from the store's history. */
  async #storePage(
    cache: WatchCache,
    revision: number,
    options: PageOptions,
    selectable: SelectableFields,
  ): Promise<CachePage> {
    const scope = options.namespace === '' ? cache.prefix : `${cache.prefix}${options.namespace}/`;
    const objects: CachedObject[] = [];
    let start = options.startKey !== undefined && options.startKey > scope ? options.startKey : scope;
    try {
      for (;;) {
        const wanted = options.limit === 0 ? STORE_PAGE_KEYS : options.limit - objects.length;
        const page = await this.#store.range(start, prefixEnd(scope), { limit: wanted, revision });
        for (const { key, value, modRevision } of page.items) {
          const bytes = spliceRevision(value, modRevision);
          const object = newCachedObject(key, modRevision, bytes, decodeObject(value, modRevision), selectable);
          if (options.matches === undefined || options.matches(object)) objects.push(object);
        }
        const last = page.items.at(-1);
        if (!page.more || last === undefined) return { objects, nextKey: undefined, remaining: 0 };
        start = `${last.key}\0`;
        if (options.limit > 0 && objects.length >= options.limit)
          return { objects, nextKey: start, remaining: page.count - page.items.length };
      }
    } catch (error) {
      if (!isEtcdError(error, 'compacted')) throw error;
      throw options.startKey === undefined
        ? newExpired(`The resourceVersion for the provided list is too old.`)
        : expiredContinue();
    }
  }
}

/** Whether a list is of one revision exactly: so it is with a limit and a resourceVersion but no match rule, too. */
function isExact(options: ListOptions): boolean {
  const { resourceVersion, resourceVersionMatch, limit } = options;
  if (resourceVersion === undefined || resourceVersion === 0) return false;
  return resourceVersionMatch === 'Exact' || (resourceVersionMatch === '' && limit > 0);
}
