// `npm run bench`: measures on this machine. Not a test: figures differ from machine to machine, so the machine is printed
// with them. bench/README.md says what each line means.
import { benchApiserver } from './apiserver/bench.ts';
import { benchCluster } from './cluster/bench.ts';
import { benchKv } from './kv/bench.ts';
import { describeMachine, print } from './machine.ts';

const benches: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  apiserver: benchApiserver,
  cluster: benchCluster,
  kv: benchKv,
};

// Exit handlers end what was started; a signal alone would not run them.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

const [name = 'cluster', ...args] = process.argv.slice(2);
const bench = benches[name];
if (bench === undefined) {
  process.stderr.write(`usage: npm run bench -- [${Object.keys(benches).join('|')}] [--help]\n`);
  process.exitCode = 2;
} else {
  print(describeMachine());
  await bench(args);
}
