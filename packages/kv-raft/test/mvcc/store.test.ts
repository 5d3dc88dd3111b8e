import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { LeaseStore } from '../../src/lease/lease-store.ts';
import { CommandEncoder, decodeCommand, type Command } from '../../src/mvcc/command.ts';
import type { Operation, OperationResult, RangeOperation, Refusal } from '../../src/mvcc/operation.ts';
import { executeRange } from '../../src/mvcc/range.ts';
import { checkRequest } from '../../src/mvcc/request.ts';
import { recordPayloads, SnapshotLoader, snapshotPayloads } from '../../src/mvcc/snapshot.ts';
import { MvccStore } from '../../src/mvcc/store.ts';
import { executeTxn } from '../../src/mvcc/txn.ts';
import type { Version } from '../../src/mvcc/version.ts';
import { step, validTxn, type Step } from './arbitraries.ts';
import { ModelStore, type ModelKv } from './model.ts';

function execute(store: MvccStore, operation: Operation): OperationResult | Refusal {
  switch (operation.type) {
    case 'range':
      return executeRange(store, operation);
    case 'put':
      return store.put(operation);
    case 'deleteRange':
      return store.deleteRange(operation);
    case 'txn':
      return executeTxn(store, operation);
    default:
      return operation satisfies never;
  }
}

function kv(version: Version): ModelKv {
  const { key, create, main, version: number, lease, value } = version;
  return { key, value, create, mod: main, version: number, lease };
}

/** A result in the model's words. */
function inModelWords(result: OperationResult | Refusal): unknown {
  switch (result.type) {
    case 'error':
      return { error: result.code };
    case 'range':
      return { revision: result.revision, count: result.count, more: result.more, kvs: result.versions.map(kv) };
    case 'put':
      return { revision: result.revision, previous: result.previous === undefined ? undefined : kv(result.previous) };
    case 'deleteRange':
      return { revision: result.revision, deleted: result.deleted, previous: result.previous.map(kv) };
    case 'txn':
      return { succeeded: result.succeeded, results: result.results.map(inModelWords) };
    default:
      return result satisfies never;
  }
}

const everything: RangeOperation = {
  type: 'range',
  key: '\0',
  end: '\0',
  limit: 0,
  revision: 0,
  sortOrder: 'NONE',
  sortTarget: 'KEY',
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

const blankPut = {
  type: 'put',
  value: Buffer.alloc(0),
  lease: 0n,
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
} as const;

function newStore(): MvccStore {
  return new MvccStore(new LeaseStore());
}

/** Carries `each` out on both and returns what they answered. */
function both(store: MvccStore, model: ModelStore, each: Step): readonly [unknown, unknown] {
  switch (each.type) {
    case 'operation': {
      const actual = inModelWords(execute(store, each.operation));
      store.commit();
      return [actual, model.run(each.operation)];
    }
    case 'compact': {
      const revision = Math.ceil(each.share * model.revision);
      return [store.compact(revision)?.code, model.compact(revision)];
    }
    case 'compactStep':
      while (store.compactStep());
      store.pruneAtCompactRevision();
      return [undefined, undefined];
    case 'grant':
      if (!store.leases.has(each.id)) store.leases.grant(each.id, 10, 1);
      model.leases.add(each.id);
      return [undefined, undefined];
    case 'revoke': {
      const done = store.revokeLease(each.id);
      store.commit();
      return [done, model.revoke(each.id)];
    }
    default:
      return each satisfies never;
  }
}

/** Everything that can be read of both, at all revisions that are not compacted. */
function compareAll(t: Tap, store: MvccStore, model: ModelStore): void {
  t.equal(store.revision, model.revision);
  for (let revision = Math.max(1, model.compacted); revision <= model.revision; revision++) {
    const range = { ...everything, revision };
    t.same(inModelWords(executeRange(store, range)), model.run(range), `at revision ${revision}`);
  }
  const from = Math.max(0, model.compacted);
  t.same(
    Array.from(store.history.from(from), (change) => ({
      type: change.version === 0 ? 'DELETE' : 'PUT',
      key: change.key,
      mod: change.main,
      value: change.value,
    })),
    model.events.filter((event) => event.mod >= from),
    'the history',
  );
  for (const id of model.leases) {
    const keys = [...model.current.values()].filter((each) => each.lease === id).map((each) => each.key);
    t.same([...(store.leases.get(id)?.keys ?? [])].sort(), keys.sort(), `keys of lease ${id}`);
  }
}

type Tap = typeof t;

/** Throws at the first difference, for fast-check to shrink. */
const strict = {
  equal(actual: unknown, expected: unknown, name?: string): void {
    if (actual !== expected) throw new Error(`${name}: ${String(actual)} is not ${String(expected)}`);
  },
  same(actual: unknown, expected: unknown, name?: string): void {
    if (isDeepStrictEqual(actual, expected)) return;
    throw new Error(`${name}:\n${inspect(actual, { depth: 9 })}\nis not\n${inspect(expected, { depth: 9 })}`);
  },
} as unknown as Tap;

function payloads(store: MvccStore): Buffer[] {
  const { revision, compactRevision } = store;
  const leases = Array.from(store.leases.values(), ({ id, ttl, renewedIndex }) => ({ id, ttl, renewedIndex }));
  return [...snapshotPayloads(store, { appliedIndex: 5, revision, compactRevision, leases, alarms: [] })];
}

await t.test('a store answers as the model does, at every revision, after any operations', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const store = newStore();
      const model = new ModelStore();
      for (const each of steps) {
        const [actual, expected] = both(store, model, each);
        strict.same(actual, expected, each.type);
      }
      compareAll(strict, store, model);
    }),
    { numRuns: 300 },
  );
  t.pass('no counterexample');
});

