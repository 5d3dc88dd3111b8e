import t from 'tap';
import {
  changedStore,
  checkLinearizability,
  checkRevisionOrder,
  KvModel,
  partitionByKey,
  type CheckResult,
  type KvInput,
  type KvOp,
  type KvOperation,
  type KvOutput,
  type Model,
  type Operation,
} from '@naru/testkit';
import { simulate, Store, type SimulationOptions } from './kv-simulator.ts';

const STEPS_MAX = 100_000;

/** By opaque revisions, key by key. */
function byKey(history: readonly KvOperation[], stepsMax = STEPS_MAX): CheckResult<KvInput, KvOutput> {
  const model = new KvModel({ revisions: 'opaque' });
  return checkLinearizability(model, partitionByKey(history), { stepsMax });
}

/** As a whole, with revisions. */
function whole(
  history: readonly KvOperation[],
  answers = history,
  stepsMax = STEPS_MAX,
): CheckResult<KvInput, KvOutput> {
  const answeredRevisions = new Set(
    answers.flatMap(({ input, output }) =>
      output !== undefined && changedStore(input, output) === true ? [output.revision] : [],
    ),
  );
  const model = new KvModel({ revisions: 'checked', answeredRevisions });
  return checkLinearizability(model, new Map([['all', history]]), { stepsMax });
}

await t.test('histories of a store that does one request at a time are linearizable', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { history, store } = simulate({ seed, operations: 300, lost: seed % 2 === 0 ? 0 : 0.05 });
    t.equal(byKey(history).verdict, 'linearizable', `by key, seed ${seed}`);
    t.equal(whole(history).verdict, 'linearizable', `as a whole, seed ${seed}`);
    const { problems, resolved } = checkRevisionOrder(history, store.log);
    t.same(problems, [], `by revision, seed ${seed}`);
    t.equal(whole(resolved).verdict, 'linearizable', `with the fates from the log, seed ${seed}`);
    t.equal(byKey(resolved).verdict, 'linearizable');
  }
});

/** Answers a request as it was when `age` changes before had not been done. */
type Sabotage = NonNullable<SimulationOptions['sabotage']>;

const only = (at: number, deed: (store: Store, input: KvInput) => KvOutput | undefined): Sabotage => {
  let done = false;
  return (store, input, n) => {
    if (done || n < at) return undefined;
    const output = deed(store, input);
    done = output !== undefined;
    return output;
  };
};

const single = (input: KvInput, type: KvOp['type']): KvOp | undefined => {
  if (input.type !== 'txn' || input.compare.length > 0 || input.success.length !== 1) return undefined;
  const [op] = input.success;
  return op?.type === type && op.key.startsWith('k') ? op : undefined;
};

