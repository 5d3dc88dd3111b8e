import { inRange, type KvEvent, type KvRecord } from './kv-history.ts';
import type { RevisionLog } from './revision-log.ts';

/** What one watch was asked for. */
export interface WatchRequestRecord {
  readonly key: string;
  readonly rangeEnd?: string;
  /** 0: from the revision of the answer that created it on. */
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly fragment: boolean;
}

export interface WatchEventRecord extends KvEvent {
  readonly prevKv?: KvRecord | undefined;
}

export interface WatchResponseRecord {
  readonly revision: number;
  readonly kind: 'created' | 'events' | 'progress' | 'canceled';
  readonly events: readonly WatchEventRecord[];
  /** More of the same revision's events follow. */
  readonly fragment: boolean;
  /** Of `canceled`: not 0 if the watch began before what is kept. */
  readonly compactRevision: number;
}

/** One watch on one stream: it ends with the stream or when it is canceled. */
export interface WatchRecord {
  /** Watches of one name carry on one another: each starts after what the one before it was told. */
  readonly name: string;
  readonly request: WatchRequestRecord;
  readonly responses: readonly WatchResponseRecord[];
}

export interface WatchCheckOptions {
  /** The greatest that anybody asked for: previous values and events from before may be gone. Default 0. */
  readonly compactRevision?: number;
  /** The last watch of each name must have been told all events up to here. Default: none must. */
  readonly completeTo?: number;
}

/** How many problems are told. */
const PROBLEMS_MAX = 20;

/**
 * etcd's guarantees of watches, each against the whole log: ordered, unique and atomic (a revision's events come once, in
 * order, together), reliable (nothing is left out in between), resumable (nothing between a watch and the one that
 * carries it on), bookmarkable (a progress response comes after all events up to its revision, filtered ones too).
 * @returns problems, one line each
 */
export function checkWatchGuarantees(
  watches: readonly WatchRecord[],
  log: RevisionLog,
  options: WatchCheckOptions = {},
): string[] {
  const problems: string[] = [];
  const nextOf = new Map<string, number>();
  for (const watch of watches) {
    const tell = (text: string): void => {
      if (problems.length < PROBLEMS_MAX) problems.push(`${watch.name} from ${watch.request.startRevision}: ${text}`);
    };
    const next = nextOf.get(watch.name);
    const { startRevision } = watch.request;
    if (next !== undefined && (startRevision === 0 || startRevision > next))
      tell(`resumable: the watch before it was told all before ${next} only`);
    const came = new WatchCheck(watch, log, options, tell).run();
    nextOf.set(watch.name, Math.max(next ?? 0, came));
  }
  if (options.completeTo !== undefined)
    for (const [name, next] of nextOf)
      if (next <= options.completeTo) {
        const watch = watches.findLast((each) => each.name === name);
        const missed = watch === undefined ? [] : matching(watch.request, log, next, options.completeTo);
        const [first] = missed;
        if (first !== undefined)
          problems.push(
            `${name}: reliable: ${missed.length} events after ${next - 1} never came, the first ${text(first)}`,
          );
      }
  return problems;
}

class WatchCheck {
  readonly #watch: WatchRecord;
  readonly #log: RevisionLog;
  readonly #options: WatchCheckOptions;
  readonly #tell: (problem: string) => void;
  /** All events before this revision were told. */
  #next: number;
  /** Events of a revision of which more fragments follow. */
  #parts: WatchEventRecord[] = [];

  constructor(watch: WatchRecord, log: RevisionLog, options: WatchCheckOptions, tell: (problem: string) => void) {
    this.#watch = watch;
    this.#log = log;
    this.#options = options;
    this.#tell = tell;
    this.#next = watch.request.startRevision;
  }

