import {
  branchOf,
  inRange,
  type KvInput,
  type KvOp,
  type KvOpResult,
  type KvOutput,
  type KvRecord,
} from './kv-history.ts';
import type { Model } from './operation.ts';

/** A revision that nobody was told. */
const UNKNOWN = -1;

interface Stored {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string;
}

export interface KvState {
  readonly revision: number;
  readonly keys: ReadonlyMap<string, Stored>;
  readonly leases: ReadonlySet<string>;
}

export interface KvModelOptions {
  /**
   * `checked`: each change makes the next revision and answers tell the revision of their moment; the history must be
   * whole. `opaque`: a revision is but a name that a put gives its key, so that histories can be cut into partitions.
   */
  readonly revisions: 'checked' | 'opaque';
  /** `checked` only: revisions of answered changes, which no unanswered one can have made. */
  readonly answeredRevisions?: ReadonlySet<number>;
  /** `checked` only: the store's when the history began. Default 1, an empty store. */
  readonly initialRevision?: number;
}

/** etcd's key-value store: puts, ranges at the newest revision, deletes, txns that compare mod revisions, leases. */
export class KvModel implements Model<KvState, KvInput, KvOutput> {
  readonly initial: KvState;
  readonly #checked: boolean;
  readonly #answered: ReadonlySet<number>;
  readonly #keys = new WeakMap<KvState, string>();

  constructor(options: KvModelOptions) {
    this.#checked = options.revisions === 'checked';
    this.#answered = options.answeredRevisions ?? new Set();
    this.initial = {
      revision: this.#checked ? (options.initialRevision ?? 1) : 0,
      keys: new Map(),
      leases: new Set(),
    };
  }

  key(state: KvState): string {
    let text = this.#keys.get(state);
    if (text === undefined) {
      const keys = Array.from(state.keys, ([key, { value, createRevision, modRevision, version, lease }]) =>
        JSON.stringify([key, value, createRevision, modRevision, version, lease]),
      );
      text = `${state.revision}|${keys.toSorted().join('')}|${[...state.leases].toSorted().join()}`;
      this.#keys.set(state, text);
    }
    return text;
  }

  step(state: KvState, input: KvInput, output: KvOutput | undefined): KvState | undefined {
    if (input.type === 'txn') return this.#txn(state, input, output);
    if (input.type !== 'leaseGrant') return this.#revoke(state, input.lease, output);
    if (state.leases.has(input.lease)) return output === undefined ? state : undefined;
    return { ...state, leases: new Set([...state.leases, input.lease]) };
  }

