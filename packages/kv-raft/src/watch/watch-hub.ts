import type { WatchFilter } from '@naru/etcd';
import { contains, type KeyRange } from '../mvcc/operation.ts';
import type { MvccStore } from '../mvcc/store.ts';
import type { Version } from '../mvcc/version.ts';
import { RangeIndex } from './range-index.ts';

/** Changes that a catching-up watcher looks at in one step. */
const CATCH_UP_CHANGES = 2000;
/** Bytes of values that one catch-up response may hold before it ends with its revision. */
const CATCH_UP_BYTES = 1024 * 1024;

/** Events that go to all watchers of a group alike; `cache` keeps what their sinks encode, so that it is done once. */
export interface EventBatch {
  /** All events up to this revision are in this batch or were sent before. */
  readonly revision: number;
  readonly events: readonly HubEvent[];
  readonly cache: Map<string, unknown>;
}

export interface HubEvent {
  readonly change: Version;
  /** Only when the watcher asked for it, and it existed and is not compacted. */
  readonly previous: Version | undefined;
}

/** Where a stream's responses go. Nothing throws; each returns at once. */
export interface WatchSink {
  /** False while too much is waiting to be sent: then only answers to requests are sent, no events. */
  readonly writable: boolean;
  events(watchId: number, batch: EventBatch): void;
  compacted(watchId: number, compactRevision: number): void;
  /** An empty response: everything up to `revision` was sent. `watchId` -1 is about all watches of the stream. */
  progress(watchId: number, revision: number): void;
}

export interface WatchOptions {
  readonly range: KeyRange;
  /** First revision to send; 0: the next one. */
  readonly startRevision: number;
  readonly filters: readonly WatchFilter[];
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
}

interface Watcher {
  readonly id: number;
  readonly stream: WatchStreamState;
  readonly options: WatchOptions;
  /** All matching events before it were sent. */
  next: number;
  /** Its group while it is on the fast path. */
  group: Group | undefined;
  /** Something was sent since the last progress notification. */
  active: boolean;
}

/** Watchers of one range that want the same events. */
interface Group {
  readonly key: string;
  readonly options: WatchOptions;
  readonly watchers: Set<Watcher>;
  pending: HubEvent[];
}

/** All groups of one range, by what they want. */
type RangeGroups = Map<string, Group>;

/** One stream of a client: its watchers and its sink. */
export class WatchStreamState {
  readonly sink: WatchSink;
  readonly watchers = new Map<number, Watcher>();
  /** Watchers that are not on the fast path. */
  readonly lagging = new Set<Watcher>();
  progressRequested = false;
  nextId = 0;

  constructor(sink: WatchSink) {
    this.sink = sink;
  }
}

/**
 * Brings changes to watchers. Those that are up to date and whose client reads are on the fast path: each change is matched
 * against the index of ranges and its events go out, once encoded, as soon as they are applied. All others lag: they are
 * caught up from the store's history in bounded steps and hold no events meanwhile, so a slow client costs no memory
 * beyond its socket's buffer. One whose place in the history was compacted is canceled with the compact revision.
 *
 * Guarantees per watcher: events in the order of revisions, each once, none missing, all of one revision in one response.
 */
export class WatchHub {
  readonly #index = new RangeIndex<RangeGroups>();
  readonly #streams = new Set<WatchStreamState>();
  /** Streams with lagging watchers that can be caught up. */
  readonly #backlog = new Set<WatchStreamState>();
  readonly #schedule: (step: () => void) => void;
  #scheduled = false;
  #store: MvccStore;

  /** `schedule` calls back soon, after other work had its turn. */
  constructor(store: MvccStore, schedule: (step: () => void) => void) {
    this.#store = store;
    this.#schedule = schedule;
  }

