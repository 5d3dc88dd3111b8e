import {
  inRange,
  RevisionLog,
  SeededRandom,
  type KvEvent,
  type KvInput,
  type KvOp,
  type KvOperation,
  type KvOpResult,
  type KvOutput,
  type KvRecord,
} from '@naru/testkit';

/** A store that does one request at a time, written without the model that is tested with it. */
export class Store {
  revision = 1;
  readonly log = new RevisionLog();
  readonly keys = new Map<string, KvRecord>();
  readonly #leases = new Set<string>();

  apply(input: KvInput): KvOutput {
    if (input.type === 'leaseGrant') this.#leases.add(input.lease);
    else if (input.type !== 'txn') {
      const { lease } = input;
      if (!this.#leases.delete(lease)) return { ...this.#answer([]), leaseNotFound: true };
      this.#commit([...this.keys.values()].filter((kv) => kv.lease === lease).map((kv) => this.#tombstone(kv.key)));
    } else return this.#txn(input);
    return this.#answer([]);
  }

  #answer(results: readonly KvOpResult[], succeeded = true): KvOutput {
    return { revision: this.revision, succeeded, results };
  }

  #tombstone(key: string): KvEvent {
    this.keys.delete(key);
    const kv = { key, value: '', createRevision: 0, modRevision: this.revision + 1, version: 0, lease: '' };
    return { type: 'DELETE', kv };
  }

  #commit(events: readonly KvEvent[]): void {
    if (events.length === 0) return;
    this.revision++;
    this.log.append(this.revision, events);
  }

  #txn(input: KvInput & { readonly type: 'txn' }): KvOutput {
    const succeeded = input.compare.every((each) => (this.keys.get(each.key)?.modRevision ?? 0) === each.modRevision);
    const ops = succeeded ? input.success : input.failure;
    if (ops.some((op) => op.type === 'put' && op.lease !== undefined && !this.#leases.has(op.lease)))
      return { ...this.#answer([], succeeded), leaseNotFound: true };
    const events: KvEvent[] = [];
    const results = ops.map((op) => this.#op(op, events));
    this.#commit(events);
    return this.#answer(results, succeeded);
  }

  #op(op: KvOp, events: KvEvent[]): KvOpResult {
    if (op.type === 'put') {
      const before = this.keys.get(op.key);
      const kv = {
        key: op.key,
        value: op.value,
        createRevision: before?.createRevision ?? this.revision + 1,
        modRevision: this.revision + 1,
        version: (before?.version ?? 0) + 1,
        lease: op.lease ?? '',
      };
      this.keys.set(op.key, kv);
      events.push({ type: 'PUT', kv });
      return { type: 'put' };
    }
    const found = [...this.keys.values()]
      .filter((kv) => inRange(kv.key, op))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1));
    if (op.type === 'range') return { type: 'range', kvs: found.slice(0, op.limit), count: found.length };
    events.push(...found.map((kv) => this.#tombstone(kv.key)));
    return { type: 'deleteRange', deleted: found.length };
  }
}

export interface SimulationOptions {
  readonly seed: number;
  readonly operations: number;
  readonly clients?: number;
  readonly keys?: number;
  /** How many answers are lost. */
  readonly lost?: number;
  /** Wrong answers or deeds, by the number of the operation. */
  readonly sabotage?: (store: Store, input: KvInput, n: number) => KvOutput | undefined;
}

const txn = (...success: readonly KvOp[]): KvInput => ({ type: 'txn', compare: [], success, failure: [] });

/** Requests of concurrent clients, each done at a random moment between its call and its return. */
export function simulate(options: SimulationOptions): {
  readonly history: readonly KvOperation[];
  readonly store: Store;
} {
  const { seed, operations, clients = 6, keys = 5, lost = 0.02 } = options;
  const random = new SeededRandom(seed);
  const store = new Store();
  const lastRead = new Map<string, number>();
  const history: KvOperation[] = [];
  const free = Array.from({ length: clients }, () => 0);
  let leases = 0;
  const request = (n: number): KvInput => {
    const key = `k${random.integer(1, keys)}`;
    const put: KvOp = { type: 'put', key, value: `v${n}` };
    const get: KvOp = { type: 'range', key };
    const kind = random.integer(0, 99);
    if (kind < 30) return txn(put);
    if (kind < 55) return txn(get);
    if (kind < 62) return txn({ type: 'deleteRange', key });
    if (kind < 82)
      return { type: 'txn', compare: [{ key, modRevision: lastRead.get(key) ?? 0 }], success: [put], failure: [get] };
    if (kind < 88) return txn({ type: 'range', key: 'k', rangeEnd: 'l', ...(kind < 85 ? {} : { limit: 2 }) });
    if (kind < 90) return txn({ ...put, key: 'p1' }, { ...put, key: 'p2' });
    if (kind < 92) return txn({ type: 'range', key: 'p1' }, { type: 'range', key: 'p2' });
    if (kind < 95) return { type: 'leaseGrant', lease: `${++leases}` };
    if (kind < 97) return { type: 'leaseRevoke', lease: `${random.integer(1, leases + 1)}` };
    return txn({ ...put, lease: `${random.integer(1, leases + 1)}` });
  };
  // Moments at which operations take effect are the numbers n: calls before, returns after.
  for (let n = 1; n <= operations; n++) {
    const client = free.findIndex((until) => until < n);
    if (client === -1) continue;
    const call = Math.max(free[client] ?? 0, n - random.integer(0, 5)) + random.next() * 0.4;
    const end = n + random.integer(0, 5) + 0.5 + random.next() * 0.4;
    const input = request(n);
    const isLost = random.chance(lost);
    free[client] = end;
    const base = { client: `c${client}`, input, call };
    if (isLost && random.chance(0.5)) {
      history.push({ ...base, output: undefined, return: Infinity });
      continue;
    }
    const wrong = options.sabotage?.(store, input, n);
    const output = wrong ?? store.apply(input);
    for (const result of output.results)
      if (result.type === 'range') for (const kv of result.kvs) lastRead.set(kv.key, kv.modRevision);
    history.push(
      isLost && wrong === undefined
        ? { ...base, output: undefined, return: Infinity }
        : { ...base, output, return: end },
    );
  }
  return { history, store };
}
