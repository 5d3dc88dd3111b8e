import sortedBtree from 'sorted-btree';
import type { LeaseStore } from '../lease/lease-store.ts';
import { History } from './history.ts';
import {
  NO_END,
  refuse,
  type DeleteRangeOperation,
  type DeleteRangeResult,
  type KeyRange,
  type PutOperation,
  type PutResult,
  type Refusal,
} from './operation.ts';
import { indexAt, versionAt, type KeyRecord, type Version } from './version.ts';

const BTree = sortedBtree.default;
type Tree = InstanceType<typeof BTree<string, KeyRecord>>;

/** An estimate of what a version costs beside its key and value, in bytes. */
export const VERSION_OVERHEAD_BYTES = 200;

/** How many changes one step of a physical compaction works through: well under a millisecond. */
const COMPACTION_STEP_CHANGES = 1000;

const compareKeys = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * A multi-version key-value store in memory. Every transaction that changes something gets the next revision; reads at any
 * revision since the last compaction see exactly what was there then. Deterministic: no clock, no I/O.
 */
export class MvccStore {
  readonly leases: LeaseStore;
  readonly #tree: Tree = new BTree<string, KeyRecord>(undefined, compareKeys);
  readonly history = new History();
  #revision = 1;
  #compactRevision = -1;
  #sizeBytes = 0;
  /** Changes of the transaction that is open. */
  #changes: Version[] = [];
  /** Readers that need all versions of their revision: compaction waits for them. */
  #pins = 0;

  constructor(leases: LeaseStore) {
    this.leases = leases;
  }

  /** The revision of the last change; 1 when there was none. */
  get revision(): number {
    return this.#revision;
  }

  /** Reads before it are refused; -1: never compacted. */
  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** About what the keys, values and versions take in memory. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Keys with any uncompacted version. */
  get keyCount(): number {
    return this.#tree.size;
  }

  /** Changes made by the open transaction, in order. */
  get changes(): readonly Version[] {
    return this.#changes;
  }

  /** The revision that a read sees now: within a transaction that has changed something, the next one. */
  get readRevision(): number {
    return this.#changes.length === 0 ? this.#revision : this.#revision + 1;
  }

  /** Closes the open transaction: its changes, if any, become the next revision. Returns them. */
  commit(): readonly Version[] {
    const changes = this.#changes;
    if (changes.length === 0) return changes;
    this.#revision++;
    this.#changes = [];
    return changes;
  }

  /** What `key` is at `revision`; undefined if it does not exist then. */
  get(key: string, revision: number): Version | undefined {
    const record = this.#tree.get(key);
    return record === undefined ? undefined : versionAt(record, revision);
  }

