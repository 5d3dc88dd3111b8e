import type { Cancel, Clock, Logger } from '@naru/component';
import { isEtcdError } from '@naru/etcd';

const HOUR_MS = 3_600_000;
const REVISION_INTERVAL_MS = 300_000;

export type AutoCompaction =
  /** Keeps the history of the last `retentionMs`; compacts that often, but at least hourly. */
  | { readonly mode: 'periodic'; readonly retentionMs: number }
  /** Keeps the last `retention` revisions; compacts every 5 minutes. */
  | { readonly mode: 'revision'; readonly retention: number };

/** Compacts by time or by number of revisions while this member is the leader. */
export class AutoCompactor implements Disposable {
  readonly #options: AutoCompaction;
  readonly #clock: Clock;
  readonly #revision: () => number;
  readonly #compact: (revision: number) => Promise<unknown>;
  readonly #logger: Logger;
  #cancel: Cancel | undefined;
  /** Revisions and when they were the newest, oldest first; bounded by the retention over the interval. */
  #samples: { readonly at: number; readonly revision: number }[] = [];

  constructor(options: {
    readonly auto: AutoCompaction;
    readonly clock: Clock;
    readonly revision: () => number;
    readonly compact: (revision: number) => Promise<unknown>;
    readonly logger: Logger;
  }) {
    this.#options = options.auto;
    this.#clock = options.clock;
    this.#revision = options.revision;
    this.#compact = options.compact;
    this.#logger = options.logger;
  }

  leadershipChanged(leading: boolean): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#samples = [];
    if (leading) this.#tick();
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  get #intervalMs(): number {
    return this.#options.mode === 'revision' ? REVISION_INTERVAL_MS : Math.min(this.#options.retentionMs, HOUR_MS);
  }

  #tick(): void {
    this.#cancel = this.#clock.after(this.#intervalMs, () => this.#tick());
    const target = this.#target();
    if (target > 0) void this.#run(target);
  }

  /** The revision to compact at; 0: none yet. */
  #target(): number {
    const revision = this.#revision();
    if (this.#options.mode === 'revision') return revision - this.#options.retention;
    const now = this.#clock.monotonic();
    this.#samples.push({ at: now, revision });
    let target = 0;
    for (const oldest of this.#samples) {
      if (oldest.at > now - this.#options.retentionMs) break;
      target = oldest.revision;
    }
    this.#samples = this.#samples.filter((each) => each.revision >= target);
    return target;
  }

  async #run(revision: number): Promise<void> {
    try {
      await this.#compact(revision);
      this.#logger.info({ revision }, 'auto compaction done');
    } catch (error) {
      // Nothing changed since the last one.
      if (!isEtcdError(error, 'compacted')) this.#logger.warn({ err: error, revision }, 'auto compaction failed');
    }
  }
}
