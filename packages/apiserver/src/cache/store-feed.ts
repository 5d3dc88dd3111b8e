/**
 * Keeps the caches of all resources in step with the store: one paged list of everything at one revision, then one watch of
 * everything from there. As every write to the store is an event of this watch, its last event tells the revision that all
 * caches have reached: a consistent read compares that with the store's revision and needs no progress notification.
 */
import { backoffMs, type Clock, type Logger } from '@naru/component';
import { isEtcdError, type WatchEvent } from '@naru/etcd';
import type { EtcdClient } from '@naru/etcd-client';
import { newStatusError } from '@naru/api';
import type { ObjectStore } from '../storage/object-store.ts';
import { prefixEnd } from '../storage/keys.ts';
import type { WatchCache } from './watch-cache.ts';

/** Keys per page of the first list. */
const LIST_PAGE_KEYS = 1000;
/** How long a read waits for the caches to reach its revision. */
const WAIT_MS = 3000;
/** Fewer watchers get each change at once. */
const PAUSE_WATCHERS_MIN = 64;
/** How long events may wait for others at most. */
const PAUSE_MS_MAX = 25;

export interface StoreFeedOptions {
  readonly client: Pick<EtcdClient, 'watch'>;
  readonly store: Pick<ObjectStore, 'range'> & Partial<Pick<ObjectStore, 'open'>>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `--etcd-prefix`; default /registry. */
  readonly etcdPrefix?: string;
}

/** A cache that is being filled while the watch goes on. */
interface Filling {
  /** Changes since before it was listed. */
  events: WatchEvent[];
  /** Changes went unseen: it must be listed anew. */
  broken: boolean;
}

interface StoredItem {
  readonly key: string;
  readonly value: Buffer;
  readonly modRevision: number;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

export class StoreFeed {
  readonly #options: StoreFeedOptions;
  readonly #prefix: string;
  /** By prefix; a key's prefix is its first two or three segments. */
  readonly #caches = new Map<string, WatchCache>();
  /** By prefix. */
  readonly #filling = new Map<string, Filling>();
  #revision = 0;
  #synced = false;
  #waiters: Waiter[] = [];
  /** Caches whose watchers have something to be written to them. */
  readonly #touched = new Set<WatchCache>();
  #pausing = false;

  constructor(options: StoreFeedOptions) {
    this.#options = options;
    this.#prefix = `${options.etcdPrefix ?? '/registry'}/`;
  }

  /** Call before `run`. */
  add(cache: WatchCache): void {
    this.#caches.set(cache.prefix, cache);
  }

  /**
   * Fills a cache while the others are followed, and then puts it in the place of the one of the same prefix, whose watches
   * end. One at a time per prefix.
   * @throws what the store does.
   */
  async fill(cache: WatchCache, signal: AbortSignal): Promise<void> {
    const { prefix } = cache;
    for (;;) {
      const filling: Filling = { events: [], broken: false };
      this.#filling.set(prefix, filling);
      try {
        const { items, revision } = await this.#read(prefix, signal);
        // What the watch still tells of the time before the list would set the cache back.
        await this.waitFor(revision);
        if (filling.broken) continue;
        this.#caches.get(prefix)?.endWatches();
        cache.replace(items, revision);
        this.#caches.set(prefix, cache);
        for (const event of filling.events) if (event.kv.modRevision > revision) applyTo(cache, event);
        return;
      } finally {
        this.#filling.delete(prefix);
      }
    }
  }

  /** Follows the cache no longer; its watches end. */
  remove(cache: WatchCache): void {
    if (this.#caches.get(cache.prefix) === cache) this.#caches.delete(cache.prefix);
    cache.endWatches();
  }

  /** Every change up to this revision is in the caches and was given to their watches. */
  get revision(): number {
    return this.#revision;
  }

  get synced(): boolean {
    return this.#synced;
  }

  /**
   * Resolves when the caches have reached `revision`.
   * @throws StatusError Timeout when that takes too long.
   */
  async waitFor(revision: number): Promise<void> {
    if (this.#synced && this.#revision >= revision) return;
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        revision,
        resolve: () => {
          cancel();
          resolve();
        },
      };
      const cancel = this.#options.clock.after(WAIT_MS, () => {
        this.#waiters = this.#waiters.filter((each) => each !== waiter);
        reject(tooLargeResourceVersion(revision, this.#revision));
      });
      this.#waiters.push(waiter);
    });
  }

