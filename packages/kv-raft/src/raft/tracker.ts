import { configOf, isVoter, memberIds, type Config } from './conf-change.ts';
import type { ConfState } from './message.ts';
import { Progress, type InflightBounds } from './progress.ts';
import { reachedByQuorum, voteResult, type VoteResult } from './quorum.ts';

/** The members by configuration: how far each one's log is (of a leader), and who granted its vote (of a candidate). */
export class Tracker {
  config: Config;
  readonly progress = new Map<bigint, Progress>();
  readonly votes = new Map<bigint, boolean>();
  readonly #bounds: InflightBounds;

  constructor(confState: ConfState, bounds: InflightBounds) {
    this.#bounds = bounds;
    this.config = configOf(confState);
    this.setConfig(this.config, 1);
  }

  /** Adopts a configuration; members new to it start with `next`. */
  setConfig(config: Config, next: number): void {
    this.config = config;
    const ids = new Set(memberIds(config));
    for (const id of this.progress.keys()) if (!ids.has(id)) this.progress.delete(id);
    for (const id of ids) {
      const isLearner = !isVoter(config, id);
      const known = this.progress.get(id);
      if (known !== undefined) {
        known.isLearner = isLearner;
        continue;
      }
      const progress = new Progress({ next, isLearner, bounds: this.#bounds });
      // Else the first check of the quorum could count a new member as dead before it had a chance to answer.
      progress.recentActive = true;
      this.progress.set(id, progress);
    }
  }

  /** Forgets all that was known of the members' logs, at the start of a term. */
  resetProgress(next: number): void {
    for (const [id, old] of this.progress)
      this.progress.set(id, new Progress({ next, isLearner: old.isLearner, bounds: this.#bounds }));
  }

  isVoter(id: bigint): boolean {
    return isVoter(this.config, id);
  }

  get isSingleVoter(): boolean {
    return this.config.voters.size === 1 && this.config.votersOutgoing.size === 0;
  }

  committedIndex(): number {
    const committed = reachedByQuorum(this.config, (id) => this.progress.get(id)?.match ?? 0);
    return Number.isFinite(committed) ? committed : 0;
  }

  /** The newest read round that a quorum has acknowledged. */
  ackedRound(): number {
    const round = reachedByQuorum(this.config, (id) => this.progress.get(id)?.ackedRound ?? 0);
    return Number.isFinite(round) ? round : 0;
  }

  quorumActive(): boolean {
    const active = new Map<bigint, boolean>();
    for (const [id, progress] of this.progress) if (!progress.isLearner) active.set(id, progress.recentActive);
    return voteResult(this.config, active) === 'won';
  }

  /** A member's first vote counts. */
  recordVote(id: bigint, granted: boolean): void {
    if (!this.votes.has(id)) this.votes.set(id, granted);
  }

  voteResult(): VoteResult {
    return voteResult(this.config, this.votes);
  }
}
