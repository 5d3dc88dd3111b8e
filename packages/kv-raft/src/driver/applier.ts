import assert from 'node:assert/strict';
import type { Logger } from '@naru/component';
import { MembershipError, type CommandEntry, type StateMachine } from '../consensus.ts';
import { decodeConfChange } from '../raft/conf-change.ts';
import type { Entry, SnapshotMetadata } from '../raft/message.ts';
import type { Raft } from '../raft/raft.ts';
import { decodeSnapshot } from '../snapshot/snapshot-file.ts';
import type { SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { SnapshotMark } from '../wal/record.ts';
import type { Wal } from '../wal/wal.ts';
import { decodeEnvelope, type PeerUrlsUpdate, type RequestId } from './envelope.ts';
import { decodeConfChangeContext, type Membership } from './membership.ts';
import type { PendingProposals } from './proposals.ts';

/** Snapshot files that are kept: an older one serves when the newest turns out to be damaged. */
export const SNAPSHOTS_KEPT = 3;

export interface ApplierOptions<R> {
  readonly raft: Raft;
  readonly wal: Wal;
  readonly snapshots: SnapshotStore;
  readonly marks: readonly SnapshotMark[];
  readonly membership: Membership;
  readonly stateMachine: StateMachine<R>;
  readonly proposals: PendingProposals<R>;
  readonly snapshotCount: number;
  readonly snapshotCatchUpEntries: number;
  readonly logger: Logger;
  readonly membershipChanged: () => void;
  readonly wake: () => void;
  readonly fail: (error: unknown) => void;
}

/** Applies what is committed, and makes and restores snapshots of what is applied. */
export class Applier<R> {
  readonly #options: ApplierOptions<R>;
  #marks: SnapshotMark[];
  #snapshotIndex: number;
  #appliedTerm: number;
  /** Snapshots are made and restored one after the other. */
  #tasks: Promise<void> = Promise.resolve();
  #taskCount = 0;

  constructor(options: ApplierOptions<R>) {
    this.#options = options;
    this.#marks = [...options.marks];
    this.#snapshotIndex = options.raft.snapshot.index;
    this.#appliedTerm = options.raft.snapshot.term;
  }

  /** Resolves when no snapshot is being made or restored. */
  async idle(): Promise<void> {
    await this.#tasks;
  }

  apply(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    const { raft, stateMachine, proposals } = this.#options;
    const commands: CommandEntry[] = [];
    const ids: RequestId[] = [];
    for (const entry of entries) {
      if (entry.type === 'conf-change') {
        this.#applyConfChange(entry);
        continue;
      }
      // A leader opens its term with an empty entry.
      if (entry.data.length === 0) continue;
      const envelope = decodeEnvelope(entry.data);
      if (envelope.type === 'attributes') {
        this.#options.membership.applyAttributes(envelope.attributes);
        proposals.resolve(envelope.id, undefined as R);
      } else if (envelope.type === 'peer-urls') {
        this.#applyPeerUrls(envelope.id, envelope.update);
      } else {
        commands.push({ index: entry.index, term: entry.term, data: envelope.command });
        ids.push(envelope.id);
      }
    }
    if (commands.length > 0) {
      const results = stateMachine.apply(commands);
      assert(results.length === commands.length, 'the state machine answers each command');
      for (const [i, id] of ids.entries()) proposals.resolve(id, results[i] as R);
    }
    this.#appliedTerm = last.term;
    raft.advance({ applied: last.index });
    this.#maybeSnapshot(last.index);
  }

  #applyConfChange(entry: Entry): void {
    const { raft, membership, proposals, logger } = this.#options;
    const change = decodeConfChange(entry.data);
    const context = decodeConfChangeContext(change.context);
    // Checked here and not only where it was proposed: another change may have come in between.
    let code = membership.refusal(change, context);
    if (code === undefined) {
      const outcome = raft.applyConfChange(change);
      if (outcome.ok) membership.applyConfChange(change, context);
      else code = 'not-enough-started';
    }
    if (code === undefined) {
      if (context !== undefined) proposals.resolve(context.id, undefined as R);
      this.#options.membershipChanged();
      return;
    }
    logger.warn({ index: entry.index, reason: code }, 'configuration change skipped');
    if (context !== undefined) proposals.fail(context.id, new MembershipError(code));
  }

  #applyPeerUrls(id: RequestId, update: PeerUrlsUpdate): void {
    const { membership, proposals } = this.#options;
    const code = membership.applyPeerUrls(update);
    if (code !== undefined) {
      proposals.fail(id, new MembershipError(code));
      return;
    }
    this.#options.membershipChanged();
    proposals.resolve(id, undefined as R);
  }

  #maybeSnapshot(applied: number): void {
    const { snapshotCount, logger } = this.#options;
    if (this.#taskCount > 0 || applied - this.#snapshotIndex < snapshotCount) return;
    this.#snapshotIndex = applied;
    this.#run(
      () => this.#makeSnapshot(applied),
      // The log still has everything; the next one may succeed. A disk that is broken shows at the next write of the log.
      (error) => logger.error({ err: error, index: applied }, 'snapshot not made'),
    );
  }

  /** Starts `task` after the one before it: at once, within this turn, when there is none. */
  #run(task: () => Promise<void>, failed: (error: unknown) => void): void {
    const started = this.#taskCount++ === 0 ? task() : this.#tasks.then(task);
    this.#tasks = started.catch(failed).finally(() => {
      this.#taskCount--;
      this.#options.wake();
    });
  }

  /** Pins the state now, then writes it while later entries are applied. */
  async #makeSnapshot(index: number): Promise<void> {
    const { raft, wal, snapshots, membership, stateMachine, logger } = this.#options;
    const metadata = { index, term: this.#appliedTerm, confState: raft.status.confState };
    const context = membership.encode();
    const { chunks } = stateMachine.snapshot();
    await snapshots.save({ ...metadata, context }, chunks);
    await wal.append({ snapshot: metadata });
    raft.snapshotMade(metadata);
    raft.compact(Math.max(0, index - this.#options.snapshotCatchUpEntries));
    logger.info({ index }, 'snapshot made');
    this.markDurable(metadata);
    await this.#prune();
  }

  /** The log knows the snapshot: it serves at the next start. */
  markDurable(mark: SnapshotMark): void {
    this.#marks.push({ index: mark.index, term: mark.term });
  }

  async #prune(): Promise<void> {
    const oldest = await this.#options.snapshots.prune(this.#marks, SNAPSHOTS_KEPT);
    if (oldest === undefined) return;
    this.#marks = this.#marks.filter(({ index }) => index >= oldest.index);
    await this.#options.wal.release(oldest.index);
  }

  /** Writes a snapshot that another member sends. */
  async receive(content: AsyncIterable<Uint8Array>, expected: SnapshotMark): Promise<void> {
    const { header, chunks } = await decodeSnapshot(content);
    if (header.index !== expected.index || header.term !== expected.term) {
      await chunks.return(undefined);
      throw new Error('another snapshot than announced');
    }
    await this.#options.snapshots.save(header, chunks);
  }

  /** Replaces the state by a snapshot that is on disk. The core hands out nothing to apply until that is done. */
  restore(snapshot: SnapshotMetadata): void {
    // What was submitted from here may be among the entries that are skipped.
    this.#options.proposals.rejectSubmitted('leader-lost');
    this.#run(() => this.#restore(snapshot), this.#options.fail);
  }

  async #restore(snapshot: SnapshotMetadata): Promise<void> {
    const { raft, snapshots, stateMachine, membership, logger } = this.#options;
    const { header, chunks } = await snapshots.open(snapshot);
    await stateMachine.restore(chunks);
    membership.restore(header.context);
    this.#options.membershipChanged();
    this.#snapshotIndex = snapshot.index;
    this.#appliedTerm = snapshot.term;
    raft.advance({ applied: snapshot.index });
    logger.info({ index: snapshot.index }, 'snapshot restored');
  }
}
