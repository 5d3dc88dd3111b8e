import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c } from '@node-rs/crc32';
import { SeededRandom, SimulatedDisk, VirtualClock } from '@naru/testkit';
import t from 'tap';
import { nodeDisk } from '../../src/disk/node-disk.ts';
import type { Entry } from '../../src/raft/message.ts';
import { WalCorruptError } from '../../src/wal/replay.ts';
import { Wal, type WalOptions } from '../../src/wal/wal.ts';

const metadata = { memberId: 0xabcn, clusterId: 0xdefn };

function entry(index: number, term = 1, text = `entry ${index}`): Entry {
  return { index, term, type: 'normal', data: Buffer.from(text) };
}

function entries(from: number, to: number, term = 1): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term));
}

async function reopen(options: WalOptions): Promise<NonNullable<Awaited<ReturnType<typeof Wal.open>>>> {
  const opened = await Wal.open(options);
  if (opened === undefined) throw new Error('no log');
  return opened;
}

await t.test('CRC-32C of the check string and of parts', async (t) => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  t.equal(crc32c(Buffer.from('6789'), crc32c(Buffer.from('12345'))), 0xe3069283);
  t.equal(crc32c(Buffer.alloc(0)), 0);
});

await t.test('on real files', async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'kv-raft-wal-'));
  t.teardown(() => rm(scratch, { recursive: true }));
  let count = 0;
  const options = (more: Partial<WalOptions> = {}): WalOptions => ({
    disk: nodeDisk,
    directory: join(scratch, `${++count}`),
    ...more,
  });
  const lastSegment = async ({ directory }: WalOptions): Promise<string> =>
    join(directory, (await readdir(directory)).sort().at(-1) ?? '');

  await t.test('what was appended is there after opening again, in order', async (t) => {
    const at = options();
    t.equal(await Wal.open(at), undefined, 'there is none yet');
    const wal = await Wal.create(at, metadata);
    await wal.append({ entries: entries(1, 3), hardState: { term: 1, vote: 7n, commit: 2 } });
    await wal.append({ entries: [{ ...entry(4), type: 'conf-change' }] });
    wal.appendLazily({ hardState: { term: 1, vote: 7n, commit: 4 } });
    await wal.close();
    const { wal: again, replay } = await reopen(at);
    t.strictSame(replay.metadata, metadata);
    t.strictSame(replay.hardState, { term: 1, vote: 7n, commit: 4 });
    t.strictSame(
      replay.entries.map(({ index, type, data }) => [index, type, Buffer.from(data).toString()]),
      [1, 2, 3, 4].map((i) => [i, i === 4 ? 'conf-change' : 'normal', `entry ${i}`]),
    );
    await again.append({ entries: [entry(5)] });
    await again.close();
    const last = await reopen(at);
    t.equal(last.replay.entries.length, 5);
    await last.wal.close();
  });

  await t.test('an empty segment is no log', async (t) => {
    const at = options();
    await (await Wal.create(at, metadata)).close();
    await truncate(await lastSegment(at), 0);
    await t.rejects(Wal.open(at), { name: 'WalCorruptError', offset: 0 });
  });

  await t.test('entries written again replace those after them', async (t) => {
    const at = options();
    const wal = await Wal.create(at, metadata);
    await wal.append({ entries: entries(1, 5, 1) });
    await wal.append({ entries: entries(3, 4, 2) });
    await wal.close();
    const { wal: again, replay } = await reopen(at);
    t.strictSame(
      replay.entries.map(({ index, term }) => [index, term]),
      [
        [1, 1],
        [2, 1],
        [3, 2],
        [4, 2],
      ],
    );
    await again.close();
  });

  await t.test('entries that a snapshot has are not kept, whatever was written when', async (t) => {
    const at = options();
    const wal = await Wal.create(at, metadata);
    await wal.append({ entries: entries(1, 9, 1) });
    await wal.append({ entries: entries(3, 6, 2) });
    await wal.append({ snapshot: { index: 5, term: 2 } });
    await wal.close();
    for (const [after, kept] of [
      [0, [1, 2, 3, 4, 5, 6]],
      [2, [3, 4, 5, 6]],
      [5, [6]],
      [6, []],
      [7, []],
    ] as const) {
      const opened = await Wal.open(at, after);
      t.strictSame(
        opened?.replay.entries.map(({ index }) => index),
        kept,
      );
      t.equal(opened?.replay.lastIndex, 6);
      await opened?.wal.close();
    }
  });

  await t.test('a torn tail of any length is cut off, and the log goes on behind what is whole', async (t) => {
    const at = options();
    const wal = await Wal.create(at, metadata);
    await wal.append({ entries: entries(1, 2) });
    const path = await lastSegment(at);
    const whole = (await stat(path)).size;
    await wal.append({ entries: entries(3, 40) });
    await wal.close();
    const full = await readFile(path);
    for (let size = whole; size < full.length; size += 97) {
      await writeFile(path, full.subarray(0, size));
      const { wal: again, replay } = await reopen(at);
      t.equal(replay.entries.length, 2);
      t.equal(replay.tornBytes, size - whole);
      await again.append({ entries: entries(3, 3, 2) });
      await again.close();
      const last = await reopen(at);
      t.strictSame([last.replay.entries.length, last.replay.tornBytes], [3, 0]);
      await last.wal.close();
    }
  });

  await t.test(
    'zeros behind the log, as a crash leaves them where only the length was written, are cut off',
    async (t) => {
      const at = options();
      const wal = await Wal.create(at, metadata);
      await wal.append({ entries: entries(1, 2) });
      await wal.close();
      await appendFile(await lastSegment(at), Buffer.alloc(5000));
      const { wal: again, replay } = await reopen(at);
      t.strictSame([replay.entries.length, replay.tornBytes], [2, 5000]);
      await again.close();
    },
  );

  await t.test('a damaged byte anywhere before the last record stops the member, with file and offset', async (t) => {
    const at = options();
    const wal = await Wal.create(at, metadata);
    const path = await lastSegment(at);
    const damagedAt: number[] = [];
    for (let i = 1; i <= 3; i++) {
      damagedAt.push((await stat(path)).size);
      await wal.append({ entries: [entry(i)] });
    }
    await wal.close();
    const full = await readFile(path);
    const record = damagedAt[1] ?? 0;
    for (let offset = record; offset < (damagedAt[2] ?? 0); offset++) {
      const damaged = Buffer.from(full);
      damaged[offset] = (damaged[offset] ?? 0) ^ 0x10;
      await writeFile(path, damaged);
      const error: unknown = await Wal.open(at).catch((reason: unknown) => reason);
      t.ok(error instanceof WalCorruptError, `byte ${offset}`);
      t.match(error, { path, offset: record, message: new RegExp(`${path}.* offset ${record}`, 'u') });
      t.equal((await stat(path)).size, full.length, 'nothing was cut');
    }
  });

  await t.test('segments are cut, released up to a snapshot, and a missing one is noticed', async (t) => {
    const at = options({ segmentBytes: 500 });
    const wal = await Wal.create(at, metadata);
    for (let i = 1; i <= 40; i++)
      await wal.append({ entries: [entry(i)], hardState: { term: 1, vote: 1n, commit: i } });
    const before = await readdir(at.directory);
    t.ok(before.length > 3, `${before.length} segments`);
    await wal.append({ snapshot: { index: 30, term: 1 } });
    await wal.release(30);
    const after = await readdir(at.directory);
    t.ok(after.length < before.length && after.length > 1);
    await wal.close();
    const { wal: again, replay } = await reopen(at);
    t.ok((replay.entries[0]?.index ?? 99) <= 31, 'everything after the snapshot is there');
    t.equal(replay.entries.at(-1)?.index, 40);
    t.strictSame(replay.marks, [{ index: 30, term: 1 }]);
    t.equal(replay.hardState.commit, 40);
    await again.close();
    const segments = (await readdir(at.directory)).sort();
    await rm(join(at.directory, segments[1] ?? ''));
    if (segments.length > 2) await t.rejects(Wal.open(at), WalCorruptError);
    await truncate(join(at.directory, segments[0] ?? ''), 60);
    await t.rejects(Wal.open(at), WalCorruptError, 'only the last segment can be torn');
  });

  await t.test('a snapshot of the leader takes the place of the log', async (t) => {
    const at = options();
    const wal = await Wal.create(at, metadata);
    await wal.append({ entries: entries(1, 5) });
    await wal.append({ reset: { index: 100, term: 3 }, entries: entries(101, 102, 3) });
    await wal.close();
    const { wal: again, replay } = await reopen(at);
    t.strictSame(
      replay.entries.map(({ index }) => index),
      [101, 102],
    );
    t.strictSame(replay.marks, [{ index: 100, term: 3 }]);
    await again.close();
  });

  await t.test('a folder is locked for one, and free again when that one is done', async (t) => {
    const path = options().directory;
    await nodeDisk.makeDirectory(path);
    const lock = await nodeDisk.lock(path);
    await t.rejects(nodeDisk.lock(path), { message: /in use by another process/u });
    await lock[Symbol.asyncDispose]();
    await (await nodeDisk.lock(path))[Symbol.asyncDispose]();
  });
});

