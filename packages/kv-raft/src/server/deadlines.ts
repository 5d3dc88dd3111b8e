/** Deadlines are this coarse: requests that begin within one slice share a signal, and with it one timer. */
const SLICE_MS = 250;

/** Signals that abort some time after they were asked for, cheap enough to have one for each request. */
export class Deadlines implements Disposable {
  readonly #timeoutMs: number;
  readonly #reason: () => Error;
  readonly #timers = new Set<NodeJS.Timeout>();
  #current: { readonly signal: AbortSignal; readonly until: number } | undefined;

  constructor(options: { readonly timeoutMs: number; readonly reason: () => Error }) {
    this.#timeoutMs = options.timeoutMs;
    this.#reason = options.reason;
  }

  /** A signal that aborts after the timeout, or up to 250 ms earlier. */
  signal(): AbortSignal {
    const now = performance.now();
    if (this.#current !== undefined && now < this.#current.until) return this.#current.signal;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      controller.abort(this.#reason());
    }, this.#timeoutMs);
    timer.unref();
    this.#timers.add(timer);
    this.#current = { signal: controller.signal, until: now + SLICE_MS };
    return controller.signal;
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
