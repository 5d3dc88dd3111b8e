import { findCondition, parseTime, type Pod } from '@naru/api';

/** Pods in which all containers have ended for good. */
export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Neither ended nor being deleted. */
export function isPodActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}

export function isPodReady(pod: Pod): boolean {
  return findCondition(pod.status?.conditions, 'Ready')?.status === 'True';
}

/** When the pod became ready, in milliseconds since the epoch; undefined while it is not. */
export function readySinceMs(pod: Pod): number | undefined {
  const condition = findCondition(pod.status?.conditions, 'Ready');
  if (condition?.status !== 'True') return undefined;
  const ms = parseTime(condition.lastTransitionTime);
  return Number.isNaN(ms) ? 0 : ms;
}

/** Ready for at least `minReadySeconds`. */
export function isPodAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const sinceMs = readySinceMs(pod);
  if (sinceMs === undefined) return false;
  return minReadySeconds === 0 || (sinceMs !== 0 && sinceMs + minReadySeconds * 1000 <= nowMs);
}

/** Milliseconds until the first of these ready pods becomes available; undefined when none waits for that. */
export function nextAvailableMs(pods: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  let next: number | undefined;
  for (const pod of pods) {
    const sinceMs = readySinceMs(pod);
    if (sinceMs === undefined || isPodAvailable(pod, minReadySeconds, nowMs)) continue;
    const waitMs = Math.max(0, sinceMs + minReadySeconds * 1000 - nowMs);
    if (next === undefined || waitMs < next) next = waitMs;
  }
  return next;
}
