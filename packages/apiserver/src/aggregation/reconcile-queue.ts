import { backoffMs, type Clock } from '@naru/component';

/** Keys that are worked on at a time. */
const WORKERS = 5;

export interface ReconcileQueueOptions {
  readonly clock: Clock;
  readonly retry: { readonly baseMs: number; readonly maxMs: number };
  reconcile(key: string): Promise<void>;
  /** Told of each failure; the key is tried again after a while. */
  failed(key: string, error: unknown): void;
}

/** Keys that are to be reconciled: each at most once at a time, and again when it is marked meanwhile. */
export class ReconcileQueue {
  readonly #options: ReconcileQueueOptions;
  readonly #dirty = new Set<string>();
  readonly #working = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #retries = new Map<string, () => void>();
  #wake = Promise.withResolvers<void>();

  constructor(options: ReconcileQueueOptions) {
    this.#options = options;
  }

  mark(key: string): void {
    this.#dirty.add(key);
    this.#wake.resolve();
  }

  /** Ends when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true });
    await Promise.all(Array.from({ length: WORKERS }, async () => await this.#work(signal)));
    for (const cancel of this.#retries.values()) cancel();
  }

  async #work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { promise } = this.#wake;
      const key = this.#next();
      if (key === undefined) {
        await promise;
        // The first of those that wake lets the others, and those to come, wait for the next mark.
        if (this.#wake.promise === promise && !signal.aborted) this.#wake = Promise.withResolvers<void>();
        continue;
      }
      await this.#reconcile(key, signal);
    }
  }

  #next(): string | undefined {
    for (const key of this.#dirty) {
      if (this.#working.has(key)) continue;
      this.#dirty.delete(key);
      return key;
    }
    return undefined;
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { clock, retry, reconcile, failed } = this.#options;
    this.#working.add(key);
    this.#retries.get(key)?.();
    this.#retries.delete(key);
    try {
      await reconcile(key);
      this.#failures.delete(key);
    } catch (error) {
      if (signal.aborted) return;
      failed(key, error);
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      const again = (): void => {
        this.#retries.delete(key);
        this.mark(key);
      };
      this.#retries.set(key, clock.after(backoffMs(failures, retry), again));
    } finally {
      this.#working.delete(key);
      if (this.#dirty.has(key)) this.#wake.resolve();
    }
  }
}
