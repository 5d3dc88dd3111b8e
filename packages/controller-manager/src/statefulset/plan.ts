/** The pods of a StatefulSet: each ordinal has one, of a name and claims of its own, made and replaced in order. */
import {
  newControllerRef,
  statefulSets,
  type ControllerRevision,
  type PersistentVolumeClaim,
  type Pod,
  type PodTemplateSpec,
  type StatefulSet,
} from '@naru/api';
import { HASH_LABEL, templateOf } from '../history/plan.ts';
import { isPodAvailable, isPodReady, isPodTerminal } from '../pod/pod-state-plan.ts';
import { withoutZeros } from '../without-zeros-plan.ts';

export type StatefulSetStatus = NonNullable<StatefulSet['status']>;

const POD_NAME_LABEL = 'statefulset.kubernetes.io/pod-name';
const POD_INDEX_LABEL = 'apps.kubernetes.io/pod-index';

export interface ObservedStatefulSet {
  readonly statefulSet: StatefulSet;
  /** Those that it controls. */
  readonly pods: readonly Pod[];
  readonly currentRevision: ControllerRevision;
  readonly updateRevision: ControllerRevision;
  readonly nowMs: number;
}

export type StatefulSetAction =
  | { readonly type: 'create'; readonly pod: Pod; readonly claims: readonly PersistentVolumeClaim[] }
  | { readonly type: 'delete'; readonly pod: Pod };

export interface StatefulSetPlan {
  readonly actions: readonly StatefulSetAction[];
  readonly status: StatefulSetStatus;
}

/** Ordinal of a pod's name; undefined for a name that is not of this set. */
export function ordinalOf(statefulSet: StatefulSet, pod: Pod): number | undefined {
  const match = /^(.*)-(\d+)$/u.exec(pod.metadata.name ?? '');
  return match?.[1] === statefulSet.metadata.name ? Number(match?.[2]) : undefined;
}

const replicasOf = ({ spec }: StatefulSet): number => spec?.replicas ?? 1;
const startOf = ({ spec }: StatefulSet): number => spec?.ordinals?.start ?? 0;
const revisionOf = ({ metadata }: Pod): string => metadata.labels?.[HASH_LABEL] ?? '';
const isTerminating = ({ metadata }: Pod): boolean => metadata.deletionTimestamp !== undefined;

export function planStatefulSet(observed: ObservedStatefulSet): StatefulSetPlan {
  return { actions: planActions(observed), status: planStatus(observed) };
}

function planActions(observed: ObservedStatefulSet): StatefulSetAction[] {
  const { statefulSet, pods, nowMs } = observed;
  const start = startOf(statefulSet);
  const count = replicasOf(statefulSet);
  const minReadySeconds = statefulSet.spec?.minReadySeconds ?? 0;
  const available = (pod: Pod): boolean => isPodReady(pod) && isPodAvailable(pod, minReadySeconds, nowMs);
  const ordered = statefulSet.spec?.podManagementPolicy !== 'Parallel';
  const byOrdinal = new Map<number, Pod>();
  const condemned: Pod[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(statefulSet, pod);
    if (ordinal === undefined) continue;
    if (ordinal >= start && ordinal < start + count) byOrdinal.set(ordinal, pod);
    else condemned.push(pod);
  }
  const actions: StatefulSetAction[] = [];
  for (let ordinal = start; ordinal < start + count; ordinal++) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) {
      actions.push(creation(observed, ordinal));
      if (ordered) return actions;
    } else if (isPodTerminal(pod)) {
      // An ended pod makes room for its successor of the same name.
      if (!isTerminating(pod)) actions.push({ type: 'delete', pod });
      if (ordered) return actions;
      // In order, a pod that is not available holds all others up, even one of an outdated template: upstream's rule.
    } else if (ordered && (isTerminating(pod) || !available(pod))) return actions;
  }
  condemned.sort((a, b) => (ordinalOf(statefulSet, b) ?? 0) - (ordinalOf(statefulSet, a) ?? 0));
  for (const pod of condemned) {
    if (!isTerminating(pod)) actions.push({ type: 'delete', pod });
    if (ordered) return actions;
  }
  return [...actions, ...planUpdate(observed, byOrdinal, available)];
}

/** From the last ordinal down to the partition: the first outdated pod is replaced once all above it are available. */
function planUpdate(
  { statefulSet, updateRevision }: ObservedStatefulSet,
  byOrdinal: ReadonlyMap<number, Pod>,
  available: (pod: Pod) => boolean,
): StatefulSetAction[] {
  const strategy = statefulSet.spec?.updateStrategy;
  if (strategy?.type === 'OnDelete') return [];
  const start = startOf(statefulSet);
  const partition = Math.max(start, strategy?.rollingUpdate?.partition ?? 0);
  for (let ordinal = start + replicasOf(statefulSet) - 1; ordinal >= partition; ordinal--) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) return [];
    if (revisionOf(pod) !== updateRevision.metadata.name && !isTerminating(pod)) return [{ type: 'delete', pod }];
    if (isTerminating(pod) || !available(pod)) return [];
  }
  return [];
}

