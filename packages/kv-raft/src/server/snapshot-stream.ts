/**
 * The store's snapshot as a stream of bytes.
 *
 *   stream = "naruKV" format:u16 (1)  frame*
 *   frame  = length:u32  crc32:u32 (of the payload)  payload      all little endian; payloads: see mvcc/snapshot.ts
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { PieceReader } from '../codec/piece-reader.ts';
import { SnapshotLoader, snapshotPayloads, type SnapshotHeader } from '../mvcc/snapshot.ts';
import type { MvccStore } from '../mvcc/store.ts';

const MAGIC = Buffer.from('naruKV\u0001\u0000', 'latin1');
const FRAME_HEAD_BYTES = 8;
/** A frame holds one payload: at most some keys beyond its usual size, each with all its versions. */
const FRAME_BYTES_MAX = 2 ** 31 - 1;
const CHUNK_BYTES_MAX = 1024 * 1024;

/**
 * Streams `store` as it is now, in chunks of at most 1 MiB. It stays pinned until the stream ends or is given up: by
 * `return`, also when it was never begun.
 */
export function writeSnapshot(
  store: MvccStore,
  header: SnapshotHeader,
  unpin: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = chunksOf(store, header, unpin);
  // A generator that was not begun has no `finally` to run.
  const giveUp = chunks.return.bind(chunks);
  chunks.return = async (value) => {
    unpin();
    return await giveUp(value);
  };
  return chunks;
}

async function* chunksOf(
  store: MvccStore,
  header: SnapshotHeader,
  unpin: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield MAGIC;
    for (const payload of snapshotPayloads(store, header)) {
      const head = Buffer.alloc(FRAME_HEAD_BYTES);
      head.writeUInt32LE(payload.length, 0);
      head.writeUInt32LE(crc32(payload), 4);
      yield head;
      for (let at = 0; at < payload.length; at += CHUNK_BYTES_MAX) yield payload.subarray(at, at + CHUNK_BYTES_MAX);
      await nextTurn();
    }
  } finally {
    unpin();
  }
}

/** Builds a store out of a stream. @throws RangeError when it is cut short or damaged */
export async function readSnapshot(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ readonly store: MvccStore; readonly header: SnapshotHeader }> {
  const loader = new SnapshotLoader();
  const source = new PieceReader(chunks);
  if (!(await source.take(MAGIC.length)).equals(MAGIC)) throw new RangeError('snapshot: unknown format');
  for (;;) {
    const head = await source.take(FRAME_HEAD_BYTES);
    if (head.length === 0) return loader.finish();
    if (head.length < FRAME_HEAD_BYTES) throw new RangeError('snapshot: cut short');
    const length = head.readUInt32LE(0);
    if (length > FRAME_BYTES_MAX) throw new RangeError('snapshot: frame too large');
    const payload = await source.take(length);
    if (payload.length < length) throw new RangeError('snapshot: cut short');
    if (crc32(payload) !== head.readUInt32LE(4)) throw new RangeError('snapshot: checksum mismatch');
    loader.add(payload);
  }
}
