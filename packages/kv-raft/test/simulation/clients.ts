import { inspect, isDeepStrictEqual } from 'node:util';
import { isEtcdError, type RangeResponse, type RequestOp, type TxnResponse } from '@naru/etcd';
import type { SeededRandom, VirtualClock } from '@naru/testkit';
import { inside } from '../mvcc/model.ts';
import type { Host, Running } from './host.ts';
import { clientKv, responseInModelWords } from './model-words.ts';
import type { Oracle } from './oracle.ts';

export const REQUEST_TIMEOUT_MS = 3000;
const KEYS = 8;
const LEASES_MAX = 12;
const BURST = 12;

const operations = ['put', 'get', 'stale-get', 'old-get', 'delete', 'cas', 'batch', 'compact', 'burst'] as const;
type OperationName = (typeof operations)[number];
const usualWeights: Readonly<Record<OperationName, number>> = {
  put: 30,
  get: 25,
  'stale-get': 5,
  'old-get': 8,
  delete: 5,
  cas: 15,
  batch: 10,
  compact: 3,
  burst: 2,
};

/** Refusals that any request may meet. Whether a write was made all the same is not known, but for the first. */
const interruptions = [
  'noLeader',
  'leaderChanged',
  'timeout',
  'tooManyRequests',
  'stopped',
  'notSupportedForLearner',
] as const;

export interface ClientsOptions {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly oracle: Oracle;
  readonly hosts: () => readonly Host[];
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Clients that read and write at any member, one request after the other, and hold each answer against the oracle. */
export class Clients {
  readonly #options: ClientsOptions;
  readonly #oracle: Oracle;
  readonly #random: SeededRandom;
  readonly #weights: readonly OperationName[];
  active = true;
  #tag = 0;
  #leases = 0;
  readonly counts = { acknowledged: 0, interrupted: 0, reads: 0, leases: 0 };

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#oracle = options.oracle;
    this.#random = options.random;
    const weights = operations.flatMap((name): OperationName[] =>
      Array.from({ length: usualWeights[name] * this.#random.pick([0, 1, 1, 1, 3]) }, () => name),
    );
    this.#weights = ['put', ...weights];
  }

  start(options: { readonly clients: number; readonly leaseClients: number }): void {
    for (let i = 0; i < options.clients; i++) void this.#loop(this.#random.fork(), (random) => this.#request(random));
    for (let i = 0; i < options.leaseClients; i++)
      void this.#loop(this.#random.fork(), (random) => this.#leaseLife(random));
  }

  async #loop(random: SeededRandom, work: (random: SeededRandom) => Promise<void>): Promise<void> {
    while (this.active) {
      try {
        await work(random);
      } catch (error) {
        this.#oracle.fail(`a client fails: ${error instanceof Error ? error.stack : String(error)}`);
      }
      await this.#options.clock.sleep(random.integer(1, 60));
    }
  }

  #pick(random: SeededRandom): Running | undefined {
    return random.pick(this.#options.hosts()).running;
  }

  /** An answer, or undefined when there is none in time or the request was interrupted. */
  async #ask<T>(
    running: Running | undefined,
    ask: (running: Running) => Promise<T>,
    expected: readonly Parameters<typeof isEtcdError>[1][] = [],
  ): Promise<T | undefined> {
    if (running === undefined) return undefined;
    const { clock } = this.#options;
    let cancel = (): void => undefined;
    const tooLate = new Promise<undefined>((resolve) => {
      cancel = clock.after(REQUEST_TIMEOUT_MS, () => resolve(undefined));
    });
    try {
      // A process that dies takes its answer with it.
      return await Promise.race([ask(running), tooLate]);
    } catch (error) {
      this.counts.interrupted++;
      if ([...interruptions, ...expected].some((code) => isEtcdError(error, code))) return undefined;
      throw error;
    } finally {
      cancel();
    }
  }

