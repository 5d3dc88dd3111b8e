import { crc32c } from '@node-rs/crc32';
import { ByteReader, ByteWriter, DecodeError } from '../codec/bytes.ts';
import { PieceReader } from '../codec/piece-reader.ts';
import type { ConfState, SnapshotMetadata } from '../raft/message.ts';

/** What a snapshot says of itself before its content. */
export interface SnapshotHeader extends SnapshotMetadata {
  /** What the driver keeps besides the state machine: the members. */
  readonly context: Uint8Array;
}

/*
 * snapshot   := magic:u32 block(header) block(chunk)* end         all big-endian
 * block      := length:u32 crc:u32 bytes                          crc: CRC-32C of all bytes of this block and those before
 * end        := 0:u32 crc:u32                                     the crc of everything: a file that ends early has none
 * header     := index:u64 term:u64 conf-state context-length:u32 context
 * conf-state := ids(voters) ids(outgoing) ids(learners) ids(learners-next) auto-leave:u8
 * ids        := count:u32 id:u64*
 *
 * The same bytes are on disk and on the wire.
 */
const MAGIC = 0x4e52534e;
const BLOCK_HEADER_BYTES = 8;
/** A block may hold this much; larger chunks are cut. */
const BLOCK_BYTES_MAX = 1 << 20;

function writeIds(writer: ByteWriter, ids: readonly bigint[]): void {
  writer.u32(ids.length);
  for (const id of ids) writer.u64(id);
}

function readIds(reader: ByteReader): bigint[] {
  const count = reader.count(8);
  return Array.from({ length: count }, () => reader.u64());
}

export function writeConfState(writer: ByteWriter, state: ConfState): void {
  writeIds(writer, state.voters);
  writeIds(writer, state.votersOutgoing);
  writeIds(writer, state.learners);
  writeIds(writer, state.learnersNext);
  writer.u8(state.autoLeave ? 1 : 0);
}

export function readConfState(reader: ByteReader): ConfState {
  return {
    voters: readIds(reader),
    votersOutgoing: readIds(reader),
    learners: readIds(reader),
    learnersNext: readIds(reader),
    autoLeave: reader.u8() === 1,
  };
}

/** The bytes of a snapshot, in pieces. */
export async function* encodeSnapshot(
  header: SnapshotHeader,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let crc = 0;
  const block = (bytes: Uint8Array): Uint8Array => {
    crc = crc32c(bytes, crc);
    return new ByteWriter(BLOCK_HEADER_BYTES + bytes.length).u32(bytes.length).u32(crc).raw(bytes).view();
  };
  const writer = new ByteWriter().u53(header.index).u53(header.term);
  writeConfState(writer, header.confState);
  writer.bytes(header.context);
  yield new ByteWriter(4).u32(MAGIC).view();
  yield block(writer.view());
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; at += BLOCK_BYTES_MAX) yield block(chunk.subarray(at, at + BLOCK_BYTES_MAX));
  yield new ByteWriter(BLOCK_HEADER_BYTES).u32(0).u32(crc).view();
}

async function take(reader: PieceReader, count: number): Promise<Buffer> {
  const bytes = await reader.take(count);
  if (bytes.length < count) throw new DecodeError('snapshot ends early');
  return bytes;
}

async function readBlock(
  reader: PieceReader,
  previous: number,
): Promise<{ readonly bytes: Buffer; readonly crc: number }> {
  const head = await take(reader, BLOCK_HEADER_BYTES);
  const length = head.readUInt32BE(0);
  const expected = head.readUInt32BE(4);
  if (length > BLOCK_BYTES_MAX) throw new DecodeError('snapshot block is too large');
  const bytes = await take(reader, length);
  const crc = crc32c(bytes, previous);
  if (crc !== expected) throw new DecodeError('snapshot checksum does not match');
  return { bytes, crc };
}

/**
 * Reads a snapshot from its bytes. `chunks` must be read to the end or returned; it throws where the snapshot is damaged.
 * @throws DecodeError
 */
export async function decodeSnapshot(
  pieces: AsyncIterable<Uint8Array>,
): Promise<{ readonly header: SnapshotHeader; readonly chunks: AsyncGenerator<Uint8Array> }> {
  const reader = new PieceReader(pieces);
  try {
    const magic = (await take(reader, 4)).readUInt32BE(0);
    if (magic !== MAGIC) throw new DecodeError('not a snapshot');
    const block = await readBlock(reader, 0);
    const fields = new ByteReader(block.bytes);
    const index = fields.u53();
    const term = fields.u53();
    const confState = readConfState(fields);
    const context = Buffer.from(fields.bytes());
    fields.end();
    return { header: { index, term, confState, context }, chunks: readChunks(reader, block.crc) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function* readChunks(reader: PieceReader, headerCrc: number): AsyncGenerator<Uint8Array> {
  try {
    for (let crc = headerCrc; ;) {
      const block = await readBlock(reader, crc);
      if (block.bytes.length === 0) return;
      crc = block.crc;
      yield block.bytes;
    }
  } finally {
    await reader.close();
  }
}
