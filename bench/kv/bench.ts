import { ensureEtcd, ensureWrk } from '../../scripts/programs.ts';
import { print } from '../machine.ts';
import { measureFailover } from './failover.ts';
import { loads, type Effort } from './loads.ts';
import { measureMemory } from './memory.ts';
import { measureRestart } from './restart.ts';
import { benchOptions } from '../options.ts';
import { printTable, type Row } from '../row.ts';
import { StoreCluster } from './store-cluster.ts';

const full: Effort = { seconds: 5, rounds: 3, watchPuts: 1000, memoryPuts: 1_000_000, kills: 20 };
const quick: Effort = { seconds: 2, rounds: 1, watchPuts: 200, memoryPuts: 100_000, kills: 3 };

const own = { memory: measureMemory, restart: measureRestart, failover: measureFailover } as const;
const names: readonly string[] = [...Object.keys(loads), ...Object.keys(own)];

const usage = `usage: npm run bench -- kv [--quick] [--only NAME[,NAME…]]

Three members of kv-raft and three of etcd on this machine, the same load in turn on both.
NAME: ${names.join(', ')}
--quick: fewer and shorter rounds; the figures vary more.
`;

async function measureLoads(effort: Effort, wanted: (name: string) => boolean, rows: Row[]): Promise<void> {
  const chosen = Object.entries(loads).filter(([name]) => wanted(name));
  if (chosen.length === 0) return;
  await using ours = await StoreCluster.start('kv-raft');
  await using etcd = await StoreCluster.start('etcd');
  // The first calls compile code and fill caches, and the range needs its key.
  await loads['put-64']({ ours, etcd }, { ...effort, rounds: 1 });
  for (const [name, measure] of chosen) {
    print(`measuring ${name}`);
    rows.push(...(await measure({ ours, etcd }, effort)));
  }
}

/** Prints the figures of kv-raft beside those of etcd on this machine. */
export async function benchKv(args: readonly string[]): Promise<void> {
  const options = benchOptions(args, { names, usage });
  if (options === undefined) return;
  const { only } = options;
  await ensureEtcd();
  await ensureWrk();
  const effort = options.quick ? quick : full;
  const rows: Row[] = [];
  try {
    await measureLoads(effort, (name) => only.includes(name), rows);
    for (const [name, measure] of Object.entries(own)) {
      if (!only.includes(name)) continue;
      print(`measuring ${name}`);
      rows.push(...(await measure(effort)));
    }
  } finally {
    // What was measured before something failed is not lost.
    printTable(rows, { ours: 'kv-raft', theirs: 'etcd' });
  }
}
