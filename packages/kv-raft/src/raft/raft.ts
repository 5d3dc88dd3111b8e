import assert from 'node:assert/strict';
import {
  changeConfig,
  confStateOf,
  encodeConfChange,
  isVoter,
  memberIds,
  type ConfChange,
  type ConfChangeOutcome,
} from './conf-change.ts';
import { hup, hurryFirstElection, suspectLeader, tickElection } from './election.ts';
import { RaftLog } from './log.ts';
import { NONE, type ConfState, type Entry, type HardState, type Message, type Proposal } from './message.ts';
import type { Role, SnapshotMetadata } from './message.ts';
import { propose, type ProposeOutcome } from './proposals.ts';
import { requestRead } from './read-index.ts';
import { acknowledgeOwn, broadcastHeartbeat, flushAppends, maybeCommit } from './replication.ts';
import { reportSnapshot } from './snapshots.ts';
import { RaftState, type RaftOptions, type ReadState, type RejectedProposal } from './state.ts';
import { step } from './step.ts';
import { bestTransferee, transferLeader } from './transfer.ts';

/** What a member has on its disk when it starts. */
export interface RaftStart {
  readonly hardState: HardState;
  /** Where the log begins; index 0 for a log from the beginning. */
  readonly snapshot: SnapshotMetadata;
  readonly entries: readonly Entry[];
  /** The configuration in force, when it is not the snapshot's: of a cluster that is being made. */
  readonly confState?: ConfState;
}

/**
 * All that is to be done since the last Ready. In this order: send `messages`; write `snapshot`, `entries` and `hardState`,
 * with a sync if `mustSync`; then send `messagesAfterPersist` and call `advance({ persisted: id })`. Apply `snapshot` and then
 * `committedEntries` and call `advance({ applied })`. A later Ready may be taken meanwhile, but what it writes must follow.
 */
export interface Ready {
  readonly id: number;
  readonly role: Role;
  readonly term: number;
  readonly leaderId: bigint;
  readonly messages: readonly Message[];
  /** Present when it has changed. */
  readonly hardState: HardState | undefined;
  /** A snapshot received from the leader: its content replaces log and state machine. */
  readonly snapshot: SnapshotMetadata | undefined;
  /** Replace what was written from the first one's index on. */
  readonly entries: readonly Entry[];
  readonly mustSync: boolean;
  readonly messagesAfterPersist: readonly Message[];
  /** Committed, and on this member's disk. */
  readonly committedEntries: readonly Entry[];
  readonly readStates: readonly ReadState[];
  readonly rejectedProposals: readonly RejectedProposal[];
}

export interface RaftStatus {
  readonly id: bigint;
  readonly role: Role;
  readonly term: number;
  readonly leaderId: bigint;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly leadTransferee: bigint;
  readonly confState: ConfState;
}

/**
 * One member's Raft as a pure state machine: inputs are ticks, messages and calls, outputs are in the Ready. It does no
 * I/O and knows no time but ticks. Pre-vote and check-quorum are always on.
 */
export class Raft {
  readonly #state: RaftState;
  #readyId = 0;
  #lastHardState: HardState;
  #lastSeen: { readonly role: Role; readonly leaderId: bigint };
  /** Messages of this member to itself, each due when the write of its Ready is on disk. */
  #toSelf: { readonly readyId: number; readonly message: Message }[] = [];

  constructor(options: RaftOptions, start: RaftStart) {
    assert(options.id !== NONE, 'a member has an id');
    assert(options.electionTicks > options.heartbeatTicks, 'elections take longer than heartbeats');
    const log = new RaftLog(start.snapshot, start.entries);
    const commit = Math.max(start.snapshot.index, Math.min(start.hardState.commit, log.lastIndex));
    log.commitTo(commit);
    const confState = start.confState ?? start.snapshot.confState;
    this.#state = new RaftState(options, { log, hardState: start.hardState, confState });
    this.#lastHardState = this.#state.hardState;
    this.#lastSeen = { role: this.#state.role, leaderId: this.#state.leaderId };
  }

  get status(): RaftStatus {
    const state = this.#state;
    return {
      id: state.id,
      role: state.role,
      term: state.term,
      leaderId: state.leaderId,
      commitIndex: state.log.committed,
      appliedIndex: state.log.applied,
      lastIndex: state.log.lastIndex,
      leadTransferee: state.leadTransferee,
      confState: confStateOf(state.tracker.config),
    };
  }

