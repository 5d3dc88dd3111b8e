/** Changes of size that the user asks for, spread over the ReplicaSets of a rollout that is under way or paused. */
import type { Deployment, ReplicaSet } from '@naru/api';
import { isRollingUpdate, maxSurgeOf, replicasOf, sizeOf, totalSize } from './fenceposts-plan.ts';
import { byCreation, DESIRED_REPLICAS, MAX_REPLICAS } from './revision-plan.ts';

function annotatedNumber({ metadata }: ReplicaSet, annotation: string): number | undefined {
  const text = metadata.annotations?.[annotation];
  return text !== undefined && /^\d+$/u.test(text) ? Number(text) : undefined;
}

/** Whether the Deployment's size is no longer the one that its ReplicaSets were scaled for. */
export function isScalingEvent(deployment: Deployment, all: readonly ReplicaSet[]): boolean {
  return all.some((each) => {
    if (sizeOf(each) === 0) return false;
    const desired = annotatedNumber(each, DESIRED_REPLICAS);
    return desired !== undefined && desired !== replicasOf(deployment);
  });
}

function isSaturated(deployment: Deployment, newReplicaSet: ReplicaSet | undefined): boolean {
  if (newReplicaSet === undefined) return false;
  const replicas = replicasOf(deployment);
  return (
    sizeOf(newReplicaSet) === replicas &&
    annotatedNumber(newReplicaSet, DESIRED_REPLICAS) === replicas &&
    newReplicaSet.status?.availableReplicas === replicas
  );
}

/** The sizes that ReplicaSets shall have, of those to be touched. */
export function planScaling(
  deployment: Deployment,
  newReplicaSet: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): readonly { readonly replicaSet: ReplicaSet; readonly size: number }[] {
  const replicas = replicasOf(deployment);
  const only = activeOrLatest(newReplicaSet, old);
  if (only !== undefined) return sizeOf(only) === replicas ? [] : [{ replicaSet: only, size: replicas }];
  const activeOld = old.filter((each) => sizeOf(each) > 0);
  if (isSaturated(deployment, newReplicaSet)) return activeOld.map((replicaSet) => ({ replicaSet, size: 0 }));
  if (!isRollingUpdate(deployment)) return [];
  const active = [...activeOld, ...(newReplicaSet !== undefined && sizeOf(newReplicaSet) > 0 ? [newReplicaSet] : [])];
  const allowed = replicas > 0 ? replicas + maxSurgeOf(deployment) : 0;
  const toAdd = allowed - totalSize(active);
  const ordered = active.toSorted((a, b) => sizeOf(b) - sizeOf(a) || (toAdd > 0 ? byCreation(b, a) : byCreation(a, b)));
  let added = 0;
  const sizes = ordered.map((replicaSet) => {
    const share = toAdd === 0 ? 0 : proportion(deployment, replicaSet, toAdd, added);
    added += share;
    return { replicaSet, size: sizeOf(replicaSet) + share };
  });
  // What rounding leaves over is the largest one's.
  return sizes.map(({ replicaSet, size }, i) => ({
    replicaSet,
    size: i === 0 ? Math.max(0, size + toAdd - added) : size,
  }));
}

/** The only ReplicaSet with pods; or, when none has any, the new one, else the latest. */
function activeOrLatest(newReplicaSet: ReplicaSet | undefined, old: readonly ReplicaSet[]): ReplicaSet | undefined {
  const all = newReplicaSet === undefined ? old : [...old, newReplicaSet];
  const active = all.filter((each) => sizeOf(each) > 0);
  if (active.length > 1) return undefined;
  return active[0] ?? newReplicaSet ?? old.toSorted(byCreation).at(-1);
}

function proportion(deployment: Deployment, replicaSet: ReplicaSet, toAdd: number, added: number): number {
  const size = sizeOf(replicaSet);
  if (size === 0 || toAdd === added) return 0;
  const share = fraction(deployment, replicaSet);
  const allowed = toAdd - added;
  return toAdd > 0 ? Math.min(share, allowed) : Math.max(share, allowed);
}

/** By how much this ReplicaSet's size should change to keep its part of the whole. */
function fraction(deployment: Deployment, replicaSet: ReplicaSet): number {
  const size = sizeOf(replicaSet);
  const replicas = replicasOf(deployment);
  if (replicas === 0) return -size;
  const before = annotatedNumber(replicaSet, MAX_REPLICAS) ?? 0;
  const base = before === 0 ? (deployment.status?.replicas ?? 0) : before;
  if (base === 0) return 0;
  return Math.round((size * (replicas + maxSurgeOf(deployment))) / base) - size;
}
