// `npm run robustness -- [--seed N] [--minutes M]`: real processes under faults that the seed draws, in rounds of a minute or
// two, until the time is over. Without a seed a fresh one is drawn and printed.
import { parseFlags } from '@naru/component';
import { whyNoNamespaces } from './network.ts';
import { diskFaults, networkFaults, processFaults } from './nemesis.ts';
import { runScenario, whyNoMounts } from './scenario.ts';

const flags = parseFlags(
  {
    seed: { type: 'integer', min: 0, description: 'First seed; each round has the next.' },
    minutes: { type: 'integer', default: 1, min: 1, description: 'How long to go on.' },
    faults: { type: 'list', description: 'Names of faults. Default: all that are possible here.' },
    plant: { type: 'string', description: 'A planted bug, to see whether it is found.' },
    'round-seconds': { type: 'integer', default: 60, min: 1, description: 'How long faults go on in one round.' },
  },
  process.argv.slice(2),
);
const first = flags.seed ?? Math.floor(Math.random() * 2 ** 32);
const log = (line: string): void => void process.stderr.write(`${line}\n`);
const noNamespaces = whyNoNamespaces();
const noMounts = whyNoMounts();
for (const reason of [noNamespaces, noMounts]) if (reason !== undefined) log(`without: ${reason}`);
const possible = [
  ...Object.keys(processFaults),
  ...(noNamespaces === undefined ? Object.keys(networkFaults) : []),
  ...(noMounts === undefined ? Object.keys(diskFaults) : []),
];
const until = performance.now() + flags.minutes * 60_000;
for (let seed = first; performance.now() < until; seed++) {
  log(`seed ${seed}`);
  const report = await runScenario({
    seed,
    size: seed % 4 === 3 ? 5 : 3,
    faults: flags.faults ?? possible,
    durationMs: flags['round-seconds'] * 1000,
    namespaces: noNamespaces === undefined,
    ...(noMounts === undefined ? { diskBytes: 256 << 20 } : {}),
    ...(flags.plant === undefined ? {} : { plant: flags.plant }),
    log,
  });
  process.stdout.write(`${JSON.stringify(report)}\n`);
  if (report.problems.length > 0) {
    for (const problem of report.problems) log(problem);
    process.exitCode = 1;
    break;
  }
}
