import type { CacheEvent } from './cache-event.ts';
import type { CacheWatcher } from './cache-watcher.ts';
import { FrameJoiner } from './frame-joiner.ts';

/** What a watch is limited to, beyond its selectors' predicate. */
export interface WatchScope {
  /** '': all. */
  readonly namespace: string;
  /** `metadata.name=x` of the field selector. */
  readonly name?: string | undefined;
  /** A trigger field that the field selector wants to equal one value. */
  readonly trigger?: { readonly field: string; readonly value: string } | undefined;
}

/** Watchers by what can concern them, so that an event meets only those. */
export class WatcherIndex {
  readonly #triggerFields: readonly string[];
  readonly #buckets = new Map<string, Set<CacheWatcher>>();
  readonly #dirty = new Set<CacheWatcher>();
  #size = 0;

  constructor(triggerFields: readonly string[]) {
    this.#triggerFields = triggerFields;
  }

  get size(): number {
    return this.#size;
  }

  /** Returns what removes it. */
  add(watcher: CacheWatcher, scope: WatchScope): () => void {
    const key = this.#bucketKey(scope);
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, (bucket = new Set()));
    bucket.add(watcher);
    this.#size++;
    return () => {
      if (!bucket.delete(watcher)) return;
      this.#size--;
      this.#dirty.delete(watcher);
      if (bucket.size === 0 && this.#buckets.get(key) === bucket) this.#buckets.delete(key);
    };
  }

  #bucketKey(scope: WatchScope): string {
    if (scope.name !== undefined) return `name/${scope.namespace}/${scope.name}`;
    if (scope.trigger !== undefined && this.#triggerFields.includes(scope.trigger.field))
      return `${scope.trigger.field}=${scope.trigger.value}`;
    return scope.namespace === '' ? 'all' : `namespace/${scope.namespace}`;
  }

  deliver(event: CacheEvent): void {
    if (this.#size === 0) return;
    const { object, previous } = event;
    this.#deliverTo('all', event);
    if (object.namespace !== '') {
      this.#deliverTo(`namespace/${object.namespace}`, event);
      this.#deliverTo(`name/${object.namespace}/${object.name}`, event);
    }
    this.#deliverTo(`name//${object.name}`, event);
    for (const field of this.#triggerFields) {
      const value = object.fields[field] ?? '';
      const before = previous?.fields[field] ?? value;
      this.#deliverTo(`${field}=${value}`, event);
      if (before !== value) this.#deliverTo(`${field}=${before}`, event);
    }
  }

  #deliverTo(key: string, event: CacheEvent): void {
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return;
    for (const watcher of bucket) if (watcher.deliver(event)) this.#dirty.add(watcher);
  }

  /** @returns how many watchers there was something to write to */
  flush(): number {
    const { size } = this.#dirty;
    if (size === 0) return 0;
    const joiner = new FrameJoiner();
    for (const watcher of this.#dirty) watcher.flush(joiner);
    this.#dirty.clear();
    return size;
  }

  bookmark(revision: number): void {
    for (const bucket of this.#buckets.values()) for (const watcher of bucket) watcher.bookmark(revision);
  }

  endAll(last?: Buffer): void {
    for (const bucket of this.#buckets.values()) for (const watcher of bucket) watcher.end(last);
  }
}