  #revoke(state: KvState, lease: string, output: KvOutput | undefined): KvState | undefined {
    if (!state.leases.has(lease)) return output === undefined || output.leaseNotFound === true ? state : undefined;
    if (output?.leaseNotFound === true) return undefined;
    const leases = new Set(state.leases);
    leases.delete(lease);
    const keys = new Map(state.keys);
    for (const [key, stored] of state.keys) if (stored.lease === lease) keys.delete(key);
    // The answer's revision is not compared: what etcd tells of a lease is not promised to be of its moment.
    const revision = keys.size === state.keys.size ? state.revision : this.#nextRevision(state, undefined);
    return revision === undefined ? undefined : { revision, keys, leases };
  }

  /** The revision of a change, or undefined if it cannot be this one's. */
  #nextRevision(state: KvState, output: KvOutput | undefined): number | undefined {
    if (!this.#checked) return 0;
    const revision = state.revision + 1;
    if (output === undefined) return this.#answered.has(revision) ? undefined : revision;
    return output.revision === revision ? revision : undefined;
  }

  #txn(before: KvState, input: KvInput & { readonly type: 'txn' }, output: KvOutput | undefined): KvState | undefined {
    let state: KvState | undefined = before;
    let holds = true;
    for (const { key, modRevision } of input.compare) {
      const stored = state.keys.get(key);
      if (stored?.modRevision === UNKNOWN && modRevision !== 0) {
        // Nobody was told the revision: the outcome tells whether it is this one.
        if (output?.succeeded === false) holds = false;
        else state = withKey(state, key, { ...stored, ...named(stored, modRevision) });
      } else if ((stored?.modRevision ?? 0) !== modRevision) holds = false;
    }
    const succeeded = output === undefined || output.leaseNotFound === true ? holds : output.succeeded;
    if (succeeded !== holds) return undefined;
    const ops = branchOf(input, succeeded);
    const { leases } = state;
    const leaseNotFound = ops.some((op) => op.type === 'put' && op.lease !== undefined && !leases.has(op.lease));
    if (leaseNotFound) return output === undefined || output.leaseNotFound === true ? before : undefined;
    if (output?.leaseNotFound === true) return undefined;
    return this.#apply(succeeded ? state : before, ops, output);
  }

  #apply(before: KvState, ops: readonly KvOp[], output: KvOutput | undefined): KvState | undefined {
    let state: KvState = before;
    let changed = false;
    const revision = this.#checked ? before.revision + 1 : (output?.revision ?? UNKNOWN);
    for (const [i, op] of ops.entries()) {
      const result = output?.results[i];
      switch (op.type) {
        case 'range': {
          if (result === undefined) break;
          const read: KvState | undefined = result.type === 'range' ? this.#read(state, op, result) : undefined;
          if (read === undefined) return undefined;
          state = read;
          break;
        }
        case 'put':
          state = withKey(state, op.key, put(state.keys.get(op.key), op, revision));
          changed = true;
          break;
        case 'deleteRange': {
          const gone = [...state.keys.keys()].filter((key) => inRange(key, op));
          if (result?.type === 'deleteRange' && result.deleted !== undefined && result.deleted !== gone.length)
            return undefined;
          if (gone.length === 0) break;
          const keys = new Map(state.keys);
          for (const key of gone) keys.delete(key);
          state = { ...state, keys };
          changed = true;
        }
      }
    }
    if (!this.#checked) return state;
    if (changed) {
      const next = this.#nextRevision(before, output);
      return next === undefined ? undefined : { ...state, revision: next };
    }
    return output === undefined || output.revision === before.revision ? state : undefined;
  }

  /** The state with what the answer tells of revisions that were not known; undefined if it is not what is there. */
  #read(
    before: KvState,
    op: KvOp & { readonly type: 'range' },
    result: KvOpResult & { readonly type: 'range' },
  ): KvState | undefined {
    const there = [...before.keys.keys()].filter((key) => inRange(key, op)).toSorted(compareKeys);
    if (result.count !== undefined && result.count !== there.length) return undefined;
    const told = op.limit === undefined ? there : there.slice(0, op.limit);
    if (told.length !== result.kvs.length) return undefined;
    let state = before;
    for (const [i, key] of told.entries()) {
      const kv = result.kvs[i];
      const stored = before.keys.get(key);
      if (kv === undefined || stored === undefined || kv.key !== key) return undefined;
      const learnt = learn(stored, kv);
      if (learnt === undefined) return undefined;
      if (learnt !== stored) state = withKey(state, key, learnt);
    }
    return state;
  }
}

/** Keys are compared as bytes, which is as UTF-16 for the keys of a test. */
function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function withKey(state: KvState, key: string, stored: Stored): KvState {
  return { ...state, keys: new Map(state.keys).set(key, stored) };
}

function put(before: Stored | undefined, op: KvOp & { readonly type: 'put' }, revision: number): Stored {
  return {
    value: op.value,
    createRevision: before?.createRevision ?? revision,
    modRevision: revision,
    version: (before?.version ?? 0) + 1,
    lease: op.lease ?? '',
  };
}

/** A key whose revision was unknown has this one now; so does its creation, if that was the same change. */
function named(stored: Stored, modRevision: number): Pick<Stored, 'modRevision' | 'createRevision'> {
  const createRevision = stored.version === 1 ? modRevision : stored.createRevision;
  return { modRevision, createRevision };
}

function learn(stored: Stored, kv: KvRecord): Stored | undefined {
  if (kv.value !== stored.value || kv.version !== stored.version || kv.lease !== stored.lease) return undefined;
  const { modRevision, createRevision } = stored;
  if (modRevision === kv.modRevision && createRevision === kv.createRevision) return stored;
  if (modRevision !== UNKNOWN && modRevision !== kv.modRevision) return undefined;
  if (createRevision !== UNKNOWN && createRevision !== kv.createRevision) return undefined;
  return { ...stored, modRevision: kv.modRevision, createRevision: kv.createRevision };
}
