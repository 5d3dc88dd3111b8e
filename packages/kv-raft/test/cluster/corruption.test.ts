import { join } from 'node:path';
import { EtcdError, type StatusResponse } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { nodeDisk } from '../../src/disk/node-disk.ts';
import { differingMembers, type MemberHash } from '../../src/server/corruption-checker.ts';
import { readSnapshot, writeSnapshot } from '../../src/server/snapshot-stream.ts';
import { SnapshotStore } from '../../src/snapshot/snapshot-store.ts';
import { Members, type MemberProcess } from './members.ts';

t.setTimeout(240_000);

const bytes = (text: string): Buffer => Buffer.from(text);
const DEADLINE = { deadlineMs: 90_000 };

await t.test('a majority tells who is wrong', (t) => {
  const hash = (id: number, value: number, compactRevision = 5): MemberHash => ({
    id: BigInt(id),
    hash: value,
    revision: 9,
    compactRevision,
  });
  t.same(differingMembers([], 3), []);
  t.same(differingMembers([hash(1, 7), hash(2, 7), hash(3, 7)], 3), []);
  t.same(differingMembers([hash(1, 7), hash(2, 8), hash(3, 7)], 3), [2n]);
  t.same(differingMembers([hash(1, 8), hash(2, 7), hash(3, 7)], 3), [1n]);
  t.same(differingMembers([hash(1, 7), hash(2, 8)], 3), [0n], 'two of three that disagree are no majority');
  t.same(differingMembers([hash(1, 7), hash(2, 8)], 2), [0n]);
  t.same(differingMembers([hash(1, 7), hash(2, 8, 4), hash(3, 7)], 3), [], 'compacted elsewhere: nothing to compare');
  t.same(differingMembers([hash(1, 7), hash(2, 8), hash(3, 9)], 3), [0n]);
  t.end();
});

/** Changes one value in the newest snapshot of a member that is down, so that no checksum shows it. */
async function tamper(dataDir: string): Promise<void> {
  const snapshots = new SnapshotStore({ disk: nodeDisk, directory: join(dataDir, 'member', 'snap') });
  const [newest] = await snapshots.list();
  if (newest === undefined) throw new Error('no snapshot');
  const { header, chunks } = await snapshots.open(newest);
  const { store, header: kv } = await readSnapshot(chunks);
  const version = store.get('kept', kv.revision);
  if (version === undefined) throw new Error('no such key');
  store.restoreRecord('kept', [{ ...version, value: 'bad' }]);
  await snapshots.save(header, writeSnapshot(store, kv, store.pin()));
}

await t.test('a member whose keys differ is found, after a compaction and when it starts', async (t) => {
  await using cluster = await Members.startWith({
    ports: { from: 21_090, to: 21_099 },
    flags: ['--snapshot-count=20', '--experimental-compact-hash-check-time=500ms'],
  });
  const [a, b, c] = cluster.members as [MemberProcess, MemberProcess, MemberProcess];
  await using client = new EtcdClient({ endpoints: [a.clientUrl, b.clientUrl] });
  await using ofC = new EtcdClient({ endpoints: [c.clientUrl] });
  await client.put({ key: bytes('kept'), value: bytes('good') });
  for (let i = 0; i < 45; i++) await client.put({ key: bytes('k'), value: bytes(`${i}`) });
  const compact = async (): Promise<void> => {
    const { header } = await client.put({ key: bytes('k') });
    await client.compact({ revision: header.revision - 1 });
  };
  const errors = async (): Promise<readonly string[]> => (await client.status()).errors;
  const { header } = await eventually(async () => await ofC.status(), DEADLINE);
  const corrupt = `memberID:${header.memberId} alarm:CORRUPT `;
  await compact();

  await cluster.stopMember(c, 'SIGTERM');
  await tamper(join(cluster.dataDir, 'c'));
  cluster.startMember(c, ['--experimental-initial-corrupt-check=false']);
  const caughtUp = async (): Promise<StatusResponse> => {
    const [own, other] = [await ofC.status(), await client.status()];
    if (own.raftAppliedIndex < other.raftAppliedIndex) throw new Error('behind');
    return own;
  };
  await eventually(caughtUp, DEADLINE);
  t.equal((await ofC.range({ key: bytes('kept'), serializable: true })).kvs[0]?.value.toString(), 'bad');
  // The compaction before is compared again, too: the alarm may come before the next one.
  await compact().catch((error: unknown) => {
    if (!(error instanceof EtcdError && error.code === 'corrupt')) throw error;
  });
  await eventually(async () => (await errors()).includes(corrupt), DEADLINE);
  await t.rejects(client.put({ key: bytes('x') }), { code: 'corrupt', message: 'etcdserver: corrupt cluster' });

  const disarm = { action: 'DEACTIVATE', memberID: `${header.memberId}`, alarm: 'CORRUPT' };
  const disarmed = await fetch(`${a.clientUrl}/v3/maintenance/alarm`, { method: 'POST', body: JSON.stringify(disarm) });
  t.match(await disarmed.json(), { alarms: [{ memberID: `${header.memberId}`, alarm: 'CORRUPT' }] });
  await cluster.stopMember(c, 'SIGTERM');
  cluster.startMember(c);
  await eventually(async () => (await errors()).includes(corrupt), DEADLINE);
  await eventually(() => c.output.includes('key space of a member differs'), DEADLINE);
});
