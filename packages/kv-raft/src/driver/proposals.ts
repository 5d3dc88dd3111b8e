import { ConsensusError, MembershipError, type ConsensusErrorCode } from '../consensus.ts';
import type { DropReason, Proposal } from '../raft/message.ts';
import type { ProposeOutcome } from '../raft/proposals.ts';
import { AbortGroups } from './abort-groups.ts';
import type { RequestId } from './envelope.ts';

/** Proposals of this member that may wait for a leader or for their result, and the bytes of those that wait for a leader. */
export const PROPOSALS_PENDING_MAX = 20_000;
export const PROPOSALS_QUEUED_BYTES_MAX = 64 << 20;
/** Bytes that go into the core at once. */
const BATCH_BYTES_MAX = 1 << 20;

/** Another change of the configuration is on its way: this one was not taken, and may be proposed again. */
export class ConfChangePendingError extends Error {
  override readonly name = 'ConfChangePendingError';
}

function dropError(reason: DropReason): Error {
  switch (reason) {
    case 'no-leader':
    // A leader that hands over takes nothing in, as if there were none: the caller may try again.
    case 'transferring':
      return new ConsensusError('no-leader');
    case 'too-many-requests':
      return new ConsensusError('too-many-requests');
    case 'conf-change-pending':
      return new ConfChangePendingError();
    case 'learner-not-ready':
      return new MembershipError('learner-not-ready');
    default:
      return reason satisfies never;
  }
}

interface Pending<R> {
  readonly request: number;
  readonly proposal: Proposal;
  readonly resolve: (result: R) => void;
  readonly reject: (error: Error) => void;
  readonly signal: AbortSignal;
  /** The MsgProp that it went with, once it was given to the core. */
  context: number | undefined;
}

/**
 * What was proposed here and has no result yet. While there is no leader proposals wait in the queue: nobody has them, so
 * to give up then is safe. Once submitted their fate is the log's.
 */
export class PendingProposals<R> {
  readonly instance: bigint;
  #request = 0;
  #context = 0;
  #queue: Pending<R>[] = [];
  #queuedBytes = 0;
  readonly #pending = new Map<number, Pending<R>>();
  readonly #aborts = new AbortGroups<number>((request) => this.#abort(request));

  constructor(instance: bigint) {
    this.instance = instance;
  }

  get size(): number {
    return this.#pending.size;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Queues a proposal; `encode` makes its entry from its request id. */
  add(type: Proposal['type'], encode: (id: RequestId) => Uint8Array, signal: AbortSignal): Promise<R> {
    if (signal.aborted) return Promise.reject(new ConsensusError('timeout', { cause: signal.reason }));
    if (this.#pending.size >= PROPOSALS_PENDING_MAX || this.#queuedBytes >= PROPOSALS_QUEUED_BYTES_MAX)
      return Promise.reject(new ConsensusError('too-many-requests'));
    const request = ++this.#request;
    const proposal = { type, data: encode({ instance: this.instance, request }) };
    return new Promise<R>((resolve, reject) => {
      const pending = { request, proposal, resolve, reject, signal, context: undefined };
      this.#aborts.add(signal, request);
      this.#pending.set(request, pending);
      this.#queue.push(pending);
      this.#queuedBytes += proposal.data.length;
    });
  }

  /** Gives what is queued to the core, in batches, until it takes no more. */
  submit(propose: (proposals: readonly Proposal[], context: number) => ProposeOutcome): void {
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch();
      const context = ++this.#context;
      const outcome = propose(
        batch.map(({ proposal }) => proposal),
        context,
      );
      const waits =
        outcome.outcome === 'dropped' && (outcome.reason === 'no-leader' || outcome.reason === 'transferring');
      if (waits) return;
      this.#queue.splice(0, batch.length);
      for (const pending of batch) {
        this.#queuedBytes -= pending.proposal.data.length;
        pending.context = context;
        if (outcome.outcome === 'dropped') this.#rejectWith(pending, dropError(outcome.reason));
      }
    }
  }

  /** A change of the configuration goes alone. */
  #nextBatch(): readonly Pending<R>[] {
    let bytes = 0;
    let count = 0;
    for (const { proposal } of this.#queue) {
      bytes += proposal.data.length;
      if (count > 0 && (bytes > BATCH_BYTES_MAX || proposal.type === 'conf-change')) break;
      count++;
      if (proposal.type === 'conf-change') break;
    }
    return this.#queue.slice(0, count);
  }

  /** The entry of `id` was applied here. */
  resolve(id: RequestId, result: R): void {
    if (id.instance !== this.instance) return;
    const pending = this.#remove(id.request);
    pending?.resolve(result);
  }

  /** The entry of `id` was refused when it was to be applied. */
  fail(id: RequestId, error: Error): void {
    if (id.instance !== this.instance) return;
    const pending = this.#pending.get(id.request);
    if (pending !== undefined) this.#rejectWith(pending, error);
  }

  /** The leader did not take the MsgProp of `context`, or it was never sent. */
  rejectContext(context: number, reason: DropReason): void {
    for (const pending of this.#pending.values())
      if (pending.context === context) this.#rejectWith(pending, dropError(reason));
  }

  /** The leader that had them is gone: whether they are committed is not known. What is queued waits for the next leader. */
  rejectSubmitted(code: ConsensusErrorCode): void {
    for (const pending of this.#pending.values()) if (pending.context !== undefined) this.#reject(pending, code);
  }

  rejectAll(code: ConsensusErrorCode, cause?: unknown): void {
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const pending of this.#pending.values()) this.#reject(pending, code, cause);
  }

  #abort(request: number): void {
    const pending = this.#pending.get(request);
    if (pending === undefined) return;
    if (pending.context === undefined) {
      this.#queue = this.#queue.filter((each) => each !== pending);
      this.#queuedBytes -= pending.proposal.data.length;
      this.#reject(pending, 'no-leader', pending.signal.reason);
    } else {
      this.#reject(pending, 'timeout', pending.signal.reason);
    }
  }

  #reject(pending: Pending<R>, code: ConsensusErrorCode, cause?: unknown): void {
    this.#rejectWith(pending, new ConsensusError(code, cause === undefined ? {} : { cause }));
  }

  #rejectWith(pending: Pending<R>, error: Error): void {
    this.#remove(pending.request);
    pending.reject(error);
  }

  #remove(request: number): Pending<R> | undefined {
    const pending = this.#pending.get(request);
    if (pending === undefined) return undefined;
    this.#pending.delete(request);
    this.#aborts.delete(pending.signal, request);
    return pending;
  }
}
