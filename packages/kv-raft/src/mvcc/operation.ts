import type { Buffer } from 'node:buffer';
import type { CompareResult, ServerErrorCode, SortOrder, SortTarget } from '@naru/etcd';
import type { Version } from './version.ts';

/**
 * Keys [key, end): `end` is '' for the key alone and '\0' for all from `key` on, as in etcd's range_end. Keys are latin-1
 * strings, one character per byte.
 */
export interface KeyRange {
  readonly key: string;
  readonly end: string;
}

export const NO_END = '\0';

export function contains(range: KeyRange, key: string): boolean {
  if (range.end === '') return key === range.key;
  return key >= range.key && (range.end === NO_END || key < range.end);
}

export interface RangeOperation extends KeyRange {
  readonly type: 'range';
  readonly limit: number;
  readonly revision: number;
  readonly sortOrder: SortOrder;
  readonly sortTarget: SortTarget;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export interface PutOperation {
  readonly type: 'put';
  readonly key: string;
  readonly value: Buffer;
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRangeOperation extends KeyRange {
  readonly type: 'deleteRange';
  readonly prevKv: boolean;
}

export type Comparison = KeyRange & { readonly result: CompareResult } & (
    | { readonly target: 'VERSION' | 'CREATE' | 'MOD'; readonly operand: number }
    | { readonly target: 'LEASE'; readonly operand: bigint }
    | { readonly target: 'VALUE'; readonly operand: Buffer }
  );

export interface TxnOperation {
  readonly type: 'txn';
  readonly compare: readonly Comparison[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export type Operation = RangeOperation | PutOperation | DeleteRangeOperation | TxnOperation;

export interface RangeResult {
  readonly type: 'range';
  readonly revision: number;
  readonly versions: readonly Version[];
  readonly keysOnly: boolean;
  readonly more: boolean;
  readonly count: number;
}

export interface PutResult {
  readonly type: 'put';
  readonly revision: number;
  readonly previous: Version | undefined;
}

export interface DeleteRangeResult {
  readonly type: 'deleteRange';
  readonly revision: number;
  readonly deleted: number;
  readonly previous: readonly Version[];
}

export interface TxnResult {
  readonly type: 'txn';
  readonly revision: number;
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
}

export type OperationResult = RangeResult | PutResult | DeleteRangeResult | TxnResult;

/** An operation that changed nothing, and why. */
export interface Refusal {
  readonly type: 'error';
  readonly code: ServerErrorCode;
}

export function refuse(code: ServerErrorCode): Refusal {
  return { type: 'error', code };
}
