/** One pod of a DaemonSet on every node that it is for. */
import {
  isTolerated,
  matchesNodeAffinity,
  parseTime,
  scaledValueFromIntOrPercent,
  type DaemonSet,
  type Node,
  type Pod,
  type PodTemplateSpec,
  type Toleration,
} from '@naru/api';
import { HASH_LABEL } from '../history/plan.ts';
import { isPodAvailable, isPodReady } from '../pod/pod-state-plan.ts';
import { withoutZeros } from '../without-zeros-plan.ts';

export type DaemonSetStatus = NonNullable<DaemonSet['status']>;

/** Daemons stay on nodes that are not well, and start on those that are cordoned. */
function daemonTolerations(hostNetwork: boolean): readonly Toleration[] {
  const exists = (key: string, effect: string): Toleration => ({
    key: `node.kubernetes.io/${key}`,
    operator: 'Exists',
    effect,
  });
  return [
    exists('not-ready', 'NoExecute'),
    exists('unreachable', 'NoExecute'),
    exists('disk-pressure', 'NoSchedule'),
    exists('memory-pressure', 'NoSchedule'),
    exists('pid-pressure', 'NoSchedule'),
    exists('unschedulable', 'NoSchedule'),
    ...(hostNetwork ? [exists('network-unavailable', 'NoSchedule')] : []),
  ];
}

/** The template of the pod for one node: with the daemons' tolerations, the revision's hash, and bound by affinity. */
export function templateForNode(template: PodTemplateSpec, node: string, hash: string): PodTemplateSpec {
  const { metadata, spec } = template;
  const present = spec?.tolerations ?? [];
  const added = daemonTolerations(spec?.hostNetwork === true).filter(
    (each) =>
      !present.some(
        ({ key, operator, effect }) => key === each.key && operator === each.operator && effect === each.effect,
      ),
  );
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [node] }];
  const nodeAffinity = spec?.affinity?.nodeAffinity;
  const terms = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const nodeSelectorTerms = terms === undefined ? [{ matchFields }] : terms.map((term) => ({ ...term, matchFields }));
  return {
    metadata: { ...metadata, labels: { ...metadata?.labels, [HASH_LABEL]: hash } },
    spec: {
      ...(spec ?? { containers: [] }),
      tolerations: [...present, ...added],
      affinity: {
        ...spec?.affinity,
        nodeAffinity: { ...nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
      },
    },
  };
}

/** The node that a daemon pod is on, or bound for. */
export function targetNodeOf({ spec }: Pod): string | undefined {
  if (spec?.nodeName !== undefined && spec.nodeName !== '') return spec.nodeName;
  const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  for (const { matchFields } of terms ?? [])
    for (const { key, operator, values } of matchFields ?? [])
      if (key === 'metadata.name' && operator === 'In' && values?.length === 1) return values[0];
  return undefined;
}

interface Placement {
  readonly shouldRun: boolean;
  readonly shouldContinueRunning: boolean;
}

function placementOn(daemonSet: DaemonSet, node: Node): Placement {
  const spec = daemonSet.spec?.template?.spec;
  const elsewhere = (spec?.nodeName ?? '') !== '' && spec?.nodeName !== node.metadata.name;
  if (elsewhere || !matchesNodeAffinity(spec, node)) return { shouldRun: false, shouldContinueRunning: false };
  const tolerations = [...(spec?.tolerations ?? []), ...daemonTolerations(spec?.hostNetwork === true)];
  const untolerated = (effect: string): boolean =>
    (node.spec?.taints ?? []).some((taint) => taint.effect === effect && !isTolerated(tolerations, taint));
  if (untolerated('NoExecute')) return { shouldRun: false, shouldContinueRunning: false };
  return { shouldRun: !untolerated('NoSchedule'), shouldContinueRunning: true };
}

export interface ObservedDaemonSet {
  readonly daemonSet: DaemonSet;
  readonly nodes: readonly Node[];
  /** All that it controls, those being deleted too. */
  readonly pods: readonly Pod[];
  /** Hash of the present template's revision. */
  readonly hash: string;
  readonly nowMs: number;
}

export interface DaemonSetPlan {
  /** Names of nodes that lack their pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Those of `remove` that had failed: worth an event. */
  readonly failed: readonly Pod[];
}

function byNodeOf(pods: readonly Pod[]): Map<string, Pod[]> {
  return Map.groupBy(
    pods.filter((pod) => targetNodeOf(pod) !== undefined),
    (pod) => targetNodeOf(pod) ?? '',
  );
}

