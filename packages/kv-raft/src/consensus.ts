/**
 * The seam between consensus and the store: the server proposes opaque commands and reads at a known index; the state
 * machine applies what is committed. Neither knows the other's inside.
 */

/** What a member knows of its cluster. Ids are bigints on the wire, decimal strings in JSON. */
export interface ConsensusStatus {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** 0n when there is no known leader. */
  readonly leaderId: bigint;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly members: readonly MemberInfo[];
}

export interface MemberInfo {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** A change of the cluster's members, one member at a time. */
export type MembershipChange =
  /** The cluster gives the new member its id. */
  | { readonly type: 'add'; readonly peerUrls: readonly string[]; readonly isLearner: boolean }
  /** A learner gets a vote. */
  | { readonly type: 'promote'; readonly id: bigint }
  | { readonly type: 'update'; readonly id: bigint; readonly peerUrls: readonly string[] }
  | { readonly type: 'remove'; readonly id: bigint };

/** Why a change of the members was refused: nothing has changed. */
export type MembershipErrorCode =
  | 'member-exists'
  | 'peer-urls-exist'
  | 'member-not-found'
  | 'not-learner'
  /** Its log is too far behind the leader's. */
  | 'learner-not-ready'
  | 'too-many-learners'
  /** Without enough members that have ever started the new majority could not be reached. */
  | 'not-enough-started'
  /** Members are down, or have not been connected for long enough. */
  | 'unhealthy';

/** Why a proposal or read could not be answered. A `timeout`'s or `leader-lost`'s fate is unknown: never retry it. */
export type ConsensusErrorCode = 'no-leader' | 'leader-lost' | 'timeout' | 'too-many-requests' | 'stopped' | 'storage';

export interface CommandEntry {
  readonly index: number;
  readonly term: number;
  /** A view of a larger buffer, which it keeps in memory: copy what is kept. Never changed. */
  readonly data: Uint8Array;
}

/** The replicated state. All methods but the snapshot stream are synchronous: no await inside a transition. */
export interface StateMachine<R> {
  /** Applies committed commands in order, each exactly once; returns one result per command. Deterministic. */
  apply(entries: readonly CommandEntry[]): readonly R[];
  /** Index of the last applied command; restored together with the data. */
  readonly appliedIndex: number;
  /** Pins the present state and streams it while later commands are applied. Chunks of at most 1 MiB. */
  snapshot(): { readonly index: number; readonly chunks: AsyncIterable<Uint8Array> };
  /** Replaces the whole state by a streamed snapshot. On failure the old state stays. */
  restore(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Called when this member becomes leader (its term) or stops being it (undefined): the lease clock runs on the leader only. */
  leadershipChanged?(term: number | undefined): void;
}

/** One member's consensus. `R` is what the state machine answers to a command. */
export interface Consensus<R> extends AsyncDisposable {
  /**
   * Replicates `command` (from a follower too: it is forwarded) and resolves with this member's result of applying it.
   * @throws ConsensusError by code
   */
  propose(command: Uint8Array, options: { readonly signal: AbortSignal }): Promise<R>;
  /** Resolves once this member has applied everything that was committed when the call was made (ReadIndex). */
  readIndex(options: { readonly signal: AbortSignal }): Promise<void>;
  /** Hands the leadership, which this member must have, to `transferee`; resolves when that one leads. @throws ConsensusError timeout */
  transferLeader(transferee: bigint, options: { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Changes the members, from a follower too, and resolves when the change is applied here: with the member as it is then, or
   * as it was before it was removed. One change is made at a time; others wait for it.
   * @throws MembershipError when it is refused, ConsensusError by code
   */
  changeMembership(change: MembershipChange, options: { readonly signal: AbortSignal }): Promise<MemberInfo>;
  status(): ConsensusStatus;
  readonly isLeader: boolean;
  /** Rejects when the member cannot go on (disk failed, log corrupt), or with MemberRemovedError when it was removed. */
  readonly failed: Promise<never>;
}

export class ConsensusError extends Error {
  override readonly name = 'ConsensusError';
  readonly code: ConsensusErrorCode;

  constructor(code: ConsensusErrorCode, options?: ErrorOptions) {
    super(`consensus: ${code}`, options);
    this.code = code;
  }
}

export class MembershipError extends Error {
  override readonly name = 'MembershipError';
  readonly code: MembershipErrorCode;

  constructor(code: MembershipErrorCode) {
    super(`membership: ${code}`);
    this.code = code;
  }
}

/** This member is none any more. Its data dir is of no use: a removed member's id never comes back. */
export class MemberRemovedError extends Error {
  override readonly name = 'MemberRemovedError';

  constructor() {
    super('the member has been permanently removed from the cluster');
  }
}
