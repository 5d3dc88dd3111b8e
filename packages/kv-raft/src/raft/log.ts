import assert from 'node:assert/strict';
import type { Entry, SnapshotMetadata } from './message.ts';
import { SlabAllocator } from './slab-allocator.ts';

/** Bytes that an entry costs in a message or the log besides its data. */
export const ENTRY_OVERHEAD_BYTES = 24;

export function entryBytes(entry: { readonly data: Uint8Array }): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

interface PendingWrite {
  readonly id: number;
  lastIndex: number;
}

/**
 * The log after its compacted prefix, in memory, with the cursors that the driver moves.
 *
 * Invariant: compactedIndex <= applied <= committed <= lastIndex; stableIndex <= lastIndex; only what is committed and
 * stable is handed out for applying.
 */
export class RaftLog {
  /** Entry i of the log is at #entries[i - compactedIndex - 1]. */
  #entries: Entry[];
  readonly #slabs = new SlabAllocator();
  #compactedIndex: number;
  #compactedTerm: number;
  /** The newest snapshot, which a member that lags too far is sent. */
  snapshot: SnapshotMetadata;
  committed: number;
  applied: number;
  /** Last index handed out for applying. */
  #applying: number;
  /** Last index that is on this member's disk. */
  stableIndex: number;
  /** Last index handed out for writing. */
  #writing: number;
  /** Writes handed out and not yet acknowledged, in order. */
  readonly #writes: PendingWrite[] = [];
  /** Set while a snapshot that was received waits to be handed out. */
  #incoming: SnapshotMetadata | undefined;

  constructor(snapshot: SnapshotMetadata, entries: readonly Entry[]) {
    this.snapshot = snapshot;
    this.#compactedIndex = snapshot.index;
    this.#compactedTerm = snapshot.term;
    this.committed = snapshot.index;
    this.applied = snapshot.index;
    this.#applying = snapshot.index;
    this.stableIndex = snapshot.index;
    this.#writing = snapshot.index;
    // Their data are parts of large buffers already.
    this.#entries = [...entries];
    this.stableIndex = this.lastIndex;
    this.#writing = this.lastIndex;
  }

  get compactedIndex(): number {
    return this.#compactedIndex;
  }

  get firstIndex(): number {
    return this.#compactedIndex + 1;
  }

  get lastIndex(): number {
    return this.#compactedIndex + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#compactedTerm;
  }

  /** The term of entry `index`; undefined where it is compacted or does not exist yet. */
  term(index: number): number | undefined {
    if (index === this.#compactedIndex) return this.#compactedTerm;
    return this.#entries[index - this.#compactedIndex - 1]?.term;
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends so is at least as up to date as this one (Raft thesis, 3.6.1). */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);
  }

  /** Appends entries that follow on each other, replacing what is there from the first one's index on. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index > this.committed, 'a committed entry is never replaced');
    assert(first.index <= this.lastIndex + 1, 'no gap in the log');
    if (first.index <= this.lastIndex) this.#truncateAfter(first.index - 1);
    for (const entry of entries) this.#entries.push({ ...entry, data: this.#slabs.copy(entry.data) });
  }

  #truncateAfter(index: number): void {
    this.#entries.length = index - this.#compactedIndex;
    this.stableIndex = Math.min(this.stableIndex, index);
    this.#writing = Math.min(this.#writing, index);
    // What an outstanding write still promises ends before the cut: its acknowledgement must not count for the entries
    // that come in their place, not even if they are the same ones again.
    for (const write of this.#writes) write.lastIndex = Math.min(write.lastIndex, index);
  }

  /**
   * Appends a leader's entries after `index` if the logs agree there.
   * @returns the last index that now matches the leader's log, or undefined when they do not agree at `index`.
   */
  maybeAppend(index: number, term: number, entries: readonly Entry[]): number | undefined {
    if (!this.matches(index, term)) return undefined;
    const conflict = entries.findIndex((entry) => !this.matches(entry.index, entry.term));
    if (conflict !== -1) this.append(conflict === 0 ? entries : entries.slice(conflict));
    return index + entries.length;
  }

  /**
   * The last index at or before `index` whose term is at most `term`: where logs can agree at all. Its term is undefined
   * when it is compacted.
   */
  findConflictByTerm(index: number, term: number): { readonly index: number; readonly term: number | undefined } {
    let at = index;
    for (; at > this.#compactedIndex; at--) {
      const ours = this.term(at);
      if (ours === undefined || ours <= term) return { index: at, term: ours };
    }
    return { index: at, term: this.term(at) };
  }

