import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { backupBytes, encodeBackup, openBackup, type BackupSource } from '../../src/backup/backup-file.ts';

async function* piecesOf(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return Buffer.concat(parts);
}

function sourceOf(bytes: Buffer): BackupSource {
  return { size: bytes.length, read: (start, end) => piecesOf(bytes.subarray(start, end), 100) };
}

const encode = async (content: Buffer): Promise<Buffer> =>
  await joined(encodeBackup(piecesOf(content, 64), content.length));
const open = async (bytes: Buffer, skipHashCheck = false): Promise<Buffer> =>
  await joined(await openBackup(sourceOf(bytes), { skipHashCheck }));

await t.test('a backup gives back its content, and has the shape by which etcdctl finds the checksum', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (content) => {
      const bytes = await encode(Buffer.from(content));
      t.equal(bytes.length % 512, 32);
      t.equal(bytes.length, backupBytes(content.length));
      const sum = createHash('sha256').update(bytes.subarray(0, -32)).digest();
      return sum.equals(bytes.subarray(-32)) && (await open(bytes)).equals(content);
    }),
    { numRuns: 50 },
  );
});

await t.test('a backup with any byte changed, or that is cut short, is refused', async (t) => {
  const bytes = await encode(Buffer.from('some content'.repeat(100)));
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, difference) => {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ difference;
      await t.rejects(open(damaged), { message: /expected sha256/u });
    }),
    { numRuns: 50 },
  );
  await t.rejects(open(bytes.subarray(0, 512)), { message: /does not end with a checksum/u });
  await t.rejects(open(bytes.subarray(0, 544)), { message: /expected sha256/u });
  await t.rejects(open(Buffer.alloc(0)), { message: /does not end with a checksum/u });
  await t.rejects(open(Buffer.alloc(1056), true), { message: /not a snapshot of kv-raft/u });
  const changed = Buffer.from(bytes);
  changed[0] = 0;
  t.equal((await open(changed, true)).length, 1200, 'unless the checksum is not looked at');
});

await t.test('a stream that is not as long as announced is no backup', async (t) => {
  await t.rejects(joined(encodeBackup(piecesOf(Buffer.alloc(10), 5), 11)), RangeError);
});