await t.test('a snapshot restores the whole store, whatever was compacted and however far', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const store = newStore();
      const model = new ModelStore();
      for (const each of steps) both(store, model, each);
      const loader = new SnapshotLoader();
      const before = payloads(store);
      for (const payload of before) loader.add(Buffer.from(payload));
      const restored = loader.finish().store;
      compareAll(strict, restored, model);
      while (store.compactStep());
      store.pruneAtCompactRevision();
      strict.same(Buffer.concat(payloads(store)).toString('hex'), Buffer.concat(before).toString('hex'), 'compacted');
      strict.same(Buffer.concat(payloads(restored)).toString('hex'), Buffer.concat(before).toString('hex'), 'restored');
    }),
    { numRuns: 200 },
  );
  t.pass('no counterexample');
});

await t.test('a snapshot is of the revision at which it was begun, though the store changes meanwhile', async (t) => {
  const store = newStore();
  const put = (key: string, value: string): void => {
    store.put({ ...blankPut, key, value: Buffer.from(value) });
    store.commit();
  };
  for (let i = 0; i < 5000; i++) put(`key/${i % 2500}`, `${i}`);
  store.compact(3000);
  const { revision, compactRevision } = store;
  const header = { appliedIndex: 1, revision, compactRevision, leases: [], alarms: [] };
  const expected = payloads(store).map((each) => each.toString('hex'));
  const unpin = store.pin();
  const actual: Buffer[] = [];
  for (const payload of snapshotPayloads(store, { ...header, appliedIndex: 5 })) {
    actual.push(payload);
    for (let i = 0; i < 500; i++) put(`key/${i}/new`, 'later');
    store.deleteRange({ type: 'deleteRange', key: 'key/1', end: 'key/2', prevKv: false });
    store.commit();
    t.equal(store.compactStep(), false, 'a pinned store is not compacted');
  }
  unpin();
  t.ok(actual.length > 3);
  t.equal(store.compactStep(), true);
  t.same(hashOf(actual), hashOf(expected.map((each) => Buffer.from(each, 'hex'))));
});

/** Records in whatever payloads: how they are cut depends on the keys there are. */
function hashOf(chunks: readonly Buffer[]): string {
  const loader = new SnapshotLoader();
  for (const chunk of chunks) loader.add(chunk);
  const { store } = loader.finish();
  return Buffer.concat([...recordPayloads(store, store)]).toString('hex');
}

await t.test('compaction gives the space back in short steps', async (t) => {
  const store = newStore();
  for (let i = 0; i < 20_000; i++) {
    store.put({ ...blankPut, key: `key/${i % 10}`, value: Buffer.from('x'.repeat(100)) });
    store.commit();
  }
  const before = store.sizeBytes;
  t.equal(store.compact(store.revision), undefined);
  let steps = 0;
  while (store.compactStep()) steps++;
  store.pruneAtCompactRevision();
  t.ok(steps >= 10, `${steps} steps`);
  t.ok(store.sizeBytes < before / 1000, `${store.sizeBytes} of ${before}`);
  t.equal(store.history.length, 1, 'the change at the compacted revision can still be watched');
  t.equal(store.compact(store.revision)?.code, 'compacted');
});

