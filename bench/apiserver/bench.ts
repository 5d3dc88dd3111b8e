import { setTimeout as delay } from 'node:timers/promises';
import { ensureEtcd, ensureWrk } from '../../scripts/programs.ts';
import { missingPrograms } from '../../test/interop/upstream-programs.ts';
import { compareSides, none, type Figures } from '../compare.ts';
import { print } from '../machine.ts';
import { benchOptions } from '../options.ts';
import { printTable, type Row } from '../row.ts';
import { ApiSystem } from './api-system.ts';
import { measureScaling, podLoads, warmUp, podName, PODS, writeLoads, type Effort, type Systems } from './loads.ts';
import { NAMESPACE, pod } from './objects.ts';

const full: Effort = { seconds: 5, rounds: 3, starts: 3, listSeconds: 10, watchSeconds: 10, settleMs: 10_000 };
const quick: Effort = { seconds: 2, rounds: 1, starts: 1, listSeconds: 5, watchSeconds: 2, settleMs: 2000 };

const POPULATE_WORKERS = 32;
const LISTS = 10;

const names: readonly string[] = [
  'start',
  ...Object.keys(writeLoads),
  'memory',
  ...Object.keys(podLoads),
  'scaling',
] as const;

const usage = `usage: npm run bench -- apiserver [--quick] [--only NAME[,NAME…]]

Our apiserver on one member of kv-raft and kube-apiserver 1.20 on one of etcd, on this machine, the same load in turn on both.
CONFORMANCE names the folder of kube-apiserver.
NAME: ${names.join(', ')}
--quick: fewer and shorter rounds; the figures vary more.
`;

/** A program's code is compiled when it is built; ours when it first runs. */
async function writeCompileCache(): Promise<void> {
  await using system = await ApiSystem.start('ours');
  await system.call('GET', '/api/v1/pods');
}

/** From the start of the process until /readyz is ok, on an empty store and on one that another apiserver has filled. */
async function measureStart(effort: Effort): Promise<readonly Row[]> {
  await writeCompileCache();
  const figures = await compareSides(effort.starts, async (side) => {
    await using system = await ApiSystem.prepare(side);
    const first = await system.startApiserver();
    await system.stopApiserver();
    return { first, again: await system.startApiserver() };
  });
  return [
    {
      work: 'start until /readyz, empty store',
      unit: 'ms',
      ...(figures['first'] ?? none),
      must: { kind: 'at most', ratio: 0.5 },
      aim: { kind: 'at most', ratio: 0.2 },
    },
    { work: '  started again', unit: 'ms', ...(figures['again'] ?? none) },
  ];
}

/** Fills the system with Pods. @returns its memory before, and after lists of all of them */
async function populate(system: ApiSystem, effort: Effort): Promise<Readonly<Record<string, number>>> {
  await delay(effort.settleMs);
  const idle = await system.residentMiB();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < PODS)
      await system.call('POST', `/api/v1/namespaces/${NAMESPACE}/pods`, pod(podName(String(next++).padStart(8, '0'))));
  };
  await Promise.all(Array.from({ length: POPULATE_WORKERS }, work));
  for (let i = 0; i < LISTS; i++) await system.call('GET', '/api/v1/pods');
  return { idle, listed: await system.residentMiB() };
}

function memoryRows(figures: Figures): readonly Row[] {
  return [
    {
      work: 'resident memory, idle',
      unit: 'MiB',
      ...(figures['idle'] ?? none),
      must: { kind: 'at most', ratio: 0.4 },
      aim: { kind: 'at most', ratio: 0.25 },
    },
    {
      work: `resident memory, ${PODS.toLocaleString('en')} Pods listed ${LISTS} times`,
      unit: 'MiB',
      ...(figures['listed'] ?? none),
      must: { kind: 'at most', ratio: 0.3 },
      aim: { kind: 'at most', ratio: 0.15 },
    },
  ];
}

type Measures = Readonly<Record<string, (systems: Systems, effort: Effort) => Promise<readonly Row[]>>>;

class ApiserverBench {
  readonly #effort: Effort;
  readonly #only: readonly string[];
  readonly rows: Row[] = [];

  constructor(effort: Effort, only: readonly string[]) {
    this.#effort = effort;
    this.#only = only;
  }

  async run(): Promise<void> {
    if (this.#only.includes('start')) await this.#row('start', async () => await measureStart(this.#effort));
    if (this.#only.includes('memory') && !this.#only.includes('start')) await writeCompileCache();
    await this.#measure(writeLoads, async (systems) => {
      // The first calls compile code and fill caches.
      await warmUp(systems, this.#effort);
    });
    await this.#measure({ memory: async () => await Promise.resolve([]), ...podLoads }, async (systems) => {
      const figures = await compareSides(1, async (side) => await populate(systems[side], this.#effort));
      if (this.#only.includes('memory')) this.rows.push(...memoryRows(figures));
    });
    await this.#measure({ scaling: measureScaling });
  }

  async #row(name: string, measure: () => Promise<readonly Row[]>): Promise<void> {
    print(`measuring ${name}`);
    this.rows.push(...(await measure()));
  }

  /** Those that are wanted, on a new pair of systems. */
  async #measure(measures: Measures, prepare?: (systems: Systems) => Promise<void>): Promise<void> {
    const chosen = Object.entries(measures).filter(([name]) => this.#only.includes(name));
    if (chosen.length === 0) return;
    await using ours = await ApiSystem.start('ours');
    await using theirs = await ApiSystem.start('theirs');
    await prepare?.({ ours, theirs });
    for (const [name, measure] of chosen)
      await this.#row(name, async () => await measure({ ours, theirs }, this.#effort));
  }
}

/** Prints the figures of our apiserver beside those of kube-apiserver on this machine. */
export async function benchApiserver(args: readonly string[]): Promise<void> {
  const options = benchOptions(args, { names, usage });
  if (options === undefined) return;
  const { only } = options;
  const missing = missingPrograms('kube-apiserver');
  if (missing !== false) throw new Error(missing);
  await ensureEtcd();
  await ensureWrk();
  const bench = new ApiserverBench(options.quick ? quick : full, only);
  try {
    await bench.run();
  } finally {
    // What was measured before something failed is not lost.
    printTable(bench.rows, { ours: 'naru', theirs: 'kube-apiserver' });
  }
}
