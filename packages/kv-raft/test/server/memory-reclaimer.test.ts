import t from 'tap';
import { VirtualClock } from '@naru/testkit';
import { MemoryReclaimer } from '../../src/server/memory-reclaimer.ts';

const MIB = 2 ** 20;

await t.test(
  'memory is given back once after much was freed, when the member is idle and its store small',
  async (t) => {
    const clock = new VirtualClock();
    const state = { index: 1, sizeBytes: 200 * MIB, collected: 0 };
    using reclaimer = new MemoryReclaimer({
      clock,
      appliedIndex: () => state.index,
      sizeBytes: () => state.sizeBytes,
      collect: () => state.collected++,
    });
    reclaimer.freed(31 * MIB);
    await clock.advance(10_000);
    t.equal(state.collected, 0, 'too little was freed');
    reclaimer.freed(1 * MIB);
    for (let second = 0; second < 10; second++) {
      state.index++;
      await clock.advance(1000);
    }
    t.equal(state.collected, 0, 'it is not idle');
    await clock.advance(5000);
    t.equal(state.collected, 0, 'the store is large');
    state.sizeBytes = 100 * MIB;
    await clock.advance(2000);
    t.equal(state.collected, 1);
    await clock.advance(60_000);
    t.equal(state.collected, 1);
  },
);

await t.test('the garbage of V8 itself goes back to the system', async (t) => {
  const clock = new VirtualClock();
  using reclaimer = new MemoryReclaimer({ clock, appliedIndex: () => 1, sizeBytes: () => 0 });
  let garbage: string[] | undefined = Array.from({ length: 400_000 }, (_, i) =>
    Buffer.alloc(256, `${i}`).toString('latin1'),
  );
  const full = process.memoryUsage.rss();
  t.equal(garbage.length, 400_000);
  garbage = undefined;
  reclaimer.freed(100 * MIB);
  await clock.advance(2000);
  t.ok(process.memoryUsage.rss() < full - 60 * MIB, 'at least 60 of 100 MiB');
});

t.end();
