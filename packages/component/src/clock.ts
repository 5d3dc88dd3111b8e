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

/** Node's longest timer, in milliseconds: with more it would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The machine's clock. Its timers do not keep a process alive by themselves, except `sleep`. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number): void => {
      timer =
        leftMs > TIMER_MS_MAX ? setTimeout(() => wait(leftMs - TIMER_MS_MAX), TIMER_MS_MAX) : setTimeout(fn, leftMs);
      timer.unref();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
  async sleep(ms, options = {}) {
    const { signal } = options;
    for (let leftMs = ms; ; leftMs -= TIMER_MS_MAX) {
      await delay(Math.min(leftMs, TIMER_MS_MAX), undefined, signal === undefined ? {} : { signal });
      if (leftMs <= TIMER_MS_MAX) return;
    }
  },
};