  #nextTag(): string {
    return `v${++this.#tag}`;
  }

  async #request(random: SeededRandom): Promise<void> {
    const operation = random.pick(this.#weights);
    switch (operation) {
      case 'put':
        return await this.#put(random);
      case 'get':
      case 'stale-get':
      case 'old-get':
        return await this.#get(random, operation);
      case 'delete':
        return await this.#delete(random);
      case 'cas':
        return await this.#compareAndSwap(random);
      case 'batch':
        return await this.#batch(random);
      case 'compact':
        return await this.#compact(random);
      case 'burst':
        return await this.#burst(random);
      default:
        return operation satisfies never;
    }
  }

  /** The order of the log is that of real time: what was answered before this request is at lower revisions. */
  #acknowledged(what: string, before: number, revision: number, wrote: boolean): void {
    this.counts.acknowledged++;
    this.#oracle.note(`${what} answered at ${revision}`);
    if (revision < before + (wrote ? 1 : 0))
      this.#oracle.fail(
        `${what} was answered at revision ${revision}, but ${before} had been answered before it was asked`,
      );
    this.#oracle.acknowledgedRevision = Math.max(this.#oracle.acknowledgedRevision, revision);
  }

  /** What a client is answered is what the model answers to the command that has this tag. */
  #compare(tag: string, found: unknown): void {
    const applied = this.#oracle.byTag(tag);
    if (applied === undefined) this.#oracle.fail(`${tag} was answered, but nobody has applied it`);
    else if (!isDeepStrictEqual(found, applied.expected))
      this.#oracle.fail(`${tag} was answered by ${inspect(found)}, not ${inspect(applied.expected)}`);
  }

  #key(random: SeededRandom): Buffer {
    return bytes(`k${random.integer(0, KEYS - 1)}`);
  }

  /** Many writes at one member at once: when it leads and is alone, its log gets long. */
  async #burst(random: SeededRandom): Promise<void> {
    const running = this.#pick(random);
    await Promise.all(Array.from({ length: BURST }, async () => await this.#put(random, running)));
  }

  async #put(random: SeededRandom, running = this.#pick(random)): Promise<void> {
    const before = this.#oracle.acknowledgedRevision;
    const tag = this.#nextTag();
    const request = { key: this.#key(random), value: bytes(tag), prevKv: random.chance(0.3) };
    const response = await this.#ask(running, ({ services }) => services.kv.put(request), ['noSpace']);
    if (response === undefined) return;
    this.#compare(tag, responseInModelWords({ responsePut: response }));
    this.#acknowledged(tag, before, response.header.revision, true);
  }

  async #batch(random: SeededRandom): Promise<void> {
    const tag = this.#nextTag();
    const success: RequestOp[] = [];
    const first = random.integer(0, KEYS - 4);
    for (let i = 0; i < 3; i++) {
      const key = bytes(`k${first + i}`);
      if (i > 0 && random.chance(0.2)) success.push({ requestDeleteRange: { key, prevKv: random.chance(0.5) } });
      else success.push({ requestPut: { key, value: bytes(tag) } });
    }
    if (random.chance(0.3)) success.push({ requestRange: { key: bytes('k'), rangeEnd: bytes('l'), limit: 3 } });
    await this.#txn(random, tag, { success });
  }

  async #compareAndSwap(random: SeededRandom): Promise<void> {
    const key = this.#key(random);
    const found = await this.#ask(this.#pick(random), ({ services }) => services.kv.range({ key }));
    if (found === undefined) return;
    const modRevision = found.kvs[0]?.modRevision ?? 0;
    const tag = this.#nextTag();
    await this.#txn(random, tag, {
      compare: [{ key, target: 'MOD', result: 'EQUAL', modRevision }],
      success: [{ requestPut: { key, value: bytes(tag), prevKv: true } }],
      failure: [{ requestRange: { key } }],
    });
  }

  async #txn(
    random: SeededRandom,
    tag: string,
    request: Parameters<Running['services']['kv']['txn']>[0],
  ): Promise<void> {
    const before = this.#oracle.acknowledgedRevision;
    const response = await this.#ask<TxnResponse>(this.#pick(random), ({ services }) => services.kv.txn(request), [
      'noSpace',
    ]);
    if (response === undefined) return;
    this.#compare(tag, responseInModelWords({ responseTxn: response }));
    this.#acknowledged(tag, before, response.header.revision, response.succeeded);
  }

  async #delete(random: SeededRandom): Promise<void> {
    const before = this.#oracle.acknowledgedRevision;
    const key = this.#key(random);
    const response = await this.#ask(this.#pick(random), ({ services }) =>
      services.kv.deleteRange({ key, prevKv: true }),
    );
    if (response === undefined) return;
    const { deleted, prevKvs } = response;
    const { revision } = response.header;
    const { states } = this.#oracle.model;
    const gone = deleted === 0 ? undefined : states[revision - 1]?.get(key.toString());
    if (deleted > 0 && !isDeepStrictEqual(prevKvs.map(clientKv), [gone]))
      this.#oracle.fail(`a delete at ${revision} was answered by ${inspect(prevKvs)}, not ${inspect(gone)}`);
    if (states[revision]?.has(key.toString()) === true)
      this.#oracle.fail(`${key.toString()} is there at ${revision}, when its delete was answered`);
    this.#acknowledged(`delete ${key.toString()}`, before, revision, deleted > 0);
  }

  async #get(random: SeededRandom, kind: 'get' | 'stale-get' | 'old-get'): Promise<void> {
    const { oracle } = this.#options;
    const before = oracle.acknowledgedRevision;
    const single = random.chance(0.5);
    const range = { key: single ? this.#key(random) : bytes('k'), ...(single ? {} : { rangeEnd: bytes('l') }) };
    const revision = kind === 'old-get' ? Math.max(1, before - random.integer(0, 40)) : 0;
    const serializable = kind === 'stale-get' || (kind === 'old-get' && random.chance(0.3));
    const response = await this.#ask<RangeResponse>(
      this.#pick(random),
      ({ services }) => services.kv.range({ ...range, revision, serializable }),
      kind === 'old-get' ? ['compacted', 'futureRevision'] : [],
    );
    if (response === undefined) return;
    this.counts.reads++;
    const at = revision === 0 ? response.header.revision : revision;
    const end = single ? '' : 'l';
    const expected = oracle.stateAt(at).filter(({ key }) => inside({ key: range.key.toString(), end }, key));
    const found = response.kvs.map(clientKv);
    if (!isDeepStrictEqual(found, expected))
      oracle.fail(`a read at revision ${at} found ${inspect(found)}, not ${inspect(expected)}`);
    if (!serializable) this.#acknowledged(`read ${range.key.toString()}`, before, response.header.revision, false);
  }

  async #compact(random: SeededRandom): Promise<void> {
    const revision = Math.max(1, this.#oracle.acknowledgedRevision - random.integer(0, 40));
    const physical = random.chance(0.5);
    const expected = ['compacted', 'futureRevision'] as const;
    await this.#ask(this.#pick(random), ({ services }) => services.kv.compact({ revision, physical }), expected);
  }

  /** Takes a lease, binds a key to it, keeps it alive for a while, and leaves it to its end. */
  async #leaseLife(random: SeededRandom): Promise<void> {
    const { clock } = this.#options;
    if (this.#oracle.liveLeases.length >= LEASES_MAX) return await clock.sleep(500);
    const id = BigInt(++this.#leases) * 1_000_000_007n;
    const ttl = random.integer(2, 4);
    const askedAt = clock.monotonic();
    const granted = await this.#ask(this.#pick(random), ({ services }) => services.lease.grant({ id, ttl }), [
      'noSpace',
    ]);
    if (granted === undefined) return;
    this.counts.leases++;
    if (granted.ttl < ttl) this.#oracle.fail(`a lease of ${granted.ttl} s was granted instead of ${ttl} s`);
    this.#oracle.leaseRenewed(id, askedAt, granted.ttl);
    await this.#putWithLease(random, id);
    for (let renewals = random.integer(0, 8); renewals > 0 && this.active; renewals--) {
      await clock.sleep(random.integer(100, ttl * 400));
      if (!(await this.#keepAlive(random, id))) return;
    }
    if (random.chance(0.2)) {
      this.#oracle.leaseRevokeRequested(id);
      await this.#ask(this.#pick(random), ({ services }) => services.lease.revoke(id), ['leaseNotFound']);
    } else if (random.chance(0.3)) {
      await this.#ask(this.#pick(random), ({ services }) => services.lease.timeToLive({ id, keys: true }));
    }
  }

  async #putWithLease(random: SeededRandom, id: bigint): Promise<void> {
    const before = this.#oracle.acknowledgedRevision;
    const tag = this.#nextTag();
    const request = { key: bytes(`lease/${id}`), value: bytes(tag), lease: id };
    const put = await this.#ask(this.#pick(random), ({ services }) => services.kv.put(request), [
      'leaseNotFound',
      'noSpace',
    ]);
    if (put === undefined) return;
    this.#compare(tag, responseInModelWords({ responsePut: put }));
    this.#acknowledged(tag, before, put.header.revision, true);
  }

  /** @returns whether the lease may still live */
  async #keepAlive(random: SeededRandom, id: bigint): Promise<boolean> {
    const askedAt = this.#options.clock.monotonic();
    const renewed = await this.#ask(this.#pick(random), ({ services }) => services.lease.keepAlive(id));
    if (renewed === undefined) return true;
    if (renewed.ttl > 0) this.#oracle.leaseRenewed(id, askedAt, renewed.ttl);
    return renewed.ttl > 0;
  }
}
