import type { Model, Operation } from './operation.ts';
import { PrecedenceList } from './precedence-list.ts';
import { BitSet } from './bit-set.ts';

export interface CheckOptions {
  /** Steps after which a history is given up as undecided. Default 5,000,000. */
  readonly stepsMax?: number;
}

export interface CheckResult<I, O> {
  /** `undecided`: more than `stepsMax` steps; never to be taken for a success. */
  readonly verdict: 'linearizable' | 'violation' | 'undecided';
  readonly steps: number;
  /** Of a violation: the name of the partition and the operations of its smallest prefix that fails. */
  readonly counterexample?: Counterexample<I, O>;
}

export interface Counterexample<I, O> {
  readonly partition: string;
  /** Those that were called until then, by their calls; outputs that came later are taken away. */
  readonly operations: readonly Operation<I, O>[];
  /** The longest order that the search found for the prefix; the operation that cannot follow is not in it. */
  readonly longest: readonly Operation<I, O>[];
}

const STEPS_MAX = 5_000_000;

interface Search<I, O> {
  readonly verdict: CheckResult<I, O>['verdict'];
  readonly steps: number;
  readonly longest: readonly Operation<I, O>[];
}

/**
 * Whether every partition of the history is linearizable (Herlihy and Wing): the algorithm of Wing and Gong with Lowe's
 * memoized configurations, as in Porcupine. Partitions must be objects of their own (P-compositionality).
 */
export function checkLinearizability<S, I, O>(
  model: Model<S, I, O>,
  partitions: ReadonlyMap<string, readonly Operation<I, O>[]>,
  options: CheckOptions = {},
): CheckResult<I, O> {
  const stepsMax = options.stepsMax ?? STEPS_MAX;
  let steps = 0;
  let undecided = false;
  for (const [partition, operations] of partitions) {
    const found = search(model, operations, stepsMax);
    steps += found.steps;
    if (found.verdict === 'undecided') undecided = true;
    if (found.verdict !== 'violation') continue;
    return { verdict: 'violation', steps, counterexample: smallestPrefix(model, partition, operations, stepsMax) };
  }
  return { verdict: undecided ? 'undecided' : 'linearizable', steps };
}

/** What was known at `time`: later calls are not there, later returns are not known. */
function prefixUntil<I, O>(operations: readonly Operation<I, O>[], time: number): Operation<I, O>[] {
  return operations
    .filter((each) => each.call <= time)
    .map((each) => (each.return <= time ? each : { ...each, output: undefined, return: Infinity }));
}

/** Linearizability is closed under prefixes, so the smallest one that fails is found by bisection over the returns. */
function smallestPrefix<S, I, O>(
  model: Model<S, I, O>,
  partition: string,
  operations: readonly Operation<I, O>[],
  stepsMax: number,
): Counterexample<I, O> {
  const times = operations.map((each) => each.return).filter((each) => each !== Infinity);
  times.sort((a, b) => a - b);
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { verdict } = search(model, prefixUntil(operations, times[middle] ?? Infinity), stepsMax);
    if (verdict === 'violation') high = middle;
    else low = middle + 1;
  }
  const prefix = prefixUntil(operations, times[high] ?? Infinity);
  const { longest } = search(model, prefix, stepsMax);
  return { partition, operations: prefix.toSorted((a, b) => a.call - b.call), longest };
}

interface Frame<S> {
  readonly state: S;
  /** What was linearized here. */
  readonly index: number;
}

/**
 * Depth first: of the operations that no unlinearized one precedes, the answered ones are tried in the order of their
 * calls, then the unanswered ones. Of unanswered operations with equal inputs only the one that was called first is
 * tried: it can stand for each of the others.
 */
function search<S, I, O>(
  model: Model<S, I, O>,
  operations: readonly Operation<I, O>[],
  stepsMax: number,
): Search<I, O> {
  const answered = operations.filter((each) => each.output !== undefined);
  const list = new PrecedenceList(answered);
  const pending = pendingClasses(operations);
  const ordered = [...list.operations, ...pending.operations];
  const linearized = new BitSet(ordered.length);
  const seen = new Set<string>();
  const stack: Frame<S>[] = [];
  let longest: number[] = [];
  let state = model.initial;
  let steps = 0;
  let after = -1;
  while (!list.isEmpty) {
    if (++steps > stepsMax) return { verdict: 'undecided', steps, longest: longest.map((i) => at(ordered, i)) };
    const index = list.nextCandidate(after) ?? pending.nextCandidate(after, list.firstReturn);
    if (index === undefined) {
      if (stack.length > longest.length) longest = stack.map((each) => each.index);
      const frame = stack.pop();
      if (frame === undefined) return { verdict: 'violation', steps, longest: longest.map((i) => at(ordered, i)) };
      ({ state } = frame);
      after = frame.index;
      linearized.flip(after);
      if (after < list.operations.length) list.restore(after);
      else pending.restore(after);
      continue;
    }
    after = index;
    const { input, output } = at(ordered, index);
    const next = model.step(state, input, output);
    // One without an answer or an effect need not be in the order.
    if (next === undefined || (next === state && output === undefined)) continue;
    linearized.flip(index);
    const configuration = `${linearized.key()}|${model.key(next)}`;
    if (seen.has(configuration)) {
      linearized.flip(index);
      continue;
    }
    seen.add(configuration);
    stack.push({ state, index });
    state = next;
    if (index < list.operations.length) list.remove(index);
    else pending.take(index);
    after = -1;
  }
  return { verdict: 'linearizable', steps, longest: stack.map((each) => at(ordered, each.index)) };
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError('no such operation');
  return item;
}

interface PendingClasses<I, O> {
  readonly operations: readonly Operation<I, O>[];
  nextCandidate(after: number, before: number): number | undefined;
  take(index: number): void;
  restore(index: number): void;
}

/** The unanswered operations, those with equal inputs together, numbered behind the answered ones. */
function pendingClasses<I, O>(all: readonly Operation<I, O>[]): PendingClasses<I, O> {
  const groups = new Map<string, Operation<I, O>[]>();
  for (const each of all.toSorted((a, b) => a.call - b.call)) {
    if (each.output !== undefined) continue;
    const name = JSON.stringify(each.input);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [each]);
    else group.push(each);
  }
  const operations = [...groups.values()].flat();
  const offset = all.length - operations.length;
  const classOf: number[] = [];
  const next: number[] = [];
  const ends: number[] = [];
  for (const group of groups.values()) {
    next.push(classOf.length);
    for (const _ of group) classOf.push(next.length - 1);
    ends.push(classOf.length);
  }
  return {
    operations,
    nextCandidate(after, before) {
      const first = after < offset ? 0 : (classOf[after - offset] ?? 0) + 1;
      for (let i = first; i < next.length; i++) {
        const candidate = next[i] ?? 0;
        if (candidate < (ends[i] ?? 0) && (operations[candidate]?.call ?? Infinity) <= before)
          return candidate + offset;
      }
      return undefined;
    },
    take(index) {
      const group = classOf[index - offset] ?? 0;
      next[group] = index - offset + 1;
    },
    restore(index) {
      next[classOf[index - offset] ?? 0] = index - offset;
    },
  };
}
