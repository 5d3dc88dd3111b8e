import { inspect, isDeepStrictEqual } from 'node:util';
import { decodeWatchResponse, encodeWatchRequest, type WatchResponse } from '@naru/etcd';
import type { SeededRandom, VirtualClock } from '@naru/testkit';
import { jsonLines, WatchSession, type WatchOutput } from '../../src/server/watch-session.ts';
import { inside, type ModelEvent, type ModelKv } from '../mvcc/model.ts';
import type { Host, Running } from './host.ts';
import { clientKv } from './model-words.ts';
import type { Oracle } from './oracle.ts';

/** A response's byte counts for this many in its socket: the simulation's sockets are small. */
const SOCKET_SCALE = 1000;

export interface WatcherOptions {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly oracle: Oracle;
  readonly hosts: () => readonly Host[];
}

/** What a stream's responses wait in until the client reads them. */
class Socket implements WatchOutput<string> {
  readonly unread: string[] = [];
  readonly writable = true;
  isOpen = true;

  get writableLength(): number {
    return this.unread.reduce((sum, each) => sum + each.length, 0) * SOCKET_SCALE;
  }

  write(response: string | Buffer): void {
    this.unread.push(response.toString());
  }
}

/**
 * A client that watches a range, goes to another member when its own ends, and demands what etcd promises: events are
 * ordered, unique and whole revisions, none is missing, and progress is true.
 */
