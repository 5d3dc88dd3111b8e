/**
 * The cache of one resource: every object's bytes by key, and a bounded window of changes from which watches resume.
 * Inputs are changes in the order of their revisions; everything is synchronous and in memory.
 */
import { newExpired, type UnstructuredObject } from '@naru/api';
import sortedBtree from 'sorted-btree';
import { decodeObject, spliceRevision } from '../storage/object-codec.ts';
import { prefixEnd } from '../storage/keys.ts';
import { atRevision, CacheEvent, encodePut, type CacheEventType } from './cache-event.ts';
import { newCachedObject, type CachedObject, type SelectableFields } from './cached-object.ts';
import type { CacheWatcher } from './cache-watcher.ts';
import { WatcherIndex, type WatchScope } from './watcher-index.ts';

// The package is CommonJS: its default export is a property of the module.
const BTree = sortedBtree.default;
type Tree = InstanceType<typeof BTree<string, CachedObject>>;

const compareKeys = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Changes kept for watches to resume from. */
const HISTORY_EVENTS_MAX = 16_384;
/** Bytes of changes kept for watches to resume from. */
const HISTORY_BYTES_MAX = 64 * 1024 * 1024;
/** Snapshots kept for the next pages of limited lists. */
const SNAPSHOTS_MAX = 16;

export interface WatchCacheOptions {
  /** The key prefix of all its objects, with the slash at its end. */
  readonly prefix: string;
  readonly selectableFields?: SelectableFields;
  /** Fields by which many clients watch one value each, such as spec.nodeName: they get no other watcher's events. */
  readonly triggerFields?: readonly string[];
  readonly historyEventsMax?: number;
  readonly historyBytesMax?: number;
  /** Told of every object and every change, in order; after a gap, of what the gap came to. */
  readonly onChange?: ((type: CacheEventType, object: UnstructuredObject) => void) | undefined;
}

/** A page of objects in key order. */
export interface CachePage {
  readonly objects: CachedObject[];
  /** The key to go on from; undefined when this is the last page. */
  readonly nextKey: string | undefined;
  /** Objects from `nextKey` on, before selectors. */
  readonly remaining: number;
}

export interface PageOptions {
  readonly namespace: string;
  /** Where to begin; default the namespace's first key. */
  readonly startKey?: string | undefined;
  /** 0: no limit. */
  readonly limit: number;
  readonly matches?: ((object: CachedObject) => boolean) | undefined;
}

export class WatchCache {
  readonly prefix: string;
  readonly #selectable: SelectableFields;
  readonly #watchers: WatcherIndex;
  readonly #historyEventsMax: number;
  readonly #historyBytesMax: number;
  readonly #onChange: WatchCacheOptions['onChange'];
  readonly #objects = new Map<string, CachedObject>();
  #tree: Tree = new BTree(undefined, compareKeys);
  readonly #parsed = new WeakMap<CachedObject, UnstructuredObject>();
  /** Invariant: holds every change after #windowStart, in order. */
  #history: (CacheEvent | undefined)[] = [];
  #historyStart = 0;
  #historyBytes = 0;
  #windowStart = 0;
  #changedRevision = 0;
  readonly #snapshots = new Map<number, Tree>();

