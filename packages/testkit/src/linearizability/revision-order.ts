import {
  branchOf,
  changedStore,
  inRange,
  type KvEvent,
  type KvInput,
  type KvOp,
  type KvOperation,
  type KvOpResult,
  type KvRecord,
} from './kv-history.ts';
import type { RevisionLog } from './revision-log.ts';

export interface RevisionOrderReport {
  /** One line each; empty: every answer is what its revision's state says, and revisions follow real time. */
  readonly problems: readonly string[];
  /**
   * The history with the fates that the log tells: what was done has its output's revision and an end, what was not is
   * left out. Unanswered deletes and leases stay as they are.
   */
  readonly resolved: readonly KvOperation[];
}

/** How many problems are told. */
const PROBLEMS_MAX = 20;

/**
 * Checks a history against the store's log of changes, trusting the revisions of answers: each answered change is the
 * log's of its revision and no other's, each read is the state of its revision, and an operation that began after
 * another ended has no lesser revision. Values must be unique: one never written twice by two operations.
 */
export function checkRevisionOrder(history: readonly KvOperation[], log: RevisionLog): RevisionOrderReport {
  const check = new RevisionOrderCheck(history, log);
  return check.run();
}

class RevisionOrderCheck {
  readonly #history: readonly KvOperation[];
  readonly #log: RevisionLog;
  readonly #problems: string[] = [];
  /** Who made each revision, as far as answers and unique values tell. */
  readonly #owners = new Map<number, KvOperation>();
  readonly #firstKnown: ReadonlyMap<number, number>;

  constructor(history: readonly KvOperation[], log: RevisionLog) {
    this.#history = history;
    this.#log = log;
    this.#firstKnown = this.#findFirstKnown();
  }

  run(): RevisionOrderReport {
    for (const operation of this.#history) if (operation.output !== undefined) this.#checkAnswer(operation);
    const done = this.#ownUnanswered();
    this.#checkOwners();
    this.#checkRealTime();
    return { problems: this.#problems, resolved: this.#resolve(done) };
  }

  #problem(text: string, operation?: KvOperation): void {
    if (this.#problems.length >= PROBLEMS_MAX) return;
    this.#problems.push(operation === undefined ? text : `${text}: ${describeOperation(operation)}`);
  }

  #own(revision: number, operation: KvOperation): void {
    const other = this.#owners.get(revision);
    if (other === undefined) this.#owners.set(revision, operation);
    else if (other !== operation)
      this.#problem(`revision ${revision} has two owners, ${describeOperation(other)}`, operation);
  }

  #checkAnswer(operation: KvOperation): void {
    const { input, output } = operation;
    if (input.type !== 'txn' || output === undefined || output.leaseNotFound === true) return;
    const { revision } = output;
    if (revision > this.#log.lastRevision) {
      this.#problem(`an answer of revision ${revision}, but the log ends at ${this.#log.lastRevision}`, operation);
      return;
    }
    const changed = changedStore(input, output) === true;
    const before = changed ? revision - 1 : revision;
    if (changed) {
      this.#own(revision, operation);
      this.#checkEvents(operation, revision);
    }
    for (const { key, modRevision } of input.compare) {
      const stored = this.#log.get(key, before)?.modRevision ?? 0;
      if (output.succeeded && stored !== modRevision) this.#problem(`compared ${stored} and succeeded`, operation);
    }
    const held = input.compare.every(
      (each) => (this.#log.get(each.key, before)?.modRevision ?? 0) === each.modRevision,
    );
    if (!output.succeeded && held) this.#problem('all comparisons held and it failed', operation);
    for (const [i, op] of branchOf(input, output.succeeded).entries()) {
      const result = output.results[i];
      // A range behind a change in one txn would see it: the requests of tests have none.
      if (op.type === 'range' && result?.type === 'range') this.#checkRead(operation, op, result, before);
    }
  }

  /** The log's changes at the revision are what the requests say. */
  #checkEvents(operation: KvOperation, revision: number): void {
    const { input, output } = operation;
    if (input.type !== 'txn' || output === undefined) return;
    const expected = branchOf(input, output.succeeded).flatMap((op) => this.#expectedEvents(op, revision - 1));
    const actual = this.#log.eventsAt(revision).map(eventText);
    if (expected.toSorted().join() !== actual.toSorted().join())
      this.#problem(`revision ${revision} is ${actual.join()} in the log`, operation);
  }

  #expectedEvents(op: KvOp, before: number): string[] {
    if (op.type === 'put') return [`PUT ${op.key}=${op.value} ${op.lease ?? ''}`];
    if (op.type === 'range') return [];
    return this.#log.range(op, before).map((kv) => `DELETE ${kv.key}`);
  }

