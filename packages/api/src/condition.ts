/** Conditions of a status: a list keyed by `type`. */

/** What the conditions of all kinds share. */
export interface ConditionLike {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  observedGeneration?: number;
}

export function findCondition<C extends ConditionLike>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((each) => each.type === type);
}

export function isConditionTrue(conditions: readonly ConditionLike[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/**
 * The conditions with this one set. lastTransitionTime becomes `now` when the status changes and stays otherwise; returns
 * the same array when nothing else changes, so that identity tells whether to write.
 */
export function setCondition<C extends ConditionLike>(
  conditions: readonly C[] | undefined,
  condition: C,
  now: string,
): readonly C[] {
  const present = conditions ?? [];
  const old = findCondition(present, condition.type);
  const lastTransitionTime = old?.status === condition.status ? (old.lastTransitionTime ?? now) : now;
  const next: C = { ...condition, lastTransitionTime };
  if (old === undefined) return [...present, next];
  const keys = new Set([...Object.keys(old), ...Object.keys(next)]) as Set<keyof C>;
  const same = [...keys].every((key) => old[key] === next[key]);
  return same ? present : present.map((each) => (each === old ? next : each));
}

export function removeCondition<C extends ConditionLike>(
  conditions: readonly C[] | undefined,
  type: string,
): readonly C[] {
  const present = conditions ?? [];
  return findCondition(present, type) === undefined ? present : present.filter((each) => each.type !== type);
}
