// `npm run sim [-- --seed N] [--runs N] [--members N] [--duration MS]`: without a seed a fresh one is drawn and printed.
import { parseFlags } from '@naru/component';
import { Simulation } from './simulation.ts';

const flags = parseFlags(
  {
    seed: { type: 'integer', min: 0, description: 'First seed.' },
    runs: { type: 'integer', default: 1, min: 1, description: 'Seeds to run, one after the other.' },
    members: { type: 'integer', default: 3, min: 1, description: 'Members.' },
    duration: { type: 'duration', default: 30_000, description: 'Virtual time under faults.' },
  },
  process.argv.slice(2),
);
const first = flags.seed ?? Math.floor(Math.random() * 2 ** 32);
for (let seed = first; seed < first + flags.runs; seed++) {
  const simulation = new Simulation({ seed, members: flags.members, durationMs: flags.duration });
  process.stdout.write(`${JSON.stringify(await simulation.run())}\n`);
}
