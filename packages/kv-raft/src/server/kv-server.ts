import {
  EtcdError,
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from '@naru/etcd';
import { refuseOperation } from '../auth/access.ts';
import type { Operation, TxnOperation } from '../mvcc/operation.ts';
import { executeRange } from '../mvcc/range.ts';
import {
  checkRequest,
  deleteRangeOperation,
  isReadOnly,
  mayPut,
  putOperation,
  rangeOperation,
  txnOperation,
} from '../mvcc/request.ts';
import { executeTxn } from '../mvcc/txn.ts';
import type { AuthGuard, Credentials } from './auth-guard.ts';
import type { Proposer } from './proposer.ts';
import type { Quota } from './quota.ts';
import { deleteRangeResponse, putResponse, rangeResponse, txnResponse } from './results.ts';
import type { KvStateMachine } from './state-machine.ts';

export interface KvCounters {
  range: number;
  put: number;
  delete: number;
  txn: number;
}

/** etcd's KV service on one member. Requests are checked here, writes replicated, reads made linearizable unless asked otherwise. */
export class KvServer {
  readonly counters: KvCounters = { range: 0, put: 0, delete: 0, txn: 0 };
  readonly #proposer: Proposer;
  readonly #machine: KvStateMachine;
  readonly #quota: Quota;
  readonly #guard: AuthGuard;
  readonly #limits: { readonly txnOpsMax: number };
  readonly #compacted: (physical: boolean) => Promise<void>;

  constructor(options: {
    readonly proposer: Proposer;
    readonly machine: KvStateMachine;
    readonly quota: Quota;
    readonly guard: AuthGuard;
    readonly txnOpsMax: number;
    /** Resolves when the space of the last compaction is given back. */
    readonly compacted: () => Promise<void>;
  }) {
    this.#proposer = options.proposer;
    this.#machine = options.machine;
    this.#quota = options.quota;
    this.#guard = options.guard;
    this.#limits = { txnOpsMax: options.txnOpsMax };
    this.#compacted = async (physical) => {
      if (physical) await options.compacted();
    };
  }

  async range(request: RangeRequest, credentials?: Credentials): Promise<RangeResponse> {
    const operation = rangeOperation(request);
    this.#check(operation);
    this.counters.range++;
    if (request.serializable !== true) await this.#proposer.linearize();
    if (this.#guard.enabled) await this.#checkAccess(operation, credentials);
    const result = executeRange(this.#machine.store, operation);
    if (result.type === 'error') throw new EtcdError(result.code);
    return rangeResponse(result, this.#proposer.header(result.revision));
  }

  async put(request: PutRequest, credentials?: Credentials): Promise<PutResponse> {
    const operation = putOperation(request);
    this.#check(operation);
    this.counters.put++;
    await this.#quota.check(operation);
    const result = await this.#proposer.propose<'put'>(operation, credentials);
    return putResponse(result, this.#proposer.header(result.revision));
  }

  async deleteRange(request: DeleteRangeRequest, credentials?: Credentials): Promise<DeleteRangeResponse> {
    const operation = deleteRangeOperation(request);
    this.#check(operation);
    this.counters.delete++;
    const result = await this.#proposer.propose<'deleteRange'>(operation, credentials);
    return deleteRangeResponse(result, this.#proposer.header(result.revision));
  }

  async txn(request: TxnRequest, credentials?: Credentials): Promise<TxnResponse> {
    const operation = txnOperation(request);
    this.#check(operation);
    this.counters.txn++;
    if (isReadOnly(operation)) return await this.#readTxn(request, operation, credentials);
    if (mayPut(operation)) await this.#quota.check(operation);
    const result = await this.#proposer.propose<'txn'>(operation, credentials);
    return txnResponse(result, this.#proposer.header(result.revision));
  }

  async compact(request: CompactionRequest, credentials?: Credentials | 'cluster'): Promise<CompactionResponse> {
    const result = await this.#proposer.propose<'done'>(
      { type: 'compaction', revision: request.revision },
      credentials,
    );
    await this.#compacted(request.physical === true);
    return { header: this.#proposer.header(result.revision) };
  }

  async #readTxn(
    request: TxnRequest,
    operation: TxnOperation,
    credentials: Credentials | undefined,
  ): Promise<TxnResponse> {
    if (!isSerializable(request)) await this.#proposer.linearize();
    if (this.#guard.enabled) await this.#checkAccess(operation, credentials);
    const result = executeTxn(this.#machine.store, operation);
    if (result.type === 'error') throw new EtcdError(result.code);
    return txnResponse(result, this.#proposer.header(result.revision));
  }

  async #checkAccess(operation: Operation, credentials: Credentials | undefined): Promise<void> {
    await this.#guard.check(credentials, (context, info) => refuseOperation(context, info, operation));
  }

  #check(operation: Operation): void {
    const code = checkRequest(operation, this.#limits);
    if (code !== undefined) throw new EtcdError(code);
  }
}

/** True if every range of a read-only txn may be stale. */
function isSerializable(txn: TxnRequest): boolean {
  return [txn.success ?? [], txn.failure ?? []].every((branch) =>
    branch.every((each) => 'requestRange' in each && each.requestRange.serializable === true),
  );
}