/** Runs what needs the virtual clock to go on. */
async function run<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  const progress = { settled: false };
  const done = work.finally(() => {
    progress.settled = true;
  });
  done.catch(() => undefined);
  for (let i = 0; i < 10_000 && !progress.settled; i++) await clock.advance(1);
  return await done;
}

await t.test('on a simulated disk', async (t) => {
  const setUp = (seed: number, syncMs: readonly [number, number] = [0, 0]) => {
    const clock = new VirtualClock();
    const random = new SeededRandom(seed);
    const disk = new SimulatedDisk({ clock, random, syncMs });
    const options: WalOptions = { disk, directory: '/wal', segmentBytes: 2000, monotonic: () => clock.monotonic() };
    return { clock, random, disk, options };
  };

  await t.test('everything that waits shares one sync', async (t) => {
    const { clock, disk, options } = setUp(1, [5, 5]);
    const wal = await run(clock, Wal.create(options, metadata));
    const before = disk.counts.syncs;
    const first = wal.append({ entries: [entry(1)] });
    const others = entries(2, 20).map((each) => wal.append({ entries: [each] }));
    await run(clock, Promise.all([first, ...others]));
    t.equal(disk.counts.syncs - before, 2, 'the first alone, the nineteen behind it together');
  });

  await t.test('what was acknowledged survives a crash at any moment', async (t) => {
    for (let seed = 1; seed <= 150; seed++) {
      const { clock, random, disk, options } = setUp(seed, [0, 3]);
      const wal = await run(clock, Wal.create(options, metadata));
      let acknowledged = 0;
      const count = random.integer(1, 60);
      for (let i = 1; i <= count; i++) {
        void wal.append({ entries: [entry(i, 1, 'x'.repeat(random.integer(0, 900)))] }).then(() => {
          acknowledged = Math.max(acknowledged, i);
        });
        if (random.chance(0.5)) await clock.advance(random.integer(0, 3));
      }
      disk.crash();
      const atCrash = acknowledged;
      const { replay } = await run(clock, reopen(options));
      t.ok(replay.entries.length >= atCrash, `seed ${seed}: ${replay.entries.length} of ${atCrash}`);
      for (const [i, { index }] of replay.entries.entries())
        if (index !== i + 1) t.fail(`seed ${seed}: entry ${index}`);
    }
  });

  for (const fault of ['write', 'sync', 'full'] as const)
    await t.test(`after a failed ${fault} nothing is acknowledged any more`, async (t) => {
      const { clock, disk, options } = setUp(3);
      const wal = await run(clock, Wal.create(options, metadata));
      await run(clock, wal.append({ entries: [entry(1)] }));
      disk.fault = fault;
      await t.rejects(run(clock, wal.append({ entries: [entry(2)] })));
      disk.fault = undefined;
      await t.rejects(
        run(clock, wal.append({ entries: [entry(3)] })),
        'the disk works again, but what it holds is unknown',
      );
      disk.kill();
      const { replay } = await run(clock, reopen(options));
      t.ok(replay.entries.length >= 1 && replay.entries.length <= 2);
    });

  await t.test('what a failed sync left in the cache is on disk before anything is built on it', async (t) => {
    const { clock, disk, options } = setUp(5);
    const wal = await run(clock, Wal.create(options, metadata));
    await run(clock, wal.append({ entries: [entry(1)] }));
    disk.fault = 'sync';
    await t.rejects(run(clock, wal.append({ entries: [entry(2)] })));
    disk.fault = undefined;
    disk.kill();
    const again = await run(clock, reopen(options));
    t.equal(again.replay.entries.length, 2, 'the cache has it');
    await run(clock, again.wal.append({ entries: [entry(3)] }));
    disk.crash();
    const { replay } = await run(clock, reopen(options));
    t.strictSame(
      replay.entries.map(({ index }) => index),
      [1, 2, 3],
    );
  });

  await t.test('a bit that rots before the last record is found', async (t) => {
    const { clock, disk, options } = setUp(4);
    const wal = await run(clock, Wal.create(options, metadata));
    for (let i = 1; i <= 3; i++) await run(clock, wal.append({ entries: [entry(i)] }));
    const path = disk.paths()[0] ?? '';
    disk.rot(path, disk.contents(path).length >> 1);
    disk.crash();
    await t.rejects(run(clock, reopen(options)), WalCorruptError);
  });
});
