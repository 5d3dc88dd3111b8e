import type { Operation } from './operation.ts';

/** A key as a client read it; ids of leases as texts, the empty one for none. */
export interface KvRecord {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string;
}

export type KvOp =
  | {
      readonly type: 'range';
      readonly key: string;
      /** Absent: the key alone. */
      readonly rangeEnd?: string;
      /** Absent: the newest. */
      readonly revision?: number;
      readonly limit?: number;
    }
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly lease?: string }
  | { readonly type: 'deleteRange'; readonly key: string; readonly rangeEnd?: string };

/**
 * What a client asked. A single put, range or delete is a txn without comparisons. `leaseExpire` is no request: it is what
 * the store may do from the time on at which the lease is over, and has no answer.
 */
export type KvInput =
  | {
      readonly type: 'txn';
      /** All must hold: the key's mod revision is this; 0: there is no such key. */
      readonly compare: readonly { readonly key: string; readonly modRevision: number }[];
      readonly success: readonly KvOp[];
      readonly failure: readonly KvOp[];
      /** Answered from a member's own state. */
      readonly serializable?: boolean;
    }
  | { readonly type: 'leaseGrant' | 'leaseRevoke' | 'leaseExpire'; readonly lease: string };

export type KvOpResult =
  | {
      readonly type: 'range';
      readonly kvs: readonly KvRecord[];
      /** Keys in the range, however many were told. Undefined: not known. */
      readonly count: number | undefined;
    }
  | { readonly type: 'put' }
  | { readonly type: 'deleteRange'; /** Undefined: not known. */ readonly deleted: number | undefined };

export interface KvOutput {
  /** The answer's revision. 0: not known. */
  readonly revision: number;
  /** False: `failure` was done. */
  readonly succeeded: boolean;
  readonly results: readonly KvOpResult[];
  /** Nothing was done, as the lease is not there. */
  readonly leaseNotFound?: boolean;
}

export type KvOperation = Operation<KvInput, KvOutput>;

/** The revision's changes, as the store keeps them. */
export interface KvEvent {
  readonly type: 'PUT' | 'DELETE';
  /** Of a DELETE, `key` and `modRevision` only count. */
  readonly kv: KvRecord;
}

export function inRange(key: string, range: { readonly key: string; readonly rangeEnd?: string | undefined }): boolean {
  if (range.rangeEnd === undefined) return key === range.key;
  return key >= range.key && (range.rangeEnd === '\0' || key < range.rangeEnd);
}

/** The requests of the branch that was taken. */
export function branchOf(input: KvInput & { readonly type: 'txn' }, succeeded: boolean): readonly KvOp[] {
  return succeeded ? input.success : input.failure;
}

/** Whether an answered request changed the store, hence made a revision. Undefined: its output does not tell. */
export function changedStore(input: KvInput, output: KvOutput): boolean | undefined {
  if (output.leaseNotFound === true || input.type === 'leaseGrant') return false;
  if (input.type !== 'txn') return undefined;
  return branchOf(input, output.succeeded).some((op, i) => {
    const result = output.results[i];
    return op.type === 'put' || (result?.type === 'deleteRange' && (result.deleted ?? 0) > 0);
  });
}
