import type { Clock } from '@naru/component';

interface Entry<T> {
  readonly value: Promise<T>;
  /** Until it is known, it does not expire. */
  endMs: number;
}

/** Answers that were asked for and are good for a while. Who asks while an answer is on its way waits for the same one. */
export class ExpiringCache<T> {
  readonly #clock: Clock;
  readonly #entriesMax: number;
  readonly #entries = new Map<string, Entry<T>>();

  constructor(clock: Clock, entriesMax: number) {
    this.#clock = clock;
    this.#entriesMax = entriesMax;
  }

  /** `ttlMs` says how long an answer is good. One that fails is not kept. */
  async get(key: string, ask: () => Promise<T>, ttlMs: (value: T) => number): Promise<T> {
    const known = this.#entries.get(key);
    if (known !== undefined && this.#clock.monotonic() < known.endMs) return await known.value;
    const entry: Entry<T> = { value: ask(), endMs: Infinity };
    this.#entries.delete(key);
    // The oldest goes first.
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size < this.#entriesMax) break;
      this.#entries.delete(oldest);
    }
    this.#entries.set(key, entry);
    try {
      const value = await entry.value;
      entry.endMs = this.#clock.monotonic() + ttlMs(value);
      return value;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }
}
