import { setImmediate as turn } from 'node:timers/promises';
import type { Cancel, Clock } from '@naru/component';

interface Timer {
  readonly atMs: number;
  readonly fn: () => void;
}

/** Turns of the event loop that `advance` gives to what a timer has set off, unless told. */
const SETTLE_TURNS_DEFAULT = 3;

/** A Clock that stands still until it is told to advance. Timers fire in the order of their time, then of their making. */
export class VirtualClock implements Clock {
  readonly #originMs: number;
  readonly #settleTurns: number;
  #elapsedMs = 0;
  #timers = new Set<Timer>();

  /** Starts at the first of January 2026 unless told. */
  constructor(originMs: number = Date.UTC(2026, 0, 1), options: { readonly settleTurns?: number } = {}) {
    this.#originMs = originMs;
    this.#settleTurns = options.settleTurns ?? SETTLE_TURNS_DEFAULT;
  }

  /** Number of timers that wait. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#originMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(ms: number, fn: () => void): Cancel {
    const timer: Timer = { atMs: this.#elapsedMs + Math.max(0, ms), fn };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  async sleep(ms: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        cancel();
        reject(signal?.reason as Error);
      };
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /**
   * Lets `ms` pass: fires each timer that falls due, with time for its promises in between, so that timers which they
   * set for within the span fire too. Waits for promises and for a few turns of the event loop, not for sockets.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await this.settle();
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers) if (next === undefined || timer.atMs < next.atMs) next = timer;
      if (next === undefined || next.atMs > endMs) break;
      this.#timers.delete(next);
      this.#elapsedMs = next.atMs;
      next.fn();
      await this.settle();
    }
    this.#elapsedMs = endMs;
  }

  /** Lets promises and callbacks that are ready run, without time passing. */
  async settle(): Promise<void> {
    for (let i = 0; i < this.#settleTurns; i++) await turn();
  }
}
