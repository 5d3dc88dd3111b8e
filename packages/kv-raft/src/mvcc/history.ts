import type { Version } from './version.ts';

/** Changes kept in one array: dropping old history drops whole arrays. */
const SEGMENT_LENGTH = 4096;

/** All uncompacted changes in the order of their revisions: what watches resume from and compaction works through. */
export class History {
  #segments: Version[][] = [];
  /** Changes of the first segment that are dropped already. */
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(change: Version): void {
    let last = this.#segments.at(-1);
    if (last === undefined || last.length === SEGMENT_LENGTH) this.#segments.push((last = []));
    last.push(change);
    this.#length++;
  }

  /** Changes with a revision of at least `main`, oldest first. Changes pushed meanwhile are seen, too; dropped ones end it. */
  *from(main: number): Generator<Version, void, undefined> {
    const segments = this.#segments;
    let at = this.#firstSegment(main);
    for (let segment = segments[at]; segment !== undefined; segment = segments[++at]) {
      const start = at === 0 ? this.#head : 0;
      for (let i = lowerBound(segment, main, start); i < segment.length; i++) yield segment[i] as Version;
    }
  }

  /** The oldest change, if its revision is less than `main`. */
  oldestBefore(main: number): Version | undefined {
    const oldest = this.#segments[0]?.[this.#head];
    return oldest !== undefined && oldest.main < main ? oldest : undefined;
  }

  dropOldest(): void {
    const first = this.#segments[0];
    if (first === undefined) return;
    this.#head++;
    this.#length--;
    if (this.#head < first.length) return;
    // A new array, so that a reader inside the old one is not shifted.
    this.#segments = this.#segments.slice(1);
    this.#head = 0;
  }

  /** The last segment that may hold the first change of revision `main` or later. */
  #firstSegment(main: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle]?.at(-1)?.main ?? 0) < main) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function lowerBound(segment: readonly Version[], main: number, start: number): number {
  let low = start;
  let high = segment.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((segment[middle]?.main ?? 0) < main) low = middle + 1;
    else high = middle;
  }
  return low;
}
