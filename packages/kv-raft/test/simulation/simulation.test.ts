// Whole members on simulated disk, network and clock. A failure names its seed; `npm run sim -- --seed N` runs it again.
import t from 'tap';
import { Simulation, type SimulationReport } from './simulation.ts';

const SEEDS = 10;

async function run(seed: number): Promise<SimulationReport> {
  return await new Simulation({ seed }).run();
}

await t.test('a seed decides everything that happens', async (t) => {
  t.strictSame(await run(7), await run(7));
});

await t.test('under faults of a fixed set of seeds no promise is broken, and the cluster recovers', async (t) => {
  const reports: SimulationReport[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) reports.push(await run(seed));
  const sum = (of: (report: SimulationReport) => number): number =>
    reports.reduce((total, each) => total + of(each), 0);
  t.ok(sum(({ acknowledged }) => acknowledged) > 800, 'they get work done');
  t.ok(sum(({ reads }) => reads) > 300);
  t.ok(sum(({ leases }) => leases) > 20);
  t.ok(sum(({ events }) => events) > 800, 'which is watched');
  t.ok(sum(({ restarts }) => restarts) > 20, 'and are disturbed at it');
  t.ok(sum(({ snapshotsRestored }) => snapshotsRestored) > 0);
  t.ok(sum(({ changes }) => changes) > 3, 'members come and go');
  t.ok(sum(({ refused }) => refused) > 0, 'and damaged logs are refused');
});

await t.test('nor under those of a fresh seed', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  t.comment(`seed ${seed}`);
  await run(seed);
});
