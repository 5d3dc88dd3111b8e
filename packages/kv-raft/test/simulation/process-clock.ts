import type { Cancel, Clock } from '@naru/component';

/** Stops a clock's timers for a while: what falls due meanwhile comes late. */
export class MachineClock implements Clock {
  readonly #clock: Clock;
  #pausedUntil = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.monotonic() + ms);
  }

  resume(): void {
    this.#pausedUntil = 0;
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, fn: () => void): Cancel {
    let cancel: Cancel = () => undefined;
    const fire = (): void => {
      const wait = this.#pausedUntil - this.#clock.monotonic();
      if (wait > 0) cancel = this.#clock.after(wait, fire);
      else fn();
    };
    cancel = this.#clock.after(ms, fire);
    return () => cancel();
  }

  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.after(ms, resolve));
  }
}

/** The clock of one process: begins and ends with it, and may run fast or slow. */
export class ProcessClock implements Clock {
  readonly #clock: Clock;
  readonly #rate: number;
  readonly #started: number;
  #dead = false;

  constructor(clock: Clock, rate: number) {
    this.#clock = clock;
    this.#rate = rate;
    this.#started = clock.monotonic();
  }

  kill(): void {
    this.#dead = true;
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return (this.#clock.monotonic() - this.#started) * this.#rate;
  }

  after(ms: number, fn: () => void): Cancel {
    return this.#clock.after(ms / this.#rate, () => {
      if (!this.#dead) fn();
    });
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
}