  /** Lists and watches until the signal aborts, through every failure of the store. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (!this.#synced) await this.#list(signal);
        await this.#watch(signal, () => (failures = 0));
      } catch (error) {
        if (signal.aborted) break;
        if (isEtcdError(error, 'compacted')) this.#synced = false;
        logger.warn({ err: error, revision: this.#revision }, 'store watch ended');
      }
      if (signal.aborted) break;
      await clock
        .sleep(backoffMs(failures++, { baseMs: 20, maxMs: 2000, jitter: 0.5 }), { signal })
        .catch(() => undefined);
    }
    for (const cache of this.#caches.values()) cache.endWatches();
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const byCache = new Map<WatchCache, StoredItem[]>();
    const { items: all, revision } = await this.#read(this.#prefix, signal, (key) => this.#cacheOf(key) !== undefined);
    for (const item of all) {
      const cache = this.#cacheOf(item.key);
      if (cache === undefined) continue;
      const items = byCache.get(cache);
      if (items === undefined) byCache.set(cache, [item]);
      else items.push(item);
    }
    for (const filling of this.#filling.values()) filling.broken = true;
    for (const cache of this.#caches.values()) cache.replace(byCache.get(cache) ?? [], revision);
    this.#synced = true;
    // Not only forward: a store that was restored from a backup counts from there.
    this.#revision = revision;
    this.#advance(revision);
    logger.info({ revision, count: all.length }, 'listed the store');
  }

  /** What there is below a prefix, at one revision. */
  async #read(
    prefix: string,
    signal: AbortSignal,
    wants: (key: string) => boolean = () => true,
  ): Promise<{ readonly items: StoredItem[]; readonly revision: number }> {
    const { store } = this.#options;
    const end = prefixEnd(prefix);
    const items: StoredItem[] = [];
    let start = prefix;
    let revision = 0;
    for (;;) {
      const page = await store.range(start, end, { limit: LIST_PAGE_KEYS, revision, signal });
      if (revision === 0) revision = page.revision;
      for (const item of page.items) if (wants(item.key)) items.push(item);
      const last = page.items.at(-1);
      if (!page.more || last === undefined) return { items, revision };
      start = `${last.key}\0`;
    }
  }

  async #watch(signal: AbortSignal, onProgress: () => void): Promise<void> {
    const stream = this.#options.client.watch(
      { key: Buffer.from([0]), rangeEnd: Buffer.from([0]), startRevision: this.#revision + 1, progressNotify: true },
      { signal },
    );
    let pending: WatchEvent[] = [];
    for await (const response of stream) {
      if (response.canceled) {
        if (response.compactRevision > 0) this.#synced = false;
        throw new Error(`watch canceled: ${response.cancelReason}`);
      }
      onProgress();
      if (response.fragment) {
        pending.push(...response.events);
        continue;
      }
      const events = pending.length === 0 ? response.events : [...pending, ...response.events];
      pending = [];
      // A response without events is the answer to `created`, whose revision says nothing, or a notification of progress.
      if (events.length === 0) {
        if (!response.created && response.watchId !== -1) this.#advance(response.header.revision);
      } else this.apply(events.map((event) => this.#opened(event)));
    }
  }

  #opened(event: WatchEvent): WatchEvent {
    const { kv } = event;
    if (event.type === 'DELETE') return event;
    const value = this.#options.store.open?.(kv.key.toString(), kv.value) ?? kv.value;
    return value === kv.value ? event : { ...event, kv: { ...kv, value } };
  }

  /** Applies changes in the order of their revisions; the last one's revision is reached with it. */
  apply(events: readonly WatchEvent[]): void {
    let revision = this.#revision;
    for (const event of events) {
      revision = event.kv.modRevision;
      if (revision <= this.#revision) continue;
      const key = event.kv.key.toString();
      if (this.#filling.size > 0) this.#keep(key, event);
      const cache = this.#cacheOf(key);
      if (cache === undefined) continue;
      applyTo(cache, event, key);
      this.#touched.add(cache);
    }
    this.#advance(revision);
    this.#flush();
  }

  /**
   * Writes to the watchers what there is for them. To write to many takes a while; then the next time is as much later, so that
   * each of them gets in one write what has come by then, and half the time is left for everything else.
   */
  #flush(): void {
    if (this.#pausing) return;
    const { clock } = this.#options;
    const begun = clock.monotonic();
    let watchers = 0;
    for (const cache of this.#touched) watchers += cache.flush();
    this.#touched.clear();
    if (watchers < PAUSE_WATCHERS_MIN) return;
    this.#pausing = true;
    const goOn = (): void => {
      this.#pausing = false;
      this.#flush();
    };
    // What was written goes out at the end of this turn.
    clock.after(0, () => clock.after(Math.min(clock.monotonic() - begun, PAUSE_MS_MAX), goOn));
  }

  #keep(key: string, event: WatchEvent): void {
    for (const [prefix, filling] of this.#filling) if (key.startsWith(prefix)) filling.events.push(event);
  }

  #advance(revision: number): void {
    if (revision > this.#revision) this.#revision = revision;
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter((each) => each.revision <= this.#revision);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((each) => each.revision > this.#revision);
    for (const waiter of ready) waiter.resolve();
  }

  #cacheOf(key: string): WatchCache | undefined {
    if (!key.startsWith(this.#prefix)) return undefined;
    const first = key.indexOf('/', this.#prefix.length);
    if (first === -1) return undefined;
    const cache = this.#caches.get(key.slice(0, first + 1));
    if (cache !== undefined) return cache;
    const second = key.indexOf('/', first + 1);
    return second === -1 ? undefined : this.#caches.get(key.slice(0, second + 1));
  }
}

function applyTo(cache: WatchCache, { type, kv }: WatchEvent, key = kv.key.toString()): void {
  if (type === 'DELETE') cache.delete(key, kv.modRevision);
  else cache.put(key, kv.value, kv.modRevision);
}

/** The 504 of a read that asks for a revision that is not reached in time. */
function tooLargeResourceVersion(requested: number, current: number): Error {
  return newStatusError('Timeout', `Timeout: Too large resource version: ${requested}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}
