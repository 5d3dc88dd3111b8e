import { collectGarbage, type Cancel, type Clock } from '@naru/component';
import { every } from './every.ts';

/** Less than this is not worth a collection: the next writes use it. */
const FREED_BYTES_MIN = 32 << 20;
/** A collection takes time for what lives, about 1 ms per MiB: of a larger store it would hold up what comes meanwhile. */
const STORE_BYTES_MAX = 128 << 20;
/** Nothing was applied for this long: the member is idle. */
const IDLE_MS = 1000;

export interface MemoryReclaimerOptions {
  readonly clock: Clock;
  readonly appliedIndex: () => number;
  readonly sizeBytes: () => number;
  /** Collects all garbage and gives the memory back to the system. Default: V8's. */
  readonly collect?: () => void;
}

/**
 * Gives memory back to the system when a compaction has freed a lot and the member is idle since. V8 alone keeps it: nothing
 * that is not allocated needs room. While writes go on they use what was freed.
 */
export class MemoryReclaimer implements Disposable {
  readonly #options: Required<MemoryReclaimerOptions>;
  #freedBytes = 0;
  #seenIndex = -1;
  #cancel: Cancel | undefined;

  constructor(options: MemoryReclaimerOptions) {
    this.#options = { collect: collectGarbage, ...options };
  }

  /** A compaction has given back `bytes` of the store. */
  freed(bytes: number): void {
    this.#freedBytes += bytes;
    if (this.#freedBytes < FREED_BYTES_MIN || this.#cancel !== undefined) return;
    this.#seenIndex = -1;
    this.#cancel = every(this.#options.clock, IDLE_MS, () => this.#collectWhenIdle());
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  #collectWhenIdle(): void {
    const { appliedIndex, sizeBytes, collect } = this.#options;
    const index = appliedIndex();
    const isIdle = index === this.#seenIndex;
    this.#seenIndex = index;
    if (!isIdle || sizeBytes() > STORE_BYTES_MAX) return;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#freedBytes = 0;
    collect();
  }
}
