import { crc32c } from '@node-rs/crc32';
import { ByteReader, DecodeError, type ByteWriter } from '../codec/bytes.ts';
import type { PieceReader } from '../codec/piece-reader.ts';
import type { Entry, HardState } from '../raft/message.ts';

/** Whose log it is; written once at the head of every segment. */
export interface WalMetadata {
  readonly memberId: bigint;
  readonly clusterId: bigint;
}

/** Names a snapshot file. */
export interface SnapshotMark {
  readonly index: number;
  readonly term: number;
}

export type WalItem =
  | { readonly type: 'metadata'; readonly metadata: WalMetadata }
  | { readonly type: 'entry'; readonly entry: Entry }
  | { readonly type: 'hard-state'; readonly hardState: HardState }
  /** A snapshot was made here and is on disk; the log goes on. */
  | { readonly type: 'snapshot'; readonly mark: SnapshotMark }
  /** A snapshot of the leader is on disk and takes the place of the whole log. */
  | { readonly type: 'reset'; readonly mark: SnapshotMark };

/*
 * segment    := record*
 * record     := magic:u32 length:u32 sequence:u64 crc:u32 payload        length: of the payload
 * payload    := item+                                                    crc: CRC-32C of length, sequence, payload
 * item       := 1 member-id:u64 cluster-id:u64                           metadata
 *             | 2 index:u64 term:u64 type:u8 length:u32 data             entry
 *             | 3 term:u64 vote:u64 commit:u64                           hard state
 *             | 4 index:u64 term:u64                                     snapshot
 *             | 5 index:u64 term:u64                                     reset
 *
 * All big-endian. A record is what one write and one sync make durable, and it is written only when the record before it
 * is: so only the last record of the last segment can be torn. Sequence numbers count records over all segments.
 */
const MAGIC = 0x4e52574c;
export const RECORD_HEADER_BYTES = 20;
/** A record's payload is cut at about this size; one entry may make it larger. */
export const RECORD_BYTES_TARGET = 4 << 20;
const RECORD_BYTES_MAX = 256 << 20;
const ITEM_METADATA = 1;
const ITEM_ENTRY = 2;
const ITEM_HARD_STATE = 3;
const ITEM_SNAPSHOT = 4;
const ITEM_RESET = 5;

const entryTypes = ['normal', 'conf-change'] as const;

/** Leaves room for the header of a record, whose items follow. */
export function beginRecord(writer: ByteWriter): void {
  writer.clear();
  writer.u32(MAGIC).u32(0).u53(0).u32(0);
}

/** Fills in the header. @returns the record's bytes, good until the writer is used again */
export function endRecord(writer: ByteWriter, sequence: number): Buffer {
  const bytes = writer.view();
  bytes.writeUInt32BE(bytes.length - RECORD_HEADER_BYTES, 4);
  bytes.writeUInt32BE(Math.floor(sequence / 0x1_0000_0000), 8);
  bytes.writeUInt32BE(sequence % 0x1_0000_0000, 12);
  bytes.writeUInt32BE(crc32c(bytes.subarray(RECORD_HEADER_BYTES), crc32c(bytes.subarray(4, 16))), 16);
  return bytes;
}

export function writeItem(writer: ByteWriter, item: WalItem): void {
  switch (item.type) {
    case 'metadata':
      writer.u8(ITEM_METADATA).u64(item.metadata.memberId).u64(item.metadata.clusterId);
      return;
    case 'entry':
      writeEntry(writer, item.entry);
      return;
    case 'hard-state':
      writer.u8(ITEM_HARD_STATE).u53(item.hardState.term).u64(item.hardState.vote).u53(item.hardState.commit);
      return;
    case 'snapshot':
      writer.u8(ITEM_SNAPSHOT).u53(item.mark.index).u53(item.mark.term);
      return;
    case 'reset':
      writer.u8(ITEM_RESET).u53(item.mark.index).u53(item.mark.term);
      return;
    default:
      item satisfies never;
  }
}

