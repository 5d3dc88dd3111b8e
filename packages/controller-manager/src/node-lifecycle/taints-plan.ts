/** Taints that tell of a node's conditions, and which pods they drive away. */
import { findCondition, tolerates, type Node, type Taint, type Toleration } from '@naru/api';

export const NOT_READY = 'node.kubernetes.io/not-ready';
export const UNREACHABLE = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/** By condition type and status. */
const conditionTaints: readonly (readonly [type: string, status: string, key: string])[] = [
  ['Ready', 'False', NOT_READY],
  ['Ready', 'Unknown', UNREACHABLE],
  ['MemoryPressure', 'True', 'node.kubernetes.io/memory-pressure'],
  ['DiskPressure', 'True', 'node.kubernetes.io/disk-pressure'],
  ['NetworkUnavailable', 'True', 'node.kubernetes.io/network-unavailable'],
  ['PIDPressure', 'True', 'node.kubernetes.io/pid-pressure'],
];
const managedKeys: ReadonlySet<string> = new Set([...conditionTaints.map(([, , key]) => key), UNSCHEDULABLE]);

function isManaged({ key, effect }: Taint): boolean {
  if (effect === 'NoSchedule') return managedKeys.has(key);
  return effect === 'NoExecute' && (key === NOT_READY || key === UNREACHABLE);
}

/** Key of the NoExecute taint that the node's readiness calls for. */
export function evictionTaintKey({ status }: Node): string | undefined {
  switch (findCondition(status?.conditions, 'Ready')?.status) {
    case 'False':
      return NOT_READY;
    case 'Unknown':
      return UNREACHABLE;
    default:
      return undefined;
  }
}

/**
 * The node's taints with those of its conditions; the same array when they are right. `evict` allows a NoExecute taint
 * where there is none yet; one that is there follows the conditions in any case.
 */
export function planTaints(node: Node, options: { readonly evict: boolean; readonly now: string }): readonly Taint[] {
  const present = node.spec?.taints ?? [];
  const wanted: Taint[] = conditionTaints
    .filter(([type, status]) => findCondition(node.status?.conditions, type)?.status === status)
    .map(([, , key]) => ({ key, effect: 'NoSchedule', timeAdded: options.now }));
  if (node.spec?.unschedulable === true)
    wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule', timeAdded: options.now });
  const eviction = evictionTaintKey(node);
  const evicting = present.some((taint) => taint.effect === 'NoExecute' && isManaged(taint));
  if (eviction !== undefined && (options.evict || evicting))
    wanted.push({ key: eviction, effect: 'NoExecute', timeAdded: options.now });
  const same = (a: Taint, b: Taint): boolean => a.key === b.key && a.effect === b.effect;
  const kept = present.filter((taint) => !isManaged(taint) || wanted.some((each) => same(each, taint)));
  const added = wanted.filter((taint) => !present.some((each) => same(each, taint)));
  return kept.length === present.length && added.length === 0 ? (node.spec?.taints ?? present) : [...kept, ...added];
}

export function isManagedEvictionTaint(taint: Taint): boolean {
  return taint.effect === 'NoExecute' && isManaged(taint);
}

/**
 * How long a pod may stay on a node with these taints, in seconds: undefined for ever, 0 when one of the NoExecute taints
 * is not tolerated.
 */
export function tolerationSeconds(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
): number | undefined {
  let least: number | undefined;
  for (const taint of taints ?? []) {
    if (taint.effect !== 'NoExecute') continue;
    const matching = (tolerations ?? []).filter((each) => tolerates(each, taint));
    if (matching.length === 0) return 0;
    for (const { tolerationSeconds: seconds } of matching) {
      if (seconds === undefined) continue;
      const stay = Math.max(0, seconds);
      if (least === undefined || stay < least) least = stay;
    }
  }
  return least;
}
