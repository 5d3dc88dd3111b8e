// `npm run sim [-- --seed N] …` (see --help): whole members on simulated disk, network and clock. Without a seed a fresh one
// is drawn and printed. Prints one line of JSON for each seed; exits 1 when a promise was broken.
import { join } from 'node:path';
import { parseFlags } from '@naru/component';
import { huntPlants } from './hunt.ts';
import { plants } from './plants.ts';
import { plantOf, sow } from './planting.ts';

const flags = parseFlags(
  {
    seed: { type: 'integer', min: 0, description: 'First seed.' },
    runs: { type: 'integer', default: 1, min: 1, description: 'Seeds to run, one after the other.' },
    minutes: { type: 'integer', min: 1, description: 'Run seeds for so long instead.' },
    forever: { type: 'boolean', default: false, description: 'Run seeds until one fails, or until it is stopped.' },
    'keep-going': { type: 'boolean', default: false, description: 'Go on after a seed that fails.' },
    members: { type: 'integer', min: 1, description: 'Members; default: three to five, by the seed.' },
    trace: { type: 'boolean', default: false, description: 'Print everything that happens.' },
    plants: { type: 'boolean', default: false, description: 'Run with each planted bug, until it is found.' },
    jobs: { type: 'integer', default: 2, min: 1, description: 'Processes that look for planted bugs at once.' },
    plant: { type: 'string', description: 'Run with this planted bug.' },
    test: { type: 'string', description: 'Run this file under packages/kv-raft/test instead of the simulation.' },
    duration: { type: 'duration', default: 10_000, description: 'Virtual time under faults.' },
  },
  process.argv.slice(2),
);

if (flags.plants) {
  await hunt();
} else {
  // Before anything of the member is imported.
  if (flags.plant !== undefined) sow(plantOf(flags.plant));
  if (flags.test === undefined) await simulate();
  else await import(join(import.meta.dirname, '..', flags.test));
}

async function hunt(): Promise<void> {
  const hunts = await huntPlants(plants, {
    jobs: flags.jobs,
    onHunt: (each) => void process.stdout.write(`${JSON.stringify(each)}\n`),
  });
  process.exitCode = hunts.every(({ found }) => found) ? 0 : 1;
}

async function simulate(): Promise<void> {
  const { Simulation } = await import('./simulation.ts');
  const first = flags.seed ?? Math.floor(Math.random() * 2 ** 32);
  const isTimed = flags.forever || flags.minutes !== undefined;
  const until = performance.now() + (flags.forever ? Number.POSITIVE_INFINITY : (flags.minutes ?? 0) * 60_000);
  const trace = flags.trace ? (line: string): void => void process.stdout.write(line) : undefined;
  for (let seed = first; isTimed ? performance.now() < until : seed < first + flags.runs; seed++) {
    const simulation = new Simulation({ seed, members: flags.members, durationMs: flags.duration, trace });
    try {
      process.stdout.write(`${JSON.stringify(await simulation.run())}\n`);
    } catch (error) {
      process.exitCode = 1;
      const failure = error instanceof Error ? error.message : String(error);
      process.stdout.write(`${JSON.stringify({ seed, failure })}\n`);
      if (!flags['keep-going']) break;
    }
  }
}
