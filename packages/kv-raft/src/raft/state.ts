import type { RaftLog } from './log.ts';
import { NONE, type ConfState, type DropReason, type HardState, type Message, type Role } from './message.ts';
import type { InflightBounds } from './progress.ts';
import { ReadRounds } from './read-rounds.ts';
import { Tracker } from './tracker.ts';

export interface RaftOptions {
  readonly id: bigint;
  /**
   * Ticks without a leader's message after which a follower campaigns; each wait is drawn from [electionTicks,
   * 2 * electionTicks). Should be ten heartbeats, at least more than one.
   */
  readonly electionTicks: number;
  /** Ticks between a leader's heartbeats. */
  readonly heartbeatTicks: number;
  /** Bytes of entries in one MsgApp; one entry is sent even if it is larger. */
  readonly messageBytesMax: number;
  /** MsgApps, and their bytes, that may be on their way to one member unanswered. */
  readonly inflight: InflightBounds;
  /** Bytes of proposals that are not committed yet; more are dropped with `too-many-requests`. */
  readonly uncommittedBytesMax: number;
  /** Bytes of committed entries handed out in one Ready. */
  readonly applyBytesMax: number;
  /** A number in [0, 1): the only source of chance. */
  readonly random: () => number;
}

/** The index from which a read is linearizable, for the request with this context. */
export interface ReadState {
  readonly context: number;
  readonly index: number;
}

/** A forwarded proposal that the member it was sent to did not take. */
export interface RejectedProposal {
  readonly context: number;
  readonly reason: DropReason;
}

/** The state that the core's functions share, and the few transitions that all of them need. */
export class RaftState {
  readonly options: RaftOptions;
  readonly id: bigint;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  readonly reads = new ReadRounds();
  term: number;
  vote: bigint;
  role: Role = 'follower';
  leaderId: bigint = NONE;
  /** Ticks since the last sign of a leader; of a leader, since the last check of the quorum. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  randomizedElectionTicks = 0;
  /** Whom the leader is handing over to. */
  leadTransferee: bigint = NONE;
  /** No second change of the configuration before this index is applied. */
  pendingConfIndex = 0;
  uncommittedBytes = 0;
  /** May be sent at once. */
  messages: Message[] = [];
  /** Promise something that must be on disk first: votes, acknowledged entries. Those to oneself as well. */
  messagesAfterPersist: Message[] = [];
  readStates: ReadState[] = [];
  rejectedProposals: RejectedProposal[] = [];

  constructor(options: RaftOptions, start: { log: RaftLog; hardState: HardState; confState: ConfState }) {
    this.options = options;
    this.id = options.id;
    this.log = start.log;
    this.term = start.hardState.term;
    this.vote = start.hardState.vote;
    this.tracker = new Tracker(start.confState, options.inflight);
    this.resetRandomizedElectionTicks();
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** A voter of the configuration in force; others never campaign. */
  get isPromotable(): boolean {
    return this.tracker.isVoter(this.id);
  }

  /** There is a leader that was heard from lately: no one needs an election (Raft thesis, 4.2.3). */
  get inLease(): boolean {
    return this.leaderId !== NONE && this.electionElapsed < this.options.electionTicks;
  }

  send(message: Message): void {
    switch (message.type) {
      case 'MsgVote':
      case 'MsgVoteResp':
      case 'MsgPreVoteResp':
      case 'MsgAppResp':
        this.messagesAfterPersist.push(message);
        return;
      default:
        this.messages.push(message);
    }
  }

  resetRandomizedElectionTicks(): void {
    const { electionTicks, random } = this.options;
    this.randomizedElectionTicks = electionTicks + Math.floor(random() * electionTicks);
  }

  #reset(term: number): void {
    if (this.term !== term) {
      this.term = term;
      this.vote = NONE;
    }
    this.leaderId = NONE;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.resetRandomizedElectionTicks();
    this.leadTransferee = NONE;
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.reads.clear();
    this.tracker.votes.clear();
    this.tracker.resetProgress(this.log.lastIndex + 1);
  }

  becomeFollower(term: number, leaderId: bigint): void {
    this.#reset(term);
    this.role = 'follower';
    this.leaderId = leaderId;
  }

  /** Asks first whether an election could be won: neither term nor vote changes (Raft thesis, 9.6). */
  becomePreCandidate(): void {
    this.role = 'pre-candidate';
    this.leaderId = NONE;
    this.tracker.votes.clear();
  }

  becomeCandidate(): void {
    this.#reset(this.term + 1);
    this.role = 'candidate';
    this.vote = this.id;
  }

  becomeLeader(): void {
    this.#reset(this.term);
    this.role = 'leader';
    this.leaderId = this.id;
    const own = this.tracker.progress.get(this.id);
    if (own !== undefined) {
      own.becomeReplicate();
      own.recentActive = true;
    }
    // Unapplied changes of the configuration may be among the entries of former terms.
    this.pendingConfIndex = this.log.lastIndex;
  }
}
