/** A read that waits until a quorum has shown that the leader is still the leader. */
interface PendingRead {
  readonly from: bigint;
  readonly context: number;
  readonly index: number;
  readonly round: number;
}

interface EarlyRead {
  readonly from: bigint;
  readonly context: number;
}

/** Reads that may wait at a leader; more are dropped, and asked again by those who wait. */
export const PENDING_READS_MAX = 10_000;

/**
 * Reads at a leader (ReadIndex: Raft thesis, 6.4). Each heartbeat carries the number of the newest round; an answer to round
 * n acknowledges all rounds up to n, so one exchange of heartbeats serves every read that came before it.
 */
export class ReadRounds {
  /** Numbers the rounds of one leadership. */
  round = 0;
  /** A round was opened that no heartbeat has carried yet. */
  needsBroadcast = false;
  #pending: PendingRead[] = [];
  /** Reads that came before the leader committed an entry of its own term: its commit index may lag behind until then. */
  #early: EarlyRead[] = [];

  get size(): number {
    return this.#pending.length + this.#early.length;
  }

  /** Opens a round for a read at `index`. */
  add(read: { readonly from: bigint; readonly context: number; readonly index: number }): void {
    this.round++;
    this.needsBroadcast = true;
    this.#pending.push({ ...read, round: this.round });
  }

  postpone(read: EarlyRead): void {
    this.#early.push(read);
  }

  takeEarly(): readonly EarlyRead[] {
    return this.#early.splice(0);
  }

  /** Takes the reads of the rounds up to `round`. */
  takeAcked(round: number): readonly PendingRead[] {
    const waiting = this.#pending.findIndex((read) => read.round > round);
    return this.#pending.splice(0, waiting === -1 ? this.#pending.length : waiting);
  }

  clear(): void {
    this.round = 0;
    this.needsBroadcast = false;
    this.#pending = [];
    this.#early = [];
  }
}
