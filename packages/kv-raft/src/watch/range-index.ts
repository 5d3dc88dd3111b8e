import { NO_END, type KeyRange } from '../mvcc/operation.ts';

/** Above every key: code units of latin-1 strings end at 0xff. */
const INFINITY = '\uffff';

interface Entry<T> {
  readonly range: KeyRange;
  readonly start: string;
  readonly end: string;
  readonly value: T;
  /** The greatest end in this entry's subtree. */
  maxEnd: string;
}

/**
 * Finds the values whose range holds a key: single keys by hash, ranges by an interval tree laid out in a sorted array,
 * which is rebuilt by the first search after ranges came or went. At most one value per range.
 */
export class RangeIndex<T> {
  readonly #keys = new Map<string, T>();
  readonly #ranges = new Map<string, Map<string, Entry<T>>>();
  #sorted: Entry<T>[] | undefined = [];

  get(range: KeyRange): T | undefined {
    return range.end === '' ? this.#keys.get(range.key) : this.#ranges.get(range.key)?.get(range.end)?.value;
  }

  set(range: KeyRange, value: T): void {
    if (range.end === '') {
      this.#keys.set(range.key, value);
      return;
    }
    const end = range.end === NO_END ? INFINITY : range.end;
    let byEnd = this.#ranges.get(range.key);
    if (byEnd === undefined) this.#ranges.set(range.key, (byEnd = new Map()));
    byEnd.set(range.end, { range, start: range.key, end, value, maxEnd: end });
    this.#sorted = undefined;
  }

  delete(range: KeyRange): void {
    if (range.end === '') {
      this.#keys.delete(range.key);
      return;
    }
    const byEnd = this.#ranges.get(range.key);
    if (byEnd?.delete(range.end) !== true) return;
    if (byEnd.size === 0) this.#ranges.delete(range.key);
    this.#sorted = undefined;
  }

  /** Calls `visit` with each value whose range holds `key`. */
  match(key: string, visit: (value: T) => void): void {
    const exact = this.#keys.get(key);
    if (exact !== undefined) visit(exact);
    const sorted = (this.#sorted ??= this.#rebuild());
    if (sorted.length > 0) search(sorted, 0, sorted.length - 1, key, visit);
  }

  #rebuild(): Entry<T>[] {
    const sorted = Array.from(this.#ranges.values(), (byEnd) => [...byEnd.values()]).flat();
    sorted.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    if (sorted.length > 0) setMaxEnds(sorted, 0, sorted.length - 1);
    return sorted;
  }
}

/** The root of the subtree [low, high] is its middle. */
function setMaxEnds<T>(sorted: readonly Entry<T>[], low: number, high: number): string {
  const middle = (low + high) >>> 1;
  const root = sorted[middle] as Entry<T>;
  root.maxEnd = root.end;
  if (low < middle) root.maxEnd = max(root.maxEnd, setMaxEnds(sorted, low, middle - 1));
  if (middle < high) root.maxEnd = max(root.maxEnd, setMaxEnds(sorted, middle + 1, high));
  return root.maxEnd;
}

function max(a: string, b: string): string {
  return a > b ? a : b;
}

function search<T>(
  sorted: readonly Entry<T>[],
  low: number,
  high: number,
  key: string,
  visit: (value: T) => void,
): void {
  const middle = (low + high) >>> 1;
  const root = sorted[middle] as Entry<T>;
  if (root.maxEnd <= key) return;
  if (low < middle) search(sorted, low, middle - 1, key, visit);
  if (root.start > key) return;
  if (root.end > key) visit(root.value);
  if (middle < high) search(sorted, middle + 1, high, key, visit);
}