  /** @returns the least revision of which something may not have been told */
  run(): number {
    for (const response of this.#watch.responses) {
      if (this.#parts.length > 0 && response.kind !== 'events') this.#tell('atomic: fragments were left unfinished');
      switch (response.kind) {
        case 'created':
          if (this.#next === 0) this.#next = response.revision + 1;
          break;
        case 'events':
          this.#events(response);
          break;
        case 'progress':
          this.#progress(response.revision);
          break;
        case 'canceled':
          this.#canceled(response.compactRevision);
      }
    }
    return this.#next;
  }

  /** What was compacted before it was told need not be told any more. */
  #canceled(compactRevision: number): void {
    if (compactRevision === 0) return;
    if (compactRevision <= this.#next || compactRevision > (this.#options.compactRevision ?? 0))
      this.#tell(`canceled as compacted at ${compactRevision}, when all before ${this.#next} had come`);
    this.#next = Math.max(this.#next, compactRevision);
  }

  #progress(revision: number): void {
    if (revision < this.#next) return;
    const [missed] = matching(this.#watch.request, this.#log, this.#next, revision);
    if (missed !== undefined) this.#tell(`bookmarkable: progress at ${revision} before ${text(missed)}`);
    this.#next = revision + 1;
  }

  #events({ events, fragment, revision }: WatchResponseRecord): void {
    const { request } = this.#watch;
    if (fragment && !request.fragment) this.#tell('atomic: a fragment that was not asked for');
    const all = [...this.#parts, ...events];
    this.#parts = [];
    if (fragment) {
      // Whole revisions or not: the last of them may go on in the next response.
      this.#parts = all;
      return;
    }
    if (all.length === 0) return;
    const last = all.at(-1)?.kv.modRevision ?? 0;
    const first = all[0]?.kv.modRevision ?? 0;
    if (all.some((each, i) => each.kv.modRevision < (all[i - 1]?.kv.modRevision ?? 0)))
      this.#tell('ordered: revisions go back');
    if (first < this.#next)
      this.#tell(`unique: ${text(all[0])} again, or before the start, when all before ${this.#next} had come`);
    if (last > revision) this.#tell(`an event of ${last} in a response of revision ${revision}`);
    const expected = matching(request, this.#log, this.#next, last).map(text);
    const actual = all.filter((each) => each.kv.modRevision >= this.#next).map(text);
    if (expected.join() !== actual.join()) this.#tellDifference(expected, actual);
    for (const event of all) this.#checkPrevKv(event);
    this.#next = Math.max(this.#next, last + 1);
  }

  #tellDifference(expected: readonly string[], actual: readonly string[]): void {
    const there = new Set(actual);
    const missed = expected.find((each) => !there.has(each));
    if (new Set(actual).size < actual.length) this.#tell('unique: an event came twice');
    else if (missed !== undefined) this.#tell(`reliable or atomic: ${missed} was left out`);
    else if (actual.length > expected.length) {
      const wanted = new Set(expected);
      this.#tell(`told ${actual.find((each) => !wanted.has(each))}, which it should not have been`);
    } else this.#tell(`ordered: ${actual.join()} instead of ${expected.join()}`);
  }

  #checkPrevKv(event: WatchEventRecord): void {
    const { prevKv, kv } = event;
    if (!this.#watch.request.prevKv) {
      if (prevKv !== undefined) this.#tell(`previous value of ${text(event)} without being asked`);
      return;
    }
    const before = this.#log.get(kv.key, kv.modRevision - 1);
    if (prevKv === undefined) {
      // Compaction may have taken it.
      if (before !== undefined && kv.modRevision > (this.#options.compactRevision ?? 0))
        this.#tell(`no previous value of ${text(event)}`);
    } else if (JSON.stringify(prevKv) !== JSON.stringify(before))
      this.#tell(`previous value of ${text(event)} was ${JSON.stringify(before)}, not ${JSON.stringify(prevKv)}`);
  }
}

function matching(request: WatchRequestRecord, log: RevisionLog, from: number, to: number): KvEvent[] {
  const found: KvEvent[] = [];
  for (const [revision, events] of log.entries(from)) {
    if (revision > to) break;
    for (const event of events)
      if (inRange(event.kv.key, request) && !(event.type === 'PUT' ? request.noPut : request.noDelete))
        found.push(event);
  }
  return found;
}

function text(event: KvEvent | undefined): string {
  if (event === undefined) return 'nothing';
  const { kv, type } = event;
  return type === 'PUT'
    ? `PUT ${kv.key}=${kv.value}@${kv.createRevision}/${kv.modRevision}/${kv.version}/${kv.lease}`
    : `DELETE ${kv.key}@${kv.modRevision}`;
}
