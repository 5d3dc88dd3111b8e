import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import { median } from '../machine.ts';
import { grpcLoad, type Effort } from './loads.ts';
import type { Row } from '../row.ts';
import { StoreCluster, type StoreName } from './store-cluster.ts';

const VALUE_BYTES = 4096;
const KEYS = 25_600;

/** How long a follower with 100 MB in 4 KiB values takes from its start to its first linearizable read. */
async function restartMs(store: StoreName, restarts: number): Promise<number> {
  await using cluster = await StoreCluster.start(store);
  const leader = await cluster.leader();
  await grpcLoad({
    url: leader.clientUrl,
    connections: 4,
    inflight: 16,
    count: KEYS,
    keys: KEYS,
    keyBytes: 16,
    valueBytes: VALUE_BYTES,
  });
  const follower = cluster.members.find((each) => each !== leader) ?? leader;
  const times: number[] = [];
  for (let i = 0; i < restarts; i++) {
    await cluster.stopMember(follower, 'SIGTERM');
    const started = performance.now();
    cluster.startMember(follower);
    await using client = new EtcdClient({ endpoints: [follower.clientUrl] });
    await eventually(
      async () => (await client.range({ key: Buffer.from('bench/0'.padEnd(16, '.')) })).kvs.length === 1,
      {
        deadlineMs: 60_000,
      },
    );
    times.push(performance.now() - started);
  }
  return median(times);
}

export async function measureRestart(effort: Effort): Promise<readonly Row[]> {
  const ours = await restartMs('kv-raft', effort.rounds);
  const etcd = await restartMs('etcd', effort.rounds);
  return [
    {
      work: 'restart with 100 MB until it serves',
      unit: 'ms',
      ours,
      theirs: etcd,
      must: { kind: 'at most', ratio: 1 },
      aim: { kind: 'at most', ratio: 0.5 },
    },
  ];
}
