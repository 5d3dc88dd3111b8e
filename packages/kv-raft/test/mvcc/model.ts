import type {
  Comparison,
  DeleteRangeOperation,
  KeyRange,
  Operation,
  PutOperation,
  RangeOperation,
  TxnOperation,
} from '../../src/mvcc/operation.ts';

export interface ModelKv {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

export interface ModelEvent {
  readonly type: 'PUT' | 'DELETE';
  readonly key: string;
  readonly mod: number;
  readonly value: string;
}

type State = ReadonlyMap<string, ModelKv>;

/**
 * What a store must do, as plainly as it can be said: it keeps a copy of everything for each revision. Results come in the
 * words of the store under test, so that both can be compared.
 */
export class ModelStore {
  /** By revision. */
  readonly states: State[] = [new Map(), new Map()];
  readonly events: ModelEvent[] = [];
  readonly leases = new Set<bigint>();
  compacted = -1;

  get revision(): number {
    return this.states.length - 1;
  }

  get current(): State {
    return this.states[this.revision] as State;
  }

  run(operation: Operation): unknown {
    const state = new Map(this.current);
    const events: ModelEvent[] = [];
    const error = operation.type === 'txn' ? this.#error(operation, this.current) : this.#errorOf(operation);
    if (error !== undefined) return { error };
    const result = this.#execute(operation, state, events);
    this.#commit(state, events);
    return result;
  }

  revoke(id: bigint): boolean {
    if (!this.leases.delete(id)) return false;
    const state = new Map(this.current);
    const events: ModelEvent[] = [];
    for (const kv of sorted(state)) if (kv.lease === id) this.#remove(kv.key, state, events);
    this.#commit(state, events);
    return true;
  }

  compact(revision: number): string | undefined {
    if (revision <= this.compacted) return 'compacted';
    if (revision > this.revision) return 'futureRevision';
    this.compacted = revision;
    return undefined;
  }

  #commit(state: State, events: readonly ModelEvent[]): void {
    if (events.length === 0) return;
    this.states.push(state);
    this.events.push(...events);
  }

  #errorOf(operation: Operation): string | undefined {
    if (operation.type === 'range') return this.#rangeError(operation);
    return operation.type === 'put' ? this.#putError(operation) : undefined;
  }

  #rangeError(range: RangeOperation): string | undefined {
    if (range.revision > this.revision) return 'futureRevision';
    return range.revision > 0 && range.revision < this.compacted ? 'compacted' : undefined;
  }

  #putError(put: PutOperation): string | undefined {
    const previous = this.current.get(put.key);
    if ((put.ignoreValue || put.ignoreLease) && previous === undefined) return 'keyNotFound';
    return put.lease !== 0n && !this.leases.has(put.lease) ? 'leaseNotFound' : undefined;
  }

  #error(txn: TxnOperation, before: State): string | undefined {
    for (const operation of this.#branch(txn, before)) {
      const error = operation.type === 'txn' ? this.#error(operation, before) : this.#errorOf(operation);
      if (error !== undefined) return error;
    }
    return undefined;
  }

  #branch(txn: TxnOperation, before: State): readonly Operation[] {
    return txn.compare.every((each) => compares(each, before)) ? txn.success : txn.failure;
  }

  #execute(operation: Operation, state: Map<string, ModelKv>, events: ModelEvent[]): unknown {
    switch (operation.type) {
      case 'range':
        return this.#range(operation, state, events.length > 0);
      case 'put':
        return this.#put(operation, state, events);
      case 'deleteRange':
        return this.#deleteRange(operation, state, events);
      default:
        return {
          succeeded: operation.compare.every((each) => compares(each, this.current)),
          results: this.#branch(operation, this.current).map((each) => this.#execute(each, state, events)),
        };
    }
  }

  #range(range: RangeOperation, state: State, changed: boolean): unknown {
    const at = range.revision > 0 && range.revision <= this.revision ? (this.states[range.revision] as State) : state;
    const found = sorted(at).filter((kv) => inside(range, kv.key));
    const kept = found.filter(
      (kv) =>
        (range.minModRevision === 0 || kv.mod >= range.minModRevision) &&
        (range.maxModRevision === 0 || kv.mod <= range.maxModRevision) &&
        (range.minCreateRevision === 0 || kv.create >= range.minCreateRevision) &&
        (range.maxCreateRevision === 0 || kv.create <= range.maxCreateRevision),
    );
    const limited = range.limit > 0 ? kept.slice(0, range.limit) : kept;
    return {
      revision: this.revision + (changed ? 1 : 0),
      count: found.length,
      more: !range.countOnly && limited.length < kept.length,
      kvs: range.countOnly ? [] : limited,
    };
  }

  #put(put: PutOperation, state: Map<string, ModelKv>, events: ModelEvent[]): unknown {
    const previous = state.get(put.key);
    const mod = this.revision + 1;
    const kv: ModelKv = {
      key: put.key,
      value: put.ignoreValue ? (previous?.value ?? '') : put.value.toString(),
      create: previous?.create ?? mod,
      mod,
      version: (previous?.version ?? 0) + 1,
      lease: put.ignoreLease ? (previous?.lease ?? 0n) : put.lease,
    };
    state.set(put.key, kv);
    events.push({ type: 'PUT', key: put.key, mod, value: kv.value });
    return { revision: mod, previous: put.prevKv ? previous : undefined };
  }

  #deleteRange(operation: DeleteRangeOperation, state: Map<string, ModelKv>, events: ModelEvent[]): unknown {
    const doomed = sorted(state).filter((kv) => inside(operation, kv.key));
    for (const kv of doomed) this.#remove(kv.key, state, events);
    return {
      revision: this.revision + (events.length > 0 ? 1 : 0),
      deleted: doomed.length,
      previous: operation.prevKv ? doomed : [],
    };
  }

  #remove(key: string, state: Map<string, ModelKv>, events: ModelEvent[]): void {
    state.delete(key);
    events.push({ type: 'DELETE', key, mod: this.revision + 1, value: '' });
  }
}

function sorted(state: State): ModelKv[] {
  return [...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function inside(range: KeyRange, key: string): boolean {
  if (range.end === '') return key === range.key;
  return key >= range.key && (range.end === '\0' || key < range.end);
}

function compares(comparison: Comparison, state: State): boolean {
  const found = sorted(state).filter((kv) => inside(comparison, kv.key));
  if (found.length === 0) {
    if (comparison.target === 'VALUE') return false;
    found.push({ key: '', value: '', create: 0, mod: 0, version: 0, lease: 0n });
  }
  return found.every((kv) => {
    const [left, right] = {
      VALUE: [kv.value, String(comparison.operand)],
      VERSION: [kv.version, comparison.operand],
      CREATE: [kv.create, comparison.operand],
      MOD: [kv.mod, comparison.operand],
      LEASE: [kv.lease, comparison.operand],
    }[comparison.target] as [number, number];
    return {
      EQUAL: left === right,
      NOT_EQUAL: left !== right,
      GREATER: left > right,
      LESS: left < right,
    }[comparison.result];
  });
}
