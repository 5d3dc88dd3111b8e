import { ConsensusError, type ConsensusErrorCode } from '../consensus.ts';
import type { ReadState } from '../raft/state.ts';
import { AbortGroups } from './abort-groups.ts';

/** Reads of this member that may wait. */
export const READS_PENDING_MAX = 50_000;
/** Rounds that may be on their way: more reads join the next one. */
const ROUNDS_MAX = 64;
/** A round without an answer for this long is asked again: the question or the answer got lost. */
const ROUND_TICKS_MAX = 5;

interface Reader {
  readonly resolve: () => void;
  readonly reject: (error: ConsensusError) => void;
  readonly signal: AbortSignal;
  settled: boolean;
}

interface Round {
  readonly readers: Reader[];
  readonly tick: number;
}

/**
 * Reads that wait for their index, then until it is applied. All reads of one turn share one round. To ask again is safe: a
 * later index serves an earlier read.
 */
export class PendingReads {
  readonly #aborts = new AbortGroups<Reader>((reader) => this.#settle(reader, 'timeout'));
  #context: number;
  #waiting: Reader[] = [];
  readonly #rounds = new Map<number, Round>();
  /** Reads with an index that is not applied yet. */
  #applying: { readonly index: number; readonly readers: readonly Reader[] }[] = [];
  #size = 0;
  #tick = 0;

  /** `context` starts the numbers of the rounds: drawn at random, as late answers to a former life must not match. */
  constructor(context: number) {
    this.#context = context;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  add(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(new ConsensusError('timeout', { cause: signal.reason }));
    if (this.#size >= READS_PENDING_MAX) return Promise.reject(new ConsensusError('too-many-requests'));
    return new Promise<void>((resolve, reject) => {
      const reader: Reader = { resolve, reject, signal, settled: false };
      this.#aborts.add(signal, reader);
      this.#size++;
      this.#waiting.push(reader);
    });
  }

  /** Opens a round for all that wait, if there is a leader to ask. */
  submit(readIndex: (context: number) => void): void {
    if (this.#waiting.length === 0 || this.#rounds.size >= ROUNDS_MAX) return;
    const readers = this.#waiting.filter((reader) => !reader.settled);
    this.#waiting = [];
    if (readers.length === 0) return;
    const context = ++this.#context;
    this.#rounds.set(context, { readers, tick: this.#tick });
    readIndex(context);
  }

  answered(state: ReadState, applied: number): void {
    const round = this.#rounds.get(state.context);
    if (round === undefined) return;
    this.#rounds.delete(state.context);
    if (state.index <= applied) for (const reader of round.readers) this.#settle(reader);
    else this.#applying.push({ index: state.index, readers: round.readers });
  }

  applied(index: number): void {
    if (this.#applying.length === 0) return;
    this.#applying = this.#applying.filter((each) => {
      if (each.index > index) return true;
      for (const reader of each.readers) this.#settle(reader);
      return false;
    });
  }

  tick(): void {
    this.#tick++;
    this.#askAgain((round) => this.#tick - round.tick > ROUND_TICKS_MAX);
  }

  /** Another leader: the rounds that were on their way are lost. */
  leaderChanged(): void {
    this.#askAgain(() => true);
  }

  #askAgain(isLost: (round: Round) => boolean): void {
    for (const [context, round] of this.#rounds) {
      if (!isLost(round)) continue;
      this.#rounds.delete(context);
      for (const reader of round.readers) this.#waiting.push(reader);
    }
  }

  rejectAll(code: ConsensusErrorCode, cause?: unknown): void {
    const rounds = [...this.#rounds.values(), ...this.#applying].flatMap(({ readers }) => readers);
    for (const reader of [...this.#waiting, ...rounds]) this.#settle(reader, code, cause);
    this.#waiting = [];
    this.#rounds.clear();
    this.#applying = [];
  }

  #settle(reader: Reader, code?: ConsensusErrorCode, cause: unknown = reader.signal.reason): void {
    if (reader.settled) return;
    reader.settled = true;
    this.#size--;
    this.#aborts.delete(reader.signal, reader);
    if (code === undefined) reader.resolve();
    else reader.reject(new ConsensusError(code, cause === undefined ? {} : { cause }));
  }
}
