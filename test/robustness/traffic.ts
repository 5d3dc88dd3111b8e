import { setTimeout as delay } from 'node:timers/promises';
import { isEtcdError, type EtcdErrorCode, type KeyValue, type RangeResponse } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import {
  SeededRandom,
  type KvInput,
  type KvOp,
  type KvOperation,
  type KvOpResult,
  type KvOutput,
  type KvRecord,
} from '@naru/testkit';
import { Etcd3Store } from './etcd3-store.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const text = (buffer: Buffer): string => buffer.toString('latin1');

/** Longer than a member waits for a majority. */
const REQUEST_TIMEOUT_MS = 8000;
/** Seconds; a store may grant more. */
const SHORT_TTL = 3;
const LONG_TTL = 600;

/** Answers that say that nothing was done. */
const refusals: ReadonlySet<EtcdErrorCode> = new Set([
  'unavailable',
  'noLeader',
  'tooManyRequests',
  'noSpace',
  'compacted',
  'futureRevision',
]);

/** Answers to reads that could not be given in time. */
const lateReads: ReadonlySet<EtcdErrorCode> = new Set([
  'timeout',
  'timeoutDueToLeaderFail',
  'timeoutDueToConnectionLost',
  'leaderChanged',
  'stopped',
]);

export function recordOf(kv: KeyValue): KvRecord {
  return {
    key: text(kv.key),
    value: text(kv.value),
    createRevision: kv.createRevision,
    modRevision: kv.modRevision,
    version: kv.version,
    lease: kv.lease === 0n ? '' : `${kv.lease}`,
  };
}

type TxnInput = KvInput & { readonly type: 'txn' };

function txn(...success: readonly KvOp[]): TxnInput {
  return { type: 'txn', compare: [], success, failure: [] };
}

/** What clients do a request with: over JSON or gRPC. */
export interface KvStore extends AsyncDisposable {
  /** The error of a request that was not done has one of the codes above, any other leaves it open. */
  send(input: TxnInput): Promise<KvOutput>;
}

/** Over the JSON gateway. */
class JsonStore implements KvStore {
  readonly client: EtcdClient;

  constructor(client: EtcdClient) {
    this.client = client;
  }

  async send(input: TxnInput): Promise<KvOutput> {
    const { client } = this;
    const [op] = input.success;
    if (input.compare.length === 0 && input.success.length === 1 && op !== undefined)
      return await this.#single(op, input);
    const encode = (ops: readonly KvOp[]): Parameters<EtcdClient['txn']>[0]['success'] =>
      ops.map((each) => {
        switch (each.type) {
          case 'put':
            return { requestPut: putOf(each) };
          case 'range':
            return { requestRange: rangeOf(each) };
          case 'deleteRange':
            return { requestDeleteRange: rangeOf(each) };
        }
        return each satisfies never;
      });
    const answer = await client.txn({
      compare: input.compare.map(({ key, modRevision }) => ({
        key: bytes(key),
        target: 'MOD',
        result: 'EQUAL',
        modRevision,
      })),
      success: encode(input.success),
      failure: encode(input.failure),
    });
    const results = answer.responses.map((each): KvOpResult => {
      if ('responseRange' in each) return rangeResult(each.responseRange);
      if ('responseDeleteRange' in each) return { type: 'deleteRange', deleted: each.responseDeleteRange.deleted };
      return { type: 'put' };
    });
    return { revision: answer.header.revision, succeeded: answer.succeeded, results };
  }

  async #single(op: KvOp, { serializable }: { readonly serializable?: boolean }): Promise<KvOutput> {
    const { client } = this;
    if (op.type === 'put') {
      const { header } = await client.put(putOf(op));
      return { revision: header.revision, succeeded: true, results: [{ type: 'put' }] };
    }
    if (op.type === 'deleteRange') {
      const { header, deleted } = await client.deleteRange(rangeOf(op));
      return { revision: header.revision, succeeded: true, results: [{ type: 'deleteRange', deleted }] };
    }
    const answer = await client.range({ ...rangeOf(op), serializable, revision: op.revision, limit: op.limit });
    return { revision: answer.header.revision, succeeded: true, results: [rangeResult(answer)] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
  }
}

function rangeOf(op: { readonly key: string; readonly rangeEnd?: string }): { key: Buffer; rangeEnd?: Buffer } {
  return { key: bytes(op.key), ...(op.rangeEnd === undefined ? {} : { rangeEnd: bytes(op.rangeEnd) }) };
}

