import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import { percentile } from '../machine.ts';
import type { Effort } from './loads.ts';
import type { Row } from '../row.ts';
import { StoreCluster, type StoreMember, type StoreName } from './store-cluster.ts';

const MUST_MS = 2000;
const AIM_MS = 1000;
/** A put that gets no answer for this long is given up, and the next one begun. */
const PUT_TIMEOUT_MS = 1000;

/** Puts one after the other into one member, whatever becomes of them, and notes when one succeeds. */
async function writeUntil(signal: AbortSignal, member: StoreMember, successes: number[]): Promise<void> {
  await using client = new EtcdClient({ endpoints: [member.clientUrl] });
  const key = Buffer.from(`failover/${member.name}`);
  while (!signal.aborted) {
    const done = await client
      .put({ key, value: Buffer.from('x') }, { signal: AbortSignal.timeout(PUT_TIMEOUT_MS) })
      .then(() => true)
      .catch(() => false);
    if (done) successes.push(performance.now());
    else await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** For each kill of the leader, how long no put into any of the other members succeeded. */
async function gapsMs(store: StoreName, kills: number): Promise<readonly number[]> {
  await using cluster = await StoreCluster.start(store);
  const gaps: number[] = [];
  for (let i = 0; i < kills; i++) {
    const leader = await cluster.leader();
    const stop = new AbortController();
    const successes: number[] = [];
    const survivors = cluster.members.filter((each) => each !== leader);
    const writers = survivors.map(async (each) => await writeUntil(stop.signal, each, successes));
    await eventually(() => successes.length > 50);
    const killedAt = performance.now();
    await cluster.stopMember(leader, 'SIGKILL');
    const after = successes.length;
    await eventually(() => successes.length > after + 50, { deadlineMs: 30_000 });
    stop.abort();
    await Promise.all(writers);
    const from = Math.max(0, successes.findIndex((at) => at >= killedAt) - 1);
    gaps.push(Math.max(...successes.slice(from + 1).map((at, j) => at - (successes[from + j] ?? at))));
    cluster.startMember(leader);
  }
  return gaps;
}

export async function measureFailover(effort: Effort): Promise<readonly Row[]> {
  const ours = await gapsMs('kv-raft', effort.kills);
  const etcd = await gapsMs('etcd', effort.kills);
  return [
    {
      work: 'kill -9 of the leader: no write for, p50',
      unit: 'ms',
      ours: percentile(ours, 50),
      theirs: percentile(etcd, 50),
    },
    {
      work: `kill -9 of the leader: no write for, max of ${effort.kills}`,
      unit: 'ms',
      ours: Math.max(...ours),
      theirs: Math.max(...etcd),
      must: { kind: 'below', bound: MUST_MS },
      aim: { kind: 'below', bound: AIM_MS },
    },
  ];
}