/** Below the partition, pods are of the revision that was there before the update. */
function revisionFor(
  { statefulSet, currentRevision, updateRevision }: ObservedStatefulSet,
  ordinal: number,
): ControllerRevision {
  const strategy = statefulSet.spec?.updateStrategy;
  if (currentRevision.metadata.name === updateRevision.metadata.name) return updateRevision;
  const partition = strategy?.rollingUpdate?.partition;
  const { currentReplicas = 0 } = statefulSet.status ?? {};
  const start = startOf(statefulSet);
  if (strategy?.type !== 'OnDelete' && partition === undefined && ordinal < start + currentReplicas)
    return currentRevision;
  if (partition !== undefined && ordinal < start + partition) return currentRevision;
  return updateRevision;
}

function creation(observed: ObservedStatefulSet, ordinal: number): StatefulSetAction {
  const { statefulSet } = observed;
  const revision = revisionFor(observed, ordinal);
  const template: PodTemplateSpec = templateOf(revision);
  const { name: setName = '', namespace = '' } = statefulSet.metadata;
  const name = `${setName}-${ordinal}`;
  const claims = (statefulSet.spec?.volumeClaimTemplates ?? []).map((claim) => {
    const metadata = claim.metadata ?? {};
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        ...metadata,
        name: `${metadata.name}-${name}`,
        namespace,
        labels: { ...metadata.labels, ...statefulSet.spec?.selector.matchLabels },
      },
      ...(claim.spec === undefined ? {} : { spec: claim.spec }),
    } satisfies PersistentVolumeClaim;
  });
  const claimed = (statefulSet.spec?.volumeClaimTemplates ?? []).map(({ metadata }) => metadata?.name ?? '');
  const volumes = [
    ...claimed.map((each) => ({
      name: each,
      persistentVolumeClaim: { claimName: `${each}-${name}`, readOnly: false },
    })),
    ...(template.spec?.volumes ?? []).filter((volume) => !claimed.includes(volume.name)),
  ];
  const { labels, annotations, finalizers } = template.metadata ?? {};
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: {
        ...labels,
        [POD_NAME_LABEL]: name,
        [POD_INDEX_LABEL]: String(ordinal),
        [HASH_LABEL]: revision.metadata.name ?? '',
      },
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [newControllerRef(statefulSet, statefulSets)],
    },
    spec: {
      ...(template.spec ?? { containers: [] }),
      hostname: name,
      ...(statefulSet.spec?.serviceName === undefined ? {} : { subdomain: statefulSet.spec.serviceName }),
      ...(volumes.length === 0 ? {} : { volumes }),
    },
  };
  return { type: 'create', pod, claims };
}

function planStatus({
  statefulSet,
  pods,
  currentRevision,
  updateRevision,
  nowMs,
}: ObservedStatefulSet): StatefulSetStatus {
  const minReadySeconds = statefulSet.spec?.minReadySeconds ?? 0;
  const current = currentRevision.metadata.name ?? '';
  const update = updateRevision.metadata.name ?? '';
  const ours = pods.filter((pod) => ordinalOf(statefulSet, pod) !== undefined && !isPodTerminal(pod));
  const ready = ours.filter((pod) => isPodReady(pod));
  const of = (revision: string): number =>
    ours.filter((pod) => !isTerminating(pod) && revisionOf(pod) === revision).length;
  const counts = {
    readyReplicas: ready.length,
    availableReplicas: ready.filter((pod) => isPodAvailable(pod, minReadySeconds, nowMs)).length,
    currentReplicas: of(current),
    updatedReplicas: of(update),
  };
  const count = replicasOf(statefulSet);
  const partitioned = (statefulSet.spec?.updateStrategy?.rollingUpdate?.partition ?? 0) > 0;
  const complete =
    current !== update &&
    !partitioned &&
    statefulSet.spec?.updateStrategy?.type !== 'OnDelete' &&
    counts.updatedReplicas === count &&
    ours.length === count &&
    ready.length === count;
  const { collisionCount, conditions } = statefulSet.status ?? {};
  return {
    replicas: ours.length,
    ...withoutZeros({
      ...counts,
      currentReplicas: complete ? counts.updatedReplicas : counts.currentReplicas,
      observedGeneration: statefulSet.metadata.generation ?? 0,
    }),
    // kubectl counts on it being there.
    availableReplicas: counts.availableReplicas,
    currentRevision: complete ? update : current,
    updateRevision: update,
    collisionCount: collisionCount ?? 0,
    ...(conditions === undefined ? {} : { conditions }),
  };
}
