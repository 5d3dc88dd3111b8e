// `npm run fuzz -- --count 100000 --seed N`: malformed requests to a member in this process, until one breaks it.
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';

const { values } = parseArgs({ options: { count: { type: 'string' }, seed: { type: 'string' } } });
const count = Number(values.count ?? 100_000);
const seed = Number(values.seed ?? Date.now() % 2 ** 32);
process.stdout.write(`seed ${seed}\n`);
const { sent, seconds, grownBytes } = await fuzz({ count, seed });
const each = Object.entries(sent).map(([name, number]) => `${name} ${number}`);
const grown = (grownBytes / 2 ** 20).toFixed(1);
process.stdout.write(`${each.join(', ')} in ${seconds.toFixed(1)} s: it serves; memory grew by ${grown} MiB\n`);
