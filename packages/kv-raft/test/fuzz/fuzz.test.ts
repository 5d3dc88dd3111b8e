import t from 'tap';
import { fuzz } from './fuzz.ts';

t.setTimeout(240_000);
const COUNT = 10_000;
/** What caches and the collector's mood may take. */
const GROWN_BYTES_MAX = 32 * 2 ** 20;

await t.test(
  `${COUNT} malformed requests, messages and files later a member serves, with no more memory`,
  async (t) => {
    const seed = Date.now() % 2 ** 32;
    t.comment(`seed ${seed}: npm run fuzz -- --count ${COUNT} --seed ${seed}`);
    const report = await fuzz({ count: COUNT, seed });
    t.comment(JSON.stringify(report));
    t.ok(report.grownBytes < GROWN_BYTES_MAX, `${report.grownBytes} bytes`);
  },
);

t.end();
