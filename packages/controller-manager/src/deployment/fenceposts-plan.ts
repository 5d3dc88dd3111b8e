/** How many pods a Deployment may have too many or too few of while it rolls out. */
import { scaledValueFromIntOrPercent, type Deployment, type ReplicaSet } from '@naru/api';

export function replicasOf(deployment: Deployment): number {
  return deployment.spec?.replicas ?? 1;
}

export function isRollingUpdate(deployment: Deployment): boolean {
  return (deployment.spec?.strategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
}

/** maxSurge rounds up and maxUnavailable down; if both come to nothing, one pod may be unavailable, or nothing could move. */
export function resolveFenceposts(deployment: Deployment): {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
} {
  const total = replicasOf(deployment);
  const rolling = deployment.spec?.strategy?.rollingUpdate;
  const maxSurge = scaledValueFromIntOrPercent(rolling?.maxSurge ?? 0, {
    total,
    roundUp: true,
  });
  const maxUnavailable = scaledValueFromIntOrPercent(rolling?.maxUnavailable ?? 0, {
    total,
    roundUp: false,
  });
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}

export function maxSurgeOf(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? resolveFenceposts(deployment).maxSurge : 0;
}

export function maxUnavailableOf(deployment: Deployment): number {
  const replicas = replicasOf(deployment);
  if (!isRollingUpdate(deployment) || replicas === 0) return 0;
  return Math.min(resolveFenceposts(deployment).maxUnavailable, replicas);
}

export const sizeOf = (replicaSet: ReplicaSet | undefined): number =>
  replicaSet === undefined ? 0 : (replicaSet.spec?.replicas ?? 1);

export function totalSize(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, each) => sum + sizeOf(each), 0);
}

/** Sum of a count in the status of these ReplicaSets. */
export function totalOf(
  replicaSets: readonly ReplicaSet[],
  field: 'replicas' | 'readyReplicas' | 'availableReplicas',
): number {
  return replicaSets.reduce((sum, { status }) => sum + (status?.[field] ?? 0), 0);
}

/** Size that the new ReplicaSet may have now, next to all others. */
export function newReplicaSetSize(deployment: Deployment, all: readonly ReplicaSet[], newSize: number): number {
  const replicas = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return replicas;
  const room = replicas + resolveFenceposts(deployment).maxSurge - totalSize(all);
  return room <= 0 ? newSize : newSize + Math.min(room, replicas - newSize);
}
