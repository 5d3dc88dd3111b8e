/** Kubernetes' functions of lists: isSorted, sum, min, max, indexOf, lastIndexOf; and sets. */
import { type Environment } from '@marcbachmann/cel-js';
import { registerSpace, type FunctionSpace } from './function-space.ts';

type Comparable = bigint | number | string | boolean | Date;

function compare(a: unknown, b: unknown): number {
  const [left, right] = [a as Comparable, b as Comparable];
  return left < right ? -1 : left > right ? 1 : 0;
}

function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a === 'bigint' || typeof b === 'bigint')
    // An int equals a double of the same amount.
    // oxlint-disable-next-line eqeqeq
    return (typeof a === 'number' || typeof b === 'number') && a == b;
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [Object.entries(a), b as Record<string, unknown>];
  return left.length === Object.keys(right).length && left.every(([key, value]) => equal(value, right[key]));
}

function extreme(list: readonly unknown[], sign: 1 | -1, name: string): unknown {
  if (list.length === 0) throw new Error(`${name} called on empty list`);
  return list.reduce((best, each) => (compare(each, best) * sign > 0 ? each : best));
}

function sum(list: readonly unknown[]): unknown {
  if (list.length === 0) return 0n;
  const numbers = list as readonly (bigint | number)[];
  return typeof numbers[0] === 'bigint'
    ? numbers.reduce((total, each) => BigInt(total) + BigInt(each), 0n)
    : numbers.reduce((total, each) => Number(total) + Number(each), 0);
}

export function registerListFunctions(environment: Environment): void {
  const contains = (list: readonly unknown[], value: unknown): boolean => list.some((each) => equal(each, value));
  registerSpace(environment, 'sets', 'kubernetes.Sets');
  environment
    .registerFunction('list.isSorted(): bool', (list: readonly unknown[]) =>
      list.every((each, i) => i === 0 || compare(list[i - 1], each) <= 0),
    )
    .registerFunction('list.sum(): dyn', sum)
    .registerFunction('list.min(): dyn', (list: readonly unknown[]) => extreme(list, -1, 'min'))
    .registerFunction('list.max(): dyn', (list: readonly unknown[]) => extreme(list, 1, 'max'))
    .registerFunction('list.indexOf(dyn): int', (list: readonly unknown[], value: unknown) =>
      BigInt(list.findIndex((each) => equal(each, value))),
    )
    .registerFunction('list.lastIndexOf(dyn): int', (list: readonly unknown[], value: unknown) =>
      BigInt(list.findLastIndex((each) => equal(each, value))),
    )
    .registerFunction(
      'kubernetes.Sets.contains(list, list): bool',
      (_space: FunctionSpace, list: readonly unknown[], wanted: readonly unknown[]) =>
        wanted.every((each) => contains(list, each)),
    )
    .registerFunction(
      'kubernetes.Sets.intersects(list, list): bool',
      (_space: FunctionSpace, list: readonly unknown[], other: readonly unknown[]) =>
        other.some((each) => contains(list, each)),
    )
    .registerFunction(
      'kubernetes.Sets.equivalent(list, list): bool',
      (_space: FunctionSpace, list: readonly unknown[], other: readonly unknown[]) =>
        other.every((each) => contains(list, each)) && list.every((each) => contains(other, each)),
    );
}
