/** Conditions of Deployments, with upstream's reasons: `kubectl rollout status` reads them. */
import { findCondition, parseTime, type Deployment, type ReplicaSet } from '@naru/api';
import { withoutZeros } from '../without-zeros-plan.ts';
import { maxUnavailableOf, replicasOf, totalOf, totalSize } from './fenceposts-plan.ts';

export type DeploymentStatus = NonNullable<Deployment['status']>;
export type DeploymentCondition = NonNullable<DeploymentStatus['conditions']>[number];

/** A deadline of this many seconds is none. */
const NO_DEADLINE = 2_147_483_647;

export const reasons = {
  replicaSetUpdated: 'ReplicaSetUpdated',
  failedCreate: 'ReplicaSetCreateError',
  newReplicaSetCreated: 'NewReplicaSetCreated',
  foundNewReplicaSet: 'FoundNewReplicaSet',
  newReplicaSetAvailable: 'NewReplicaSetAvailable',
  timedOut: 'ProgressDeadlineExceeded',
  paused: 'DeploymentPaused',
  resumed: 'DeploymentResumed',
  minimumAvailable: 'MinimumReplicasAvailable',
  minimumUnavailable: 'MinimumReplicasUnavailable',
} as const;

export function hasProgressDeadline({ spec }: Deployment): boolean {
  return spec?.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== NO_DEADLINE;
}

export function newCondition(
  type: 'Available' | 'Progressing' | 'ReplicaFailure',
  status: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
  now: string,
): DeploymentCondition {
  return { type, status, reason, message, lastUpdateTime: now, lastTransitionTime: now };
}

/** Sets the condition; one of the same status and reason stays as it is. */
export function withCondition(
  conditions: readonly DeploymentCondition[],
  condition: DeploymentCondition,
): DeploymentCondition[] {
  const present = findCondition(conditions, condition.type);
  if (present?.status === condition.status && present.reason === condition.reason) return [...conditions];
  const lastTransitionTime = present?.status === condition.status ? present.lastTransitionTime : undefined;
  return [
    ...withoutCondition(conditions, condition.type),
    lastTransitionTime === undefined ? condition : { ...condition, lastTransitionTime },
  ];
}

export function withoutCondition(conditions: readonly DeploymentCondition[], type: string): DeploymentCondition[] {
  return conditions.filter((each) => each.type !== type);
}

/** Counts, and whether enough pods are available; the other conditions as they are. */
export function calculateStatus(
  deployment: Deployment,
  status: DeploymentStatus,
  all: readonly ReplicaSet[],
  newReplicaSet: ReplicaSet | undefined,
  now: string,
): DeploymentStatus {
  const availableReplicas = totalOf(all, 'availableReplicas');
  const available =
    availableReplicas >= replicasOf(deployment) - maxUnavailableOf(deployment)
      ? newCondition('Available', 'True', reasons.minimumAvailable, 'Deployment has minimum availability.', now)
      : newCondition(
          'Available',
          'False',
          reasons.minimumUnavailable,
          'Deployment does not have minimum availability.',
          now,
        );
  return {
    ...withoutZeros({
      observedGeneration: deployment.metadata.generation ?? 0,
      replicas: totalOf(all, 'replicas'),
      updatedReplicas: newReplicaSet === undefined ? 0 : totalOf([newReplicaSet], 'replicas'),
      readyReplicas: totalOf(all, 'readyReplicas'),
      availableReplicas,
      unavailableReplicas: Math.max(0, totalSize(all) - availableReplicas),
    }),
    ...(status.collisionCount === undefined ? {} : { collisionCount: status.collisionCount }),
    conditions: withCondition(status.conditions ?? [], available),
  };
}

