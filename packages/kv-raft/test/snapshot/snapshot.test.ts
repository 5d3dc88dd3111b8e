import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DecodeError } from '../../src/codec/bytes.ts';
import { nodeDisk } from '../../src/disk/node-disk.ts';
import { emptyConfState } from '../../src/raft/conf-change.ts';
import { decodeSnapshot, encodeSnapshot, type SnapshotHeader } from '../../src/snapshot/snapshot-file.ts';
import { SnapshotStore } from '../../src/snapshot/snapshot-store.ts';

function header(index: number, term = 2): SnapshotHeader {
  const confState = { ...emptyConfState, voters: [1n, 2n], learners: [3n] };
  return { index, term, confState, context: Buffer.from('the members') };
}

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(Buffer.from(piece));
  return Buffer.concat(parts);
}

await t.test('the bytes of a snapshot', async (t) => {
  const bytes = await collect(encodeSnapshot(header(7), chunks('a', 'x'.repeat(3 << 20), 'z')));
  async function* cut(size: number, of = bytes): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < of.length; at += size) yield of.subarray(at, at + size);
  }

  await t.test('come back however they are cut', async (t) => {
    for (const size of [1000, 65_536, bytes.length]) {
      const decoded = await decodeSnapshot(cut(size));
      t.match(decoded.header, { index: 7, term: 2, confState: { voters: [1n, 2n], learners: [3n] } });
      t.equal(Buffer.from(decoded.header.context).toString(), 'the members');
      t.ok((await collect(decoded.chunks)).equals(Buffer.from(`a${'x'.repeat(3 << 20)}z`)));
    }
  });

  await t.test('damaged or cut short anywhere are noticed, at the latest at their end', async (t) => {
    const small = await collect(encodeSnapshot(header(7), chunks('some', 'content')));
    const read = async (of: Buffer): Promise<void> => {
      const decoded = await decodeSnapshot(cut(10, of));
      await collect(decoded.chunks);
    };
    await read(small);
    for (let at = 0; at < small.length; at++) {
      const damaged = Buffer.from(small);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await t.rejects(read(damaged), DecodeError, `byte ${at}`);
      await t.rejects(read(small.subarray(0, at)), DecodeError, `${at} bytes`);
    }
  });
});

await t.test('snapshots in a folder', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'kv-raft-snapshot-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const store = new SnapshotStore({ disk: nodeDisk, directory });
  await store.start();

  await t.test('a snapshot that fails on the way leaves nothing', async (t) => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a part');
      throw new Error('the source broke');
    }
    await t.rejects(store.save(header(5), broken()), { message: 'the source broke' });
    t.strictSame(await readdir(directory), []);
  });

  await t.test('a snapshot whose file cannot be created ends its stream: what that pins is let go', async (t) => {
    let ended = false;
    const stream = chunks('x');
    const giveUp = stream.return.bind(stream);
    stream.return = async (value) => {
      ended = true;
      return await giveUp(value);
    };
    const failing = { ...nodeDisk, create: () => Promise.reject(new Error('no space')) };
    const store = new SnapshotStore({ disk: failing, directory: '/nowhere' });
    await t.rejects(store.save(header(1), stream), { message: 'no space' });
    t.ok(ended);
  });

  await t.test('the newest of those that the log knows are kept', async (t) => {
    for (const index of [10, 20, 30, 40, 50]) await store.save(header(index), chunks(`state at ${index}`));
    t.strictSame(
      (await store.list()).map(({ index }) => index),
      [50, 40, 30, 20, 10],
    );
    const known = [10, 20, 30, 40].map((index) => ({ index, term: 2 }));
    t.match(await store.prune(known, 2), { index: 30 });
    t.strictSame(
      (await store.list()).map(({ index }) => index),
      [50, 40, 30],
      'a newer one may have just been received',
    );
    t.equal((await collect((await store.open({ index: 40, term: 2 })).chunks)).toString(), 'state at 40');
  });

  await t.test('a damaged file is noticed; what a crash left half-written is removed at the start', async (t) => {
    const name = (await readdir(directory)).sort().at(-1) ?? '';
    const path = join(directory, name);
    const bytes = await readFile(path);
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 4;
    await writeFile(path, bytes);
    const opened = await store.open({ index: 50, term: 2 });
    await t.rejects(collect(opened.chunks), DecodeError);
    await writeFile(join(directory, 'x.snap.1.tmp'), 'half');
    await store.start();
    t.notOk((await readdir(directory)).includes('x.snap.1.tmp'));
  });
});
