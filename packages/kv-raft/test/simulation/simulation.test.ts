// Real members on simulated disk, network and clock. A failure names its seed; `npm run sim -- --seed N` runs it again.
import t from 'tap';
import { Simulation, type SimulationReport } from './simulation.ts';

async function run(seed: number, durationMs = 10_000): Promise<SimulationReport> {
  return await new Simulation({ seed, durationMs }).run();
}

await t.test('a seed decides everything that happens', async (t) => {
  t.strictSame(await run(7), await run(7));
});

await t.test('under faults of a fixed set of seeds no promise is broken, and the cluster recovers', async (t) => {
  const reports: SimulationReport[] = [];
  for (let seed = 1; seed <= 6; seed++) reports.push(await run(seed));
  const sum = (of: (report: SimulationReport) => number): number =>
    reports.reduce((total, each) => total + of(each), 0);
  t.ok(sum(({ acknowledged }) => acknowledged) > 300, 'they get work done');
  t.ok(sum(({ reads }) => reads) > 50);
  t.ok(sum(({ restarts }) => restarts) > 5, 'and are disturbed at it');
  t.ok(sum(({ snapshotsRestored }) => snapshotsRestored) > 0);
});

await t.test('nor under those of a fresh seed', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  t.comment(`seed ${seed}`);
  await run(seed);
});
