import { join } from 'node:path';
import { PieceReader } from '../codec/piece-reader.ts';
import { readPieces, readWhole, type Disk } from '../disk/disk.ts';
import type { Entry, HardState } from '../raft/message.ts';
import {
  hasRecordAfter,
  readItems,
  RECORD_HEADER_BYTES,
  takeRecord,
  type SnapshotMark,
  type WalItem,
  type WalMetadata,
} from './record.ts';

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

/** Segments are read in pieces of this size; each is in memory as long as one of its entries, which are views of it. */
const PIECE_BYTES = 4 << 20;

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
  lastRecord: { readonly path: string; readonly offset: number; readonly end: number } | undefined;
  /** Bytes that were cut off as the rest of a write that a crash interrupted. */
  tornBytes = 0;
  readonly #after: number;

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
    if (entry.index > this.#after) this.entries.push(entry);
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
    const { end, size } = await replaySegment(replay, disk, path, { isFirst: i === 0 });
    if (end === size) continue;
    if (i < segments.length - 1) throw new WalCorruptError(path, end, 'a record is damaged and segments follow');
    if (end === 0) throw new WalCorruptError(path, 0, 'the first record is damaged');
    if (hasRecordAfter(await readWhole(disk, path), end, replay.sequence))
      throw new WalCorruptError(path, end, 'a record is damaged and intact records follow');
    replay.tornBytes = size - end;
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
  record: { readonly path: string; readonly offset: number; readonly end: number },
): Promise<void> {
  const file = await disk.open(record.path);
  try {
    const bytes = Buffer.alloc(record.end - record.offset);
    await file.read(bytes, record.offset);
    await file.write(bytes, record.offset);
    await file.datasync();
  } finally {
    await file.close();
  }
  await disk.syncDirectory(directory);
}

/** @returns where the intact records end, and the segment's size */
async function replaySegment(
  replay: WalReplay,
  disk: Disk,
  path: string,
  options: { readonly isFirst: boolean },
): Promise<{ readonly end: number; readonly size: number }> {
  const file = await disk.open(path);
  const reader = new PieceReader(readPieces(file, PIECE_BYTES));
  try {
    const size = await file.size();
    let offset = 0;
    for (let record = await takeRecord(reader); record !== undefined; record = await takeRecord(reader)) {
      const isStart = options.isFirst && offset === 0;
      if (!isStart && record.sequence !== replay.sequence + 1)
        throw new WalCorruptError(path, offset, `record ${record.sequence} follows record ${replay.sequence}`);
      try {
        for (const item of readItems(record.payload)) replay.add(item);
      } catch (cause) {
        throw new WalCorruptError(path, offset, cause instanceof Error ? cause.message : 'unreadable', { cause });
      }
      const end = offset + RECORD_HEADER_BYTES + record.payload.length;
      replay.sequence = record.sequence;
      replay.lastRecord = { path, offset, end };
      offset = end;
    }
    return { end: offset, size };
  } finally {
    await reader.close();
    await file.close();
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