function oldestFirst(a: Pod, b: Pod): number {
  const scheduled = Number((b.spec?.nodeName ?? '') !== '') - Number((a.spec?.nodeName ?? '') !== '');
  return scheduled || parseTime(a.metadata.creationTimestamp) - parseTime(b.metadata.creationTimestamp);
}

export function planDaemonSet(observed: ObservedDaemonSet): DaemonSetPlan {
  const { daemonSet, nodes } = observed;
  const create: string[] = [];
  const remove: Pod[] = [];
  const failed: Pod[] = [];
  const byNode = byNodeOf(observed.pods);
  const kept = new Map<string, Pod>();
  for (const node of nodes) {
    const name = node.metadata.name ?? '';
    const present = byNode.get(name) ?? [];
    byNode.delete(name);
    const { shouldRun, shouldContinueRunning } = placementOn(daemonSet, node);
    const alive = present.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (!shouldContinueRunning) {
      remove.push(...alive);
      continue;
    }
    if (present.length === 0) {
      if (shouldRun) create.push(name);
      continue;
    }
    const broken = alive.filter(({ status }) => status?.phase === 'Failed' || status?.phase === 'Succeeded');
    failed.push(...broken.filter(({ status }) => status?.phase === 'Failed'));
    const [oldest, ...surplus] = alive.filter((pod) => !broken.includes(pod)).sort(oldestFirst);
    remove.push(...broken, ...surplus);
    if (oldest !== undefined) kept.set(name, oldest);
  }
  // Pods for nodes that are gone and that were never bound: nobody else removes them.
  for (const pods of byNode.values())
    remove.push(
      ...pods.filter(({ spec, metadata }) => (spec?.nodeName ?? '') === '' && metadata.deletionTimestamp === undefined),
    );
  remove.push(...planUpdate(observed, kept));
  return { create, remove, failed };
}

/** Old pods that may be replaced now: those that are not available at once, of the others as many as may be missing. */
function planUpdate({ daemonSet, nodes, hash, nowMs }: ObservedDaemonSet, kept: ReadonlyMap<string, Pod>): Pod[] {
  const strategy = daemonSet.spec?.updateStrategy;
  if (strategy?.type === 'OnDelete') return [];
  const desired = nodes
    .filter((node) => placementOn(daemonSet, node).shouldRun)
    .map(({ metadata }) => metadata.name ?? '');
  const max = scaledValueFromIntOrPercent(strategy?.rollingUpdate?.maxUnavailable ?? 1, {
    total: desired.length,
    roundUp: true,
  });
  const minReadySeconds = daemonSet.spec?.minReadySeconds ?? 0;
  let unavailable = 0;
  const candidates: Pod[] = [];
  const doomed: Pod[] = [];
  for (const name of desired) {
    const pod = kept.get(name);
    const available = pod !== undefined && isPodAvailable(pod, minReadySeconds, nowMs);
    if (!available) unavailable++;
    if (pod === undefined || pod.metadata.labels?.[HASH_LABEL] === hash) continue;
    if (available) candidates.push(pod);
    else doomed.push(pod);
  }
  return [...doomed, ...candidates.slice(0, Math.max(0, max - unavailable))];
}

/** The status that tells of these pods. */
export function planStatus({ daemonSet, nodes, pods, hash, nowMs }: ObservedDaemonSet): DaemonSetStatus {
  const byNode = byNodeOf(pods);
  const minReadySeconds = daemonSet.spec?.minReadySeconds ?? 0;
  const counts = { desired: 0, current: 0, misscheduled: 0, ready: 0, updated: 0, available: 0 };
  for (const node of nodes) {
    const { shouldRun } = placementOn(daemonSet, node);
    const [oldest] = (byNode.get(node.metadata.name ?? '') ?? []).toSorted(oldestFirst);
    if (!shouldRun) {
      if (oldest !== undefined) counts.misscheduled++;
      continue;
    }
    counts.desired++;
    if (oldest === undefined) continue;
    counts.current++;
    if (isPodReady(oldest)) counts.ready++;
    if (isPodAvailable(oldest, minReadySeconds, nowMs)) counts.available++;
    if (oldest.metadata.labels?.[HASH_LABEL] === hash) counts.updated++;
  }
  const { collisionCount, conditions } = daemonSet.status ?? {};
  return {
    desiredNumberScheduled: counts.desired,
    currentNumberScheduled: counts.current,
    numberMisscheduled: counts.misscheduled,
    numberReady: counts.ready,
    ...withoutZeros({
      updatedNumberScheduled: counts.updated,
      numberAvailable: counts.available,
      numberUnavailable: counts.desired - counts.available,
      observedGeneration: daemonSet.metadata.generation ?? 0,
    }),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(conditions === undefined ? {} : { conditions }),
  };
}
