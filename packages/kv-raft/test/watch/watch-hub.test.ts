import fc from 'fast-check';
import t from 'tap';
import { LeaseStore } from '../../src/lease/lease-store.ts';
import { contains, type KeyRange } from '../../src/mvcc/operation.ts';
import { SnapshotLoader, snapshotPayloads } from '../../src/mvcc/snapshot.ts';
import { MvccStore } from '../../src/mvcc/store.ts';
import { executeTxn } from '../../src/mvcc/txn.ts';
import type { Version } from '../../src/mvcc/version.ts';
import { RangeIndex } from '../../src/watch/range-index.ts';
import {
  WatchHub,
  type EventBatch,
  type WatchOptions,
  type WatchSink,
  type WatchStreamState,
} from '../../src/watch/watch-hub.ts';
import { keyRange, validTxn } from '../mvcc/arbitraries.ts';

interface Received {
  readonly change: Version;
  readonly previous: Version | undefined;
}

interface Told {
  readonly options: WatchOptions;
  /** First revision that it must be told. */
  readonly from: number;
  readonly events: Received[];
  /** Everything up to it must have been told. */
  toldUpTo: number;
  /** Changes of the history that were looked at, and events that were found right. */
  looked: number;
  checked: number;
  compactedAt: number | undefined;
  canceled: boolean;
}

/** A client: notes what it is told and checks that nothing is told twice, out of order or in parts. */
class Client implements WatchSink {
  writable = true;
  readonly watches = new Map<number, Told>();
  readonly history: readonly Version[];
  stream: WatchStreamState | undefined;
  progressAnswers = 0;

  constructor(history: readonly Version[]) {
    this.history = history;
  }

  events(watchId: number, batch: EventBatch): void {
    const told = this.watch(watchId);
    if (!this.writable) throw new Error('events to a client that does not read');
    if (batch.events.length === 0) throw new Error('an empty batch');
    const first = batch.events[0]?.change.main ?? 0;
    const before = told.events.at(-1)?.change.main ?? 0;
    if (first <= before) throw new Error(`revision ${first} after ${before}`);
    if (first <= told.toldUpTo)
      throw new Error(`revision ${first} after it was told that all up to ${told.toldUpTo} is sent`);
    told.events.push(...batch.events);
    this.checkUpTo(told, batch.revision);
  }

  compacted(watchId: number, compactRevision: number): void {
    const told = this.watch(watchId);
    told.compactedAt = compactRevision;
    told.canceled = true;
  }

  progress(watchId: number, revision: number): void {
    if (watchId === -1) this.progressAnswers++;
    for (const [id, told] of this.watches)
      if ((id === watchId || watchId === -1) && !told.canceled) this.checkUpTo(told, revision);
  }

  /** All that `told` wants up to `revision` must be there, and nothing else. */
  checkUpTo(told: Told, revision: number): void {
    told.toldUpTo = Math.max(told.toldUpTo, revision);
    for (let change = this.history[told.looked]; change !== undefined; change = this.history[told.looked]) {
      if (change.main > revision) break;
      told.looked++;
      if (!wants(told, change)) continue;
      const got = told.events[told.checked++]?.change;
      if (got === undefined || got.main !== change.main || got.sub !== change.sub)
        throw new Error(`wanted ${change.main}/${change.sub}, got ${got?.main}/${got?.sub}`);
    }
    if (told.checked !== told.events.length) throw new Error(`told more than there is up to ${revision}`);
  }

  watch(watchId: number): Told {
    const told = this.watches.get(watchId);
    if (told === undefined || told.canceled) throw new Error(`told of watch ${watchId}, which is not`);
    return told;
  }
}

function wants(told: Told, change: Version): boolean {
  return (
    change.main >= told.from &&
    contains(told.options.range, change.key) &&
    !told.options.filters.includes(change.version === 0 ? 'NODELETE' : 'NOPUT')
  );
}

/** A store and its hub, driven step by step. */
class World {
  store = new MvccStore(new LeaseStore());
  readonly history: Version[] = [];
  readonly clients: Client[] = [];
  readonly queue: (() => void)[] = [];
  readonly hub = new WatchHub(this.store, (step) => this.queue.push(step));

  run(each: Action): void {
    const client = this.clients[each.client % Math.max(1, this.clients.length)];
    switch (each.type) {
      case 'write':
        this.write(each.txns);
        break;
      case 'open':
        this.open();
        break;
      case 'create':
        if (client !== undefined) this.create(client, each.options);
        break;
      case 'cancel':
        if (client !== undefined) this.cancel(client, each.watch);
        break;
      case 'toggle':
        if (client !== undefined) this.setWritable(client, !client.writable);
        break;
      case 'progress':
        if (client?.stream !== undefined) this.hub.requestProgress(client.stream);
        break;
      case 'notify':
        this.hub.notifyProgress();
        break;
      case 'turn':
        this.queue.shift()?.();
        break;
      case 'compact':
        this.store.compact(Math.ceil(each.share * this.store.revision));
        while (this.store.compactStep());
        break;
      case 'restore':
        this.restore();
        break;
      default:
        each satisfies never;
    }
  }