/** Each makes one wrong step in a history of a right store; `n` is some operation in its middle. */
const violations: Readonly<Record<string, (n: number) => Sabotage>> = {
  'a stale read': (n) =>
    only(n, (store, input) => {
      const op = single(input, 'range');
      const now = op === undefined ? undefined : store.keys.get(op.key);
      // Of long ago: all that were concurrent with the change have ended.
      if (op === undefined || op.type !== 'range' || op.rangeEnd !== undefined) return undefined;
      const old = store.log.get(op.key, store.revision - 40);
      if (old === undefined || now === undefined || old.modRevision === now.modRevision) return undefined;
      return { revision: store.revision, succeeded: true, results: [{ type: 'range', kvs: [old], count: 1 }] };
    }),
  'a write that is answered and not done': (n) =>
    only(n, (store, input) =>
      single(input, 'put') === undefined
        ? undefined
        : { revision: store.revision + 1, succeeded: true, results: [{ type: 'put' }] },
    ),
  'a write that is done twice': (n) =>
    only(n, (store, input) => {
      if (single(input, 'put') === undefined) return undefined;
      store.apply(input);
      return store.apply(input);
    }),
  'a comparison that should have failed': (n) =>
    only(n, (store, input) => {
      if (input.type !== 'txn' || input.compare.length === 0) return undefined;
      const [compare] = input.compare;
      if ((store.keys.get(compare?.key ?? '')?.modRevision ?? 0) === compare?.modRevision) return undefined;
      return store.apply({ ...input, compare: [] });
    }),
  'a read of the future': (n) =>
    only(n, (store, input) => {
      const op = single(input, 'range');
      if (op === undefined || op.type !== 'range' || op.rangeEnd !== undefined) return undefined;
      const kv = { key: op.key, value: `v${n + 60}`, createRevision: 1, modRevision: 1, version: 1, lease: '' };
      return { revision: store.revision, succeeded: true, results: [{ type: 'range', kvs: [kv], count: 1 }] };
    }),
  'a lost delete': (n) =>
    only(n, (store, input) => {
      const op = single(input, 'deleteRange');
      if (op === undefined || !store.keys.has(op.key)) return undefined;
      return { revision: store.revision + 1, succeeded: true, results: [{ type: 'deleteRange', deleted: 1 }] };
    }),
  'a list that lacks a key': (n) =>
    only(n, (store, input) => {
      const op = single(input, 'range');
      if (op === undefined || op.type !== 'range' || op.rangeEnd === undefined || op.limit !== undefined)
        return undefined;
      const output = store.apply(input);
      const [result] = output.results;
      if (result?.type !== 'range' || result.kvs.length < 3) return undefined;
      return { ...output, results: [{ type: 'range', kvs: result.kvs.slice(1), count: result.kvs.length - 1 }] };
    }),
  'half a txn': (n) =>
    only(n, (store, input) => {
      if (input.type !== 'txn' || input.success.length !== 2 || input.success[0]?.type !== 'put') return undefined;
      const output = store.apply({ ...input, success: input.success.slice(1) });
      return { ...output, results: [{ type: 'put' }, { type: 'put' }] };
    }),
};

for (const [name, sabotage] of Object.entries(violations))
  await t.test(`${name} is found`, async (t) => {
    const found = { byKey: 0, whole: 0, byRevision: 0, undecided: 0 };
    let seeds = 0;
    for (let seed = 1; seed <= 12; seed++) {
      let sabotaged = false;
      const deed = sabotage(200);
      const { history, store } = simulate({
        seed,
        operations: 400,
        keys: 4,
        lost: seed % 3 === 0 ? 0.03 : 0,
        sabotage: (...args) => {
          const output = deed(...args);
          sabotaged ||= output !== undefined;
          return output;
        },
      });
      if (!sabotaged) continue;
      seeds++;
      const results = { byKey: byKey(history), whole: whole(history) };
      for (const result of Object.values(results)) if (result.verdict === 'undecided') found.undecided++;
      if (results.byKey.verdict === 'violation') found.byKey++;
      if (results.whole.verdict === 'violation') {
        found.whole++;
        const prefix = results.whole.counterexample?.operations ?? [];
        t.ok(prefix.length < history.length, 'the counterexample is a part');
        t.equal(whole(prefix, history).verdict, 'violation', 'that fails by itself');
      }
      if (checkRevisionOrder(history, store.log).problems.length > 0) found.byRevision++;
    }
    t.comment(JSON.stringify(found));
    t.ok(seeds > 8, `${seeds} histories`);
    t.equal(found.byRevision, seeds, 'by revision');
    if (name === 'half a txn') t.ok(found.whole > seeds / 2, 'where it was read');
    else t.equal(found.whole, seeds, 'by the whole history with revisions');
    // Nobody may have read the key before it was written again: then only revisions can tell.
    t.ok(found.byKey > seeds / 3, `by key without revisions: ${found.byKey} of ${seeds}`);
    t.ok(found.undecided < seeds / 6, `${found.undecided} undecided`);
  });

