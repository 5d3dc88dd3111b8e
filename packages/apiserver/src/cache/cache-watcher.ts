import type { Writable } from 'node:stream';
import { newExpired } from '@naru/api';
import { encodeFrame, encodeOther, type CacheEvent, type CacheEventType, type FrameEncoder } from './cache-event.ts';
import type { CachedObject } from './cached-object.ts';
import { FrameJoiner } from './frame-joiner.ts';

/** Events that wait for one slow client before its watch is ended. They are shared bytes: a reference each. */
export const WATCH_QUEUE_EVENTS_MAX = 10_000;
/** Bytes that wait for one slow client before its watch is ended. */
export const WATCH_QUEUE_BYTES_MAX = 32 * 1024 * 1024;
/** Frames are gathered into writes of about this many bytes. */
const WRITE_BYTES = 64 * 1024;

export interface CacheWatcherOptions {
  /** The response; it is ended when the watch is. */
  readonly output: Writable;
  /** Undefined: everything. */
  readonly matches?: ((object: CachedObject) => boolean) | undefined;
  /** Undefined: objects as they are. */
  readonly encoder?: FrameEncoder | undefined;
  /** Encodes a bookmark; undefined when the client did not ask for any. */
  readonly bookmark?: ((revision: number, initialEventsEnd: boolean) => Buffer) | undefined;
  readonly queueEventsMax?: number;
  readonly queueBytesMax?: number;
  /** Called once, when the watch is over for whatever reason. */
  readonly onEnd?: () => void;
}

/**
 * One client's watch. Events are delivered synchronously and queued as shared buffers; what the client does not read waits
 * here up to a bound, then the watch ends with a 410 event, so that a slow client costs the others nothing.
 */
export class CacheWatcher {
  readonly #options: CacheWatcherOptions;
  readonly #output: Writable;
  #encoder: FrameEncoder | undefined;
  /** Events up to this revision are in what the client began with. */
  #startRevision = 0;
  #queue: Buffer[] = [];
  #queueBytes = 0;
  /** True while initial objects are being written: events wait until they are out. */
  #starting = true;
  #ended = false;

  constructor(options: CacheWatcherOptions) {
    this.#options = options;
    this.#output = options.output;
    this.#encoder = options.encoder;
    this.#output.on('drain', () => this.flush());
    this.#output.once('close', () => this.#finish());
    this.#output.once('error', () => this.#finish());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Events up to this revision are already in what the client has. */
  startAt(revision: number): void {
    this.#startRevision = revision;
  }

  /** Writes the initial objects as ADDED events with backpressure, then goes live. */
  async start(initial: Iterable<CachedObject> | undefined, options: { readonly endBookmark: boolean }): Promise<void> {
    if (initial !== undefined) {
      const revision = this.#startRevision;
      await this.#writeInitial(initial);
      if (options.endBookmark && !this.#ended) {
        const frame = this.#options.bookmark?.(revision, true);
        if (frame !== undefined) this.#output.write(frame);
      }
    }
    this.#starting = false;
    this.flush();
  }

  async #writeInitial(initial: Iterable<CachedObject>): Promise<void> {
    let chunks: Buffer[] = [];
    let size = 0;
    for (const object of initial) {
      const encoder = this.#nextEncoder();
      const frame = encoder === undefined ? encodeFrame('ADDED', object.bytes) : encoder.encode('ADDED', object);
      chunks.push(frame);
      size += frame.length;
      if (size < WRITE_BYTES) continue;
      const ready = this.#output.write(Buffer.concat(chunks, size));
      chunks = [];
      size = 0;
      if (!ready) await this.#drained();
      if (this.#ended) return;
    }
    if (size > 0) this.#output.write(Buffer.concat(chunks, size));
  }

  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#output.off('drain', done);
        this.#output.off('close', done);
        resolve();
      };
      this.#output.on('drain', done);
      this.#output.on('close', done);
    });
  }

  /** Queues the event if it concerns this watch; true if there is something to flush. */
  deliver(event: CacheEvent): boolean {
    if (this.#ended || event.revision <= this.#startRevision) return false;
    const type = this.#typeOf(event);
    if (type === undefined) return false;
    this.#push(event.frame(type, this.#nextEncoder()));
    return true;
  }

  #nextEncoder(): FrameEncoder | undefined {
    const encoder = this.#encoder;
    this.#encoder = encoder?.following ?? encoder;
    return encoder;
  }

  #typeOf(event: CacheEvent): CacheEventType | undefined {
    const { matches } = this.#options;
    if (matches === undefined) return event.type;
    const is = event.type !== 'DELETED' && matches(event.object);
    const was = event.previous !== undefined && matches(event.previous);
    if (is) return was ? 'MODIFIED' : 'ADDED';
    return was ? 'DELETED' : undefined;
  }

  /** Tells the client how far it is, if it asked for that. */
  bookmark(revision: number): void {
    if (this.#ended || this.#starting || this.#options.bookmark === undefined || revision < this.#startRevision) return;
    this.#push(this.#options.bookmark(revision, false));
    this.flush();
  }

  #push(frame: Buffer): void {
    this.#queue.push(frame);
    this.#queueBytes += frame.length;
    const { queueEventsMax = WATCH_QUEUE_EVENTS_MAX, queueBytesMax = WATCH_QUEUE_BYTES_MAX } = this.#options;
    if (this.#queue.length <= queueEventsMax && this.#queueBytes <= queueBytesMax) return;
    this.#queue = [];
    this.#queueBytes = 0;
    const { status } = newExpired('too old resource version: the client reads too slowly');
    this.end(encodeOther('ERROR', status, this.#options.encoder));
  }

  /** Writes what is queued as far as the client takes it; `joiner` is of all watchers that are flushed together. */
  flush(joiner = new FrameJoiner()): void {
    if (this.#starting || this.#ended || this.#queue.length === 0 || this.#output.writableNeedDrain) return;
    const queue = this.#queue;
    if (queue.length === 1) {
      const [frame] = queue;
      this.#queue = [];
      this.#queueBytes = 0;
      if (frame !== undefined) this.#output.write(frame);
      return;
    }
    let taken = 0;
    while (taken < queue.length && !this.#output.writableNeedDrain) {
      const from = taken;
      let size = 0;
      while (taken < queue.length && size < WRITE_BYTES) size += queue[taken++]?.length ?? 0;
      this.#queueBytes -= size;
      this.#output.write(joiner.join(queue.slice(from, taken), size));
    }
    this.#queue = taken === queue.length ? [] : queue.slice(taken);
  }

  /** Ends the watch, with a last frame if there is something to say. What the client has not read by then is dropped. */
  end(last?: Buffer): void {
    if (this.#ended) return;
    this.#starting = false;
    if (!this.#output.writableNeedDrain) this.flush();
    if (last !== undefined) this.#output.write(last);
    this.#output.end();
    this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#queueBytes = 0;
    this.#options.onEnd?.();
  }
}
