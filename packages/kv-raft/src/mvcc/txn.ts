import type { Buffer } from 'node:buffer';
import {
  refuse,
  type Comparison,
  type Operation,
  type OperationResult,
  type Refusal,
  type TxnOperation,
  type TxnResult,
} from './operation.ts';
import { executeRange } from './range.ts';
import type { MvccStore } from './store.ts';
import type { Version } from './version.ts';

/** Which branch of a txn and of each txn nested in that branch is taken, in the order of the operations. */
interface Path {
  readonly succeeded: boolean;
  readonly nested: readonly Path[];
}

/**
 * Runs a txn within the open transaction of the store: all comparisons, nested ones too, look at the state before it, and
 * whatever could fail is checked before anything is changed.
 */
export function executeTxn(store: MvccStore, txn: TxnOperation): TxnResult | Refusal {
  const path = choosePath(store, txn);
  const refusal = checkPath(store, txn, path);
  if (refusal !== undefined) return refusal;
  const result = run(store, txn, path);
  return { ...result, revision: store.readRevision };
}

function choosePath(store: MvccStore, txn: TxnOperation): Path {
  const succeeded = txn.compare.every((comparison) => holds(store, comparison));
  const nested: Path[] = [];
  for (const operation of succeeded ? txn.success : txn.failure)
    if (operation.type === 'txn') nested.push(choosePath(store, operation));
  return { succeeded, nested };
}

function holds(store: MvccStore, comparison: Comparison): boolean {
  let found = false;
  let all = true;
  store.visit(comparison, store.readRevision, (version) => {
    found = true;
    all = holdsFor(comparison, version);
    return all;
  });
  if (found) return all;
  // A missing key has no value at all, not even an empty one; everything else of it is 0.
  return comparison.target === 'VALUE' ? false : resultHolds(comparison, 0 - Math.sign(Number(comparison.operand)));
}

function holdsFor(comparison: Comparison, version: Version): boolean {
  switch (comparison.target) {
    case 'VERSION':
      return resultHolds(comparison, version.version - comparison.operand);
    case 'CREATE':
      return resultHolds(comparison, version.create - comparison.operand);
    case 'MOD':
      return resultHolds(comparison, version.main - comparison.operand);
    case 'VALUE':
      return resultHolds(comparison, compareBytes(version.value, comparison.operand));
    case 'LEASE':
      return resultHolds(
        comparison,
        version.lease < comparison.operand ? -1 : version.lease > comparison.operand ? 1 : 0,
      );
    default:
      return comparison satisfies never;
  }
}

/** Compares bytes that are a latin-1 string with others. */
function compareBytes(text: string, bytes: Buffer): number {
  const other = bytes.toString('latin1');
  return text < other ? -1 : text > other ? 1 : 0;
}

function resultHolds(comparison: Comparison, difference: number): boolean {
  switch (comparison.result) {
    case 'EQUAL':
      return difference === 0;
    case 'NOT_EQUAL':
      return difference !== 0;
    case 'GREATER':
      return difference > 0;
    case 'LESS':
      return difference < 0;
    default:
      return comparison.result satisfies never;
  }
}

function checkPath(store: MvccStore, txn: TxnOperation, path: Path): Refusal | undefined {
  let nested = 0;
  for (const operation of path.succeeded ? txn.success : txn.failure) {
    const refusal =
      operation.type === 'txn'
        ? checkPath(store, operation, path.nested[nested++] as Path)
        : checkOperation(store, operation);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function checkOperation(store: MvccStore, operation: Exclude<Operation, TxnOperation>): Refusal | undefined {
  switch (operation.type) {
    case 'range':
      if (operation.revision > store.revision) return refuse('futureRevision');
      if (operation.revision > 0 && operation.revision < store.compactRevision) return refuse('compacted');
      return undefined;
    case 'put':
      if ((operation.ignoreValue || operation.ignoreLease) && store.get(operation.key, store.revision) === undefined)
        return refuse('keyNotFound');
      if (operation.lease !== 0n && !store.leases.has(operation.lease)) return refuse('leaseNotFound');
      return undefined;
    case 'deleteRange':
      return undefined;
    default:
      return operation satisfies never;
  }
}

function run(store: MvccStore, txn: TxnOperation, path: Path): TxnResult {
  const results: OperationResult[] = [];
  let nested = 0;
  for (const operation of path.succeeded ? txn.success : txn.failure) {
    const result =
      operation.type === 'txn' ? run(store, operation, path.nested[nested++] as Path) : execute(store, operation);
    // Everything that can fail was checked; a delete before it in the txn can only take away a key that it was told to ignore.
    if (result.type !== 'error') results.push(result);
  }
  // etcd leaves the revision of a nested txn out.
  return { type: 'txn', revision: 0, succeeded: path.succeeded, results };
}

function execute(store: MvccStore, operation: Exclude<Operation, TxnOperation>): OperationResult | Refusal {
  switch (operation.type) {
    case 'range':
      return executeRange(store, operation);
    case 'put':
      return store.put(operation);
    case 'deleteRange':
      return store.deleteRange(operation);
    default:
      return operation satisfies never;
  }
}
