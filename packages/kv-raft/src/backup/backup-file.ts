import { createHash } from 'node:crypto';

/*
 * A backup as `etcdctl snapshot save` keeps it: what the member streams, then its SHA-256.
 *
 *   backup := stream zero* length:u64 sha256        stream: see server/snapshot-stream.ts; length: of it, big-endian
 *
 * Zeros make everything before the checksum a multiple of 512 bytes, as a database of etcd's is: by that etcdctl tells whether
 * there is a checksum. It is of all bytes before it.
 */
const PAGE_BYTES = 512;
const LENGTH_BYTES = 8;
export const CHECKSUM_BYTES = 32;

/** How long the backup of a stream of `length` bytes is. */
export function backupBytes(length: number): number {
  return Math.ceil((length + LENGTH_BYTES) / PAGE_BYTES) * PAGE_BYTES + CHECKSUM_BYTES;
}

/** A backup, in pieces, out of a stream of exactly `length` bytes. The last piece is the checksum. @throws RangeError */
export async function* encodeBackup(chunks: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let written = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    written += chunk.length;
    yield chunk;
  }
  if (written !== length) throw new RangeError('backup: the stream is not as long as announced');
  const tail = Buffer.alloc(backupBytes(length) - CHECKSUM_BYTES - length);
  tail.writeBigUInt64BE(BigInt(length), tail.length - LENGTH_BYTES);
  hash.update(tail);
  yield tail;
  yield hash.digest();
}

/** A file that is read twice: to check it, then for its content. */
export interface BackupSource {
  readonly size: number;
  /** The bytes from `start` up to, not including, `end`. */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
}

/** The stream that is in a backup. @throws Error when it is none, or damaged */
export async function openBackup(
  source: BackupSource,
  options: { readonly skipHashCheck: boolean },
): Promise<AsyncIterable<Uint8Array>> {
  const { size } = source;
  if (size < PAGE_BYTES + CHECKSUM_BYTES || size % PAGE_BYTES !== CHECKSUM_BYTES)
    throw new Error('not a snapshot of kv-raft: it does not end with a checksum');
  const end = size - CHECKSUM_BYTES;
  if (!options.skipHashCheck) {
    const hash = createHash('sha256');
    for await (const chunk of source.read(0, end)) hash.update(chunk);
    const expected = await readAll(source, end, size);
    const actual = hash.digest();
    if (!actual.equals(expected))
      throw new Error(`expected sha256 ${expected.toString('hex')}, got ${actual.toString('hex')}`);
  }
  const length = Number((await readAll(source, end - LENGTH_BYTES, end)).readBigUInt64BE());
  if (backupBytes(length) !== size) throw new Error('not a snapshot of kv-raft');
  return source.read(0, length);
}

async function readAll(source: BackupSource, start: number, end: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source.read(start, end)) parts.push(part);
  return Buffer.concat(parts);
}