await t.test('commands survive their encoding', async (t) => {
  const encoder = new CommandEncoder();
  const roundTrip = (command: Command): void => {
    t.same(decodeCommand(encoder.encode(command)), command);
  };
  roundTrip({ type: 'compaction', revision: Number.MAX_SAFE_INTEGER });
  roundTrip({ type: 'compaction', revision: -1 });
  roundTrip({ type: 'leaseGrant', id: 2n ** 63n - 1n, ttl: 9_000_000_000 });
  roundTrip({ type: 'leaseRevoke', id: -1n });
  roundTrip({ type: 'leaseKeepAlive', id: 1n });
  roundTrip({ type: 'leaseExpire', id: -1n, renewedIndex: Number.MAX_SAFE_INTEGER });
  roundTrip({ type: 'alarm', activate: true, memberId: 2n ** 64n - 1n, alarm: 'NOSPACE' });
  roundTrip({ type: 'alarm', activate: false, memberId: 0n, alarm: 'CORRUPT' });
  fc.assert(
    fc.property(validTxn, (txn) => {
      strict.same(decodeCommand(encoder.encode(txn)), txn, 'txn');
    }),
    { numRuns: 300 },
  );
});

await t.test('a command that cannot be encoded leaves nothing behind in the next one', async (t) => {
  const encoder = new CommandEncoder();
  t.throws(() => encoder.encode({ type: 'leaseRevoke', id: 2n ** 64n }), RangeError);
  t.same(decodeCommand(encoder.encode({ type: 'leaseRevoke', id: 3n })), { type: 'leaseRevoke', id: 3n });
});

await t.test('bytes that are no command are refused, and never taken for one in part', async (t) => {
  const encoder = new CommandEncoder();
  const whole = encoder.encode({
    type: 'txn',
    compare: [{ key: 'a', end: '', result: 'EQUAL', target: 'VALUE', operand: Buffer.from('x') }],
    success: [{ ...blankPut, key: 'a', lease: 5n }],
    failure: [everything],
  });
  for (let length = 0; length < whole.length; length++)
    t.throws(() => decodeCommand(whole.subarray(0, length)), RangeError, `${length} bytes`);
  t.throws(() => decodeCommand(Buffer.concat([whole, Buffer.from([0])])), RangeError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
      try {
        decodeCommand(noise);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }),
  );
});

await t.test('a damaged or cut snapshot is refused', async (t) => {
  const store = newStore();
  store.put({ ...blankPut, key: 'a' });
  store.commit();
  const good = payloads(store);
  t.equal(good.length, 3);
  const load = (chunks: readonly Buffer[]): void => {
    const loader = new SnapshotLoader();
    for (const chunk of chunks) loader.add(chunk);
    loader.finish();
  };
  load(good);
  t.throws(() => load(good.slice(0, 2)), RangeError);
  t.throws(() => load(good.slice(1)), RangeError);
  t.throws(() => load([good[0] as Buffer, good[2] as Buffer]), { message: 'snapshot: keys are missing' });
  t.throws(() => load([...good, good[1] as Buffer]), RangeError);
});

await t.test('requests are checked as etcd checks them', async (t) => {
  const put = (key: string): Operation => ({ ...blankPut, key });
  const remove = (key: string, end = ''): Operation => ({ type: 'deleteRange', key, end, prevKv: false });
  const txn = (success: Operation[], failure: Operation[] = []): Operation => ({
    type: 'txn',
    compare: [],
    success,
    failure,
  });
  const code = (operation: Operation): string | undefined => checkRequest(operation, { txnOpsMax: 3 });
  t.equal(code(put('')), 'emptyKey');
  t.equal(code(remove('')), 'emptyKey');
  t.equal(code(txn([put('a'), put('b'), put('c'), put('d')])), 'tooManyOps');
  t.equal(code(txn([txn([put('a'), put('b'), put('c')])])), 'tooManyOps', 'nested operations count');
  t.equal(code(txn([put('a')], [put('a')])), undefined, 'only one branch runs');
  t.equal(code(txn([put('a'), txn([], [put('a')])])), 'duplicateKey');
  t.equal(code(txn([txn([remove('a', 'c')]), put('b')])), 'duplicateKey');
  t.equal(code(txn([txn([put('b')]), remove('a', 'c')])), 'duplicateKey');
  t.equal(code(txn([remove('a', 'c'), remove('b')])), undefined);
});