  /** The newest snapshot that the core knows. */
  get snapshot(): SnapshotMetadata {
    return this.#state.log.snapshot;
  }

  get commitIndex(): number {
    return this.#state.log.committed;
  }

  get appliedIndex(): number {
    return this.#state.log.applied;
  }

  get term(): number {
    return this.#state.term;
  }

  get leaderId(): bigint {
    return this.#state.leaderId;
  }

  get isLeader(): boolean {
    return this.#state.role === 'leader';
  }

  /** Time passes. */
  tick(): void {
    const state = this.#state;
    if (state.role !== 'leader') {
      tickElection(state);
      return;
    }
    state.heartbeatElapsed++;
    state.electionElapsed++;
    if (state.electionElapsed >= state.options.electionTicks) {
      state.electionElapsed = 0;
      if (!this.#checkQuorum()) return;
      state.leadTransferee = NONE;
    }
    if (state.heartbeatElapsed < state.options.heartbeatTicks) return;
    state.heartbeatElapsed = 0;
    broadcastHeartbeat(state);
  }

  /** A leader that hears of no quorum any more steps down, so that its clients find another (Raft thesis, 6.2). */
  #checkQuorum(): boolean {
    const state = this.#state;
    const own = state.tracker.progress.get(state.id);
    if (own !== undefined) own.recentActive = true;
    const active = state.tracker.quorumActive();
    if (!active) state.becomeFollower(state.term, NONE);
    else for (const [id, progress] of state.tracker.progress) progress.recentActive = id === state.id;
    return active;
  }

