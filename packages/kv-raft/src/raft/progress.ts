import { entryBytes } from './log.ts';
import type { Entry } from './message.ts';

/**
 * How entries go to a peer. `probe`: one message at a time until it is known where the logs match; `replicate`:
 * optimistically, as many as the bounds allow; `snapshot`: none, a snapshot is on its way.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export interface InflightBounds {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

interface Inflight {
  readonly lastIndex: number;
  readonly bytes: number;
}

/** What a leader knows of one member's log. */
export class Progress {
  /** Highest index known to be on the member's disk. Invariant: match < next. */
  match = 0;
  /** The next index to send. */
  next: number;
  state: ProgressState = 'probe';
  /** Of `snapshot`: the index of the snapshot that is on its way. */
  pendingSnapshot = 0;
  /** Heard from since the last check of the quorum. */
  recentActive = false;
  isLearner: boolean;
  /** Of `probe`: a probe is out, wait for its answer or the next heartbeat. */
  probeSent = false;
  /** The highest commit index that was sent. */
  sentCommit = 0;
  /** Send an append, if only an empty one: the answer shows what got lost. */
  pingNeeded = false;
  /** The newest read round that the member has acknowledged. */
  ackedRound = 0;
  readonly #bounds: InflightBounds;
  #inflights: Inflight[] = [];
  #inflightBytes = 0;

  constructor(options: { readonly next: number; readonly isLearner: boolean; readonly bounds: InflightBounds }) {
    this.next = options.next;
    this.isLearner = options.isLearner;
    this.#bounds = options.bounds;
  }

  #reset(state: ProgressState): void {
    this.state = state;
    this.probeSent = false;
    this.pendingSnapshot = 0;
    this.pingNeeded = false;
    this.#inflights = [];
    this.#inflightBytes = 0;
  }

  becomeProbe(): void {
    // After a snapshot that arrived the member has at least that.
    const next = this.state === 'snapshot' ? Math.max(this.match + 1, this.pendingSnapshot + 1) : this.match + 1;
    this.#reset('probe');
    this.next = next;
    this.sentCommit = Math.min(this.sentCommit, this.match);
  }

  becomeReplicate(): void {
    this.#reset('replicate');
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#reset('snapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  /** No entries may be sent now. */
  get isPaused(): boolean {
    switch (this.state) {
      case 'probe':
        return this.probeSent;
      case 'replicate':
        return this.inflightsFull;
      case 'snapshot':
        return true;
      default:
        return this.state satisfies never;
    }
  }

  get inflightsFull(): boolean {
    return this.#inflights.length >= this.#bounds.messagesMax || this.#inflightBytes >= this.#bounds.bytesMax;
  }

  get inflightCount(): number {
    return this.#inflights.length;
  }

  /** Notes that `entries` (not empty when replicating) were sent. */
  sent(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (this.state === 'probe') {
      this.probeSent = true;
    } else if (this.state === 'replicate' && last !== undefined) {
      this.next = last.index + 1;
      const bytes = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
      this.#inflights.push({ lastIndex: last.index, bytes });
      this.#inflightBytes += bytes;
    }
  }

  /** The member has everything up to `index`. @returns whether that is news */
  maybeUpdate(index: number): boolean {
    this.next = Math.max(this.next, index + 1);
    if (index <= this.match) return false;
    this.match = index;
    this.probeSent = false;
    return true;
  }

  freeInflightsTo(index: number): void {
    let count = 0;
    for (const inflight of this.#inflights) {
      if (inflight.lastIndex > index) break;
      this.#inflightBytes -= inflight.bytes;
      count++;
    }
    if (count > 0) this.#inflights.splice(0, count);
  }

  /**
   * The member refused an append at `rejected`; its log may match at `hint`.
   * @returns whether that is news; an old answer that came late is not.
   */
  maybeDecrease(rejected: number, hint: number): boolean {
    if (this.state === 'snapshot') return false;
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      return true;
    }
    // A probe's answer must be about the probe that is out.
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.probeSent = false;
    return true;
  }
}