  write(txns: Extract<Action, { type: 'write' }>['txns']): void {
    const changes: Version[] = [];
    for (const txn of txns) {
      executeTxn(this.store, txn);
      changes.push(...this.store.commit());
    }
    this.history.push(...changes);
    if (changes.length > 0) this.hub.changed(changes);
  }

  open(): Client {
    const client = new Client(this.history);
    client.stream = this.hub.open(client);
    this.clients.push(client);
    return client;
  }

  create(client: Client, options: WatchOptions): number | undefined {
    if (client.stream === undefined) return undefined;
    const from = options.startRevision === 0 ? this.store.revision + 1 : options.startRevision;
    const id = this.hub.create(client.stream, 0, options);
    if (id !== undefined)
      client.watches.set(id, {
        options,
        from,
        events: [],
        toldUpTo: 0,
        looked: 0,
        checked: 0,
        compactedAt: undefined,
        canceled: false,
      });
    return id;
  }

  cancel(client: Client, choice: number): void {
    const ids = [...client.watches.keys()];
    const id = ids[choice % Math.max(1, ids.length)];
    const told = id === undefined ? undefined : client.watches.get(id);
    if (id === undefined || told === undefined || client.stream === undefined) return;
    const known = this.hub.cancel(client.stream, id);
    if (known === told.canceled) throw new Error('canceled twice, or not at all');
    told.canceled = true;
  }

  setWritable(client: Client, writable: boolean): void {
    client.writable = writable;
    if (writable && client.stream !== undefined) this.hub.drained(client.stream);
  }

  /** Replaces the store by a snapshot of `from`. */
  restore(from = this.store): void {
    const { revision, compactRevision } = from;
    const loader = new SnapshotLoader();
    const header = { appliedIndex: 1, revision, compactRevision, leases: [], alarms: [] };
    for (const payload of snapshotPayloads(from, header)) loader.add(payload);
    this.history.push(...from.history.from(this.store.revision + 1));
    this.store = loader.finish().store;
    this.hub.restored(this.store);
  }

  /** Lets everyone read until nothing is left to do; then everyone must have been told everything. */
  settle(): void {
    for (const client of this.clients) this.setWritable(client, true);
    for (let turns = 0; this.queue.length > 0; turns++) {
      if (turns > 100_000) throw new Error('never settles');
      this.queue.shift()?.();
    }
    for (const client of this.clients)
      for (const told of client.watches.values()) {
        if (!told.canceled) client.checkUpTo(told, this.store.revision);
        if (told.compactedAt !== undefined && told.compactedAt <= Math.max(told.from, told.toldUpTo + 1))
          throw new Error('told of a compaction that did not concern it');
      }
    if (this.hub.laggingCount > 0) throw new Error('someone lags for ever');
  }
}

const options: fc.Arbitrary<WatchOptions> = fc.record({
  range: keyRange,
  startRevision: fc.oneof(fc.constant(0), fc.nat({ max: 30 })),
  filters: fc.constantFrom([], [], ['NOPUT' as const], ['NODELETE' as const]),
  prevKv: fc.boolean(),
  progressNotify: fc.boolean(),
});

const client = fc.nat({ max: 5 });
const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('write'),
      client,
      txns: fc.array(validTxn, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('open'), client }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant('create'), client, options }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('cancel'), client, watch: fc.nat({ max: 5 }) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('toggle'), client }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('progress'), client }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('notify'), client }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constantFrom('turn'), client }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('compact'), client, share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('restore'), client }) },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

await t.test('every watcher is told all it wants, in order, once, revisions whole, however it lags', async (t) => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const world = new World();
      world.open();
      for (const each of actions) world.run(each);
      world.settle();
    }),
    { numRuns: 500 },
  );
  t.pass('no counterexample');
});

function everythingFrom(startRevision: number, more: Partial<WatchOptions> = {}): WatchOptions {
  return {
    range: { key: '\0', end: '\0' },
    startRevision,
    filters: [],
    prevKv: false,
    progressNotify: false,
    ...more,
  };
}

function put(world: World, key: string, value = 'x'): void {
  const operation = {
    type: 'put',
    key,
    value: Buffer.from(value),
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  } as const;
  world.write([{ type: 'txn', compare: [], success: [operation], failure: [] }]);
}

