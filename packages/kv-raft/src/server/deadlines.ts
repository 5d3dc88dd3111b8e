import type { Cancel, Clock } from '@naru/component';

/** Deadlines are this coarse: requests that begin within one slice share a signal, and with it one timer. */
const SLICE_MS = 250;

/** Signals that abort some time after they were asked for, cheap enough to have one for each request. */
export class Deadlines implements Disposable {
  readonly #timeoutMs: number;
  readonly #reason: () => Error;
  readonly #clock: Clock;
  readonly #timers = new Set<Cancel>();
  #current: { readonly signal: AbortSignal; readonly until: number } | undefined;

  constructor(options: { readonly clock: Clock; readonly timeoutMs: number; readonly reason: () => Error }) {
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#reason = options.reason;
  }

  /** A signal that aborts after the timeout, or up to 250 ms earlier. */
  signal(): AbortSignal {
    const now = this.#clock.monotonic();
    if (this.#current !== undefined && now < this.#current.until) return this.#current.signal;
    const controller = new AbortController();
    const cancel = this.#clock.after(this.#timeoutMs, () => {
      this.#timers.delete(cancel);
      controller.abort(this.#reason());
    });
    this.#timers.add(cancel);
    this.#current = { signal: controller.signal, until: now + SLICE_MS };
    return controller.signal;
  }

  [Symbol.dispose](): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }
}
