import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import { EtcdError } from '@naru/etcd';
import type { KvInput, KvOp, KvOpResult, KvOutput, KvRecord } from '@naru/testkit';
import type { KvStore } from './traffic.ts';

interface WireKv {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly lease: string;
}

interface WireHeader {
  readonly revision: string;
}

interface WireRange {
  readonly header: WireHeader;
  readonly kvs: readonly WireKv[];
  readonly count: string;
}

/** The same requests over gRPC: the npm client, which is told not to try anything twice. Single keys only. */
export class Etcd3Store implements KvStore {
  readonly #client: Etcd3;

  constructor(url: string, timeoutMs: number) {
    this.#client = new Etcd3({
      hosts: url,
      faultHandling: { host: () => noop, global: noop },
      defaultCallOptions: () => ({ deadline: Date.now() + timeoutMs }),
      grpcOptions: { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 },
    });
  }

  async send(input: KvInput & { readonly type: 'txn' }): Promise<KvOutput> {
    try {
      const [op] = input.success;
      if (op === undefined || input.success.length > 1) throw new Error('not for this client');
      const [compare] = input.compare;
      if (compare === undefined) return await this.#single(op);
      const [otherwise] = input.failure;
      if (op.type !== 'put' || otherwise?.type !== 'range') throw new Error('not for this client');
      const { header, succeeded, responses } = (await this.#client
        .if(compare.key, 'Mod', '==', compare.modRevision)
        .then(this.#client.put(op.key).value(op.value))
        .else(this.#client.get(otherwise.key))
        .commit()) as unknown as {
        readonly header: WireHeader;
        readonly succeeded: boolean;
        readonly responses: readonly { readonly response_range?: WireRange }[];
      };
      const results = responses.map(({ response_range: range }): KvOpResult =>
        succeeded || range === undefined ? { type: 'put' } : rangeResult(range),
      );
      return { revision: Number(header.revision), succeeded, results };
    } catch (error) {
      if (isNotConnected(error)) throw new EtcdError('unavailable', { cause: error });
      throw error;
    }
  }

  async #single(op: KvOp): Promise<KvOutput> {
    if (op.type === 'put') {
      const { header } = (await this.#client.put(op.key).value(op.value)) as unknown as { header: WireHeader };
      return { revision: Number(header.revision), succeeded: true, results: [{ type: 'put' }] };
    }
    if (op.rangeEnd !== undefined) throw new Error('not for this client');
    if (op.type === 'deleteRange') {
      const answer = (await this.#client.delete().key(op.key)) as unknown as { header: WireHeader; deleted: string };
      const result: KvOpResult = { type: 'deleteRange', deleted: Number(answer.deleted) };
      return { revision: Number(answer.header.revision), succeeded: true, results: [result] };
    }
    const answer = (await this.#client.get(op.key).exec()) as unknown as WireRange;
    return { revision: Number(answer.header.revision), succeeded: true, results: [rangeResult(answer)] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await Promise.resolve();
  }
}

/** A channel that is not there: nothing was sent. Any other failure leaves the fate open. */
function isNotConnected(error: unknown): boolean {
  return error instanceof Error && /ECONNREFUSED|No connection established/u.test(error.message);
}

function rangeResult({ kvs, count }: WireRange): KvOpResult {
  return { type: 'range', kvs: kvs.map(recordOf), count: Number(count) };
}

function recordOf(kv: WireKv): KvRecord {
  return {
    key: kv.key.toString('latin1'),
    value: kv.value.toString('latin1'),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    version: Number(kv.version),
    lease: kv.lease === '0' ? '' : kv.lease,
  };
}
