import { mock } from 'node:test';
import t from 'tap';
import { systemClock } from '@naru/component';

await t.test('a timer longer than Node can count fires when it is due, and not at once', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const yearMs = 365 * 86_400_000;
  let fired = 0;
  systemClock.after(yearMs, () => fired++);
  const cancel = systemClock.after(yearMs, () => t.fail('it was cancelled'));
  // In steps of Node's longest timer: the mock starts a timer that is made within a step at the step's end.
  const stepMs = 2 ** 31 - 1;
  const steps = Math.floor(yearMs / stepMs);
  for (let i = 0; i < steps; i++) mock.timers.tick(stepMs);
  mock.timers.tick(yearMs - steps * stepMs - 1);
  t.equal(fired, 0);
  cancel();
  mock.timers.tick(1);
  t.equal(fired, 1);
  t.end();
});