await t.test('a lease that expires before its time is found', async (t) => {
  const store = new Store();
  let time = 0;
  const done = (input: KvInput): KvOperation => {
    const output = store.apply(input);
    return { client: 'c', input, output, call: ++time, return: ++time };
  };
  const txn = (op: KvOp): KvInput => ({ type: 'txn', compare: [], success: [op], failure: [] });
  const get = txn({ type: 'range', key: 'k' });
  const history = [
    done({ type: 'leaseGrant', lease: '1' }),
    done(txn({ type: 'put', key: 'k', value: 'v', lease: '1' })),
    done(get),
  ];
  store.apply({ type: 'leaseRevoke', lease: '1' });
  history.push(done(get));
  const expireAt = (call: number): KvOperation[] => [
    ...history,
    { client: 'store', input: { type: 'leaseExpire', lease: '1' }, output: undefined, call, return: Infinity },
  ];
  for (const [call, verdict] of [
    [time - 1, 'linearizable'],
    [time + 1, 'violation'],
  ] as const) {
    t.equal(byKey(expireAt(call)).verdict, verdict, `at ${call}, by key`);
    t.equal(whole(expireAt(call)).verdict, verdict, `at ${call}, as a whole`);
    const { problems } = checkRevisionOrder(expireAt(call), store.log);
    t.equal(problems.length > 0, verdict === 'violation', `at ${call}, by revision: ${problems.join()}`);
  }
});

await t.test('a register and its classic histories', async (t) => {
  type Input = { readonly write: number } | 'read';
  const register: Model<number, Input, number> = {
    initial: 0,
    step: (state, input, output) =>
      input === 'read' ? (output === undefined || output === state ? state : undefined) : input.write,
    key: String,
  };
  const verdict = (...operations: readonly Operation<Input, number>[]): string =>
    checkLinearizability(register, new Map([['r', operations]])).verdict;
  const write = (value: number, call: number, end: number): Operation<Input, number> => ({
    client: 'w',
    input: { write: value },
    output: end === Infinity ? undefined : 0,
    call,
    return: end,
  });
  const read = (value: number, call: number, end: number): Operation<Input, number> => ({
    client: 'r',
    input: 'read',
    output: value,
    call,
    return: end,
  });
  t.equal(verdict(), 'linearizable');
  t.equal(verdict(write(1, 0, 10), read(0, 1, 2), read(1, 3, 4)), 'linearizable');
  t.equal(verdict(write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)), 'violation', 'new, then old');
  t.equal(verdict(write(1, 0, 1), read(0, 2, 3)), 'violation');
  t.equal(verdict(write(1, 0, 1), read(0, 1, 3)), 'linearizable', 'equal times are concurrent');
  t.equal(verdict(write(1, 0, Infinity), read(0, 2, 3), read(1, 4, 5)), 'linearizable', 'it may be done late');
  t.equal(verdict(write(1, 0, Infinity), read(0, 2, 3)), 'linearizable', 'or never');
  t.equal(verdict(write(1, 4, Infinity), read(1, 2, 3)), 'violation', 'but not before it was asked for');
  t.equal(verdict(write(1, 0, Infinity), read(1, 2, 3), read(0, 4, 5)), 'violation', 'nor undone');
  t.equal(verdict(write(1, 0, Infinity), write(2, 1, 2), read(1, 3, 4), read(2, 5, 6)), 'violation', 'nor twice');
  t.equal(verdict(write(1, 0, 10), write(2, 0, 10), read(1, 11, 12), read(2, 13, 14)), 'violation');
});

await t.test('long histories are checked in time', async (t) => {
  const { history, store } = simulate({ seed: 7, operations: 12_000, clients: 8, keys: 10, lost: 0.01 });
  t.ok(history.length >= 10_000, `${history.length} operations`);
  const cpuMs = (): number => process.cpuUsage().user / 1000;
  const started = cpuMs();
  const { problems, resolved } = checkRevisionOrder(history, store.log);
  t.same(problems, []);
  const wholly = whole(resolved, resolved, 1_000_000);
  t.equal(wholly.verdict, 'linearizable', `${wholly.steps} steps`);
  const keywise = byKey(resolved);
  t.equal(keywise.verdict, 'linearizable', `${keywise.steps} steps`);
  const unresolved = byKey(history);
  t.not(unresolved.verdict, 'violation', `without the log, ${unresolved.steps} steps`);
  const spent = Math.round(cpuMs() - started);
  t.ok(spent < 20_000, `${spent} ms of CPU`);
});