function putOf(op: KvOp & { readonly type: 'put' }): { key: Buffer; value: Buffer; lease?: bigint } {
  return { key: bytes(op.key), value: bytes(op.value), ...(op.lease === undefined ? {} : { lease: BigInt(op.lease) }) };
}

function rangeResult(response: RangeResponse): KvOpResult {
  return { type: 'range', kvs: response.kvs.map(recordOf), count: response.count };
}

export interface TrafficOptions {
  readonly seed: number;
  /** Asked anew for each client when the cluster's members change. */
  readonly urls: () => readonly string[];
  readonly clients: number;
  /** Of them, over gRPC. */
  readonly grpcClients: number;
  /** More clients that only read, each at one member: they do not wait for writes where none can be done. */
  readonly readers: number;
  readonly keys: number;
  /** Mean pause of a client between two requests. */
  readonly pauseMs: number;
}

/** Clients that ask at random, and write down what they see. */
export class Traffic {
  readonly history: KvOperation[] = [];
  /** Requests that were refused, by the reason. */
  readonly refused = new Map<string, number>();
  readonly problems: string[] = [];
  readonly #options: TrafficOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<unknown>;
  /** What anybody read last, for comparisons. */
  readonly #modRevisions = new Map<string, number>();
  #leases: string[] = [];
  /** Until when a lease must not expire. */
  readonly #aliveUntil = new Map<string, number>();
  #revision = 1;
  #answered = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    const random = new SeededRandom(options.seed);
    this.#done = Promise.all(
      Array.from({ length: options.clients + options.readers }, async (_, i) => await this.#client(i, random.fork())),
    );
  }

  get answered(): number {
    return this.#answered;
  }

  /** The greatest revision that an answer told. */
  get revision(): number {
    return this.#revision;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
    // From then on the store may do so.
    for (const [lease, call] of this.#aliveUntil)
      this.history.push({
        client: 'store',
        input: { type: 'leaseExpire', lease },
        output: undefined,
        call,
        return: Infinity,
      });
  }

  async #client(index: number, random: SeededRandom): Promise<void> {
    const { urls, clients, grpcClients, pauseMs } = this.#options;
    const isReader = index >= clients;
    const name = `${isReader ? 'r' : 'c'}${index}`;
    let members = '';
    let store: (KvStore & { readonly client?: EtcdClient }) | undefined;
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      const endpoints = urls();
      if (store === undefined || members !== endpoints.join()) {
        await store?.[Symbol.asyncDispose]();
        members = endpoints.join();
        // Each has another member that it asks first.
        const first = (index % endpoints.length) / endpoints.length;
        const own = endpoints[index % endpoints.length] ?? '';
        store =
          index < grpcClients
            ? new Etcd3Store(own, REQUEST_TIMEOUT_MS)
            : new JsonStore(
                new EtcdClient({
                  endpoints: isReader ? [own] : endpoints,
                  requestTimeoutMs: REQUEST_TIMEOUT_MS,
                  random: () => first,
                }),
              );
      }
      const { client } = store;
      const asked =
        client !== undefined && !isReader && random.chance(0.06)
          ? await this.#leaseRequest(name, client, random, n)
          : await this.#request(
              name,
              store,
              isReader ? this.#drawRead(random) : this.#draw(`${name}.${n}`, random, client !== undefined),
            );
      // Whoever is refused asks no faster.
      await delay(asked ? random.next() * 2 * pauseMs : 100 + pauseMs);
    }
    await store?.[Symbol.asyncDispose]();
  }

  #draw(value: string, random: SeededRandom, overJson: boolean): TxnInput {
    const key = `k${random.integer(1, this.#options.keys)}`;
    const put: KvOp = { type: 'put', key, value };
    const get: KvOp = { type: 'range', key };
    const kind = random.integer(0, 99);
    if (kind < 25) return txn(put);
    if (kind < 45) return txn(get);
    if (kind < 51) return txn({ type: 'deleteRange', key });
    if (kind < 72 || !overJson) {
      const modRevision = this.#modRevisions.get(key) ?? 0;
      return { type: 'txn', compare: [{ key, modRevision }], success: [put], failure: [get] };
    }
    if (kind < 78) return txn(...['p1', 'p2', 'p3'].map((each): KvOp => ({ ...put, key: each })));
    if (kind < 80) return txn({ type: 'deleteRange', key: 'p', rangeEnd: 'q' });
    if (kind < 83 && this.#leases.length > 0)
      return txn({ type: 'put', key: `l${random.integer(1, 6)}`, value, lease: random.pick(this.#leases) });
    return this.#drawRead(random);
  }

  #drawRead(random: SeededRandom): TxnInput {
    const get: KvOp = { type: 'range', key: `k${random.integer(1, this.#options.keys)}` };
    const kind = random.integer(0, 99);
    if (kind < 50) return txn(get);
    if (kind < 60) return txn({ type: 'range', key: 'k', rangeEnd: 'l' });
    if (kind < 68) return txn({ type: 'range', key: 'l', rangeEnd: 'm' });
    if (kind < 75) return txn({ type: 'range', key: 'k', rangeEnd: 'q', limit: random.integer(1, 4) });
    if (kind < 85) return txn({ type: 'range', key: 'p1' }, { type: 'range', key: 'p3' });
    if (kind < 90) return { ...txn(get), serializable: true };
    const revision = Math.max(1, this.#revision - random.integer(0, 40));
    return txn({ type: 'range', key: 'k', rangeEnd: 'l', revision });
  }

  /** @returns whether it was answered */
  async #request(client: string, store: KvStore, input: TxnInput): Promise<boolean> {
    const call = performance.now();
    try {
      const output = await store.send(input);
      this.#note({ client, input, output, call, return: performance.now() });
      return true;
    } catch (error) {
      const writes = [...input.success, ...input.failure].some((op) => op.type !== 'range');
      return this.#fail({ client, input, call }, error, writes);
    }
  }

  #note(operation: KvOperation & { readonly output: KvOutput }): void {
    const { output, input } = operation;
    this.history.push(operation);
    this.#answered++;
    this.#revision = Math.max(this.#revision, output.revision);
    if (input.type !== 'txn') return;
    for (const result of output.results)
      if (result.type === 'range') for (const kv of result.kvs) this.#modRevisions.set(kv.key, kv.modRevision);
    for (const op of output.succeeded ? input.success : input.failure)
      if (op.type === 'put') this.#modRevisions.set(op.key, output.revision);
      else if (op.type === 'deleteRange') this.#modRevisions.delete(op.key);
  }

  #fail(asked: Pick<KvOperation, 'client' | 'input' | 'call'>, error: unknown, writes: boolean): boolean {
    const code = isEtcdError(error) ? error.code : 'unknownFate';
    if (code === 'leaseNotFound') {
      const output = { revision: 0, succeeded: true, results: [], leaseNotFound: true };
      this.history.push({ ...asked, output, return: performance.now() });
      return true;
    }
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
    if (code === 'unknownFate') {
      if (writes) this.history.push({ ...asked, output: undefined, return: Infinity });
    } else if (!refusals.has(code) && (writes || !lateReads.has(code)))
      this.problems.push(`${JSON.stringify(asked.input)}: ${String(error)}`);
    return false;
  }

  async #leaseRequest(name: string, client: EtcdClient, random: SeededRandom, n: number): Promise<boolean> {
    const call = performance.now();
    const kind = random.integer(0, 9);
    if (kind < 4 || this.#leases.length === 0) {
      const lease = `${1_000_000 * (Number(name.slice(1)) + 1) + n}`;
      const ttl = random.chance(0.5) ? SHORT_TTL : LONG_TTL;
      const input: KvInput = { type: 'leaseGrant', lease };
      const forget = (): void => void this.#aliveUntil.set(lease, call + ttl * 1000);
      try {
        const answer = await client.leaseGrant({ id: BigInt(lease), ttl });
        this.#aliveUntil.set(lease, call + answer.ttl * 1000);
        this.#leases = [...this.#leases.slice(-7), lease];
        this.#note({
          client: name,
          input,
          output: { revision: 0, succeeded: true, results: [] },
          call,
          return: performance.now(),
        });
        return true;
      } catch (error) {
        forget();
        return this.#fail({ client: name, input, call }, error, true);
      }
    }
    const lease = random.pick(this.#leases);
    if (kind < 7) return await this.#keepAlive(client, lease, call);
    const input: KvInput = { type: 'leaseRevoke', lease };
    try {
      await client.leaseRevoke(BigInt(lease));
      this.#note({
        client: name,
        input,
        output: { revision: 0, succeeded: true, results: [] },
        call,
        return: performance.now(),
      });
      return true;
    } catch (error) {
      return this.#fail({ client: name, input, call }, error, true);
    }
  }

  async #keepAlive(client: EtcdClient, lease: string, call: number): Promise<boolean> {
    try {
      const { ttl } = await client.leaseKeepAlive(BigInt(lease));
      const until = this.#aliveUntil.get(lease) ?? 0;
      if (ttl > 0) this.#aliveUntil.set(lease, Math.max(until, call + ttl * 1000));
      return true;
    } catch {
      return false;
    }
  }
}
