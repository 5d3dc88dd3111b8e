import type { Cancel, Clock } from '@naru/component';
import type { MvccStore } from '../mvcc/store.ts';

/** How often a pinned store is looked at again. */
const PINNED_RETRY_MS = 100;
/** Compaction works this long at most before other work has its turn. */
const SLICE_MS = 2;

/** Drives the physical compaction of a store in short slices between other work. */
export class Compactor implements Disposable {
  readonly #store: () => MvccStore;
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  readonly #freed: (bytes: number) => void;
  #running = false;
  #freedBytes = 0;
  #disposed = false;
  #cancel: Cancel | undefined;

  constructor(options: {
    readonly store: () => MvccStore;
    readonly clock: Clock;
    /** Called when all that was compacted is given back, with how much that was. */
    readonly freed: (bytes: number) => void;
  }) {
    this.#freed = options.freed;
    this.#store = options.store;
    this.#clock = options.clock;
  }

  /** There is something to compact. Returns at once. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    setImmediate(() => this.#slice());
  }

  /** Resolves when everything compacted so far is given back. */
  async finished(): Promise<void> {
    if (!this.#running || this.#disposed) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#cancel?.();
    this.#end();
  }

  #slice(): void {
    if (this.#disposed) return;
    const store = this.#store();
    if (store.pinned) {
      this.#cancel = this.#clock.after(PINNED_RETRY_MS, () => this.#slice());
      return;
    }
    const until = this.#clock.monotonic() + SLICE_MS;
    const sizeBytes = store.sizeBytes;
    let more = true;
    while (more && this.#clock.monotonic() < until) more = store.compactStep();
    this.#freedBytes += sizeBytes - store.sizeBytes;
    if (more) {
      setImmediate(() => this.#slice());
      return;
    }
    store.pruneAtCompactRevision();
    this.#running = false;
    this.#freed(this.#freedBytes);
    this.#freedBytes = 0;
    this.#end();
  }

  #end(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
