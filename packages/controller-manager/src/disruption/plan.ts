/** How many pods of a PodDisruptionBudget may be evicted now. */
import { parseTime, scaledValueFromIntOrPercent, setCondition, type Pod, type PodDisruptionBudget } from '@naru/api';
import { isPodActive, isPodReady } from '../pod/pod-state-plan.ts';

export type DisruptionStatus = NonNullable<PodDisruptionBudget['status']>;

/** An eviction whose deletion is not seen after this long did not happen: upstream's. */
const DISRUPTED_TIMEOUT_MS = 120_000;

export interface ObservedBudget {
  readonly budget: PodDisruptionBudget;
  /** Those that it selects. */
  readonly pods: readonly Pod[];
  /** Replicas that the controllers of these pods ask for; undefined when one of them has no scale. */
  readonly expectedScale: number | undefined;
  readonly nowMs: number;
  readonly now: string;
}

export interface DisruptionPlan {
  readonly status: DisruptionStatus;
  readonly requeueAfterMs: number | undefined;
}

export function planDisruption(observed: ObservedBudget): DisruptionPlan {
  const { budget, now } = observed;
  const { disruptedPods, requeueAfterMs } = stillDisrupted(observed);
  // An ended pod can neither be healthy nor be disrupted.
  const pods = observed.pods.filter((pod) => isPodActive(pod));
  const currentHealthy = pods.filter(
    (pod) => isPodReady(pod) && !Object.hasOwn(disruptedPods, pod.metadata.name ?? ''),
  ).length;
  const counts = expectedCounts(observed, observed.pods.filter(({ status }) => !isEnded(status?.phase)).length);
  const { expectedPods = 0, desiredHealthy = 0 } = counts ?? {};
  const allowed = counts === undefined || expectedPods <= 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  const condition = {
    type: 'DisruptionAllowed',
    observedGeneration: budget.metadata.generation ?? 0,
    ...(counts === undefined
      ? { status: 'False', reason: 'SyncFailed', message: 'the controllers of the pods have no scale' }
      : allowed > 0
        ? { status: 'True', reason: 'SufficientPods', message: '' }
        : { status: 'False', reason: 'InsufficientPods', message: '' }),
  };
  const conditions = setCondition<NonNullable<DisruptionStatus['conditions']>[number]>(
    budget.status?.conditions,
    { ...condition, lastTransitionTime: now },
    now,
  );
  return {
    requeueAfterMs,
    status: {
      conditions: [...conditions],
      currentHealthy,
      desiredHealthy,
      ...(Object.keys(disruptedPods).length === 0 ? {} : { disruptedPods }),
      disruptionsAllowed: allowed,
      expectedPods,
      observedGeneration: budget.metadata.generation ?? 0,
    },
  };
}

function isEnded(phase: string | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}

function expectedCounts(
  { budget, expectedScale }: ObservedBudget,
  podCount: number,
): { readonly expectedPods: number; readonly desiredHealthy: number } | undefined {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  const roundUp = true;
  if (maxUnavailable !== undefined) {
    if (expectedScale === undefined) return undefined;
    const unavailable = scaledValueFromIntOrPercent(maxUnavailable, { total: expectedScale, roundUp });
    return { expectedPods: expectedScale, desiredHealthy: Math.max(0, expectedScale - unavailable) };
  }
  if (typeof minAvailable === 'number') return { expectedPods: podCount, desiredHealthy: minAvailable };
  if (minAvailable === undefined) return { expectedPods: podCount, desiredHealthy: 0 };
  if (expectedScale === undefined) return undefined;
  const desiredHealthy = scaledValueFromIntOrPercent(minAvailable, { total: expectedScale, roundUp });
  return { expectedPods: expectedScale, desiredHealthy };
}

/** Evictions that were granted and whose pods are still there, not yet being deleted. */
function stillDisrupted({ budget, pods, nowMs }: ObservedBudget): {
  readonly disruptedPods: Record<string, string>;
  readonly requeueAfterMs: number | undefined;
} {
  const disruptedPods: Record<string, string> = {};
  let requeueAfterMs: number | undefined;
  for (const [name, time] of Object.entries(budget.status?.disruptedPods ?? {})) {
    const pod = pods.find(({ metadata }) => metadata.name === name);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    const leftMs = parseTime(time) + DISRUPTED_TIMEOUT_MS - nowMs;
    if (leftMs <= 0) continue;
    disruptedPods[name] = time;
    requeueAfterMs = Math.min(requeueAfterMs ?? leftMs, leftMs);
  }
  return { disruptedPods, requeueAfterMs };
}
