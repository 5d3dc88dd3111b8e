import { setTimeout as delay } from 'node:timers/promises';

/** Cancels a timer; calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void;

/**
 * Time as a dependency. Components take a Clock instead of calling Date.now() and setTimeout(), so that tests can
 * advance a virtual one (`@naru/testkit`).
 */
export interface Clock {
  /** Wall time in milliseconds since the epoch: for timestamps that others read. */
  now(): number;
  /** Milliseconds from an arbitrary origin that never go backwards: for durations. */
  monotonic(): number;
  /** Calls `fn` once after `ms`. */
  after(ms: number, fn: () => void): Cancel;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/** The machine's clock. Its timers do not keep a process alive by themselves, except `sleep`. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  async sleep(ms, options = {}) {
    await delay(ms, undefined, options.signal === undefined ? {} : { signal: options.signal });
  },
};
