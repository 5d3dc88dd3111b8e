import t from 'tap';
import { fuzzHttp } from './http-fuzz.ts';

t.setTimeout(280_000);
/** For each seed. */
const COUNT = 700;
/** What caches and the collector's mood may take, of a heap of 192 MiB. */
const GROWN_BYTES_MAX = 160 * 2 ** 20;

await t.test('malformed requests are refused, leave nothing open, and do not disturb anybody', async (t) => {
  for (const seed of [20_261_124, Date.now() % 2 ** 31]) {
    t.comment(`seed ${seed}: npm run fuzz -- --apiserver --count ${COUNT} --seed ${seed}`);
    const report = await fuzzHttp({ count: COUNT, seed });
    t.comment(JSON.stringify(report));
    t.ok(report.served > 0, 'an ordinary client is served');
    t.ok(report.grownBytes < GROWN_BYTES_MAX, `${report.grownBytes} bytes`);
  }
});
