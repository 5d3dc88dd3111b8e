/**
 * Objects in an etcd v3 store. Writes are one shape of transaction: compare the key's modRevision, then put or delete, else
 * read the key. No write is sent twice: one whose answer was lost rejects, and the caller's client decides.
 */
import type { CompareTarget, KeyValue, RequestOp, TxnResponse } from '@naru/etcd';
import type { CallOptions, EtcdClient } from '@naru/etcd-client';
import type { Encryption } from './encryption/encryption-config.ts';

export interface StoredValue {
  readonly value: Buffer;
  readonly modRevision: number;
}

/** What a conditional write came to; `current` is what stands in its way, undefined if the key is gone. */
export type WriteResult =
  | { readonly succeeded: true; readonly revision: number }
  | { readonly succeeded: false; readonly current: StoredValue | undefined };

export interface RangePage {
  readonly items: readonly { readonly key: string; readonly value: Buffer; readonly modRevision: number }[];
  readonly more: boolean;
  /** Keys in the range, from its start on. */
  readonly count: number;
  /** The store's revision when it answered. */
  readonly revision: number;
}

/** A key that is not there: reading it is the cheapest consistent read of the store's revision. */
const revisionProbe = Buffer.from('/registry/.revision');

export class ObjectStore {
  readonly #client: EtcdClient;
  readonly #encryption: Encryption | undefined;
  #revisionRead: Promise<number> | undefined;
  #nextRevisionRead: Promise<number> | undefined;

  constructor(client: EtcdClient, encryption?: Encryption) {
    this.#client = client;
    this.#encryption = encryption;
  }

  async get(key: string, options: CallOptions = {}): Promise<StoredValue | undefined> {
    const { kvs } = await this.#client.range({ key: Buffer.from(key) }, options);
    return this.#opened(key, kvs[0]);
  }

  /** The value that stored bytes are: decrypted, where they are encrypted. @throws StatusError InternalError. */
  open(key: string, stored: Buffer): Buffer {
    return this.#encryption?.open(key, stored) ?? stored;
  }

  #opened(key: string, stored: StoredValue | undefined): StoredValue | undefined {
    if (stored === undefined || this.#encryption === undefined) return stored;
    return { value: this.open(key, stored.value), modRevision: stored.modRevision };
  }

  /** Whether the value is to be written though nothing in it changes: it is encrypted otherwise than it should be. */
  async isStale(key: string): Promise<boolean> {
    if (this.#encryption === undefined) return false;
    const { kvs } = await this.#client.range({ key: Buffer.from(key) });
    return kvs[0] !== undefined && this.#encryption.isStale(key, kvs[0].value);
  }

  /** Puts the key if it is not there. */
  async create(
    key: string,
    value: Buffer,
    options: { readonly lease?: bigint | undefined } = {},
  ): Promise<WriteResult> {
    return await this.update(key, 0, value, options);
  }

  /** Puts the key if its modRevision is the expected one (0: it is not there). */
  async update(
    key: string,
    expectedRevision: number,
    value: Buffer,
    options: { readonly lease?: bigint | undefined } = {},
  ): Promise<WriteResult> {
    const sealed = this.#encryption?.seal(key, value) ?? value;
    const put = {
      key: Buffer.from(key),
      value: sealed,
      ...(options.lease === undefined ? {} : { lease: options.lease }),
    };
    return await this.#write(key, expectedRevision, { requestPut: put });
  }

  /** Deletes the key if its modRevision is the expected one. */
  async delete(key: string, expectedRevision: number): Promise<WriteResult> {
    return await this.#write(key, expectedRevision, { requestDeleteRange: { key: Buffer.from(key) } });
  }

  async #write(key: string, expectedRevision: number, operation: RequestOp): Promise<WriteResult> {
    const bytes = Buffer.from(key);
    const compare: CompareTarget = { target: 'MOD', modRevision: expectedRevision };
    const response = await this.#client.txn({
      compare: [{ ...compare, key: bytes, result: 'EQUAL' }],
      success: [operation],
      failure: [{ requestRange: { key: bytes } }],
    });
    if (response.succeeded) return { succeeded: true, revision: response.header.revision };
    return { succeeded: false, current: this.#opened(key, rangedValue(response)) };
  }

  /** A page of [start, end) at `revision` (0: the newest). @throws EtcdError `compacted`. */
  async range(
    start: string,
    end: string,
    options: { readonly limit: number; readonly revision: number; readonly signal?: AbortSignal },
  ): Promise<RangePage> {
    const { signal, ...rest } = options;
    const response = await this.#client.range(
      { key: Buffer.from(start), rangeEnd: Buffer.from(end), ...rest },
      { signal },
    );
    return {
      items: response.kvs.map(({ key, value, modRevision }) => {
        const name = key.toString();
        return { key: name, value: this.open(name, value), modRevision };
      }),
      more: response.more,
      count: response.count,
      revision: response.header.revision,
    };
  }

  /**
   * The store's revision, at least as new as any write acknowledged before the call. Calls that come while one is on its
   * way share the one after it.
   */
  async currentRevision(): Promise<number> {
    if (this.#revisionRead === undefined) {
      this.#revisionRead = this.#readRevision();
      return await this.#revisionRead;
    }
    this.#nextRevisionRead ??= this.#revisionRead
      .catch(() => undefined)
      .then(async () => {
        this.#nextRevisionRead = undefined;
        this.#revisionRead = this.#readRevision();
        return await this.#revisionRead;
      });
    return await this.#nextRevisionRead;
  }

  async #readRevision(): Promise<number> {
    try {
      const { header } = await this.#client.range({ key: revisionProbe, countOnly: true });
      return header.revision;
    } finally {
      if (this.#nextRevisionRead === undefined) this.#revisionRead = undefined;
    }
  }
}

function rangedValue(response: TxnResponse): KeyValue | undefined {
  const first = response.responses[0];
  return first !== undefined && 'responseRange' in first ? first.responseRange.kvs[0] : undefined;
}
