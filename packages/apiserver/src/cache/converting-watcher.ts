import { isStatusError, newExpired, newInternalError } from '@naru/api';
import { encodeOther, type CacheEvent, type FrameEncoder } from './cache-event.ts';
import { CacheWatcher, WATCH_QUEUE_EVENTS_MAX, type CacheWatcherOptions } from './cache-watcher.ts';

export interface ConvertingWatcherOptions extends CacheWatcherOptions {
  readonly convert: (event: CacheEvent) => Promise<CacheEvent>;
  readonly encoder?: FrameEncoder | undefined;
}

/** A watch whose events are converted first, in their order; what waits for that is bounded as what waits for the client. */
export class ConvertingWatcher extends CacheWatcher {
  readonly #options: ConvertingWatcherOptions;
  /** Events, and revisions of bookmarks. */
  #pending: (CacheEvent | number)[] = [];
  #working = false;

  constructor(options: ConvertingWatcherOptions) {
    super(options);
    this.#options = options;
  }

  override deliver(event: CacheEvent): boolean {
    this.#add(event);
    return false;
  }

  override bookmark(revision: number): void {
    if (this.#working) this.#add(revision);
    else super.bookmark(revision);
  }

  #add(what: CacheEvent | number): void {
    if (this.ended) return;
    this.#pending.push(what);
    if (this.#pending.length > (this.#options.queueEventsMax ?? WATCH_QUEUE_EVENTS_MAX)) {
      this.#pending = [];
      this.#fail(newExpired('too old resource version: conversion is too slow'));
    } else if (!this.#working) void this.#work();
  }

  async #work(): Promise<void> {
    this.#working = true;
    try {
      for (let next = this.#pending.shift(); next !== undefined && !this.ended; next = this.#pending.shift()) {
        if (typeof next === 'number') super.bookmark(next);
        else {
          super.deliver(await this.#options.convert(next));
          this.flush();
        }
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#working = false;
    }
  }

  /** Ends the watch: the client lists anew, and is told there what is wrong. */
  #fail(error: unknown): void {
    const { status } = isStatusError(error) ? error : newInternalError('unexpected error', { cause: error });
    this.end(encodeOther('ERROR', status, this.#options.encoder));
  }
}