  constructor(options: WatchCacheOptions) {
    this.prefix = options.prefix;
    this.#selectable = options.selectableFields ?? {};
    this.#watchers = new WatcherIndex(options.triggerFields ?? []);
    this.#historyEventsMax = options.historyEventsMax ?? HISTORY_EVENTS_MAX;
    this.#historyBytesMax = options.historyBytesMax ?? HISTORY_BYTES_MAX;
    this.#onChange = options.onChange;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Revision of the last change, or of the list that the cache began with. */
  get changedRevision(): number {
    return this.#changedRevision;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  get(key: string): CachedObject | undefined {
    return this.#objects.get(key);
  }

  /** The object parsed, kept as long as the object is: for kinds that the server itself reads often. Never change it. */
  parsed(object: CachedObject): UnstructuredObject {
    let parsed = this.#parsed.get(object);
    if (parsed === undefined) {
      parsed = parseBytes(object);
      this.#parsed.set(object, parsed);
    }
    return parsed;
  }

  /** Begins anew with what the store holds at `revision`. Watches end: the changes up to here were not seen. */
  replace(
    items: Iterable<{ readonly key: string; readonly value: Buffer; readonly modRevision: number }>,
    revision: number,
  ): void {
    this.#watchers.endAll();
    const gone = new Map(this.#onChange === undefined ? [] : this.#objects);
    this.#objects.clear();
    this.#tree = new BTree(undefined, compareKeys);
    this.#snapshots.clear();
    this.#history = [];
    this.#historyStart = 0;
    this.#historyBytes = 0;
    this.#windowStart = revision;
    this.#changedRevision = revision;
    for (const { key, value, modRevision } of items) {
      const { object, parsed } = this.#newObject(key, modRevision, value, spliceRevision(value, modRevision));
      this.#objects.set(key, object);
      this.#tree.set(key, object);
      this.#onChange?.(gone.delete(key) ? 'MODIFIED' : 'ADDED', parsed);
    }
    for (const object of gone.values()) this.#onChange?.('DELETED', parseBytes(object));
  }

  #newObject(
    key: string,
    revision: number,
    stored: Buffer,
    bytes: Buffer,
  ): { readonly object: CachedObject; readonly parsed: UnstructuredObject } {
    const parsed = decodeObject(stored, revision);
    return { object: newCachedObject(key, revision, bytes, parsed, this.#selectable), parsed };
  }

  put(key: string, value: Buffer, revision: number): void {
    const previous = this.#objects.get(key);
    const type = previous === undefined ? 'ADDED' : 'MODIFIED';
    const { frame, bytes } = encodePut(type, value, revision);
    const { object, parsed } = this.#newObject(key, revision, value, bytes);
    this.#objects.set(key, object);
    this.#tree.set(key, object);
    this.#onChange?.(type, parsed);
    this.#publish(new CacheEvent(type, object, previous, frame));
  }

  delete(key: string, revision: number): void {
    const previous = this.#objects.get(key);
    if (previous === undefined) return;
    this.#objects.delete(key);
    this.#tree.delete(key);
    this.#onChange?.('DELETED', parseBytes(previous));
    this.#publish(new CacheEvent('DELETED', atRevision(previous, revision), previous));
  }

  #publish(event: CacheEvent): void {
    this.#changedRevision = event.revision;
    this.#history.push(event);
    this.#historyBytes += event.size;
    while (
      this.#history.length - this.#historyStart > this.#historyEventsMax ||
      this.#historyBytes > this.#historyBytesMax
    )
      this.#forgetOldest();
    this.#watchers.deliver(event);
  }

  #forgetOldest(): void {
    const oldest = this.#history[this.#historyStart];
    if (oldest === undefined) return;
    this.#windowStart = oldest.revision;
    this.#historyBytes -= oldest.size;
    this.#historyStart++;
    // Cut the array only now and then: a shift per change would copy it each time.
    if (this.#historyStart >= 1024 && this.#historyStart * 2 > this.#history.length) {
      this.#history = this.#history.slice(this.#historyStart);
      this.#historyStart = 0;
    } else this.#history[this.#historyStart - 1] = undefined;
  }

  /** Writes out what the changes since the last flush gave the watchers. @returns to how many */
  flush(): number {
    return this.#watchers.flush();
  }

  /** Sends a bookmark to every watch that wants them. */
  bookmark(revision: number): void {
    this.#watchers.bookmark(revision);
  }

  endWatches(last?: Buffer): void {
    this.#watchers.endAll(last);
  }

  /** A page of the current state. */
  page(options: PageOptions): CachePage {
    return pageOf(this.#tree, this.prefix, options);
  }

  /** Keeps the current state, which is the store's at `revision`, for the next pages of a limited list. */
  keepSnapshot(revision: number): void {
    if (this.#snapshots.has(revision)) return;
    this.#snapshots.set(revision, this.#tree.clone());
    if (this.#snapshots.size <= SNAPSHOTS_MAX) return;
    const [oldest] = this.#snapshots.keys();
    if (oldest !== undefined) this.#snapshots.delete(oldest);
  }

  /** A page of a kept snapshot; undefined if there is none of that revision here. */
  snapshotPage(revision: number, options: PageOptions): CachePage | undefined {
    const tree = this.#snapshots.get(revision);
    return tree === undefined ? undefined : pageOf(tree, this.prefix, options);
  }

  /**
   * Adds a watcher; it first gets the changes after `fromRevision`.
   * @throws StatusError Expired when the window no longer reaches back that far.
   */
  watch(watcher: CacheWatcher, scope: WatchScope, fromRevision: number): () => void {
    if (fromRevision < this.#windowStart)
      throw newExpired(`too old resource version: ${fromRevision} (${this.#windowStart})`);
    watcher.startAt(fromRevision);
    for (let i = this.#firstAfter(fromRevision); i < this.#history.length; i++) {
      const event = this.#history[i];
      if (event !== undefined && inScope(event.object, scope)) watcher.deliver(event);
    }
    return this.#watchers.add(watcher, scope);
  }

  /** Index of the first change after `revision`. */
  #firstAfter(revision: number): number {
    let low = this.#historyStart;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#history[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function parseBytes(object: CachedObject): UnstructuredObject {
  return JSON.parse(object.bytes.toString()) as UnstructuredObject;
}

function inScope(object: CachedObject, scope: WatchScope): boolean {
  return scope.namespace === '' || object.namespace === scope.namespace;
}

function pageOf(tree: Tree, prefix: string, options: PageOptions): CachePage {
  const scope = options.namespace === '' ? prefix : `${prefix}${options.namespace}/`;
  const low = options.startKey !== undefined && options.startKey > scope ? options.startKey : scope;
  const { limit, matches } = options;
  const objects: CachedObject[] = [];
  let nextKey: string | undefined;
  let remaining = 0;
  tree.forRange(low, prefixEnd(scope), false, (key, object) => {
    if (nextKey !== undefined) {
      remaining++;
      return;
    }
    if (limit > 0 && objects.length === limit) {
      nextKey = key;
      remaining = 1;
      return;
    }
    if (matches === undefined || matches(object)) objects.push(object);
  });
  return { objects, nextKey, remaining };
}
