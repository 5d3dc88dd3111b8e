import assert from 'node:assert/strict';
import type { Cancel, Clock, Logger } from '@naru/component';
import {
  ConsensusError,
  MemberRemovedError,
  MembershipError,
  type Consensus,
  type ConsensusStatus,
  type MemberInfo,
  type MembershipChange,
  type StateMachine,
} from '../consensus.ts';
import type { Transport } from '../peer/transport.ts';
import { NONE, type Message, type MsgSnap } from '../raft/message.ts';
import type { Raft, Ready } from '../raft/raft.ts';
import type { SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { SnapshotMark } from '../wal/record.ts';
import type { Wal } from '../wal/wal.ts';
import { Applier } from './applier.ts';
import { encodeAttributes, encodeCommand, type RequestId } from './envelope.ts';
import { proposalOf, type Membership } from './membership.ts';
import { PendingReads } from './pending-reads.ts';
import { ConfChangePendingError, PendingProposals } from './proposals.ts';
import { checkReconfiguration } from './reconfiguration.ts';

/** Where time, chance and the event loop come in. */
export interface MemberPorts {
  readonly clock: Clock;
  /** Calls back when what the event loop has at hand is done: what comes until then is one batch. Default setImmediate. */
  readonly defer: (fn: () => void) => void;
  /** A number in [0, 1). */
  readonly random: () => number;
}

export interface MemberOptions<R> {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly raft: Raft;
  readonly wal: Wal;
  readonly snapshots: SnapshotStore;
  /** Snapshots that the log knows. */
  readonly marks: readonly SnapshotMark[];
  readonly membership: Membership;
  readonly stateMachine: StateMachine<R>;
  readonly transport: Transport;
  readonly ports: MemberPorts;
  readonly tickMs: number;
  readonly electionTicks: number;
  /** Entries after which a snapshot is made. */
  readonly snapshotCount: number;
  /** Entries that are kept behind a snapshot for members that lag a little. */
  readonly snapshotCatchUpEntries: number;
  /** Refuse changes of the members that would endanger the quorum. */
  readonly strictReconfigCheck: boolean;
  readonly logger: Logger;
  /** Released last. */
  readonly lock: AsyncDisposable;
}

/** Election timeouts that a removed member stays for: the others may need its vote to learn that it is removed. */
const REMOVED_STAY_ELECTIONS = 2;
/** Election timeouts after which a member tells its name again, unless it was heard. */
const PUBLISH_ELECTIONS = 5;

/**
 * One member's consensus: drives the core with time, messages and proposals, and carries out what it says: persist, then
 * send, then apply. All transitions are synchronous; only disk and network are waited for.
 */
export class Member<R> implements Consensus<R> {
  readonly failed: Promise<never>;
  readonly #options: MemberOptions<R>;
  readonly #raft: Raft;
  readonly #proposals: PendingProposals<R>;
  readonly #reads: PendingReads;
  readonly #applier: Applier<R>;
  readonly #stop = new AbortController();
  #fail!: (error: Error) => void;
  #failure: Error | undefined;
  #cancelTick: Cancel | undefined;
  #turnScheduled = false;
  #leader = { leaderId: NONE, term: 0, leading: false };
  #receivingSnapshot = false;
  #stopped: Promise<void> | undefined;
  #removalNoted = false;
  #leaderChange = Promise.withResolvers<void>();

  constructor(options: MemberOptions<R>) {
    this.#options = options;
    this.#raft = options.raft;
    const { random } = options.ports;
    const instance = BigInt(Math.floor(random() * 2 ** 32)) * 2n ** 32n + BigInt(Math.floor(random() * 2 ** 32));
    this.#proposals = new PendingProposals(instance);
    this.#reads = new PendingReads(Math.floor(random() * 2 ** 51));
    this.failed = new Promise<never>((_resolve, reject) => {
      this.#fail = reject;
    });
    // Whoever watches it gets the rejection; nobody has to.
    this.failed.catch(() => undefined);
    this.#applier = new Applier({
      ...options,
      proposals: this.#proposals,
      membershipChanged: () => this.#membershipChanged(),
      wake: () => this.#wake(),
      fail: (error) => this.#failWith(error),
    });
  }

  /** Starts the clock and the transport. */
  async start(): Promise<void> {
    await this.#options.transport.start({
      messages: (messages) => {
        for (const message of messages) this.#step(message);
        this.#wake();
      },
      unreachable: (id) => {
        if (this.#isStopped) return;
        this.#raft.reportUnreachable(id);
        this.#wake();
      },
      reachable: (id) => {
        if (this.#isStopped) return;
        this.#raft.reportReachable(id);
        this.#wake();
      },
      snapshot: (message, content) => this.#receiveSnapshot(message, content),
      isRemoved: (id) => this.#options.membership.isRemoved(id),
      removed: () => this.#removed(),
      members: () => this.#options.membership.members,
    });
    this.#membershipChanged();
    this.#tickLater();
    // A cluster of one need not wait for its own election timeout.
    if (this.#raft.memberIds.length === 1) this.#raft.campaign();
    else this.#raft.hurryFirstElection();
    this.#wake();
    void this.#publishAttributes();
  }

  get isLeader(): boolean {
    return this.#raft.isLeader;
  }

  status(): ConsensusStatus {
    const { memberId, clusterId, membership } = this.#options;
    const { term, leaderId, commitIndex, appliedIndex } = this.#raft;
    return { memberId, clusterId, leaderId, term, commitIndex, appliedIndex, members: membership.members };
  }

  get #isStopped(): boolean {
    return this.#failure !== undefined || this.#stop.signal.aborted;
  }

  #refusal(): ConsensusError | undefined {
    if (this.#failure !== undefined) return new ConsensusError('storage', { cause: this.#failure });
    return this.#stop.signal.aborted ? new ConsensusError('stopped') : undefined;
  }

  propose(command: Uint8Array, options: { readonly signal: AbortSignal }): Promise<R> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const result = this.#proposals.add('normal', (id) => encodeCommand(id, command), options.signal);
    this.#wake();
    return result;
  }

  readIndex(options: { readonly signal: AbortSignal }): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const result = this.#reads.add(options.signal);
    this.#wake();
    return result;
  }

  async changeMembership(change: MembershipChange, options: { readonly signal: AbortSignal }): Promise<MemberInfo> {
    const { memberId, membership, ports, tickMs } = this.#options;
    this.#checkStrictly(change);
    const { id, type, encode } = proposalOf(change, ports.random);
    const before = membership.get(id);
    // Who leaves and leads would leave the others without a leader.
    if (change.type === 'remove' && id === memberId) await this.handOver();
    for (;;) {
      // Not by what this member knew before there was a leader: the members may have become others.
      await this.readIndex(options);
      this.#checkStrictly(change);
      try {
        const changed = this.#proposals.add(type, encode, options.signal);
        this.#wake();
        await changed;
        const member = membership.get(id) ?? before;
        assert(member !== undefined, 'a member that was changed is known');
        return member;
      } catch (error) {
        if (!(error instanceof ConfChangePendingError)) throw error;
        if (options.signal.aborted) throw new ConsensusError('timeout', { cause: options.signal.reason });
        await ports.clock.sleep(tickMs);
        this.#checkStrictly(change);
      }
    }
  }

  /** @throws MembershipError for a change that would endanger the quorum */
  #checkStrictly(change: MembershipChange): void {
    const { memberId, membership, transport, ports, strictReconfigCheck } = this.#options;
    if (!strictReconfigCheck) return;
    const code = checkReconfiguration(change, {
      self: memberId,
      members: membership.members,
      activeSince: (id) => transport.activeSince(id),
      now: ports.clock.monotonic(),
    });
    if (code !== undefined) throw new MembershipError(code);
  }

  /** Hands the leadership to `transferee`; resolves when another member leads. */
  async transferLeader(transferee: bigint, options: { readonly signal: AbortSignal }): Promise<void> {
    this.#raft.transferLeader(transferee);
    this.#wake();
    while (this.#raft.leaderId !== transferee) {
      if (options.signal.aborted) throw new ConsensusError('timeout', { cause: options.signal.reason });
      await Promise.race([this.#leaderChange.promise, aborted(options.signal)]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped ??= this.#dispose();
    await this.#stopped;
  }

  async #dispose(): Promise<void> {
    await this.handOver();
    this.#stop.abort();
    this.#cancelTick?.();
    this.#proposals.rejectAll('stopped');
    this.#reads.rejectAll('stopped');
    await this.#options.transport[Symbol.asyncDispose]();
    await this.#applier.idle();
    await this.#options.wal.close();
    await this.#options.lock[Symbol.asyncDispose]();
  }

  /** A leader that is stopped hands over first: the cluster need not wait for an election timeout. */
  async handOver(): Promise<void> {
    const transferee = this.#isStopped ? undefined : this.#raft.bestTransferee;
    if (transferee === undefined) return;
    const { tickMs, electionTicks, ports } = this.#options;
    const timeout = new AbortController();
    const cancel = ports.clock.after(tickMs * electionTicks, () => timeout.abort());
    await this.transferLeader(transferee, { signal: timeout.signal }).catch(() => undefined);
    cancel();
  }

  #tickLater(): void {
    this.#cancelTick = this.#options.ports.clock.after(this.#options.tickMs, () => {
      if (this.#isStopped) return;
      this.#tickLater();
      this.#raft.tick();
      this.#reads.tick();
      this.#wake();
    });
  }

  #step(message: Message): void {
    if (this.#isStopped || this.#options.membership.isRemoved(message.from)) return;
    try {
      this.#raft.step(message);
    } catch (error) {
      this.#failWith(error);
    }
  }

  #wake(): void {
    if (this.#turnScheduled || this.#isStopped) return;
    this.#turnScheduled = true;
    this.#options.ports.defer(() => {
      this.#turnScheduled = false;
      if (this.#isStopped) return;
      try {
        this.#turn();
      } catch (error) {
        this.#failWith(error);
      }
    });
  }

  #turn(): void {
    // Not before a change of the leader is noted, which gives up everything that was submitted until then.
    if (this.#raft.leaderId === this.#leader.leaderId && this.#raft.term === this.#leader.term) this.#submit();
    if (this.#raft.hasReady) this.#carryOut(this.#raft.ready());
    this.#reads.applied(this.#raft.appliedIndex);
    if (this.#raft.hasReady) this.#wake();
  }

  #submit(): void {
    this.#proposals.submit((proposals, context) => this.#raft.propose(proposals, context));
    if (this.#raft.leaderId !== NONE) this.#reads.submit((context) => this.#raft.readIndex(context));
  }

  #carryOut(ready: Ready): void {
    this.#send(ready.messages);
    this.#persist(ready);
    if (ready.snapshot !== undefined) this.#applier.restore(ready.snapshot);
    this.#applier.apply(ready.committedEntries);
    const { appliedIndex } = this.#raft;
    for (const readState of ready.readStates) this.#reads.answered(readState, appliedIndex);
    for (const { context, reason } of ready.rejectedProposals) this.#proposals.rejectContext(context, reason);
    this.#noteLeader(ready);
  }

  #persist(ready: Ready): void {
    const { wal } = this.#options;
    const { snapshot, entries, hardState } = ready;
    let written: Promise<void> | undefined;
    if (ready.mustSync) {
      written = wal.append({ reset: snapshot, entries, hardState });
    } else {
      // The commit index is a hint: it goes with the next write. What is promised may rest on writes that are on their way.
      if (hardState !== undefined) wal.appendLazily({ hardState });
      written = wal.lastAppend;
    }
    if (written === undefined) {
      this.#persisted(ready);
      return;
    }
    written.then(
      () => this.#persisted(ready),
      (error: unknown) => this.#failWith(error),
    );
  }

  #persisted(ready: Ready): void {
    if (this.#isStopped) return;
    this.#raft.advance({ persisted: ready.id });
    if (ready.snapshot !== undefined) this.#applier.markDurable(ready.snapshot);
    this.#send(ready.messagesAfterPersist);
    this.#wake();
  }

  #send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const plain: Message[] = [];
    for (const message of messages) {
      if (message.type === 'MsgSnap') void this.#sendSnapshot(message);
      else plain.push(message);
    }
    for (const dropped of this.#options.transport.send(plain))
      if (dropped.type === 'MsgProp') this.#proposals.rejectContext(dropped.context, 'no-leader');
  }

  async #sendSnapshot(message: MsgSnap): Promise<void> {
    const { logger, snapshots, transport } = this.#options;
    const { index } = message.snapshot;
    let ok = false;
    logger.info({ to: message.to.toString(16), index }, 'sending snapshot');
    try {
      await transport.sendSnapshot(message, snapshots.readBytes(message.snapshot), { signal: this.#stop.signal });
      ok = true;
    } catch (error) {
      if (!this.#isStopped) logger.warn({ err: error, to: message.to.toString(16), index }, 'snapshot not delivered');
    }
    if (this.#isStopped) return;
    this.#raft.reportSnapshot(message.to, { ok });
    this.#wake();
  }

  async #receiveSnapshot(message: MsgSnap, content: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#isStopped || this.#receivingSnapshot) throw new Error('not ready for a snapshot');
    this.#receivingSnapshot = true;
    try {
      const { index, term } = message.snapshot;
      const { commitIndex } = this.#raft;
      // What is in the log already needs no file; the core answers how far it is.
      if (index > commitIndex) await this.#applier.receive(content, { index, term });
    } finally {
      this.#receivingSnapshot = false;
    }
    this.#step(message);
    this.#wake();
  }

  #noteLeader({ leaderId, term, role }: Ready): void {
    const before = this.#leader;
    const leading = role === 'leader';
    if (before.leaderId === leaderId && before.term === term && before.leading === leading) return;
    this.#leader = { leaderId, term, leading };
    const changed = before.leaderId !== leaderId || before.term !== term;
    if (changed) {
      this.#proposals.rejectSubmitted('leader-lost');
      this.#reads.leaderChanged();
      const leader = leaderId === NONE ? undefined : leaderId.toString(16);
      this.#options.logger.info({ leader, term, role }, 'leader changed');
    }
    if (before.leading !== leading || (leading && before.term !== term))
      this.#options.stateMachine.leadershipChanged?.(leading ? term : undefined);
    this.#leaderChange.resolve();
    this.#leaderChange = Promise.withResolvers<void>();
    this.#wake();
  }

  #membershipChanged(): void {
    const { membership, memberId, transport } = this.#options;
    transport.setPeers(membership.members.filter(({ id }) => id !== memberId));
    if (membership.isRemoved(memberId)) this.#removed();
  }

  #removed(): void {
    const { ports, tickMs, electionTicks, logger } = this.#options;
    if (this.#removalNoted || this.#isStopped) return;
    this.#removalNoted = true;
    logger.warn('this member was removed from the cluster, and will stop');
    ports.clock.after(REMOVED_STAY_ELECTIONS * electionTicks * tickMs, () => this.#failWith(new MemberRemovedError()));
  }

  /** Tells the others this member's name and client URLs; they know its peer URLs only. */
  async #publishAttributes(): Promise<void> {
    const { memberId: id, name, clientUrls, membership, logger, ports, tickMs, electionTicks } = this.#options;
    while (!this.#isStopped) {
      const known = membership.get(id);
      if (known !== undefined && known.name === name && known.clientUrls.join() === clientUrls.join()) return;
      const attributes = { id, name, clientUrls };
      // What is lost on its way to the leader is never answered.
      const timeout = new AbortController();
      const cancel = ports.clock.after(PUBLISH_ELECTIONS * electionTicks * tickMs, () => timeout.abort());
      try {
        const encode = (request: RequestId): Uint8Array => encodeAttributes(request, attributes);
        const published = this.#proposals.add('normal', encode, timeout.signal);
        this.#wake();
        await published;
        return;
      } catch (error) {
        // To say the same again changes nothing, so this may be repeated where a command may not.
        if (this.#isStopped) return;
        logger.debug({ err: error }, 'attributes not published yet');
        await ports.clock.sleep(tickMs, { signal: this.#stop.signal }).catch(() => undefined);
      } finally {
        cancel();
      }
    }
  }

  /** The member stops for good: what it would say from now on might not be true. */
  #failWith(error: unknown): void {
    if (this.#isStopped) return;
    assert(error !== undefined, 'a failure has a reason');
    this.#failure = error instanceof Error ? error : new Error('member failed', { cause: error });
    if (error instanceof MemberRemovedError) this.#options.logger.warn(error.message);
    else this.#options.logger.fatal({ err: error }, 'member failed');
    this.#cancelTick?.();
    this.#stop.abort();
    this.#proposals.rejectAll('storage', error);
    this.#reads.rejectAll('storage', error);
    this.#fail(this.#failure);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
