import { isConflict } from '@naru/api';
import { systemClock, type Clock, type Logger } from '@naru/component';
import { WorkQueue } from './work-queue.ts';

/** What a reconcile may ask for: to be called again after a while, as time alone may change what is to be done. */
export interface ReconcileResult {
  readonly requeueAfterMs?: number | undefined;
}

export interface ControllerOptions {
  readonly name: string;
  /** How many keys are worked on at a time; default 1. */
  readonly workers?: number;
  /**
   * Brings the world closer to what the key's object wants. It reads the present state itself: why it is called is not
   * told. When it rejects it is called again, with a delay that doubles each time.
   */
  reconcile(key: string, context: { readonly signal: AbortSignal }): Promise<ReconcileResult | void>;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Runs a reconcile function over a queue of keys. */
export class Controller implements AsyncDisposable {
  readonly queue: WorkQueue<string>;
  readonly #options: ControllerOptions;
  readonly #stop = new AbortController();
  #workers: Promise<unknown> | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.queue = new WorkQueue<string>({ clock: options.clock ?? systemClock });
  }

  get name(): string {
    return this.#options.name;
  }

  /** Starts the workers; returns at once. They end with the signal or on disposal. */
  start(signal: AbortSignal): void {
    const stop = AbortSignal.any([signal, this.#stop.signal]);
    if (stop.aborted) this.queue.shutDown();
    stop.addEventListener('abort', () => this.queue.shutDown(), { once: true });
    this.#workers = Promise.all(Array.from({ length: this.#options.workers ?? 1 }, () => this.#work(stop)));
  }

  /** Stops and waits for the reconciles that are under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error(`${this.name} is disposed`));
    this.queue.shutDown();
    await this.#workers;
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      const key = await this.queue.get();
      if (key === undefined) return;
      try {
        const result = await this.#options.reconcile(key, { signal });
        this.queue.forget(key);
        if (result?.requeueAfterMs !== undefined) this.queue.addAfter(key, result.requeueAfterMs);
      } catch (error) {
        if (!signal.aborted) {
          // A conflict says that the cache is behind: usual, and gone at the next try.
          const level = isConflict(error) ? 'debug' : 'warn';
          this.#options.logger[level]({ key, err: error, retries: this.queue.numRequeues(key) }, 'reconcile failed');
          this.queue.addRateLimited(key);
        }
      } finally {
        this.queue.done(key);
      }
    }
  }
}