  get watcherCount(): number {
    let count = 0;
    for (const stream of this.#streams) count += stream.watchers.size;
    return count;
  }

  get laggingCount(): number {
    let count = 0;
    for (const stream of this.#streams) count += stream.lagging.size;
    return count;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  open(sink: WatchSink): WatchStreamState {
    const stream = new WatchStreamState(sink);
    this.#streams.add(stream);
    return stream;
  }

  /** Removes a stream and its watchers; its sink is called no more. */
  close(stream: WatchStreamState): void {
    for (const watcher of stream.watchers.values()) this.#leaveGroup(watcher);
    stream.watchers.clear();
    stream.lagging.clear();
    this.#streams.delete(stream);
    this.#backlog.delete(stream);
  }

  /** Adds a watcher; undefined if `watchId` is taken. 0 chooses one. Its events come after this call has returned. */
  create(stream: WatchStreamState, watchId: number, options: WatchOptions): number | undefined {
    let id = watchId;
    if (id === 0) {
      while (stream.watchers.has(stream.nextId)) stream.nextId++;
      id = stream.nextId++;
    } else if (stream.watchers.has(id)) return undefined;
    const next = options.startRevision > 0 ? options.startRevision : this.#store.revision + 1;
    const watcher: Watcher = { id, stream, options, next, group: undefined, active: false };
    stream.watchers.set(id, watcher);
    if (next > this.#store.revision) this.#joinGroup(watcher);
    else this.#lag(watcher);
    return id;
  }

  /** False if there is no such watcher. */
  cancel(stream: WatchStreamState, watchId: number): boolean {
    const watcher = stream.watchers.get(watchId);
    if (watcher === undefined) return false;
    this.#remove(watcher);
    this.#answerProgress(stream);
    return true;
  }

  /** Answers as soon as all events up to the store's revision were sent to all watchers of the stream. */
  requestProgress(stream: WatchStreamState): void {
    stream.progressRequested = true;
    this.#answerProgress(stream);
  }

  /** Sends each watcher that asked for it a progress response, unless events went to it since the last time. */
  notifyProgress(): void {
    const { revision } = this.#store;
    for (const stream of this.#streams)
      for (const watcher of stream.watchers.values()) {
        if (watcher.options.progressNotify && watcher.group !== undefined && !watcher.active && stream.sink.writable)
          stream.sink.progress(watcher.id, revision);
        watcher.active = false;
      }
  }

  /** Takes the changes of one or more revisions, just applied. */
  changed(changes: readonly Version[]): void {
    const touched = new Set<Group>();
    for (const change of changes)
      this.#index.match(change.key, (groups) => {
        for (const group of groups.values()) {
          const event = this.#eventFor(group.options, change);
          if (event === undefined) continue;
          group.pending.push(event);
          touched.add(group);
        }
      });
    for (const group of touched) {
      const events = group.pending;
      group.pending = [];
      this.#deliver(group, events);
    }
  }

  /** The client of a stream reads again: what lags is caught up. */
  drained(stream: WatchStreamState): void {
    if (stream.lagging.size === 0) this.#answerProgress(stream);
    else this.#addBacklog(stream);
  }

  /** The store was replaced: every watcher goes on from where it is in the new one's history. */
  restored(store: MvccStore): void {
    const sentUpTo = this.#store.revision;
    this.#store = store;
    for (const stream of this.#streams)
      for (const watcher of stream.watchers.values()) {
        if (watcher.group === undefined) continue;
        // Who is on the fast path was sent all that it wants of the old store, though its last event may be long ago.
        watcher.next = Math.max(watcher.next, sentUpTo + 1);
        if (watcher.next > store.revision) continue;
        this.#leaveGroup(watcher);
        this.#lag(watcher);
      }
  }

  #eventFor(options: WatchOptions, change: Version): HubEvent | undefined {
    for (const filter of options.filters)
      if (filter === (change.version === 0 ? 'NODELETE' : 'NOPUT')) return undefined;
    return { change, previous: options.prevKv ? this.#store.previousOf(change) : undefined };
  }

  #deliver(group: Group, events: readonly HubEvent[]): void {
    const { revision } = this.#store;
    const batch: EventBatch = { revision, events, cache: new Map() };
    const first = events[0]?.change.main ?? 0;
    const last = events.at(-1)?.change.main ?? 0;
    for (const watcher of group.watchers) {
      if (last < watcher.next) continue;
      if (!watcher.stream.sink.writable) {
        // It misses these events: from here on it is caught up from the history, starting with the first of them.
        watcher.next = Math.max(watcher.next, first);
        this.#leaveGroup(watcher);
        this.#lag(watcher);
        continue;
      }
      const own =
        first >= watcher.next
          ? batch
          : { revision, events: events.filter((each) => each.change.main >= watcher.next), cache: new Map() };
      watcher.next = revision + 1;
      watcher.active = true;
      watcher.stream.sink.events(watcher.id, own);
    }
  }

  #lag(watcher: Watcher): void {
    watcher.stream.lagging.add(watcher);
    if (watcher.stream.sink.writable) this.#addBacklog(watcher.stream);
  }

  #addBacklog(stream: WatchStreamState): void {
    this.#backlog.add(stream);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      this.#step();
    });
  }

  /** One bounded step for one lagging watcher; the streams take turns. */
  #step(): void {
    const [stream] = this.#backlog;
    if (stream === undefined) return;
    this.#backlog.delete(stream);
    const [watcher] = stream.lagging;
    if (watcher !== undefined && stream.sink.writable) this.#catchUp(watcher);
    if (stream.lagging.size > 0 && stream.sink.writable) this.#backlog.add(stream);
    this.#answerProgress(stream);
    const [next] = this.#backlog;
    if (next !== undefined) this.#addBacklog(next);
  }

  #catchUp(watcher: Watcher): void {
    const store = this.#store;
    const { stream, options } = watcher;
    // Its turn is over for now: others of the stream come first.
    stream.lagging.delete(watcher);
    if (watcher.next < store.compactRevision) {
      stream.watchers.delete(watcher.id);
      stream.sink.compacted(watcher.id, store.compactRevision);
      return;
    }
    const events: HubEvent[] = [];
    let looked = 0;
    let bytes = 0;
    let upTo = store.revision;
    let previousMain = 0;
    for (const change of store.history.from(watcher.next)) {
      // A step ends between two revisions only.
      if (change.main !== previousMain && (looked >= CATCH_UP_CHANGES || bytes >= CATCH_UP_BYTES)) {
        upTo = previousMain;
        break;
      }
      previousMain = change.main;
      looked++;
      if (!contains(options.range, change.key)) continue;
      const event = this.#eventFor(options, change);
      if (event === undefined) continue;
      events.push(event);
      bytes += change.value.length + change.key.length + (event.previous?.value.length ?? 0);
    }
    watcher.next = Math.max(watcher.next, upTo + 1);
    if (events.length > 0) {
      watcher.active = true;
      stream.sink.events(watcher.id, { revision: upTo, events, cache: new Map() });
    }
    if (watcher.next > store.revision) this.#joinGroup(watcher);
    else stream.lagging.add(watcher);
  }

  #answerProgress(stream: WatchStreamState): void {
    if (!stream.progressRequested || stream.lagging.size > 0) return;
    stream.progressRequested = false;
    stream.sink.progress(-1, this.#store.revision);
  }

  #remove(watcher: Watcher): void {
    this.#leaveGroup(watcher);
    watcher.stream.lagging.delete(watcher);
    watcher.stream.watchers.delete(watcher.id);
  }

  #joinGroup(watcher: Watcher): void {
    const { options } = watcher;
    const groupKey = `${options.prevKv ? 'p' : ''}${options.filters.join()}`;
    let groups = this.#index.get(options.range);
    if (groups === undefined) this.#index.set(options.range, (groups = new Map()));
    let group = groups.get(groupKey);
    if (group === undefined)
      groups.set(groupKey, (group = { key: groupKey, options, watchers: new Set(), pending: [] }));
    group.watchers.add(watcher);
    watcher.group = group;
  }

  #leaveGroup(watcher: Watcher): void {
    const { group } = watcher;
    if (group === undefined) return;
    watcher.group = undefined;
    group.watchers.delete(watcher);
    if (group.watchers.size > 0) return;
    const groups = this.#index.get(group.options.range);
    groups?.delete(group.key);
    if (groups?.size === 0) this.#index.delete(group.options.range);
  }
}
