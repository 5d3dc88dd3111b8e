import t from 'tap';
import { newModifiedConflict } from '@naru/api';
import { silentLogger } from '@naru/component';
import { VirtualClock } from '@naru/testkit';
import { Controller, WorkQueue } from '@naru/client';

await t.test('WorkQueue', async (t) => {
  await t.test('holds a key once, in the order of the first add', async (t) => {
    const queue = new WorkQueue<string>({ clock: new VirtualClock() });
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    t.equal(queue.length, 3);
    t.same([await queue.get(), await queue.get(), await queue.get()], ['a', 'b', 'c']);
  });

  await t.test('never gives out a key twice at a time, and again when it was added meanwhile', async (t) => {
    const queue = new WorkQueue<string>({ clock: new VirtualClock() });
    queue.add('a');
    t.equal(await queue.get(), 'a');
    queue.add('a');
    queue.add('a');
    t.equal(queue.length, 0);
    queue.done('a');
    t.equal(queue.length, 1);
    t.equal(await queue.get(), 'a');
    queue.done('a');
    t.equal(queue.length, 0);
  });

  await t.test('hands a key to whoever waits longest', async (t) => {
    const queue = new WorkQueue<string>({ clock: new VirtualClock() });
    const first = queue.get();
    const second = queue.get();
    queue.add('a');
    queue.add('a');
    queue.add('b');
    t.same(await Promise.all([first, second]), ['a', 'b']);
    queue.done('a');
    t.equal(await queue.get(), 'a', 'added while worked on');
  });

  await t.test('adds after a delay, of several the shortest', async (t) => {
    const clock = new VirtualClock();
    const queue = new WorkQueue<string>({ clock });
    queue.addAfter('a', 100);
    queue.addAfter('a', 200);
    queue.addAfter('a', 50);
    await clock.advance(49);
    t.equal(queue.length, 0);
    await clock.advance(1);
    t.equal(queue.length, 1);
    t.equal(clock.pending, 0);
    queue.addAfter('b', 0);
    t.equal(queue.length, 2);
  });

  await t.test('delays a failing key longer each time, until it is forgotten', async (t) => {
    const clock = new VirtualClock();
    const queue = new WorkQueue<string>({ clock, maxDelayMs: 15 });
    for (const delayMs of [5, 10, 15, 15]) {
      queue.addRateLimited('a');
      await clock.advance(delayMs - 1);
      t.equal(queue.length, 0);
      await clock.advance(1);
      queue.done((await queue.get()) ?? '');
    }
    t.equal(queue.numRequeues('a'), 4);
    queue.forget('a');
    queue.addRateLimited('a');
    await clock.advance(5);
    t.equal(queue.length, 1);
  });

  await t.test('lets nothing in or out once it is shut down', async (t) => {
    const clock = new VirtualClock();
    const queue = new WorkQueue<string>({ clock });
    const waiting = queue.get();
    queue.addAfter('later', 10);
    queue.shutDown();
    t.equal(await waiting, undefined);
    t.equal(clock.pending, 0);
    queue.add('a');
    t.equal(await queue.get(), undefined);
    t.ok(queue.isShutDown);
  });
});

await t.test('Controller', async (t) => {
  const clock = new VirtualClock();
  const calls: string[] = [];
  const gates = new Map<string, PromiseWithResolvers<void>>();
  let failures = 0;
  await using controller = new Controller({
    name: 'test',
    workers: 2,
    clock,
    logger: silentLogger(),
    async reconcile(key) {
      calls.push(key);
      await gates.get(key)?.promise;
      if (key === 'fails' && failures++ < 2) throw newModifiedConflict({ group: '', resource: 'pods' }, key);
      return key === 'again' && calls.length < 10 ? { requeueAfterMs: 1000 } : undefined;
    },
  });
  const stop = new AbortController();
  controller.start(stop.signal);

  await t.test('works on as many keys at a time as it has workers', async (t) => {
    for (const key of ['a', 'b', 'c']) {
      gates.set(key, Promise.withResolvers());
      controller.queue.add(key);
    }
    await clock.settle();
    t.same(calls, ['a', 'b']);
    gates.get('b')?.resolve();
    await clock.settle();
    t.same(calls.splice(0), ['a', 'b', 'c']);
    for (const gate of gates.values()) gate.resolve();
    gates.clear();
    await clock.settle();
  });

  await t.test('tries a failing key again with backoff, and forgets that when it succeeds', async (t) => {
    controller.queue.add('fails');
    await clock.settle();
    t.equal(calls.length, 1);
    await clock.advance(5);
    t.equal(calls.length, 2);
    await clock.advance(9);
    t.equal(calls.length, 2);
    await clock.advance(1);
    t.same(calls.splice(0), ['fails', 'fails', 'fails']);
    t.equal(controller.queue.numRequeues('fails'), 0);
  });

  await t.test('comes back when reconcile asks for it', async (t) => {
    controller.queue.add('again');
    await clock.advance(999);
    t.equal(calls.length, 1);
    await clock.advance(1);
    t.equal(calls.length, 2);
    calls.length = 0;
  });

  await t.test('on disposal, waits for what is under way and starts nothing more', async (t) => {
    gates.set('slow', Promise.withResolvers());
    controller.queue.add('slow');
    await clock.settle();
    let disposed = false;
    const disposing = controller[Symbol.asyncDispose]().then(() => {
      disposed = true;
    });
    controller.queue.add('late');
    await clock.settle();
    t.notOk(disposed);
    gates.get('slow')?.resolve();
    await disposing;
    t.same(calls, ['slow']);
  });
});
