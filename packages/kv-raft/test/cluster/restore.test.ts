import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { restoreCommand } from '../../src/backup/restore-command.ts';
import { Members, runMain } from './members.ts';

t.setTimeout(240_000);

const bytes = (text: string): Buffer => Buffer.from(text);
const BUMP = 1_000_000;

await using old = await Members.startWith({ ports: { from: 21_060, to: 21_069 }, size: 1 });
const [source] = old.members;
if (source === undefined) throw new Error('no member');
const file = join(old.dataDir, 'backup.db');
await using client = new EtcdClient({ endpoints: [source.clientUrl] });

/** What a restored member is told of the cluster that it is to be part of. */
function restoreArgs(name: string, dataDir: string, ...more: readonly string[]): readonly string[] {
  const cluster = restored.map((each) => `${each.name}=${each.peerUrl}`).join();
  const own = restored.find((each) => each.name === name)?.peerUrl ?? '';
  return [
    file,
    `--name=${name}`,
    `--data-dir=${dataDir}`,
    `--initial-cluster=${cluster}`,
    `--initial-advertise-peer-urls=${own}`,
    '--initial-cluster-token=restored',
    ...more,
  ];
}
let restored: Members['members'] = [];

await t.test('etcdctl saves a snapshot of what there is', async (t) => {
  for (let i = 0; i < 20; i++) await client.put({ key: bytes(`k${i % 7}`), value: bytes(`v${i}`) });
  await client.deleteRange({ key: bytes('k3') });
  await client.compact({ revision: 10 });
  const { id } = await client.leaseGrant({ ttl: 1000 });
  await client.put({ key: bytes('leased'), value: bytes('x'), lease: id });
  const env = { ...process.env, ETCDCTL_API: '3' };
  const saved = await promisify(execFile)('etcdctl', [`--endpoints=${source.clientUrl}`, 'snapshot', 'save', file], {
    env,
  });
  t.match(saved.stdout, 'Snapshot saved at');
  const response = await fetch(`${source.clientUrl}/v3/maintenance/snapshot`, { method: 'POST', body: '{}' });
  const lines = (await response.text()).trimEnd().split('\n');
  const pieces = lines.map((line) => (JSON.parse(line) as { readonly result: { readonly blob: string } }).result.blob);
  const whole = Buffer.concat(pieces.map((piece) => Buffer.from(piece, 'base64')));
  t.ok(whole.equals(await readFile(file)), 'the gateway streams the same');
  // What comes later is not in it.
  await client.put({ key: bytes('later') });
});

await t.test('restore checks the file, the flags and the data dir', async (t) => {
  const { members } = old;
  restored = members;
  const good = await readFile(file);
  const damaged = Buffer.from(good);
  damaged[100] = (damaged[100] ?? 0) ^ 1;
  await writeFile(file, damaged);
  const refused = async (expected: RegExp, ...argv: readonly string[]): Promise<void> => {
    await t.rejects(
      restoreCommand(argv, () => {}),
      { message: expected },
    );
  };
  await refused(/expected sha256/u, ...restoreArgs('a', join(old.dataDir, 'new')));
  await writeFile(file, good);
  await refused(/not empty/u, ...restoreArgs('a', old.dataDir));
  await refused(/--mark-compacted/u, ...restoreArgs('a', 'x', '--bump-revision=5'));
  await refused(/--initial-cluster/u, ...restoreArgs('z', 'x'));
  await refused(/snapshot file/u, '--name=a');
  t.match(await runMain('restore', '--no-such-flag'), { code: 2, output: /kv-raft restore: restore needs/u });
});

await t.test('three members start from it: same data, another cluster, watches from before are told', async (t) => {
  const { header: before } = await client.status();
  await using cluster = await Members.prepare({ ports: { from: 21_070, to: 21_089 } });
  restored = cluster.members;
  for (const { name } of restored) {
    const flags = [`--bump-revision=${BUMP}`, '--mark-compacted'];
    const argv = restoreArgs(name, join(cluster.dataDir, name), ...flags);
    const told: string[] = [];
    if (name === 'a') t.match(await runMain('restore', ...argv), { code: 0, output: /restored/u });
    else await restoreCommand(argv, (line) => void told.push(line));
    if (name !== 'a') t.match(told.join(), /"msg":"restored"/u);
  }
  await cluster.startAll();
  await using restoredClient = new EtcdClient({ endpoints: cluster.urls });
  const { kvs, header } = await restoredClient.range({ key: Buffer.alloc(1), rangeEnd: Buffer.alloc(1) });
  t.same(
    kvs.map(({ key, value }) => `${key.toString()}=${value.toString()}`),
    ['k0=v14', 'k1=v15', 'k2=v16', 'k4=v18', 'k5=v19', 'k6=v13', 'leased=x'],
  );
  t.equal(kvs.find(({ key }) => key.toString() === 'k0')?.version, 3, 'with its history’s numbers');
  t.ok(header.revision >= BUMP + before.revision - 1, 'no client has seen a later revision');
  t.not(header.clusterId, before.clusterId);
  t.equal((await restoredClient.leaseLeases()).leases.length, 1);

  const watch = restoredClient.watch({ key: bytes('k0'), startRevision: before.revision });
  const told: unknown[] = [];
  for await (const response of watch) {
    told.push(response.compactRevision);
    if (response.canceled) break;
  }
  t.ok(Number(told.at(-1)) > BUMP, 'the watch is told what is compacted');
  const put = await restoredClient.put({ key: bytes('k0'), value: bytes('new') });
  t.equal(put.header.revision, header.revision + 1);

  const hashes = await eventually(async () => {
    const all = await Promise.all(
      cluster.urls.map(async (url) => {
        const response = await fetch(`${url}/v3/maintenance/hash`, { method: 'POST', body: '{}' });
        const { hash, header } = (await response.json()) as {
          readonly hash: number;
          readonly header: { readonly revision: string };
        };
        return `${hash}/${header.revision}`;
      }),
    );
    return new Set(all).size === 1 ? all : false;
  });
  t.equal(hashes.length, 3);
  const [first] = cluster.members;
  if (first === undefined) return;
  await cluster.stopMember(first, 'SIGKILL');
  cluster.startMember(first);
  await cluster.leader();
});
