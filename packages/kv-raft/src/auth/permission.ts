import { NO_END, type KeyRange } from '../mvcc/operation.ts';

export type PermissionType = 'READ' | 'WRITE' | 'READWRITE';
export const permissionTypes: readonly [PermissionType, ...PermissionType[]] = ['READ', 'WRITE', 'READWRITE'];

/** A right on one key, a range, or all keys from one on. */
export interface Permission extends KeyRange {
  readonly permission: PermissionType;
}

/** Keys from `start` up to, not including, `end`; undefined: without end. */
interface Interval {
  readonly start: string;
  readonly end: string | undefined;
}

function intervalOf(range: KeyRange): Interval {
  if (range.end === '') return { start: range.key, end: `${range.key}\0` };
  return { start: range.key, end: range.end === NO_END ? undefined : range.end };
}

/** The keys of several ranges together: a range that no one of them holds may be held by two that adjoin. */
export class KeySet {
  /** In order, none touching the next. */
  readonly #intervals: readonly Interval[];

  constructor(ranges: readonly KeyRange[]) {
    const sorted = ranges
      .map(intervalOf)
      .filter(({ start, end }) => end === undefined || start < end)
      .toSorted((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    const merged: Interval[] = [];
    for (const next of sorted) {
      const last = merged.at(-1);
      if (last === undefined || (last.end !== undefined && last.end < next.start)) merged.push(next);
      else if (last.end !== undefined && (next.end === undefined || next.end > last.end))
        merged[merged.length - 1] = { start: last.start, end: next.end };
    }
    this.#intervals = merged;
  }

  /** True if every key of `range` is in the set. */
  holds(range: KeyRange): boolean {
    const { start, end } = intervalOf(range);
    const around = this.#intervals.findLast((each) => each.start <= start);
    if (around === undefined) return false;
    if (around.end === undefined) return true;
    return start < around.end && end !== undefined && end <= around.end;
  }
}