  /** The version of `change`'s key before it, if it existed and is not compacted. */
  previousOf(change: Version): Version | undefined {
    if (change.main - 1 < this.#compactRevision) return undefined;
    return this.get(change.key, change.main - 1);
  }

  /** Calls `visit` with each key that exists in `range` at `revision`, in order, until it returns false. */
  visit(range: KeyRange, revision: number, visit: (version: Version) => boolean | void): void {
    if (range.end === '') {
      const version = this.get(range.key, revision);
      if (version !== undefined) visit(version);
      return;
    }
    this.visitRecords(range.key, range.end, (record) => {
      const version = versionAt(record, revision);
      return version === undefined ? undefined : visit(version);
    });
  }

  /** Calls `visit` with each record from `key` up to, not including, `end` until it returns false. */
  visitRecords(key: string, end: string, visit: (record: KeyRecord) => boolean | void): void {
    const tree = this.#tree;
    const high = end === NO_END ? tree.maxKey() : end;
    if (high === undefined || high < key) return;
    tree.forRange(key, high, end === NO_END, (_key, record) => (visit(record) === false ? { break: true } : undefined));
  }

  /** Puts within the open transaction. */
  put(operation: PutOperation): PutResult | Refusal {
    const { key } = operation;
    const record = this.#tree.get(key);
    const previous = record === undefined ? undefined : versionAt(record, this.readRevision);
    if ((operation.ignoreValue || operation.ignoreLease) && previous === undefined) return refuse('keyNotFound');
    const lease = operation.ignoreLease ? (previous?.lease ?? 0n) : operation.lease;
    if (lease !== 0n && !this.leases.has(lease)) return refuse('leaseNotFound');
    const main = this.#revision + 1;
    this.#append(record, {
      // One string for all versions of a key.
      key: record?.key ?? key,
      main,
      sub: this.#changes.length,
      create: previous?.create ?? main,
      version: (previous?.version ?? 0) + 1,
      lease,
      value: operation.ignoreValue && previous !== undefined ? previous.value : operation.value.toString('latin1'),
    });
    this.leases.move(key, previous?.lease ?? 0n, lease);
    return { type: 'put', revision: main, previous: operation.prevKv ? previous : undefined };
  }

  /** Deletes within the open transaction. */
  deleteRange(operation: DeleteRangeOperation): DeleteRangeResult {
    const doomed: Version[] = [];
    this.visit(operation, this.readRevision, (version) => {
      doomed.push(version);
    });
    for (const version of doomed) this.#delete(version);
    return {
      type: 'deleteRange',
      revision: this.readRevision,
      deleted: doomed.length,
      previous: operation.prevKv ? doomed : [],
    };
  }

  /** Deletes the keys of a lease, and the lease, within the open transaction. */
  revokeLease(id: bigint): boolean {
    const lease = this.leases.get(id);
    if (lease === undefined) return false;
    for (const key of [...lease.keys].toSorted()) {
      const version = this.get(key, this.readRevision);
      if (version !== undefined) this.#delete(version);
    }
    this.leases.remove(id);
    return true;
  }

  /** Refuses reads before `revision` from now on. The space comes back by `compactStep`. */
  compact(revision: number): Refusal | undefined {
    if (revision <= this.#compactRevision) return refuse('compacted');
    if (revision > this.#revision) return refuse('futureRevision');
    this.#compactRevision = revision;
    return undefined;
  }

  /**
   * Gives back a little of what is compacted: at most COMPACTION_STEP_CHANGES changes are looked at. Returns whether
   * there is more to do. Does nothing while the store is pinned.
   */
  compactStep(): boolean {
    if (this.#pins > 0) return false;
    // A version can only be dropped if a change up to the compaction followed or deleted it, and all such are in the history.
    for (let i = 0; i < COMPACTION_STEP_CHANGES; i++) {
      const oldest = this.history.oldestBefore(this.#compactRevision);
      if (oldest === undefined) return false;
      this.history.dropOldest();
      this.#prune(oldest.key);
    }
    return true;
  }

  /** Prunes the keys changed at the compacted revision itself; their changes stay in the history. */
  pruneAtCompactRevision(): void {
    if (this.#pins > 0) return;
    for (const change of this.history.from(this.#compactRevision)) {
      if (change.main !== this.#compactRevision) break;
      this.#prune(change.key);
    }
  }

  /** True while a reader keeps compaction from dropping anything. */
  get pinned(): boolean {
    return this.#pins > 0;
  }

  /** Keeps compaction from dropping anything until the returned function is called. */
  pin(): () => void {
    this.#pins++;
    let pinned = true;
    return () => {
      if (pinned) this.#pins--;
      pinned = false;
    };
  }

  /** Puts back a record from a snapshot. Its history comes by `restoreHistory`. */
  restoreRecord(key: string, versions: Version[]): void {
    this.#tree.set(key, { key, versions });
    for (const version of versions) this.#sizeBytes += sizeOf(version);
  }

  /** Ends a restore: sets the revisions and rebuilds the history out of the records. */
  finishRestore(revision: number, compactRevision: number): void {
    this.#revision = revision;
    this.#compactRevision = compactRevision;
    const changes: Version[] = [];
    this.#tree.forEachPair((_key, record) => {
      for (const version of record.versions) if (version.main >= compactRevision) changes.push(version);
    });
    changes.sort((a, b) => a.main - b.main || a.sub - b.sub);
    for (const change of changes) this.history.push(change);
  }

  #delete(version: Version): void {
    this.#append(this.#tree.get(version.key), {
      key: version.key,
      main: this.#revision + 1,
      sub: this.#changes.length,
      create: 0,
      version: 0,
      lease: 0n,
      value: '',
    });
    this.leases.move(version.key, version.lease, 0n);
  }

  #append(record: KeyRecord | undefined, version: Version): void {
    if (record === undefined) this.#tree.set(version.key, { key: version.key, versions: [version] });
    else record.versions.push(version);
    this.#changes.push(version);
    this.history.push(version);
    this.#sizeBytes += sizeOf(version);
  }

  #prune(key: string): void {
    const record = this.#tree.get(key);
    if (record === undefined) return;
    let keepFrom = indexAt(record, this.#compactRevision);
    const newest = record.versions[keepFrom];
    if (newest === undefined) return;
    // A tombstone is needed no more, unless a watch can still start at its revision.
    if (newest.version === 0 && newest.main < this.#compactRevision) keepFrom++;
    if (keepFrom === 0) return;
    for (let i = 0; i < keepFrom; i++) this.#sizeBytes -= sizeOf(record.versions[i] as Version);
    if (keepFrom === record.versions.length) this.#tree.delete(key);
    else record.versions = record.versions.slice(keepFrom);
  }
}

function sizeOf(version: Version): number {
  return version.key.length + version.value.length + VERSION_OVERHEAD_BYTES;
}
