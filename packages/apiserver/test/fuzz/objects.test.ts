import t from 'tap';
import { startStore } from '../api-fixture.ts';
import { startFuzzedServer } from './fuzz-server.ts';
import { fuzzObjects } from './object-fuzz.ts';

t.setTimeout(240_000);
/** Objects of each kind, for each seed. */
const RUNS = 2;
/** Random objects that nobody accepts prove little. */
const ACCEPTED_SHARE_MIN = 0.5;

await t.test('random objects of every kind are refused with a reason or obey the laws of writes', async (t) => {
  await using store = await startStore('kv-raft');
  await using api = await startFuzzedServer(store);
  for (const seed of [20_261_124, Date.now() % 2 ** 31]) {
    t.comment(`seed ${seed}: npm run fuzz -- --objects --count ${RUNS} --seed ${seed}`);
    const { failures, sent, accepted, requests } = await fuzzObjects(api, { seed, runs: RUNS });
    t.comment(`${accepted} of ${sent} accepted, ${requests} requests`);
    t.strictSame(failures, []);
    t.ok(accepted / sent > ACCEPTED_SHARE_MIN, `${accepted} of ${sent} accepted`);
  }
});