export function writeEntry(writer: ByteWriter, entry: Entry): void {
  writer.u8(ITEM_ENTRY).u53(entry.index).u53(entry.term).u8(entryTypes.indexOf(entry.type)).bytes(entry.data);
}

function readItem(reader: ByteReader): WalItem {
  switch (reader.u8()) {
    case ITEM_METADATA:
      return { type: 'metadata', metadata: { memberId: reader.u64(), clusterId: reader.u64() } };
    case ITEM_ENTRY: {
      const index = reader.u53();
      const term = reader.u53();
      const type = entryTypes[reader.u8()];
      if (type === undefined) throw new DecodeError('unknown entry type');
      return { type: 'entry', entry: { index, term, type, data: reader.bytes() } };
    }
    case ITEM_HARD_STATE:
      return { type: 'hard-state', hardState: { term: reader.u53(), vote: reader.u64(), commit: reader.u53() } };
    case ITEM_SNAPSHOT:
      return { type: 'snapshot', mark: { index: reader.u53(), term: reader.u53() } };
    case ITEM_RESET:
      return { type: 'reset', mark: { index: reader.u53(), term: reader.u53() } };
    default:
      throw new DecodeError('unknown item');
  }
}

/** A record's header; undefined when it is none. */
function readHeader(bytes: Buffer): { readonly length: number; readonly sequence: number } | undefined {
  if (bytes.length < RECORD_HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) return undefined;
  const length = bytes.readUInt32BE(4);
  if (length > RECORD_BYTES_MAX) return undefined;
  return { length, sequence: bytes.readUInt32BE(8) * 0x1_0000_0000 + bytes.readUInt32BE(12) };
}

function isIntact(header: Buffer, payload: Buffer): boolean {
  return crc32c(payload, crc32c(header.subarray(4, 16))) === header.readUInt32BE(16);
}

export interface WalRecord {
  readonly sequence: number;
  readonly payload: Buffer;
}

/** The next record; undefined when there is no intact one. */
export async function takeRecord(reader: PieceReader): Promise<WalRecord | undefined> {
  const head = await reader.take(RECORD_HEADER_BYTES);
  const header = readHeader(head);
  if (header === undefined) return undefined;
  const payload = await reader.take(header.length);
  if (payload.length < header.length || !isIntact(head, payload)) return undefined;
  return { sequence: header.sequence, payload };
}

interface RecordAt extends WalRecord {
  /** Where the next record begins. */
  readonly end: number;
}

/** The record at `offset`; undefined when there is no intact one. */
export function recordAt(segment: Buffer, offset: number): RecordAt | undefined {
  const head = segment.subarray(offset, offset + RECORD_HEADER_BYTES);
  const header = readHeader(head);
  if (header === undefined) return undefined;
  const end = offset + RECORD_HEADER_BYTES + header.length;
  if (end > segment.length) return undefined;
  const payload = segment.subarray(offset + RECORD_HEADER_BYTES, end);
  return isIntact(head, payload) ? { sequence: header.sequence, payload, end } : undefined;
}

/** Whether an intact record with a sequence number above `sequence` begins after `offset`. */
export function hasRecordAfter(segment: Buffer, offset: number, sequence: number): boolean {
  const magic = Buffer.alloc(4);
  magic.writeUInt32BE(MAGIC);
  for (let at = segment.indexOf(magic, offset + 1); at !== -1; at = segment.indexOf(magic, at + 1)) {
    const record = recordAt(segment, at);
    if (record !== undefined && record.sequence > sequence) return true;
  }
  return false;
}

/** Data of entries are views of the payload. @throws DecodeError */
export function readItems(payload: Buffer): WalItem[] {
  const reader = new ByteReader(payload);
  const items: WalItem[] = [];
  while (reader.remaining > 0) items.push(readItem(reader));
  return items;
}
