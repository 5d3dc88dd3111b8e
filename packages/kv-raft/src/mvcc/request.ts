/** From etcd's messages to the store's operations, and etcd's checks of a request before it is proposed. */
import { Buffer } from 'node:buffer';
import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  ServerErrorCode,
  TxnRequest,
} from '@naru/etcd';
import {
  contains,
  type Comparison,
  type DeleteRangeOperation,
  type KeyRange,
  type Operation,
  type PutOperation,
  type RangeOperation,
  type TxnOperation,
} from './operation.ts';

const noBytes = Buffer.alloc(0);

function keyRange(request: { readonly key: Buffer; readonly rangeEnd?: Buffer | undefined }): KeyRange {
  return { key: request.key.toString('latin1'), end: request.rangeEnd?.toString('latin1') ?? '' };
}

export function rangeOperation(request: RangeRequest): RangeOperation {
  return {
    type: 'range',
    ...keyRange(request),
    limit: request.limit ?? 0,
    revision: request.revision ?? 0,
    sortOrder: request.sortOrder ?? 'NONE',
    sortTarget: request.sortTarget ?? 'KEY',
    keysOnly: request.keysOnly ?? false,
    countOnly: request.countOnly ?? false,
    minModRevision: request.minModRevision ?? 0,
    maxModRevision: request.maxModRevision ?? 0,
    minCreateRevision: request.minCreateRevision ?? 0,
    maxCreateRevision: request.maxCreateRevision ?? 0,
  };
}

export function putOperation(request: PutRequest): PutOperation {
  return {
    type: 'put',
    key: request.key.toString('latin1'),
    value: request.value ?? noBytes,
    lease: request.lease ?? 0n,
    prevKv: request.prevKv ?? false,
    ignoreValue: request.ignoreValue ?? false,
    ignoreLease: request.ignoreLease ?? false,
  };
}

export function deleteRangeOperation(request: DeleteRangeRequest): DeleteRangeOperation {
  return { type: 'deleteRange', ...keyRange(request), prevKv: request.prevKv ?? false };
}

export function txnOperation(request: TxnRequest): TxnOperation {
  return {
    type: 'txn',
    compare: (request.compare ?? []).map(comparison),
    success: (request.success ?? []).map(operation),
    failure: (request.failure ?? []).map(operation),
  };
}

function operation(request: RequestOp): Operation {
  if ('requestRange' in request) return rangeOperation(request.requestRange);
  if ('requestPut' in request) return putOperation(request.requestPut);
  if ('requestDeleteRange' in request) return deleteRangeOperation(request.requestDeleteRange);
  return txnOperation(request.requestTxn);
}

function comparison(compare: Compare): Comparison {
  const range = { ...keyRange(compare), result: compare.result };
  switch (compare.target) {
    case 'VERSION':
      return { ...range, target: 'VERSION', operand: compare.version };
    case 'CREATE':
      return { ...range, target: 'CREATE', operand: compare.createRevision };
    case 'MOD':
      return { ...range, target: 'MOD', operand: compare.modRevision };
    case 'VALUE':
      return { ...range, target: 'VALUE', operand: compare.value };
    case 'LEASE':
      return { ...range, target: 'LEASE', operand: compare.lease };
    default:
      return compare satisfies never;
  }
}

/** What is wrong with `operation` whatever the store holds; undefined: nothing. */
export function checkRequest(
  operation: Operation,
  limits: { readonly txnOpsMax: number },
): ServerErrorCode | undefined {
  switch (operation.type) {
    case 'range':
    case 'deleteRange':
      return operation.key === '' ? 'emptyKey' : undefined;
    case 'put':
      if (operation.key === '') return 'emptyKey';
      if (operation.ignoreValue && operation.value.length > 0) return 'valueProvided';
      return operation.ignoreLease && operation.lease !== 0n ? 'leaseProvided' : undefined;
    case 'txn':
      return checkTxn(operation, limits.txnOpsMax) ?? checkOverlaps(operation);
    default:
      return operation satisfies never;
  }
}

function checkTxn(txn: TxnOperation, opsMax: number): ServerErrorCode | undefined {
  const ops = Math.max(txn.compare.length, txn.success.length, txn.failure.length);
  if (ops > opsMax) return 'tooManyOps';
  if (txn.compare.some((each) => each.key === '')) return 'emptyKey';
  for (const branch of [txn.success, txn.failure])
    for (const each of branch) {
      const code = each.type === 'txn' ? checkTxn(each, opsMax - ops) : checkRequest(each, { txnOpsMax: opsMax - ops });
      if (code !== undefined) return code;
    }
  return undefined;
}

function checkOverlaps(txn: TxnOperation): ServerErrorCode | undefined {
  return writesOf(txn.success) === undefined || writesOf(txn.failure) === undefined ? 'duplicateKey' : undefined;
}

interface Writes {
  readonly puts: Set<string>;
  readonly deletes: KeyRange[];
}

/**
 * What a branch may write; undefined if it puts a key twice, or puts one that it deletes, too. Only one branch of a nested
 * txn runs, so both of its branches may put the same key.
 */
function writesOf(branch: readonly Operation[]): Writes | undefined {
  const puts = new Set<string>();
  const deletes: KeyRange[] = branch.filter((each) => each.type === 'deleteRange');
  const taken = (key: string): boolean => puts.has(key) || deletes.some((range) => contains(range, key));
  for (const each of branch) {
    if (each.type !== 'txn') continue;
    const success = writesOf(each.success);
    const failure = writesOf(each.failure);
    if (success === undefined || failure === undefined) return undefined;
    const nested = new Set([...success.puts, ...failure.puts]);
    for (const key of nested) if (taken(key)) return undefined;
    for (const key of nested) puts.add(key);
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const each of branch) {
    if (each.type !== 'put') continue;
    if (taken(each.key)) return undefined;
    puts.add(each.key);
  }
  return { puts, deletes };
}

/** True if no branch of the txn can change anything. */
export function isReadOnly(txn: TxnOperation): boolean {
  return [txn.success, txn.failure].every((branch) =>
    branch.every((each) => each.type === 'range' || (each.type === 'txn' && isReadOnly(each))),
  );
}

/** True if any branch of the operation can put: such a request is refused when there is no space. */
export function mayPut(operation: Operation): boolean {
  if (operation.type === 'txn') return [operation.success, operation.failure].some((branch) => branch.some(mayPut));
  return operation.type === 'put';
}