  /** Moves the commit index forward. @returns whether it moved */
  commitTo(index: number): boolean {
    if (index <= this.committed) return false;
    assert(index <= this.lastIndex, 'commit index is within the log');
    this.committed = index;
    return true;
  }

  /** Entries from `from` on, at least one if there is one, up to `bytesMax`. */
  slice(from: number, bytesMax: number, to: number = this.lastIndex): readonly Entry[] {
    assert(from > this.#compactedIndex, 'entries to read are not compacted');
    const start = from - this.#compactedIndex - 1;
    const stop = to - this.#compactedIndex;
    let end = start;
    let bytes = 0;
    while (end < stop) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && end > start) break;
      end++;
    }
    return this.#entries.slice(start, end);
  }

  /** Whether an entry in [from, to] changes the configuration. */
  hasConfChange(from: number, to: number): boolean {
    for (let index = Math.max(from, this.firstIndex); index <= to; index++)
      if (this.#entries[index - this.#compactedIndex - 1]?.type === 'conf-change') return true;
    return false;
  }

  get hasUnwritten(): boolean {
    return this.#writing < this.lastIndex || this.#incoming !== undefined;
  }

  /** Takes what is to be written as write `id`. */
  takeUnwritten(id: number): { readonly entries: readonly Entry[]; readonly snapshot: SnapshotMetadata | undefined } {
    const entries = this.#writing < this.lastIndex ? this.#entries.slice(this.#writing - this.#compactedIndex) : [];
    const snapshot = this.#incoming;
    this.#incoming = undefined;
    this.#writing = this.lastIndex;
    this.#writes.push({ id, lastIndex: this.lastIndex });
    return { entries, snapshot };
  }

  /** Write `id`, and so each one before it, is on disk. */
  written(id: number): void {
    while (this.#writes[0] !== undefined && this.#writes[0].id <= id) {
      const write = this.#writes.shift();
      if (write !== undefined) this.stableIndex = Math.max(this.stableIndex, write.lastIndex);
    }
  }

  get hasCommitted(): boolean {
    return !this.#restoring && this.#applying < Math.min(this.committed, this.stableIndex);
  }

  /** A snapshot is being restored: nothing is applied until that is done. */
  get #restoring(): boolean {
    return this.applied < this.#compactedIndex;
  }

  /** Takes committed entries that are also on this member's own disk. */
  takeCommitted(bytesMax: number): readonly Entry[] {
    if (!this.hasCommitted) return [];
    const entries = this.slice(this.#applying + 1, bytesMax, Math.min(this.committed, this.stableIndex));
    this.#applying += entries.length;
    return entries;
  }

  appliedTo(index: number): void {
    if (index <= this.applied) return;
    assert(index <= this.#applying, 'only what was handed out is applied');
    this.applied = index;
  }

  /** Replaces the whole log by a snapshot that the leader sent. */
  restore(snapshot: SnapshotMetadata): void {
    assert(snapshot.index > this.committed, 'a snapshot never takes back what is committed');
    this.#entries = [];
    this.#compactedIndex = snapshot.index;
    this.#compactedTerm = snapshot.term;
    this.snapshot = snapshot;
    this.committed = snapshot.index;
    this.#applying = snapshot.index;
    this.#writing = snapshot.index;
    // The snapshot was on disk before the core heard of it; outstanding writes can promise nothing beyond it.
    for (const write of this.#writes) write.lastIndex = Math.min(write.lastIndex, this.stableIndex);
    this.stableIndex = Math.min(this.stableIndex, snapshot.index);
    this.#incoming = snapshot;
  }

  /** Remembers a snapshot that was made here. */
  snapshotMade(snapshot: SnapshotMetadata): void {
    assert(snapshot.index <= this.applied, 'a snapshot holds only what is applied');
    if (snapshot.index > this.snapshot.index) this.snapshot = snapshot;
  }

  /** Forgets the entries up to `index`, which the newest snapshot must hold. */
  compact(index: number): void {
    if (index <= this.#compactedIndex) return;
    assert(index <= this.snapshot.index && index <= this.stableIndex, 'only what a snapshot holds is compacted');
    const term = this.term(index);
    assert(term !== undefined, 'compaction ends within the log');
    this.#entries = this.#entries.slice(index - this.#compactedIndex);
    this.#compactedIndex = index;
    this.#compactedTerm = term;
  }
}
