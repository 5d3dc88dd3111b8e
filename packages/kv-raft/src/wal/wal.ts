import assert from 'node:assert/strict';
import { join } from 'node:path';
import { ByteWriter } from '../codec/bytes.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import type { Entry, HardState } from '../raft/message.ts';
import {
  beginRecord,
  endRecord,
  RECORD_BYTES_TARGET,
  RECORD_HEADER_BYTES,
  writeEntry,
  writeItem,
  type SnapshotMark,
  type WalMetadata,
} from './record.ts';
import { listSegments, replayWal, segmentName, type SegmentName, type WalReplay } from './replay.ts';

/** A segment is closed when it is larger than this, and the next one begun. */
export const SEGMENT_BYTES_DEFAULT = 64 << 20;

export interface WalOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Default 64 MiB. */
  readonly segmentBytes?: number;
  /** Called after each sync with its duration. */
  readonly onSync?: (ms: number) => void;
  /** Milliseconds that never go backwards; default performance.now. */
  readonly monotonic?: () => number;
}

/** What is written together. */
export interface WalBatch {
  /** A received snapshot that takes the place of the log; its file is on disk. */
  readonly reset?: SnapshotMark | undefined;
  /** Replace what was written from the first one's index on. */
  readonly entries?: readonly Entry[];
  readonly hardState?: HardState | undefined;
  /** A snapshot that was made here; its file is on disk. */
  readonly snapshot?: SnapshotMark | undefined;
}

interface PendingRecord {
  readonly writer: ByteWriter;
  hardState: HardState | undefined;
  /** Index after the last entry of this record. */
  nextIndex: number | undefined;
  readonly waiting: { readonly done: () => void; readonly fail: (error: unknown) => void }[];
}

/**
 * The write-ahead log. Group commit: while one record is being written and synced, everything that comes gathers in the
 * next. After a failed write or sync nothing is written any more: what the disk holds then is unknown.
 */
export class Wal {
  readonly #options: Required<Omit<WalOptions, 'onSync'>> & Pick<WalOptions, 'onSync'>;
  readonly #metadata: WalMetadata;
  readonly #segments: SegmentName[];
  #file: DiskFile;
  #offset: number;
  #sequence: number;
  /** The last one on disk. What waits to be written must not get there before the entries that it goes with. */
  #hardState: HardState;
  /** Index after the last entry on disk. */
  #nextIndex: number;
  #pending: PendingRecord[] = [];
  /** Writers to use again. */
  readonly #spare: ByteWriter[] = [];
  #flushing: Promise<void> | undefined;
  #lastAppend: Promise<void> | undefined;
  #error: unknown;

  private constructor(
    options: WalOptions,
    start: {
      readonly metadata: WalMetadata;
      readonly segments: SegmentName[];
      readonly file: DiskFile;
      readonly offset: number;
      readonly sequence: number;
      readonly hardState: HardState;
      readonly nextIndex: number;
    },
  ) {
    this.#options = { segmentBytes: SEGMENT_BYTES_DEFAULT, monotonic: () => performance.now(), ...options };
    this.#metadata = start.metadata;
    this.#segments = start.segments;
    this.#file = start.file;
    this.#offset = start.offset;
    this.#sequence = start.sequence;
    this.#hardState = start.hardState;
    this.#nextIndex = start.nextIndex;
  }

  /** Begins a log in an empty folder. */
  static async create(options: WalOptions, metadata: WalMetadata): Promise<Wal> {
    await options.disk.makeDirectory(options.directory);
    const hardState = { term: 0, vote: 0n, commit: 0 };
    const start = { metadata, hardState, nextIndex: 1, sequence: 0, number: 0 };
    const segment = await createSegment(options, start);
    return new Wal(options, { ...start, ...segment, segments: [segment.segment], sequence: 1 });
  }

  /**
   * Reads the log of a folder and goes on behind it; undefined when there is none. Entries up to index `after` are not kept.
   * @throws WalCorruptError
   */
  static async open(
    options: WalOptions,
    after = 0,
  ): Promise<{ readonly wal: Wal; readonly replay: WalReplay } | undefined> {
    const { disk, directory } = options;
    await disk.makeDirectory(directory);
    for (const name of await disk.list(directory)) if (name.endsWith('.tmp')) await disk.remove(join(directory, name));
    const segments = await listSegments(disk, directory);
    const last = segments.at(-1);
    if (last === undefined) return undefined;
    const replay = await replayWal(disk, directory, after);
    assert(replay.metadata !== undefined, 'a log begins with its metadata');
    const file = await disk.open(join(directory, last.name));
    const wal = new Wal(options, {
      metadata: replay.metadata,
      segments,
      file,
      offset: await file.size(),
      sequence: replay.sequence,
      hardState: replay.hardState,
      nextIndex: replay.lastIndex + 1,
    });
    return { wal, replay };
  }

  get metadata(): WalMetadata {
    return this.#metadata;
  }

  /** Bytes of the segment that is being written. */
  get segmentOffset(): number {
    return this.#offset;
  }

  /** Resolves when `batch`, and everything before it, is on disk. Rejects when it may not be; then so does every later call. */
  append(batch: WalBatch): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const record = this.#add(batch);
    const appended = new Promise<void>((done, fail) => {
      record.waiting.push({ done, fail });
    }).finally(() => {
      if (this.#lastAppend === appended) this.#lastAppend = undefined;
    });
    this.#lastAppend = appended;
    this.#flushing ??= this.#flush();
    return appended;
  }