export class Watcher {
  readonly #options: WatcherOptions;
  readonly #oracle: Oracle;
  readonly #random: SeededRandom;
  readonly #range: { readonly key: string; readonly end: string };
  readonly #prevKv: boolean;
  readonly #isSlow: boolean;
  /** All events before it were seen; 0: begins with the next one. */
  next = 0;
  #running: Running | undefined;
  #socket = new Socket();
  #session: WatchSession<string> | undefined;
  #responses = 0;
  /** Reads as fast as it can, and stays where it is unless it must not. */
  isCalm = false;
  readonly counts = { events: 0, reconnects: 0, compacted: 0 };

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#oracle = options.oracle;
    this.#random = options.random;
    this.#range = this.#random.pick([
      { key: 'k', end: 'l' },
      { key: 'k3', end: '' },
      { key: 'lease/', end: 'lease0' },
      { key: '\0', end: '\0' },
    ]);
    this.#prevKv = this.#random.chance(0.5);
    this.#isSlow = this.#random.chance(0.4);
  }

  start(): void {
    void this.#loop();
  }

  async #loop(): Promise<void> {
    const random = this.#random;
    for (;;) {
      try {
        this.#live(random);
      } catch (error) {
        this.#oracle.fail(`a watcher fails: ${error instanceof Error ? error.stack : String(error)}`);
        return;
      }
      await this.#options.clock.sleep(this.#isSlow && !this.isCalm ? random.integer(50, 600) : random.integer(5, 50));
    }
  }

  /** One look at the stream. */
  #live(random: SeededRandom): void {
    const host = this.#options.hosts().find(({ running }) => running !== undefined && running === this.#running);
    if (this.#session === undefined || host === undefined || (!this.isCalm && random.chance(0.01))) {
      this.#connect(random);
      return;
    }
    const wasFull = this.#socket.writableLength > 0;
    // A slow reader takes a little at a time.
    const count = this.#isSlow && !this.isCalm ? random.integer(0, 2) : this.#socket.unread.length;
    for (const line of this.#socket.unread.splice(0, count)) {
      const text = line.trimEnd();
      const { result } = JSON.parse(text) as { readonly result: unknown };
      this.#receive(decodeWatchResponse(result));
      if (this.#session === undefined) return;
    }
    if (wasFull) this.#session.drained();
    if (random.chance(0.1)) void this.#session.receive({ progress_request: {} });
  }

  #connect(random: SeededRandom): void {
    this.#session?.[Symbol.dispose]();
    this.#session = undefined;
    const { running } = random.pick(this.#options.hosts());
    if (running === undefined) return;
    const { replica, services } = running;
    this.counts.reconnects++;
    this.#responses = 0;
    this.#running = running;
    this.#socket = new Socket();
    this.#session = new WatchSession({
      hub: replica.hub,
      output: this.#socket,
      encoding: jsonLines,
      header: (revision) => services.proposer.header(revision),
      currentRevision: () => replica.machine.store.revision,
      fragmentBytesMax: 1 << 20,
    });
    const request = encodeWatchRequest({
      createRequest: {
        key: Buffer.from(this.#range.key, 'latin1'),
        ...(this.#range.end === '' ? {} : { rangeEnd: Buffer.from(this.#range.end, 'latin1') }),
        startRevision: this.next,
        prevKv: this.#prevKv,
        progressNotify: random.chance(0.5),
      },
    });
    void this.#session.receive(JSON.parse(request));
  }

  #receive(response: WatchResponse): void {
    const { header, events } = response;
    if (this.#responses++ === 0) {
      if (!response.created || response.canceled) this.#fail(`the first response is ${inspect(response)}`);
      if (this.next === 0) this.next = header.revision + 1;
      return;
    }
    if (response.canceled) {
      this.#compacted(response);
      return;
    }
    const last = events.at(-1)?.kv.modRevision ?? this.next - 1;
    if (events.length > 0) {
      const expected = this.#expected(this.next, last);
      const found = events.map(({ type, kv, prevKv }) => ({
        type,
        kv: clientKv(kv),
        prevKv: prevKv === undefined ? undefined : clientKv(prevKv),
      }));
      if (!this.#same(found, expected)) this.#fail(`was sent ${inspect(found)}, not ${inspect(expected)}`);
      this.counts.events += events.length;
      this.#oracle.note(`watched up to ${last}`);
    }
    // The header's revision is a promise, too: nothing up to it is still to come.
    const missing = this.#expected(last + 1, header.revision);
    if (missing.length > 0) this.#fail(`is told of progress to ${header.revision} without ${inspect(missing)}`);
    this.next = Math.max(this.next, last + 1, header.revision + 1);
  }

  /** What was before a compaction may or may not be told. */
  #same(found: readonly Seen[], expected: readonly Seen[]): boolean {
    if (found.length !== expected.length) return false;
    return found.every((each, i) => {
      const other = expected[i];
      if (each.prevKv !== undefined || other?.prevKv === undefined) return isDeepStrictEqual(each, other);
      return (
        each.kv.mod - 1 <= this.#oracle.model.compacted && isDeepStrictEqual(each, { ...other, prevKv: undefined })
      );
    });
  }

  #compacted({ compactRevision }: WatchResponse): void {
    this.counts.compacted++;
    if (compactRevision <= this.next || compactRevision > this.#oracle.model.compacted)
      this.#fail(`was canceled at ${this.next} by a compaction of ${compactRevision}`);
    this.next = Math.max(this.next, compactRevision);
    this.#session?.[Symbol.dispose]();
    this.#session = undefined;
  }

  /** The events from one revision to another, both included. */
  #expected(from: number, to: number): readonly Seen[] {
    const { states, events } = this.#oracle.model;
    const inRange = ({ key, mod }: ModelEvent): boolean => mod >= from && mod <= to && inside(this.#range, key);
    return eventsFrom(events, from)
      .filter(inRange)
      .map(({ type, key, mod }) => {
        const deleted: ModelKv = { key, value: '', create: 0, mod, version: 0, lease: 0n };
        const kv = type === 'DELETE' ? deleted : states[mod]?.get(key);
        const prevKv = this.#prevKv ? states[mod - 1]?.get(key) : undefined;
        return { type, kv: kv ?? deleted, prevKv };
      });
  }

  #fail(reason: string): void {
    this.#oracle.fail(`the watcher of ${inspect(this.#range)} at ${this.next} ${reason}`);
  }
}

interface Seen {
  readonly type: 'PUT' | 'DELETE';
  readonly kv: ModelKv;
  readonly prevKv: ModelKv | undefined;
}

/** The model's events are in the order of their revisions. */
function eventsFrom(events: readonly ModelEvent[], from: number): readonly ModelEvent[] {
  let start = events.length;
  while (start > 0 && (events[start - 1]?.mod ?? 0) >= from) start--;
  return events.slice(start);
}
