/**
 * Runs tasks beside each other, at most `concurrency` at once; further ones wait in line, at most `waitingMax`. A task
 * handles its own failures: one that rejects ends the process as an unhandled rejection.
 */
export class TaskPool implements AsyncDisposable {
  readonly #concurrency: number;
  readonly #waitingMax: number;
  readonly #onFree: (() => void) | undefined;
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #running = new Set<Promise<void>>();

  constructor(options: {
    readonly concurrency: number;
    readonly waitingMax: number;
    /** Called after each task, when the pool has room. */
    readonly onFree?: () => void;
  }) {
    this.#concurrency = options.concurrency;
    this.#waitingMax = options.waitingMax;
    this.#onFree = options.onFree;
  }

  get hasRoom(): boolean {
    return this.#running.size < this.#concurrency || this.#waiting.length < this.#waitingMax;
  }

  /** Returns false, and does nothing, when the line is full. */
  run(task: () => Promise<void>): boolean {
    if (!this.hasRoom) return false;
    if (this.#running.size < this.#concurrency) this.#start(task);
    else this.#waiting.push(task);
    return true;
  }

  /** Forgets what waits, and waits for what runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#waiting.length = 0;
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  #start(task: () => Promise<void>): void {
    const running = task().finally(() => {
      this.#running.delete(running);
      const next = this.#waiting.shift();
      if (next !== undefined) this.#start(next);
      this.#onFree?.();
    });
    this.#running.add(running);
  }
}
