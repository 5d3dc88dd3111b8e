import { join } from 'node:path';
import { readWhole, type Disk } from '../disk/disk.ts';
import type { Entry, HardState } from '../raft/message.ts';
import { hasRecordAfter, readItems, recordAt, type SnapshotMark, type WalItem, type WalMetadata } from './record.ts';

/** The log is damaged in a place where a crash cannot have damaged it: acknowledged data may be lost. */
export class WalCorruptError extends Error {
  override readonly name = 'WalCorruptError';
  readonly path: string;
  readonly offset: number;

  constructor(path: string, offset: number, reason: string, options?: ErrorOptions) {
    super(`write-ahead log ${path} is corrupt at offset ${offset}: ${reason}`, options);
    this.path = path;
    this.offset = offset;
  }
}

export interface SegmentName {
  readonly name: string;
  /** Position among the segments. */
  readonly number: number;
  /** Index of the next entry when the segment was begun: every entry that counts below it is in a segment before. */
  readonly firstIndex: number;
}

/** The data of entries is copied to pieces of this size, each in memory as long as one of its entries. */
const SLAB_BYTES = 1 << 20;

const segmentPattern = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/u;

export function segmentName(number: number, firstIndex: number): string {
  const hex = (value: number): string => value.toString(16).padStart(16, '0');
  return `${hex(number)}-${hex(firstIndex)}.wal`;
}

/** The segments of a folder in order. */
export async function listSegments(disk: Disk, directory: string): Promise<SegmentName[]> {
  const segments: SegmentName[] = [];
  for (const name of await disk.list(directory)) {
    const match = segmentPattern.exec(name);
    if (match === null) continue;
    segments.push({
      name,
      number: Number.parseInt(match[1] ?? '', 16),
      firstIndex: Number.parseInt(match[2] ?? '', 16),
    });
  }
  segments.sort((a, b) => a.number - b.number);
  for (const [i, segment] of segments.entries()) {
    const before = segments[i - 1];
    if (before !== undefined && segment.number !== before.number + 1)
      throw new WalCorruptError(join(directory, segment.name), 0, `segment ${before.number + 1} is missing`);
  }
  return segments;
}

/** What a log says when it is read from its beginning. */
export class WalReplay {
  metadata: WalMetadata | undefined;
  hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  /** Entries that follow on each other, from `after` on. */
  entries: Entry[] = [];
  /** Of the last entry, whether it is kept or not; 0: there is none. */
  lastIndex = 0;
  /** Snapshots that were complete when the log was written. */
  marks: SnapshotMark[] = [];
  /** Sequence number of the last record. */
  sequence = 0;
  /** The last record, as it stands in its segment. */
  lastRecord: { readonly path: string; readonly offset: number; readonly bytes: Buffer } | undefined;
  /** Bytes that were cut off as the rest of a write that a crash interrupted. */
  tornBytes = 0;
  readonly #after: number;
  /** Room for the data of entries. */
  #slab = Buffer.alloc(0);

  /** Entries up to index `after` are checked, but not kept: a snapshot has them. */
  constructor(after = 0) {
    this.#after = after;
  }

  add(item: WalItem): void {
    switch (item.type) {
      case 'metadata':
        this.metadata ??= item.metadata;
        return;
      case 'hard-state':
        this.hardState = item.hardState;
        return;
      case 'entry':
        this.#addEntry(item.entry);
        return;
      case 'snapshot':
        this.marks.push(item.mark);
        return;
      case 'reset':
        this.marks.push(item.mark);
        this.entries = [];
        this.lastIndex = item.mark.index;
        return;
      default:
        item satisfies never;
    }
  }

  #addEntry(entry: Entry): void {
    if (this.lastIndex !== 0 && entry.index > this.lastIndex + 1)
      throw new Error(`entry ${entry.index} does not follow`);
    this.lastIndex = entry.index;
    // Written again: it replaces the entry and all after it.
    const first = this.entries[0];
    if (first !== undefined)
      this.entries.length = Math.max(0, Math.min(this.entries.length, entry.index - first.index));
    if (entry.index > this.#after) this.entries.push({ ...entry, data: this.#copyOf(entry.data) });
  }

  /** A view of the segment would keep all of it in memory, a buffer for each entry costs more than all the rest of a start. */
  #copyOf(data: Uint8Array): Uint8Array {
    if (data.length > this.#slab.length) this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, data.length));
    const copy = this.#slab.subarray(0, data.length);
    copy.set(data);
    this.#slab = this.#slab.subarray(data.length);
    return copy;
  }
}

/**
 * Reads a log; entries up to index `after` are not kept. What a crash left half-written at the very end is cut off, durably.
 * @throws WalCorruptError
 */
export async function replayWal(disk: Disk, directory: string, after = 0): Promise<WalReplay> {
  const replay = new WalReplay(after);
  const segments = await listSegments(disk, directory);
  for (const [i, segment] of segments.entries()) {
    const path = join(directory, segment.name);
    const bytes = await readWhole(disk, path);
    const end = replaySegment(replay, path, bytes, { isFirst: i === 0 });
    if (end === bytes.length) continue;
    if (i < segments.length - 1) throw new WalCorruptError(path, end, 'a record is damaged and segments follow');
    if (end === 0) throw new WalCorruptError(path, 0, 'the first record is damaged');
    if (hasRecordAfter(bytes, end, replay.sequence))
      throw new WalCorruptError(path, end, 'a record is damaged and intact records follow');
    replay.tornBytes = bytes.length - end;
    await cut(disk, path, end);
  }
  const first = segments[0];
  if (first !== undefined && replay.metadata === undefined)
    throw new WalCorruptError(join(directory, first.name), 0, 'it does not begin with its metadata');
  if (replay.lastRecord !== undefined) await writeAgain(disk, directory, replay.lastRecord);
  return replay;
}

/**
 * After a sync that failed the system's cache has what the disk has not, and a later sync does not try again: it must be
 * written anew to count as durable. Only the last record can be so, as it was written when all before it was on disk.
 */
async function writeAgain(
  disk: Disk,
  directory: string,
  record: { readonly path: string; readonly offset: number; readonly bytes: Buffer },
): Promise<void> {
  const file = await disk.open(record.path);
  try {
    await file.write(record.bytes, record.offset);
    await file.datasync();
  } finally {
    await file.close();
  }
  await disk.syncDirectory(directory);
}

/** @returns where the intact records end */
function replaySegment(replay: WalReplay, path: string, bytes: Buffer, options: { readonly isFirst: boolean }): number {
  let offset = 0;
  for (;;) {
    const record = recordAt(bytes, offset);
    if (record === undefined) return offset;
    const isStart = options.isFirst && offset === 0;
    if (!isStart && record.sequence !== replay.sequence + 1)
      throw new WalCorruptError(path, offset, `record ${record.sequence} follows record ${replay.sequence}`);
    try {
      for (const item of readItems(record.payload)) replay.add(item);
    } catch (cause) {
      throw new WalCorruptError(path, offset, cause instanceof Error ? cause.message : 'unreadable', { cause });
    }
    replay.sequence = record.sequence;
    replay.lastRecord = { path, offset, bytes: bytes.subarray(offset, record.end) };
    offset = record.end;
  }
}

async function cut(disk: Disk, path: string, size: number): Promise<void> {
  const file = await disk.open(path);
  try {
    await file.truncate(size);
    await file.datasync();
  } finally {
    await file.close();
  }
}
