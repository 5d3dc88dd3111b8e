import { isGone, isNotFound, isStatusError, keyOf, type KubeObject, type Resource } from '@naru/api';
import { backoffMs, type Clock, type Logger } from '@naru/component';
import type { Client } from './client.ts';
import { Indexer } from './indexer.ts';
import type { Informer, InformerHandlers, InformerOptions } from './informer.ts';
import { listAll } from './list-pages.ts';

export interface SharedInformerDependencies {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default Math.random: for jitter. */
  readonly random?: () => number;
  /** Reduces every object as it comes in, before an informer's own `transform`. */
  readonly transform?: <T extends KubeObject>(object: T) => T;
}

/** A watch asks for an end after this long, plus up to as much again, so that not all end at once. */
const WATCH_TIMEOUT_SECONDS_MIN = 150;
/** A watch that ended sooner than this, without an event, counts as a failure. */
const WATCH_SHORT_MS = 1000;
const backoff = { baseMs: 100, maxMs: 15_000, jitter: 0.5 };

/** How soon to ask again for a resource that the server does not know. */
const UNSERVED_RETRY_MS = 30_000;

/** A 404 of a whole collection. */
function isUnserved(error: unknown): boolean {
  return isNotFound(error) && isStatusError(error) && (error.status.details?.name ?? '') === '';
}

/** The Informer over a Client: a reflector's loop and an indexed cache. */
export class SharedInformer<T extends KubeObject> implements Informer<T> {
  readonly resource: Resource<T>;
  readonly #options: InformerOptions<T>;
  readonly #dependencies: SharedInformerDependencies;
  readonly #indexer: Indexer<T>;
  readonly #handlers: InformerHandlers<T>[] = [];
  readonly #stop = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  #hasSynced = false;
  #running: Promise<void> | undefined;
  /** Revision up to which the cache is known to be complete; '' before the first list and after 410. */
  #resourceVersion = '';
  #failures = 0;

  constructor(resource: Resource<T>, options: InformerOptions<T>, dependencies: SharedInformerDependencies) {
    this.resource = resource;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#indexer = new Indexer(options.indexers);
    // Whoever waits gets the rejection; when nobody does it must not end the process.
    this.#synced.promise.catch(() => {});
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** The revision that the cache has reached. */
  get lastSyncResourceVersion(): string {
    return this.#resourceVersion;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#indexer.get(namespace, name);
  }

  list(namespace?: string): readonly T[] {
    return this.#indexer.list(namespace);
  }

  byIndex(index: string, value: string): readonly T[] {
    return this.#indexer.byIndex(index, value);
  }

  addIndex(name: string, values: (object: T) => readonly string[]): void {
    this.#indexer.addIndex(name, values);
  }

  addHandlers(handlers: InformerHandlers<T>): void {
    this.#handlers.push(handlers);
    if (handlers.added === undefined) return;
    for (const object of this.#indexer.list()) this.#call(() => handlers.added?.(object));
  }

  start(signal: AbortSignal): void {
    if (this.#running !== undefined) return;
    this.#running = this.#run(AbortSignal.any([signal, this.#stop.signal]));
  }

  async synced(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    if (signal === undefined || this.#hasSynced) return await this.#synced.promise;
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#synced.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the informer is disposed'));
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, logger, random } = this.#dependencies;
    let listed = false;
    while (!signal.aborted) {
      try {
        if (!listed) {
          await this.#list(signal);
          listed = true;
        }
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) break;
        const gone = isGone(error);
        if (!this.#hasSynced && isUnserved(error)) this.#beEmpty();
        // What happened since is lost to the watch: the list's difference to the cache makes up for it. A list at the
        // expired revision could be refused again, so it asks for the newest.
        if (gone) this.#resourceVersion = '';
        if (gone || (isStatusError(error) && error.code < 500 && error.code !== 429)) listed = false;
        const delayMs = Math.max(
          backoffMs(this.#failures++, { ...backoff, ...(random === undefined ? {} : { random }) }),
          isUnserved(error) ? UNSERVED_RETRY_MS : 0,
          isStatusError(error) ? (error.status.details?.retryAfterSeconds ?? 0) * 1000 : 0,
        );
        // An expired watch is usual after the server's restart or compaction.
        logger[this.#failures > 3 && !gone ? 'warn' : 'debug'](
          { resource: this.resource.resource, err: error, delayMs },
          'list or watch failed, trying again',
        );
        await clock.sleep(delayMs, { signal }).catch(() => {});
      }
    }
    this.#synced.reject(signal.reason);
  }

  async #list(signal: AbortSignal): Promise<void> {
    // '0' takes what the server has in memory; later lists must not be older than what is known already.
    const resourceVersion = this.#hasSynced ? this.#resourceVersion : '0';
    const { items, resourceVersion: listedVersion } = await listAll(this.#dependencies.client, this.resource, {
      ...this.#selection(),
      resourceVersion,
      signal,
    });
    signal.throwIfAborted();
    this.#replace(items, listedVersion);
  }

  /** A server of another version may lack a resource: there is none of it, and what needs others can go on. */
  #beEmpty(): void {
    const { resource, group, version } = this.resource;
    this.#dependencies.logger.warn({ resource, group, version }, 'the server does not serve this resource');
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  #replace(items: readonly T[], resourceVersion: string): void {
    const gone = new Set(this.#indexer.keys());
    for (const item of items) {
      gone.delete(keyOf(item));
      this.#upsert(item);
    }
    for (const key of gone) this.#remove(key);
    this.#resourceVersion = resourceVersion;
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, clock, random = Math.random } = this.#dependencies;
    const startedMs = clock.monotonic();
    let events = 0;
    const watch = client.watch(this.resource, {
      ...this.#selection(),
      resourceVersion: this.#resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.round(WATCH_TIMEOUT_SECONDS_MIN * (1 + random())),
      signal,
    });
    for await (const event of watch) {
      events++;
      this.#failures = 0;
      switch (event.type) {
        case 'ADDED':
        case 'MODIFIED':
          this.#upsert(event.object);
          break;
        case 'DELETED':
          this.#remove(keyOf(event.object), event.object);
          break;
        case 'BOOKMARK':
          break;
        default:
          event.type satisfies never;
      }
      this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
    }
    if (events > 0 || clock.monotonic() - startedMs >= WATCH_SHORT_MS) this.#failures = 0;
    else throw new Error('the watch ended at once');
  }

  #selection(): Pick<InformerOptions<T>, 'namespace' | 'labelSelector' | 'fieldSelector'> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }

  #transform(received: T): T {
    const object = this.#dependencies.transform?.(received) ?? received;
    return this.#options.transform?.(object) ?? object;
  }

  #upsert(received: T): void {
    const object = this.#transform(received);
    const old = this.#indexer.getByKey(keyOf(object));
    if (old === undefined) {
      this.#indexer.set(object);
      for (const { added } of this.#handlers) this.#call(() => added?.(object));
      return;
    }
    // A list after a watch brings mostly what is known: the same revision of the same object.
    if (old.metadata.resourceVersion === object.metadata.resourceVersion && old.metadata.uid === object.metadata.uid)
      return;
    this.#indexer.set(object);
    for (const { updated } of this.#handlers) this.#call(() => updated?.(object, old));
  }

  #remove(key: string, received?: T): void {
    const old = this.#indexer.delete(key);
    if (old === undefined) return;
    const last = received === undefined ? old : this.#transform(received);
    for (const { deleted } of this.#handlers) this.#call(() => deleted?.(last));
  }

  /** A handler that throws is a programmer's error: it must end the process, not look like a failed watch. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
