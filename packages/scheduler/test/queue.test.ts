import { VirtualClock } from '@naru/testkit';
import t from 'tap';
import type { ClusterEvent } from '../src/framework/cluster-event.ts';
import { defaultPlugins } from '../src/plugins/default-plugins.ts';
import { SchedulingQueue } from '../src/queue/scheduling-queue.ts';
import { TaskPool } from '../src/task-pool.ts';
import { infoOf, newNode, type PodShorthand } from './fixtures.ts';

function newQueue() {
  const clock = new VirtualClock();
  let ready = 0;
  const queue = new SchedulingQueue({
    clock,
    initialBackoffMs: 1000,
    maxBackoffMs: 10_000,
    plugins: defaultPlugins(),
    onReady: () => ready++,
  });
  t.teardown(() => queue[Symbol.dispose]());
  return { clock, queue, readyCount: () => ready };
}

function popAll(queue: SchedulingQueue): string[] {
  const names: string[] = [];
  for (let queued = queue.pop(); queued !== undefined; queued = queue.pop()) names.push(queued.info.name);
  return names;
}

const fit = new Set(['NodeResourcesFit']);
const gone = (pod: PodShorthand = {}): ClusterEvent => ({
  kind: 'AssignedPodDelete',
  pod: infoOf({ name: 'gone', ...pod }),
});

await t.test('pods come by priority, then by age', async (t) => {
  const { queue, clock, readyCount } = newQueue();
  queue.add(infoOf({ name: 'old' }));
  await clock.advance(5);
  queue.add(infoOf({ name: 'new' }));
  queue.add(infoOf({ name: 'newer' }));
  queue.add(infoOf({ name: 'important', priority: 1000 }));
  t.equal(readyCount(), 1, 'told once that there is something');
  t.same(popAll(queue), ['important', 'old', 'new', 'newer']);
});

await t.test('an unschedulable pod waits for an event that its plugins asked for', async (t) => {
  const { queue, clock } = newQueue();
  queue.add(infoOf({ name: 'big', requests: { cpu: '2' } }));
  const queued = queue.pop();
  t.ok(queued);
  if (queued === undefined) return;
  queue.addUnschedulable(queued, fit);
  queue.moveOnEvent({ kind: 'AssignedPodAdd', pod: infoOf({ name: 'other' }) });
  t.same(queue.counts, { active: 0, backoff: 0, unschedulable: 1, gated: 0 });
  queue.moveOnEvent({ kind: 'NodeAdd', node: newNode({ name: 'small', allocatable: { cpu: '1' } }) });
  t.equal(queue.counts.unschedulable, 1, 'the hint says that the node is too small');
  queue.moveOnEvent(gone());
  t.same(queue.counts, { active: 0, backoff: 1, unschedulable: 0, gated: 0 }, 'backs off first');
  await clock.advance(999);
  t.same(popAll(queue), []);
  await clock.advance(1);
  t.same(popAll(queue), ['big']);
});

await t.test('the backoff doubles from one second to ten', async (t) => {
  const { queue, clock } = newQueue();
  queue.add(infoOf({ name: 'p' }));
  for (const seconds of [1, 2, 4, 8, 10, 10]) {
    const queued = queue.pop();
    t.ok(queued);
    if (queued === undefined) return;
    queue.addUnschedulable(queued, fit);
    queue.moveOnEvent(gone());
    await clock.advance(seconds * 1000 - 1);
    t.equal(queue.counts.active, 0, `waits ${seconds} s`);
    await clock.advance(1);
    t.equal(queue.counts.active, 1);
  }
});

await t.test('an event after the backoff makes the pod active at once', async (t) => {
  const { queue, clock } = newQueue();
  queue.add(infoOf({ name: 'p' }));
  const queued = queue.pop();
  if (queued !== undefined) queue.addUnschedulable(queued, fit);
  await clock.advance(5000);
  queue.moveOnEvent(gone());
  t.same(popAll(queue), ['p']);
});

await t.test('a pod that no event helps is tried again after five minutes', async (t) => {
  const { queue, clock } = newQueue();
  queue.add(infoOf({ name: 'p' }));
  const queued = queue.pop();
  if (queued !== undefined) queue.addUnschedulable(queued, fit);
  await clock.advance(299_000);
  t.equal(queue.counts.unschedulable, 1);
  await clock.advance(31_000);
  t.same(popAll(queue), ['p']);
});

await t.test('a failed bind comes back after its backoff without any event', async (t) => {
  const { queue, clock } = newQueue();
  queue.add(infoOf({ name: 'p' }));
  const queued = queue.pop();
  if (queued !== undefined) queue.addBackoff(queued);
  await clock.advance(1000);
  t.same(popAll(queue), ['p']);
});

await t.test('scheduling gates hold a pod until the last is gone', async (t) => {
  const { queue, clock } = newQueue();
  queue.add(infoOf({ name: 'p', spec: { schedulingGates: [{ name: 'g' }] } }));
  t.same(queue.counts, { active: 0, backoff: 0, unschedulable: 0, gated: 1 });
  queue.moveOnEvent(gone());
  await clock.advance(400_000);
  t.same(popAll(queue), []);
  queue.update(infoOf({ name: 'p' }));
  t.same(popAll(queue), ['p']);
});

await t.test('a waiting pod that changes is tried again only if that may help', async (t) => {
  const { queue, clock } = newQueue();
  queue.add(infoOf({ name: 'p' }));
  const queued = queue.pop();
  if (queued !== undefined) queue.addUnschedulable(queued, new Set(['TaintToleration']));
  await clock.advance(2000);
  queue.update(infoOf({ name: 'p', labels: { a: 'b' } }));
  t.equal(queue.counts.active, 0);
  queue.update(infoOf({ name: 'p', spec: { tolerations: [{ operator: 'Exists' }] } }));
  t.equal(queue.counts.active, 1);
  queue.delete(infoOf({ name: 'p' }));
  t.same(queue.counts, { active: 0, backoff: 0, unschedulable: 0, gated: 0 });
});

await t.test('a pod that was re-added while it was popped is not queued twice', async (t) => {
  const { queue } = newQueue();
  queue.add(infoOf({ name: 'p' }));
  const queued = queue.pop();
  queue.add(infoOf({ name: 'p', labels: { v: '2' } }));
  if (queued !== undefined) queue.addUnschedulable(queued, fit);
  t.equal(queue.counts.active + queue.counts.unschedulable, 1);
});

await t.test('a pool runs so many tasks at once, lets so many wait, and refuses more', async (t) => {
  let freed = 0;
  const pool = new TaskPool({ concurrency: 2, waitingMax: 1, onFree: () => freed++ });
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const task = (i: number) => async (): Promise<void> => {
    started.push(i);
    await new Promise<void>((resolve) => ends.push(resolve));
  };
  t.same(
    [1, 2, 3, 4].map((i) => pool.run(task(i))),
    [true, true, true, false],
  );
  t.same(started, [1, 2]);
  ends[0]?.();
  await new Promise((resolve) => setImmediate(resolve));
  t.same(started, [1, 2, 3]);
  t.equal(freed, 1);
  t.equal(pool.hasRoom, true);
  pool.run(task(5));
  const disposed = pool[Symbol.asyncDispose]();
  for (const end of ends) end();
  await disposed;
  t.same(started, [1, 2, 3], 'what waited is forgotten');
});
