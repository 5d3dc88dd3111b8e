import { backoffMs, systemClock, type Cancel, type Clock } from '@naru/component';

export interface WorkQueueOptions {
  readonly clock?: Clock;
  /** First delay of `addRateLimited`; default 5 ms, upstream's. */
  readonly baseDelayMs?: number;
  /** Longest delay of `addRateLimited`; default 1000 s, upstream's. */
  readonly maxDelayMs?: number;
}

/**
 * Keys that wait for work. A key is in the queue at most once, and never worked on by two at a time: added while it is
 * worked on, it comes again after `done`. Keys are compared as Map keys are, so they are strings or numbers.
 */
export class WorkQueue<K extends string | number> {
  readonly #clock: Clock;
  readonly #baseDelayMs: number;
  readonly #maxDelayMs: number;
  /** Keys in line. A Set keeps the order of insertion and removes the first in constant time. */
  readonly #waiting = new Set<K>();
  readonly #processing = new Set<K>();
  /** Keys that were added while they are worked on. */
  readonly #again = new Set<K>();
  readonly #failures = new Map<K, number>();
  readonly #delayed = new Map<K, { readonly atMs: number; readonly cancel: Cancel }>();
  readonly #getters: ((key: K | undefined) => void)[] = [];
  #shutDown = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#baseDelayMs = options.baseDelayMs ?? 5;
    this.#maxDelayMs = options.maxDelayMs ?? 1_000_000;
  }

  /** Keys in line, without those that are delayed or worked on. */
  get length(): number {
    return this.#waiting.size;
  }

  get isShutDown(): boolean {
    return this.#shutDown;
  }

  add(key: K): void {
    if (this.#shutDown) return;
    if (this.#processing.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    const getter = this.#getters.shift();
    if (getter === undefined) {
      this.#waiting.add(key);
      return;
    }
    this.#processing.add(key);
    getter(key);
  }

  /** Adds the key after `ms`; of several delays the one that ends first counts. */
  addAfter(key: K, ms: number): void {
    if (this.#shutDown) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const atMs = this.#clock.monotonic() + ms;
    const delayed = this.#delayed.get(key);
    if (delayed !== undefined) {
      if (delayed.atMs <= atMs) return;
      delayed.cancel();
    }
    const cancel = this.#clock.after(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { atMs, cancel });
  }

  /** Adds the key after a delay that doubles with each call until `forget`. */
  addRateLimited(key: K): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, backoffMs(failures, { baseMs: this.#baseDelayMs, maxMs: this.#maxDelayMs }));
  }

  /** Ends the key's backoff. */
  forget(key: K): void {
    this.#failures.delete(key);
  }

  /** How often the key was added rate-limited since it was last forgotten. */
  numRequeues(key: K): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, which is then worked on until `done`; undefined once the queue is shut down. */
  async get(): Promise<K | undefined> {
    if (this.#shutDown) return undefined;
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#processing.add(key);
      return key;
    }
    return await new Promise((resolve) => {
      this.#getters.push(resolve);
    });
  }

  done(key: K): void {
    this.#processing.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Drops what waits and lets no more in; waiting getters get undefined. What is worked on is not touched. */
  shutDown(): void {
    this.#shutDown = true;
    this.#waiting.clear();
    this.#again.clear();
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const getter of this.#getters.splice(0)) getter(undefined);
  }
}