/** All pods are of the new template, available, and no others are left. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const replicas = replicasOf(deployment);
  return (
    (status.updatedReplicas ?? 0) === replicas &&
    (status.replicas ?? 0) === replicas &&
    (status.availableReplicas ?? 0) === replicas &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function isProgressing(old: DeploymentStatus, next: DeploymentStatus): boolean {
  const outdated = ({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus): number => replicas - updatedReplicas;
  return (
    (next.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) ||
    outdated(next) < outdated(old) ||
    (next.readyReplicas ?? 0) > (old.readyReplicas ?? 0) ||
    (next.availableReplicas ?? 0) > (old.availableReplicas ?? 0)
  );
}

function isTimedOut(deployment: Deployment, status: DeploymentStatus, nowMs: number): boolean {
  const condition = findCondition(status.conditions, 'Progressing');
  if (condition === undefined || condition.reason === reasons.newReplicaSetAvailable) return false;
  if (condition.reason === reasons.timedOut) return true;
  const deadlineMs = (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000;
  return parseTime(condition.lastUpdateTime) + deadlineMs < nowMs;
}

/** The status of a rollout: `calculateStatus` and the Progressing and ReplicaFailure conditions. */
export function rolloutStatus(
  deployment: Deployment,
  old: DeploymentStatus,
  all: readonly ReplicaSet[],
  newReplicaSet: ReplicaSet | undefined,
  time: { readonly ms: number; readonly now: string },
): DeploymentStatus {
  const { now } = time;
  const status = calculateStatus(deployment, old, all, newReplicaSet, now);
  let conditions: DeploymentCondition[] = status.conditions ?? [];
  const current = findCondition(old.conditions, 'Progressing');
  const subject =
    newReplicaSet === undefined
      ? `Deployment "${deployment.metadata.name}"`
      : `ReplicaSet "${newReplicaSet.metadata.name}"`;
  // A Deployment that was complete stays so while its pods come and go.
  const wasComplete =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === reasons.newReplicaSetAvailable;
  if (!hasProgressDeadline(deployment)) conditions = withoutCondition(conditions, 'Progressing');
  else if (!wasComplete) {
    if (isComplete(deployment, status)) {
      const message = `${subject} has successfully progressed.`;
      conditions = withCondition(
        conditions,
        newCondition('Progressing', 'True', reasons.newReplicaSetAvailable, message, now),
      );
    } else if (isProgressing(old, status)) {
      const condition = newCondition(
        'Progressing',
        'True',
        reasons.replicaSetUpdated,
        `${subject} is progressing.`,
        now,
      );
      // Set anew even if nothing but the time changes: the deadline counts from lastUpdateTime.
      const since = current?.status === 'True' ? (current.lastTransitionTime ?? now) : now;
      conditions = [...withoutCondition(conditions, 'Progressing'), { ...condition, lastTransitionTime: since }];
    } else if (isTimedOut(deployment, status, time.ms)) {
      const message = `${subject} has timed out progressing.`;
      conditions = withCondition(conditions, newCondition('Progressing', 'False', reasons.timedOut, message, now));
    }
  }
  const failure = replicaFailure(all, newReplicaSet);
  conditions =
    failure === undefined
      ? withoutCondition(conditions, 'ReplicaFailure')
      : withCondition(conditions, { ...newCondition('ReplicaFailure', 'True', '', '', now), ...failure });
  return { ...status, conditions };
}

/** The new ReplicaSet's failure, else any other's. */
function replicaFailure(
  all: readonly ReplicaSet[],
  newReplicaSet: ReplicaSet | undefined,
): Partial<DeploymentCondition> | undefined {
  for (const { status } of newReplicaSet === undefined ? all : [newReplicaSet, ...all]) {
    const found = findCondition(status?.conditions, 'ReplicaFailure');
    if (found === undefined) continue;
    const { status: truth, reason = '', message = '', lastTransitionTime } = found;
    return { status: truth, reason, message, ...(lastTransitionTime === undefined ? {} : { lastTransitionTime }) };
  }
  return undefined;
}

/** When to look again whether a rollout that stands still has exceeded its deadline. */
export function deadlineRequeueMs(deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined {
  const current = findCondition(status.conditions, 'Progressing');
  if (!hasProgressDeadline(deployment) || current === undefined) return undefined;
  if (isComplete(deployment, status) || current.reason === reasons.timedOut) return undefined;
  if (current.reason === reasons.newReplicaSetAvailable) return undefined;
  const deadlineMs = (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000;
  const leftMs = parseTime(current.lastUpdateTime) + deadlineMs - nowMs;
  // Times are kept in whole seconds: a second later it is over for certain.
  return Math.max(0, leftMs) + 1000;
}
