// `npm run fuzz -- [--apiserver|--objects] --count N --seed N`: malformed input, until something breaks. Without a target, to a
// member of the store in this process; --apiserver: malformed HTTP requests to an API server in a process of its own;
// --objects: N random objects of every built-in kind through every kind of write.
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    apiserver: { type: 'boolean', default: false },
    objects: { type: 'boolean', default: false },
    count: { type: 'string' },
    seed: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const count = (byDefault: number): number => Number(values.count ?? byDefault);
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const listed = (numbers: Readonly<Record<string, number>>): string =>
  Object.entries(numbers)
    .map(([name, number]) => `${name} ${number}`)
    .join(', ');
const print = (text: string): boolean => process.stdout.write(`${text}\n`);

print(`seed ${seed}`);
if (values.apiserver) {
  const { fuzzHttp } = await import('../packages/apiserver/test/fuzz/http-fuzz.ts');
  const { sent, answers, seconds, served, slowestMs, grownBytes } = await fuzzHttp({ count: count(100_000), seed });
  print(`${listed(sent)} in ${seconds.toFixed(1)} s; answers: ${listed(answers)}`);
  print(`${served} ordinary requests, the slowest ${slowestMs.toFixed(0)} ms; memory grew by ${megabytes(grownBytes)}`);
} else if (values.objects) {
  const { fuzzObjectsAlone } = await import('../packages/apiserver/test/fuzz/fuzz-server.ts');
  const { kinds, failures, sent, accepted, requests } = await fuzzObjectsAlone({ runs: count(20), seed });
  for (const [kind, each] of Object.entries(kinds)) print(`${kind}: ${each.accepted} of ${each.sent} accepted`);
  print(`${accepted} of ${sent} accepted, ${requests} requests`);
  for (const failure of failures) print(failure);
  process.exitCode = failures.length === 0 ? 0 : 1;
} else {
  const { fuzz } = await import('../packages/kv-raft/test/fuzz/fuzz.ts');
  const { sent, seconds, grownBytes } = await fuzz({ count: count(100_000), seed });
  print(`${listed(sent)} in ${seconds.toFixed(1)} s: it serves; memory grew by ${megabytes(grownBytes)}`);
}