await t.test('a slow client is caught up in bounded steps and holds up no one', async (t) => {
  const world = new World();
  const slow = world.open();
  const fast = world.open();
  world.create(slow, everythingFrom(0));
  world.create(fast, everythingFrom(0));
  world.setWritable(slow, false);
  for (let i = 0; i < 10_000; i++) put(world, `key/${i}`);
  t.equal(fast.watches.get(0)?.events.length, 10_000);
  t.equal(slow.watches.get(0)?.events.length, 0);
  t.equal(world.hub.laggingCount, 1);
  slow.writable = true;
  world.hub.drained(slow.stream as WatchStreamState);
  world.queue.shift()?.();
  const afterOne = slow.watches.get(0)?.events.length ?? 0;
  t.ok(afterOne > 0 && afterOne < 10_000, `${afterOne} after one step`);
  world.hub.requestProgress(slow.stream as WatchStreamState);
  t.equal(slow.progressAnswers, 0, 'progress is not told before the events');
  world.settle();
  t.equal(slow.progressAnswers, 1);
  t.equal(slow.watches.get(0)?.events.length, 10_000);
  t.equal(world.hub.laggingCount, 0);
});

await t.test('a client so slow that its place is compacted is told the compact revision', async (t) => {
  const world = new World();
  const slow = world.open();
  world.create(slow, everythingFrom(0));
  put(world, 'a');
  world.setWritable(slow, false);
  for (let i = 0; i < 10; i++) put(world, 'a');
  t.equal(world.store.compact(8), undefined);
  world.settle();
  t.match(slow.watches.get(0), { compactedAt: 8, canceled: true });
  t.equal(slow.watches.get(0)?.events.length, 1);
});

await t.test('a snapshot whose history begins where a quiet watcher is does not cancel it', async (t) => {
  const world = new World();
  const quiet = world.open();
  world.create(quiet, { ...everythingFrom(0), range: { key: 'quiet', end: '' } });
  for (let i = 0; i < 10; i++) put(world, 'a');
  const leader = new World();
  for (let i = 0; i < 11; i++) put(leader, 'a');
  put(leader, 'quiet');
  t.equal(leader.store.compact(11), undefined);
  world.restore(leader.store);
  world.settle();
  t.match(quiet.watches.get(0), { compactedAt: undefined, canceled: false });
  t.same(
    quiet.watches.get(0)?.events.map(({ change }) => change.main),
    [13],
  );
});

await t.test('previous values come with events, unless they are compacted', async (t) => {
  const world = new World();
  const client = world.open();
  world.create(client, everythingFrom(0, { prevKv: true }));
  for (const value of ['1', '2', '3', '4']) put(world, 'a', value);
  world.store.compact(4);
  world.create(client, everythingFrom(4, { prevKv: true }));
  world.settle();
  const previous = (id: number): (string | undefined)[] | undefined =>
    client.watches.get(id)?.events.map((event) => event.previous?.value.toString());
  t.same(previous(0), [undefined, '1', '2', '3']);
  t.same(previous(1), [undefined, '3'], 'from revision 4 on, the compacted one');
});

await t.test('progress notifications go to quiet watchers that asked for them only', async (t) => {
  const world = new World();
  const told: number[] = [];
  const sink: WatchSink = {
    writable: true,
    events: () => {},
    compacted: () => {},
    progress: (watchId) => told.push(watchId),
  };
  const stream = world.hub.open(sink);
  world.hub.create(stream, 5, everythingFrom(0, { progressNotify: true }));
  world.hub.create(stream, 6, everythingFrom(0));
  world.hub.create(stream, 7, { ...everythingFrom(0), range: { key: 'quiet', end: '' }, progressNotify: true });
  put(world, 'a');
  world.hub.notifyProgress();
  t.same(told, [7]);
  world.hub.notifyProgress();
  t.same(told, [7, 5, 7]);
});

await t.test('events are made once for all watchers of a range', async (t) => {
  const world = new World();
  const batches = new Set<EventBatch>();
  for (let i = 0; i < 1000; i++) {
    const stream = world.hub.open({
      writable: true,
      events: (_watchId, batch) => batches.add(batch),
      compacted: () => {},
      progress: () => {},
    });
    world.hub.create(stream, 0, everythingFrom(0));
  }
  t.equal(world.hub.watcherCount, 1000);
  put(world, 'a');
  t.equal(batches.size, 1);
});

await t.test('the range index finds what a linear search finds', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 3 });
  const anyRange: fc.Arbitrary<KeyRange> = fc.record({ key: text, end: fc.oneof(text, fc.constant('\0')) });
  fc.assert(
    fc.property(fc.array(anyRange, { maxLength: 40 }), fc.array(text), fc.nat(), (ranges, keys, seed) => {
      const index = new RangeIndex<string>();
      const left = new Map<string, KeyRange>();
      for (const [i, range] of ranges.entries()) {
        const name = `${range.key}|${range.end}`;
        index.set(range, name);
        left.set(name, range);
        if ((seed + i) % 3 === 0) {
          index.delete(range);
          left.delete(name);
        }
        for (const key of keys) {
          const found: string[] = [];
          index.match(key, (value) => found.push(value));
          const wanted = [...left].filter(([, each]) => contains(each, key)).map(([each]) => each);
          if (found.sort().join() !== wanted.sort().join())
            throw new Error(`${key}: ${found.join()}, not ${wanted.join()}`);
        }
      }
    }),
    { numRuns: 300 },
  );
  t.pass('no counterexample');
});
