import { setTimeout as delay } from 'node:timers/promises';
import { EtcdClient } from '@naru/etcd-client';
import { grpcLoad, type Effort } from './loads.ts';
import type { Row } from '../row.ts';
import { StoreCluster, type StoreName } from './store-cluster.ts';

const KEYS = 10_000;
/** By then the compaction is done (etcd's of a million revisions takes longer than a request may), and garbage given back, or not. */
const SETTLE_MS = 40_000;

async function residentAfterPuts(
  store: StoreName,
  puts: number,
): Promise<{ readonly full: number; readonly compacted: number }> {
  await using cluster = await StoreCluster.start(store);
  const { clientUrl } = await cluster.leader();
  await grpcLoad({
    url: clientUrl,
    connections: 4,
    inflight: 64,
    count: puts,
    keys: KEYS,
    keyBytes: 16,
    valueBytes: 256,
  });
  const full = Math.max(...(await cluster.residentMiB()));
  await using client = new EtcdClient({ endpoints: [clientUrl] });
  const { header } = await client.status();
  await client.compact({ revision: header.revision });
  await delay(SETTLE_MS);
  return { full, compacted: Math.max(...(await cluster.residentMiB())) };
}

/** Resident memory of the largest member after many puts over few keys, before and after compaction. */
export async function measureMemory(effort: Effort): Promise<readonly Row[]> {
  const ours = await residentAfterPuts('kv-raft', effort.memoryPuts);
  const etcd = await residentAfterPuts('etcd', effort.memoryPuts);
  return [
    {
      work: `memory after ${effort.memoryPuts.toLocaleString('en')} puts over 10 k keys, compacted`,
      unit: 'MiB',
      ours: ours.compacted,
      theirs: etcd.compacted,
      must: { kind: 'at most', ratio: 0.5 },
      aim: { kind: 'at most', ratio: 0.25 },
    },
    { work: '  before compaction', unit: 'MiB', ours: ours.full, theirs: etcd.full },
  ];
}
