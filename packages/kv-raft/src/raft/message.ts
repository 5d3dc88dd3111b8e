/** The vocabulary of the core: entries, persistent state and messages. Everything is data; nothing here has behaviour. */

export type EntryType = 'normal' | 'conf-change';

export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  /** Opaque for `normal`; a `ConfChange` in its codec for `conf-change`. Empty in the entry with which a leader opens its term. */
  readonly data: Uint8Array;
}

/** An entry before the leader gives it its place in the log. */
export type Proposal = Pick<Entry, 'type' | 'data'>;

/** What must survive a crash besides the log. `commit` is a hint: it may lag, as the leader tells it again. */
export interface HardState {
  readonly term: number;
  /** The candidate voted for in `term`; 0n for none. */
  readonly vote: bigint;
  readonly commit: number;
}

/** A configuration of the cluster. While `votersOutgoing` is not empty it is a joint one (Raft thesis, 4.3). */
export interface ConfState {
  readonly voters: readonly bigint[];
  readonly votersOutgoing: readonly bigint[];
  readonly learners: readonly bigint[];
  /** Voters of the outgoing configuration that become learners when the joint configuration is left. */
  readonly learnersNext: readonly bigint[];
  /** The leader leaves the joint configuration by itself as soon as it is applied. */
  readonly autoLeave: boolean;
}

export interface SnapshotMetadata {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

interface Envelope {
  readonly from: bigint;
  readonly to: bigint;
  /** The sender's term; 0 for messages that belong to no term (MsgProp, MsgReadIndex, MsgTransferLeader). */
  readonly term: number;
}

/** Asks for a vote. Of MsgPreVote, `term` is the term that the candidate would campaign in. */
export interface MsgVote extends Envelope {
  readonly type: 'MsgVote' | 'MsgPreVote';
  /** Index and term of the candidate's last entry. */
  readonly index: number;
  readonly logTerm: number;
  /** The leader asked for this election: the check-quorum lease does not hold it up. */
  readonly transfer: boolean;
}

export interface MsgVoteResp extends Envelope {
  readonly type: 'MsgVoteResp' | 'MsgPreVoteResp';
  readonly reject: boolean;
}

export interface MsgApp extends Envelope {
  readonly type: 'MsgApp';
  /** Index and term of the entry before `entries`. */
  readonly index: number;
  readonly logTerm: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
}

export interface MsgAppResp extends Envelope {
  readonly type: 'MsgAppResp';
  /** Last index that matches; of a rejection, the `index` that was refused. */
  readonly index: number;
  readonly reject: boolean;
  /** Of a rejection: where the follower's log may match, and its term there. */
  readonly rejectHint: number;
  readonly logTerm: number;
}

export interface MsgHeartbeat extends Envelope {
  readonly type: 'MsgHeartbeat';
  readonly commit: number;
  /** The newest read round; echoed by the answer. */
  readonly round: number;
}

export interface MsgHeartbeatResp extends Envelope {
  readonly type: 'MsgHeartbeatResp';
  readonly round: number;
}

/** Announces a snapshot; its content travels beside it. */
export interface MsgSnap extends Envelope {
  readonly type: 'MsgSnap';
  readonly snapshot: SnapshotMetadata;
}

export interface MsgTimeoutNow extends Envelope {
  readonly type: 'MsgTimeoutNow';
}

/** Asks the leader to hand over to `transferee`. */
export interface MsgTransferLeader extends Envelope {
  readonly type: 'MsgTransferLeader';
  readonly transferee: bigint;
}

/** A follower asks the leader for an index at which a read is linearizable. */
export interface MsgReadIndex extends Envelope {
  readonly type: 'MsgReadIndex';
  /** Unique among all requests of this member, over its restarts too. */
  readonly context: number;
}

export interface MsgReadIndexResp extends Envelope {
  readonly type: 'MsgReadIndexResp';
  readonly context: number;
  readonly index: number;
}

/** Forwards proposals to the leader. A network must deliver it at most once: nothing removes duplicates. */
export interface MsgProp extends Envelope {
  readonly type: 'MsgProp';
  readonly proposals: readonly Proposal[];
  readonly context: number;
}

/** The receiver of the MsgProp of `context` has not appended it, and will not. */
export interface MsgPropReject extends Envelope {
  readonly type: 'MsgPropReject';
  readonly context: number;
  readonly reason: DropReason;
}

export type Message =
  | MsgVote
  | MsgVoteResp
  | MsgApp
  | MsgAppResp
  | MsgHeartbeat
  | MsgHeartbeatResp
  | MsgSnap
  | MsgTimeoutNow
  | MsgTransferLeader
  | MsgReadIndex
  | MsgReadIndexResp
  | MsgProp
  | MsgPropReject;

export type MessageType = Message['type'];

/** Why a proposal was not taken: nobody has it, so it may be proposed again. */
export type DropReason =
  | 'no-leader'
  | 'transferring'
  | 'too-many-requests'
  | 'conf-change-pending'
  /** A learner was to become a voter, but lacks too much of the log. */
  | 'learner-not-ready';

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** No member: no vote, no leader. */
export const NONE = 0n;