  #checkRead(
    operation: KvOperation,
    op: KvOp & { readonly type: 'range' },
    result: KvOpResult & { readonly type: 'range' },
    revision: number,
  ): void {
    const at = op.revision ?? revision;
    if (at > revision) this.#problem(`read revision ${at} of the future`, operation);
    const there = this.#log.range(op, at);
    const told = op.limit === undefined ? there : there.slice(0, op.limit);
    if (told.map(recordText).join() !== result.kvs.map(recordText).join())
      this.#problem(`at revision ${at} there was ${told.map(recordText).join() || 'nothing'}`, operation);
    else if (result.count !== undefined && result.count !== there.length)
      this.#problem(`counted ${result.count} of ${there.length}`, operation);
  }

  /** Finds the revisions of unanswered puts by their values. @returns the revision of each that was done */
  #ownUnanswered(): Map<KvOperation, number> {
    const done = new Map<KvOperation, number>();
    const revisionsOf = new Map<string, number[]>();
    for (const [revision, events] of this.#log.entries())
      for (const { type, kv } of events) {
        if (type !== 'PUT') continue;
        const text = `${kv.key}=${kv.value}`;
        revisionsOf.set(text, [...(revisionsOf.get(text) ?? []), revision]);
      }
    for (const operation of this.#history) {
      const { input, output } = operation;
      if (input.type !== 'txn') continue;
      const puts = [...input.success, ...input.failure].filter((op) => op.type === 'put');
      const revisions = new Set(puts.flatMap((op) => revisionsOf.get(`${op.key}=${op.value}`) ?? []));
      if (revisions.size > 1) this.#problem(`was done ${revisions.size} times, at ${[...revisions].join()}`, operation);
      const [revision] = revisions;
      if (revision === undefined) continue;
      if (output === undefined) {
        done.set(operation, revision);
        this.#own(revision, operation);
        this.#checkComparisons(operation, input, revision);
      } else if (this.#owners.get(revision) !== operation)
        this.#problem(`was done at ${revision}, which its answer does not tell`, operation);
    }
    return done;
  }

  #checkComparisons(operation: KvOperation, input: KvInput & { readonly type: 'txn' }, revision: number): void {
    const held = input.compare.every(
      (each) => (this.#log.get(each.key, revision - 1)?.modRevision ?? 0) === each.modRevision,
    );
    if (!held) this.#problem(`comparisons did not hold at revision ${revision}`, operation);
  }

  /** Every change is somebody's: a put its operation's, a delete of one that asked for it or of a lease. */
  #checkOwners(): void {
    const deletes = this.#history.filter(({ input }) => input.type !== 'txn' || hasDelete(input));
    for (const [revision, events] of this.#log.entries()) {
      if (this.#owners.has(revision)) continue;
      const put = events.find((each) => each.type === 'PUT');
      if (put !== undefined) this.#problem(`revision ${revision} is nobody's: ${eventText(put)}`);
      else if (!events.every((event) => deletes.some((each) => this.#mayHaveDeleted(each, event))))
        this.#problem(`revision ${revision} is nobody's, or came too soon: ${events.map(eventText).join()}`);
    }
  }

  #mayHaveDeleted(operation: KvOperation, event: KvEvent): boolean {
    const known = this.#firstKnown.get(event.kv.modRevision) ?? Infinity;
    return operation.call <= known && mayDelete(operation, event, this.#log);
  }

  /** In the order of time: what begins after something ended has its revision or a greater one. */
  #checkRealTime(): void {
    const moments: { time: number; isReturn: boolean; operation: KvOperation; revision: number }[] = [];
    const revisionOf = new Map(Array.from(this.#owners, ([revision, operation]) => [operation, revision] as const));
    for (const operation of this.#history) {
      const { input, output } = operation;
      if (input.type !== 'txn' || output?.leaseNotFound === true) continue;
      const revision = revisionOf.get(operation) ?? output?.revision;
      if (revision === undefined) continue;
      // A stale read is no lower than nothing, but what it told had begun.
      if (input.serializable !== true) moments.push({ time: operation.call, isReturn: false, operation, revision });
      if (output !== undefined) moments.push({ time: operation.return, isReturn: true, operation, revision });
    }
    moments.sort((a, b) => a.time - b.time || Number(a.isReturn) - Number(b.isReturn));
    let newest: (typeof moments)[number] | undefined;
    let told: (typeof moments)[number] | undefined;
    for (const moment of moments) {
      const { operation, revision, isReturn } = moment;
      const stale = operation.input.type === 'txn' && operation.input.serializable === true;
      if (isReturn) {
        if (told === undefined || revision > told.revision) told = moment;
        if (!stale && (newest === undefined || revision > newest.revision)) newest = moment;
        continue;
      }
      const changes = this.#owners.get(revision) === operation;
      const least = changes ? told : newest;
      if (least !== undefined && (changes ? revision <= least.revision : revision < least.revision))
        this.#problem(`revision ${revision} after ${describeOperation(least.operation)} had ended`, operation);
    }
  }

  #resolve(done: ReadonlyMap<KvOperation, number>): KvOperation[] {
    const unowned = this.#unownedDeletes();
    return this.#history.flatMap((operation) => {
      const { input, output } = operation;
      if (output !== undefined) return [operation];
      if (input.type !== 'txn') return this.#mayMatter(operation, unowned) ? [operation] : [];
      const ops = [...input.success, ...input.failure];
      if (!ops.some((op) => op.type === 'put'))
        return unowned.some((event) => this.#mayHaveDeleted(operation, event)) ? [operation] : [];
      const revision = done.get(operation);
      if (revision === undefined) return [];
      // Results of other requests in the txn are not known, so only plain changes become answers.
      if (input.success.some((op) => op.type !== 'put')) return [operation];
      const results: readonly KvOpResult[] = input.success.map(() => ({ type: 'put' }));
      const known = { revision, succeeded: true, results };
      return [{ ...operation, output: known, return: this.#firstKnown.get(revision) ?? Infinity }];
    });
  }

  /** For each revision the first moment at which somebody knew of it, or of a later one. */
  #findFirstKnown(): Map<number, number> {
    const ends = this.#history
      .flatMap(({ output, return: time }) => (output === undefined ? [] : [[output.revision, time] as const]))
      .toSorted(([a], [b]) => b - a);
    const firstKnown = new Map<number, number>();
    let time = Infinity;
    let i = 0;
    for (let revision = this.#log.lastRevision; revision >= 0; revision--) {
      for (; i < ends.length && (ends[i]?.[0] ?? 0) >= revision; i++) time = Math.min(time, ends[i]?.[1] ?? Infinity);
      firstKnown.set(revision, time);
    }
    return firstKnown;
  }

  #unownedDeletes(): KvEvent[] {
    return Array.from(this.#log.entries()).flatMap(([revision, events]) => (this.#owners.has(revision) ? [] : events));
  }

  /** Whether anything tells of the unanswered request for a lease. */
  #mayMatter(operation: KvOperation, unowned: readonly KvEvent[]): boolean {
    const { input } = operation;
    if (input.type === 'txn') return true;
    const { lease } = input;
    const uses = this.#history.filter(
      (each) =>
        each.output !== undefined &&
        (each.input.type === 'txn' ? leasesIn(each.input).includes(lease) : each.input.lease === lease),
    );
    if (input.type === 'leaseGrant') return uses.some((each) => each.output?.leaseNotFound !== true);
    return (
      uses.some((each) => each.output?.leaseNotFound === true) ||
      unowned.some((event) => this.#mayHaveDeleted(operation, event))
    );
  }
}

function leasesIn(input: KvInput & { readonly type: 'txn' }): string[] {
  return [...input.success, ...input.failure].flatMap((op) => (op.type === 'put' ? (op.lease ?? []) : []));
}

function hasDelete(input: KvInput & { readonly type: 'txn' }): boolean {
  return [...input.success, ...input.failure].some((op) => op.type === 'deleteRange');
}

function mayDelete({ input, output }: KvOperation, event: KvEvent, log: RevisionLog): boolean {
  // An answered delete owns its revision already.
  if (input.type === 'txn')
    return (
      output === undefined &&
      [...input.success, ...input.failure].some((op) => op.type === 'deleteRange' && inRange(event.kv.key, op))
    );
  const before = log.get(event.kv.key, event.kv.modRevision - 1);
  return output?.leaseNotFound !== true && input.type !== 'leaseGrant' && before?.lease === input.lease;
}

function eventText({ type, kv }: KvEvent): string {
  return type === 'PUT' ? `PUT ${kv.key}=${kv.value} ${kv.lease}` : `DELETE ${kv.key}`;
}

function recordText({ key, value, createRevision, modRevision, version, lease }: KvRecord): string {
  return `${key}=${value}@${createRevision}/${modRevision}/${version}/${lease}`;
}

/** One line for people. */
export function describeOperation({ client, input, output, call, return: end }: KvOperation): string {
  return `${client} [${call.toFixed(1)}, ${end.toFixed(1)}] ${JSON.stringify(input)} -> ${JSON.stringify(output) ?? 'no answer'}`;
}
