/**
 * How the server's seats are shared among its priority levels: nominally by shares, and every few seconds anew by what they
 * need, within what each may lend and borrow (KEP-1040, "Dispatching" and "Seat Borrowing").
 */
import type { PriorityLevelConfiguration } from '@naru/api';
import type { SeatDemand } from './queue-set.ts';

/** How much of the smoothed demand is left after a period without any. */
const DEMAND_DECAY = 0.977;
/** Part of its level that one request may take. */
const SEATS_OF_NOMINAL_MAX = 0.15;
/** Steps of the search for the fair fraction: more than a double has bits. */
const SEARCH_STEPS = 64;

export interface LevelLimits {
  readonly nominal: number;
  /** What is left when all is lent that may be. */
  readonly min: number;
  readonly max: number;
  /** Until it is known what is needed. */
  readonly initial: number;
}

/** Of all levels by name. `serverLimit` is `--max-requests-inflight` and `--max-mutating-requests-inflight` together. */
export function nominalLimits(
  levels: readonly PriorityLevelConfiguration[],
  serverLimit: number,
): ReadonlyMap<string, LevelLimits> {
  let total = 0;
  for (const level of levels) total += sharesOf(level);
  const limits = new Map<string, LevelLimits>();
  for (const level of levels) {
    const { lendablePercent = 0 } = level.spec?.limited ?? level.spec?.exempt ?? {};
    const borrowingPercent = level.spec?.limited?.borrowingLimitPercent;
    const nominal = total === 0 ? 0 : Math.ceil((serverLimit * sharesOf(level)) / total);
    const lendable = Math.round((nominal * lendablePercent) / 100);
    const borrowing = borrowingPercent === undefined ? serverLimit : Math.round((nominal * borrowingPercent) / 100);
    limits.set(level.metadata.name ?? '', {
      nominal,
      min: nominal - lendable,
      max: nominal + borrowing,
      initial: nominal - Math.floor(lendable / 2),
    });
  }
  return limits;
}

function sharesOf({ spec }: PriorityLevelConfiguration): number {
  return spec?.type === 'Exempt'
    ? (spec.exempt?.nominalConcurrencyShares ?? 0)
    : (spec?.limited?.nominalConcurrencyShares ?? 0);
}

/** Demand that rises at once and falls slowly. */
export function smoothDemand(before: number, { average, deviation }: SeatDemand): number {
  const envelope = average + deviation;
  return Math.max(envelope, DEMAND_DECAY * before + (1 - DEMAND_DECAY) * envelope);
}

export interface LevelDemand {
  readonly limits: LevelLimits;
  /** `smoothDemand` so far. */
  readonly smoothed: number;
  /** The highest of the last period. */
  readonly high: number;
}

/** Seats that one request of a level may take, so that others fit in beside it. */
export function seatsMaxOf(nominal: number, handSize: number): number {
  return Math.max(1, Math.min(Math.ceil(nominal * SEATS_OF_NOMINAL_MAX), Math.floor(nominal / handSize)));
}

/**
 * The limits of now: in proportion to demand, but a level keeps its own seats as far as it needs them, and at least what it
 * does not lend; nobody gets more than it may borrow.
 */
export function currentLimits(levels: readonly LevelDemand[], serverLimit: number): number[] {
  const ranges = levels.map(({ limits, smoothed, high }) => {
    const min = Math.max(limits.min, Math.min(limits.nominal, high));
    return { min, max: Math.max(min, limits.max), target: Math.max(min, smoothed) };
  });
  const given = (fraction: number): number[] =>
    ranges.map(({ min, max, target }) => Math.min(max, Math.max(min, fraction * target)));
  const sum = (fraction: number): number => given(fraction).reduce((total, each) => total + each, 0);
  let low = 0;
  let high = 1;
  while (sum(high) < serverLimit && high < 2 ** 40) high *= 2;
  for (let step = 0; step < SEARCH_STEPS; step++) {
    const middle = (low + high) / 2;
    if (sum(middle) < serverLimit) low = middle;
    else high = middle;
  }
  return given(high).map((each) => Math.max(1, Math.round(each)));
}