  /** Of the newest `append` that is not on disk yet; undefined when all are. */
  get lastAppend(): Promise<void> | undefined {
    return this.#lastAppend;
  }

  /** Writes `batch` along with whatever is appended next: for what may get lost. */
  appendLazily(batch: WalBatch): void {
    if (this.#error === undefined) this.#add(batch);
  }

  #add(batch: WalBatch): PendingRecord {
    let record = this.#pending.at(-1);
    if (record === undefined || record.writer.length > RECORD_BYTES_TARGET) {
      const writer = this.#spare.pop() ?? new ByteWriter(64 << 10);
      record = { writer, waiting: [], hardState: undefined, nextIndex: undefined };
      beginRecord(record.writer);
      this.#pending.push(record);
    }
    const { writer } = record;
    if (batch.reset !== undefined) {
      writeItem(writer, { type: 'reset', mark: batch.reset });
      record.nextIndex = batch.reset.index + 1;
    }
    for (const entry of batch.entries ?? []) writeEntry(writer, entry);
    const last = batch.entries?.at(-1);
    if (last !== undefined) record.nextIndex = last.index + 1;
    if (batch.hardState !== undefined) {
      writeItem(writer, { type: 'hard-state', hardState: batch.hardState });
      record.hardState = batch.hardState;
    }
    if (batch.snapshot !== undefined) writeItem(writer, { type: 'snapshot', mark: batch.snapshot });
    return record;
  }

  async #flush(): Promise<void> {
    try {
      // What nobody waits for is not worth a sync of its own.
      for (let next = this.#pending[0]; next !== undefined && next.waiting.length > 0; next = this.#pending[0])
        await this.#flushRecord(next);
    } catch (error) {
      this.#error = error;
      for (const { waiting } of this.#pending.splice(0)) for (const { fail } of waiting) fail(error);
    } finally {
      this.#flushing = undefined;
    }
  }

  async #flushRecord(record: PendingRecord): Promise<void> {
    // Taken out of the queue only now that it is written, so that nothing joins it.
    this.#pending.shift();
    const { writer, waiting } = record;
    try {
      if (writer.length > RECORD_HEADER_BYTES) await this.#write(endRecord(writer, this.#sequence + 1));
    } catch (error) {
      for (const { fail } of waiting) fail(error);
      throw error;
    }
    this.#hardState = record.hardState ?? this.#hardState;
    this.#nextIndex = record.nextIndex ?? this.#nextIndex;
    if (writer.length <= RECORD_BYTES_TARGET && this.#spare.length < 2) this.#spare.push(writer);
    for (const { done } of waiting) done();
    if (this.#offset >= this.#options.segmentBytes) await this.#cutSegment();
  }

  async #write(bytes: Buffer): Promise<void> {
    const { monotonic, onSync } = this.#options;
    await this.#file.write(bytes, this.#offset);
    const start = monotonic();
    await this.#file.datasync();
    onSync?.(monotonic() - start);
    this.#offset += bytes.length;
    this.#sequence++;
  }

  async #cutSegment(): Promise<void> {
    const number = (this.#segments.at(-1)?.number ?? -1) + 1;
    const { file, offset, segment } = await createSegment(this.#options, {
      metadata: this.#metadata,
      hardState: this.#hardState,
      nextIndex: this.#nextIndex,
      sequence: this.#sequence,
      number,
    });
    const old = this.#file;
    this.#segments.push(segment);
    this.#file = file;
    this.#offset = offset;
    this.#sequence++;
    await old.close();
  }

  /** Deletes the segments that hold nothing after entry `index`. */
  async release(index: number): Promise<void> {
    const { disk, directory } = this.#options;
    const keep = this.#segments.findLastIndex((segment) => segment.firstIndex <= index + 1);
    if (keep <= 0) return;
    // The oldest first: what is left has no gap at any time.
    for (const segment of this.#segments.splice(0, keep)) await disk.remove(join(directory, segment.name));
    await disk.syncDirectory(directory);
  }

  /** Writes what waits and closes the file. */
  async close(): Promise<void> {
    if (this.#pending.length > 0) await this.append({}).catch(() => undefined);
    await this.#flushing;
    this.#error ??= new Error('the write-ahead log is closed');
    await this.#file.close();
  }
}

/** A segment appears complete with its first record, or not at all. */
async function createSegment(
  options: WalOptions,
  start: {
    readonly metadata: WalMetadata;
    readonly hardState: HardState;
    readonly nextIndex: number;
    readonly sequence: number;
    readonly number: number;
  },
): Promise<{ readonly file: DiskFile; readonly offset: number; readonly segment: SegmentName }> {
  const { disk, directory } = options;
  const name = segmentName(start.number, start.nextIndex);
  const path = join(directory, name);
  const writer = new ByteWriter();
  beginRecord(writer);
  writeItem(writer, { type: 'metadata', metadata: start.metadata });
  writeItem(writer, { type: 'hard-state', hardState: start.hardState });
  const bytes = endRecord(writer, start.sequence + 1);
  const file = await disk.create(`${path}.tmp`);
  await file.write(bytes, 0);
  await file.datasync();
  await disk.rename(`${path}.tmp`, path);
  await disk.syncDirectory(directory);
  return { file, offset: bytes.length, segment: { name, number: start.number, firstIndex: start.nextIndex } };
}