  /** Right after the start: the first election, if one is needed, comes soon. */
  hurryFirstElection(): void {
    hurryFirstElection(this.#state);
  }

  /** Campaigns now, without waiting for the election timeout. */
  campaign(): void {
    hup(this.#state, { transfer: false });
  }

  /** A message of another member. */
  step(message: Message): void {
    step(this.#state, message);
  }

  /** Proposes entries, all or none. `context` comes back in `rejectedProposals` when a leader refuses forwarded ones. */
  propose(proposals: readonly Proposal[], context: number): ProposeOutcome {
    return propose(this.#state, proposals, context);
  }

  /** Asks for an index at which a read is linearizable; the answer, if it comes, is a ReadState with this context. */
  readIndex(context: number): void {
    requestRead(this.#state, context);
  }

  /** The voter that could take over soonest; undefined when this member does not lead or nobody can. */
  get bestTransferee(): bigint | undefined {
    return bestTransferee(this.#state);
  }

  transferLeader(transferee: bigint): void {
    transferLeader(this.#state, transferee);
  }

  /** The connection to the member is broken: what was sent to it may be lost. */
  reportUnreachable(id: bigint): void {
    const state = this.#state;
    if (state.role === 'leader') {
      const progress = state.tracker.progress.get(id);
      if (progress?.state === 'replicate') progress.becomeProbe();
    } else if (id === state.leaderId) {
      suspectLeader(state);
    }
  }

  /** The connection to the member is open again: it is told at once who leads, and what it may have missed. */
  reportReachable(id: bigint): void {
    const state = this.#state;
    if (state.role !== 'leader') return;
    const progress = state.tracker.progress.get(id);
    if (progress === undefined) return;
    progress.probeSent = false;
    progress.pingNeeded = true;
  }

  /** Whether the member got the snapshot that it was sent. */
  reportSnapshot(id: bigint, result: { readonly ok: boolean }): void {
    reportSnapshot(this.#state, id, result.ok);
  }

  /** Applies a committed change of the configuration. The caller records `confState` when `ok`; else nothing changed. */
  applyConfChange(change: ConfChange): ConfChangeOutcome {
    const state = this.#state;
    const outcome = changeConfig(state.tracker.config, change);
    if (!outcome.ok) return outcome;
    state.tracker.setConfig(outcome.config, state.log.lastIndex + 1);
    if (state.role === 'leader') {
      if (!state.tracker.isVoter(state.id)) state.becomeFollower(state.term, NONE);
      // A smaller quorum may have committed more.
      else maybeCommit(state);
    }
    if (state.leadTransferee !== NONE && !isVoter(outcome.config, state.leadTransferee)) state.leadTransferee = NONE;
    return outcome;
  }

  /** A snapshot of the applied state is on disk. */
  snapshotMade(snapshot: SnapshotMetadata): void {
    this.#state.log.snapshotMade(snapshot);
  }

  /** Forgets the entries up to `index`, at most the newest snapshot's. */
  compact(index: number): void {
    this.#state.log.compact(index);
  }

  get hasReady(): boolean {
    const state = this.#state;
    if (state.role === 'leader') flushAppends(state);
    return (
      state.messages.length > 0 ||
      state.messagesAfterPersist.length > 0 ||
      state.readStates.length > 0 ||
      state.rejectedProposals.length > 0 ||
      state.log.hasUnwritten ||
      state.log.hasCommitted ||
      state.role !== this.#lastSeen.role ||
      state.leaderId !== this.#lastSeen.leaderId ||
      !sameHardState(state.hardState, this.#lastHardState)
    );
  }

  /** Takes what is to be done. Nothing of it comes again. */
  ready(): Ready {
    const state = this.#state;
    if (state.role === 'leader') flushAppends(state);
    const id = ++this.#readyId;
    const { entries, snapshot } = state.log.takeUnwritten(id);
    const hardState = state.hardState;
    const last = this.#lastHardState;
    const messagesAfterPersist = this.#keepOwn(id, state.messagesAfterPersist);
    const ready: Ready = {
      id,
      role: state.role,
      term: state.term,
      leaderId: state.leaderId,
      messages: state.messages,
      hardState: sameHardState(hardState, last) ? undefined : hardState,
      snapshot,
      entries,
      mustSync: entries.length > 0 || snapshot !== undefined || this.#mustSync(hardState, last),
      messagesAfterPersist,
      committedEntries: state.log.takeCommitted(state.options.applyBytesMax),
      readStates: state.readStates,
      rejectedProposals: state.rejectedProposals,
    };
    state.messages = [];
    state.messagesAfterPersist = [];
    state.readStates = [];
    state.rejectedProposals = [];
    this.#lastHardState = hardState;
    this.#lastSeen = { role: state.role, leaderId: state.leaderId };
    return ready;
  }

  /** Term and vote must not be forgotten; nor a configuration, so that nobody votes in one that is long gone. */
  #mustSync(hardState: HardState, last: HardState): boolean {
    if (hardState.term !== last.term || hardState.vote !== last.vote) return true;
    return this.#state.log.hasConfChange(last.commit + 1, hardState.commit);
  }

  /** Keeps this member's messages to itself until write `readyId` is on disk; returns the others. */
  #keepOwn(readyId: number, messages: readonly Message[]): readonly Message[] {
    if (!messages.some((message) => message.to === this.#state.id)) return messages;
    for (const message of messages) if (message.to === this.#state.id) this.#toSelf.push({ readyId, message });
    return messages.filter((message) => message.to !== this.#state.id);
  }

  /** Tells what was done of the Readies. `persisted` includes all Readies before that one. */
  advance(done: { readonly persisted?: number; readonly applied?: number }): void {
    const state = this.#state;
    const { persisted, applied } = done;
    if (persisted !== undefined) {
      state.log.written(persisted);
      if (state.role === 'leader') acknowledgeOwn(state);
      const due = this.#toSelf.filter(({ readyId }) => readyId <= persisted);
      if (due.length > 0) this.#toSelf = this.#toSelf.filter(({ readyId }) => readyId > persisted);
      for (const { message } of due) this.step(message);
    }
    if (applied !== undefined) {
      state.log.appliedTo(applied);
      this.#maybeLeaveJoint();
    }
  }

  /** The joint configuration is in force everywhere that counts: on to the new one (Raft thesis, 4.3). */
  #maybeLeaveJoint(): void {
    const state = this.#state;
    if (state.role !== 'leader' || !state.tracker.config.autoLeave) return;
    if (state.pendingConfIndex > state.log.applied) return;
    const leave = encodeConfChange({ transition: 'auto', changes: [], context: new Uint8Array(0) });
    this.propose([{ type: 'conf-change', data: leave }], 0);
  }

  /** All members of the configuration in force. */
  get memberIds(): readonly bigint[] {
    return memberIds(this.#state.tracker.config);
  }
}

function sameHardState(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.commit === b.commit;
}
