import { branchOf, inRange, type KvInput, type KvOp, type KvOperation, type KvOpResult } from './kv-history.ts';

/** The value of a write without an answer that nobody ever read: which of them it is makes no difference. */
const UNSEEN = '<never read>';

/**
 * Cuts a history into one of each set of keys that txns tie together, for the model with opaque revisions. If the whole
 * is linearizable, so is each part; ranges, deletes and leases are cut to the keys of each part. Reads of old revisions
 * and serializable ones are left out.
 */
export function partitionByKey(history: readonly KvOperation[]): Map<string, KvOperation[]> {
  const seen = valuesRead(history);
  const current = history.filter(isCurrent).map((each) => (each.output === undefined ? forget(each, seen) : each));
  const groups = connectKeys(current);
  const partitions = new Map<string, KvOperation[]>();
  for (const keys of groups) {
    const leases = new Set(current.flatMap((each) => leasesOf(each, keys)));
    const part = current.flatMap((each) => cut(each, keys, leases));
    partitions.set([...keys].toSorted().join(), part);
  }
  return partitions;
}

function isCurrent({ input }: KvOperation): boolean {
  if (input.type !== 'txn') return true;
  return (
    input.serializable !== true &&
    [...input.success, ...input.failure].every((op) => op.type !== 'range' || op.revision === undefined)
  );
}

function valuesRead(history: readonly KvOperation[]): Set<string> {
  const results = history.flatMap((each) => each.output?.results ?? []);
  return new Set(results.flatMap((each) => (each.type === 'range' ? each.kvs.map((kv) => kv.value) : [])));
}

/** Makes writes that differ in a value only that nobody read the same. */
function forget(operation: KvOperation, seen: ReadonlySet<string>): KvOperation {
  const { input } = operation;
  if (input.type !== 'txn') return operation;
  const strip = (op: KvOp): KvOp => (op.type === 'put' && !seen.has(op.value) ? { ...op, value: UNSEEN } : op);
  return { ...operation, input: { ...input, success: input.success.map(strip), failure: input.failure.map(strip) } };
}

function keysOf(input: KvInput): string[] {
  if (input.type !== 'txn') return [];
  const single = [...input.success, ...input.failure].filter((op) => op.type === 'put' || op.rangeEnd === undefined);
  return [...input.compare.map((each) => each.key), ...single.map((op) => op.key)];
}

/** The sets of keys that occur together in a request. */
function connectKeys(history: readonly KvOperation[]): Set<ReadonlySet<string>> {
  const groupOf = new Map<string, Set<string>>();
  for (const { input } of history) {
    const keys = keysOf(input);
    const merged = new Set([...keys, ...keys.flatMap((key) => [...(groupOf.get(key) ?? [])])]);
    if (keys.some((key) => groupOf.get(key)?.size !== merged.size)) for (const key of merged) groupOf.set(key, merged);
  }
  return new Set(groupOf.values());
}

/** Leases that keys of the part were put with. */
function leasesOf({ input }: KvOperation, keys: ReadonlySet<string>): string[] {
  if (input.type !== 'txn') return [];
  return [...input.success, ...input.failure].flatMap((op) =>
    op.type === 'put' && op.lease !== undefined && keys.has(op.key) ? [op.lease] : [],
  );
}

function cut(operation: KvOperation, keys: ReadonlySet<string>, leases: ReadonlySet<string>): KvOperation[] {
  const { input, output } = operation;
  if (input.type !== 'txn') return leases.has(input.lease) ? [operation] : [];
  const own = input.compare.every((each) => keys.has(each.key));
  const touches = (op: KvOp): boolean =>
    op.type !== 'put' && op.rangeEnd !== undefined ? [...keys].some((key) => inRange(key, op)) : keys.has(op.key);
  if (output === undefined) {
    const success = input.success.filter(touches);
    const failure = input.failure.filter(touches);
    if (success.length + failure.length === 0) return [];
    if (!own) throw new Error('a range in a txn reaches keys that its comparisons are not tied to');
    return [{ ...operation, input: { ...input, success, failure } }];
  }
  const done = branchOf(input, output.succeeded)
    .map((op, i) => [op, output.results[i]] as const)
    .filter(([op]) => touches(op))
    .map(([op, result]) => (output.leaseNotFound === true ? ([op, undefined] as const) : cutResult(op, result, keys)));
  if (done.length === 0 && (!own || input.compare.length === 0)) return [];
  const ops = done.map(([op]) => op);
  const results = done.flatMap(([, result]) => result ?? []);
  // The comparisons of other keys are known to have turned out as they did.
  if (!own)
    return [
      {
        ...operation,
        input: { ...input, compare: [], success: ops, failure: [] },
        output: { ...output, succeeded: true, results },
      },
    ];
  const branches = output.succeeded ? { success: ops, failure: [] } : { success: [], failure: ops };
  return [{ ...operation, input: { ...input, ...branches }, output: { ...output, results } }];
}

function cutResult(op: KvOp, result: KvOpResult | undefined, keys: ReadonlySet<string>): readonly [KvOp, KvOpResult] {
  if (result?.type !== op.type) throw new Error('an answer lacks a result');
  if (op.type === 'put' || op.rangeEnd === undefined) return [op, result];
  if (result.type !== 'range') return [op, { type: 'deleteRange', deleted: undefined }];
  const kvs = result.kvs.filter((kv) => keys.has(kv.key));
  const last = result.kvs.at(-1);
  // Of a range with a limit only the part is known that was told.
  const rangeEnd = op.type === 'range' && op.limit === result.kvs.length ? `${last?.key}\0` : op.rangeEnd;
  return [
    { type: 'range', key: op.key, rangeEnd },
    { type: 'range', kvs, count: undefined },
  ];
}
