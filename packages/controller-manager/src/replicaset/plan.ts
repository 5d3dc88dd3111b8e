/** What a ReplicaSet's (or ReplicationController's) pods call for. */
import {
  findCondition,
  parseTime,
  selectorFromSet,
  type Pod,
  type PodTemplateSpec,
  type ReplicaSet,
  type Selector,
} from '@naru/api';
import { withoutZeros } from '../without-zeros-plan.ts';
import { isPodAvailable, isPodReady, nextAvailableMs, readySinceMs } from '../pod/pod-state-plan.ts';

/** Pods created or deleted in one sync: upstream's. */
export const BURST_REPLICAS = 500;

export type ReplicaSetStatus = NonNullable<ReplicaSet['status']>;

/** What ReplicaSets and ReplicationControllers have in common. */
export interface ReplicaOwnerView {
  readonly replicas: number;
  readonly minReadySeconds: number;
  readonly selector: Selector;
  readonly template: PodTemplateSpec;
  readonly generation: number;
  readonly status: Partial<ReplicaSetStatus>;
}

export type ReplicaSetPlan =
  | { readonly type: 'create'; readonly count: number }
  | { readonly type: 'delete'; readonly pods: readonly Pod[] }
  | { readonly type: 'none' };

/**
 * How many pods to create, or which to delete. `active` are the owner's active pods; `relatedByNode` counts, per node,
 * the active pods of all ReplicaSets that have the same owner as this one.
 */
export function planReplicas(
  view: ReplicaOwnerView,
  active: readonly Pod[],
  relatedByNode: ReadonlyMap<string, number>,
  nowMs: number,
): ReplicaSetPlan {
  const diff = active.length - view.replicas;
  if (diff === 0) return { type: 'none' };
  if (diff < 0) return { type: 'create', count: Math.min(-diff, BURST_REPLICAS) };
  const count = Math.min(diff, BURST_REPLICAS);
  if (count === active.length) return { type: 'delete', pods: active };
  return { type: 'delete', pods: rankForDeletion(active, relatedByNode, nowMs).slice(0, count) };
}

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** `controller.kubernetes.io/pod-deletion-cost`: an int32, else 0. */
function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'];
  if (text === undefined || !/^(0|[+-]?[1-9]\d*)$/u.test(text)) return 0;
  const cost = Number(text);
  return cost >= -(2 ** 31) && cost < 2 ** 31 ? cost : 0;
}

/** Ages on a logarithmic scale: of about equally old pods none is preferred. */
function logarithmicAge(sinceMs: number, nowMs: number): number {
  const ageNs = (nowMs - sinceMs) * 1e6;
  return ageNs > 0 ? Math.floor(Math.log2(ageNs)) : -1;
}

function compareAges(a: Pod, b: Pod, sinceA: number, sinceB: number, nowMs: number): number {
  if (sinceA === sinceB) return 0;
  const difference = logarithmicAge(sinceA, nowMs) - logarithmicAge(sinceB, nowMs);
  if (difference !== 0) return difference;
  return (a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1;
}

function maxRestarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
}

/**
 * The pods, those to be deleted first first: unassigned, pending, not ready, of low deletion cost, on nodes with many of
 * the kind, ready for a short time, often restarted, young.
 */
export function rankForDeletion(
  pods: readonly Pod[],
  relatedByNode: ReadonlyMap<string, number>,
  nowMs: number,
): readonly Pod[] {
  const related = (pod: Pod): number => relatedByNode.get(pod.spec?.nodeName ?? '') ?? 0;
  return pods.toSorted((a, b) => {
    const assigned = Number((a.spec?.nodeName ?? '') !== '') - Number((b.spec?.nodeName ?? '') !== '');
    if (assigned !== 0) return assigned;
    const phase = (phaseRank[a.status?.phase ?? 'Pending'] ?? 0) - (phaseRank[b.status?.phase ?? 'Pending'] ?? 0);
    if (phase !== 0) return phase;
    const ready = Number(isPodReady(a)) - Number(isPodReady(b));
    if (ready !== 0) return ready;
    const cost = deletionCost(a) - deletionCost(b);
    if (cost !== 0) return cost;
    const colocated = related(b) - related(a);
    if (colocated !== 0) return colocated;
    const [readyA, readyB] = [readySinceMs(a), readySinceMs(b)];
    if (readyA !== undefined && readyB !== undefined) {
      const age = compareAges(a, b, readyA, readyB, nowMs);
      if (age !== 0) return age;
    }
    const restarts = maxRestarts(b) - maxRestarts(a);
    if (restarts !== 0) return restarts;
    const created = [parseTime(a.metadata.creationTimestamp), parseTime(b.metadata.creationTimestamp)] as const;
    return compareAges(a, b, created[0], created[1], nowMs);
  });
}

/** Why the last attempt to create or delete pods failed. */
export interface ReplicaFailure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

/** The status that tells of these pods; the same object when nothing has changed. */
export function planStatus(
  view: ReplicaOwnerView,
  pods: readonly Pod[],
  failure: ReplicaFailure | undefined,
  now: { readonly ms: number; readonly time: string },
): Partial<ReplicaSetStatus> {
  const template = selectorFromSet(view.template.metadata?.labels);
  const ready = pods.filter(isPodReady);
  const next = {
    replicas: pods.length,
    fullyLabeledReplicas: pods.filter(({ metadata }) => template.matches(metadata.labels)).length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter((pod) => isPodAvailable(pod, view.minReadySeconds, now.ms)).length,
    observedGeneration: view.generation,
  };
  const old = view.status;
  const conditions = planConditions(old.conditions ?? [], failure, now.time);
  const changed =
    conditions !== old.conditions && !(conditions.length === 0 && old.conditions === undefined)
      ? true
      : Object.entries(next).some(([field, value]) => (old[field as keyof typeof next] ?? 0) !== value);
  if (!changed) return old;
  return { replicas: pods.length, ...withoutZeros(next), ...(conditions.length === 0 ? {} : { conditions }) };
}

type Conditions = NonNullable<ReplicaSetStatus['conditions']>;

function planConditions(old: Conditions, failure: ReplicaFailure | undefined, time: string): Conditions {
  const present = findCondition(old, 'ReplicaFailure');
  if (failure === undefined) return present === undefined ? old : old.filter((each) => each !== present);
  // A failure that goes on keeps its time and first message.
  if (present?.status === 'True' && present.reason === failure.reason) return old;
  const condition = { type: 'ReplicaFailure', status: 'True', ...failure, lastTransitionTime: time };
  return [...old.filter((each) => each !== present), condition];
}

/** When to look again because a ready pod becomes available by time alone. */
export function availabilityRequeueMs(view: ReplicaOwnerView, pods: readonly Pod[], nowMs: number): number | undefined {
  return view.minReadySeconds === 0 ? undefined : nextAvailableMs(pods, view.minReadySeconds, nowMs);
}
