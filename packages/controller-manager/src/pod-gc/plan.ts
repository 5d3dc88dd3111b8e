/** Pods that nobody else will ever remove. */
import { parseTime, type Node, type Pod } from '@naru/api';
import { isPodTerminal } from '../pod/pod-state-plan.ts';

export type PodGcReason = 'terminated' | 'orphaned' | 'unscheduled-terminating' | 'out-of-service';

export interface DoomedPod {
  readonly pod: Pod;
  readonly reason: PodGcReason;
}

const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';

/** `nodes` by name. Pods on nodes that are not among them are candidates: the caller must ask the server. */
export function planPodGc(
  pods: readonly Pod[],
  nodes: ReadonlyMap<string, Node>,
  terminatedThreshold: number,
): readonly DoomedPod[] {
  const doomed = new Map<Pod, PodGcReason>();
  for (const pod of pods) {
    const nodeName = pod.spec?.nodeName ?? '';
    const node = nodes.get(nodeName);
    const deleting = pod.metadata.deletionTimestamp !== undefined;
    if (nodeName === '') {
      if (deleting) doomed.set(pod, 'unscheduled-terminating');
    } else if (node === undefined) doomed.set(pod, 'orphaned');
    else if (deleting && isOutOfService(node)) doomed.set(pod, 'out-of-service');
  }
  if (terminatedThreshold > 0) {
    const terminated = pods.filter((pod) => isPodTerminal(pod) && !doomed.has(pod));
    const excess = terminated.length - terminatedThreshold;
    if (excess > 0)
      for (const pod of terminated.toSorted(evictedThenOldest).slice(0, excess)) doomed.set(pod, 'terminated');
  }
  return [...doomed].map(([pod, reason]) => ({ pod, reason }));
}

function isOutOfService({ spec, status }: Node): boolean {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  return !ready && spec?.taints?.some(({ key }) => key === OUT_OF_SERVICE) === true;
}

function evictedThenOldest(a: Pod, b: Pod): number {
  const evicted = Number(b.status?.reason === 'Evicted') - Number(a.status?.reason === 'Evicted');
  if (evicted !== 0) return evicted;
  return parseTime(a.metadata.creationTimestamp) - parseTime(b.metadata.creationTimestamp);
}
