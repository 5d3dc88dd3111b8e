/** One step of a Deployment towards its pod template and size: from what there is to what is to be written. */
import { findCondition, newControllerRef, deployments, type Deployment, type ReplicaSet } from '@naru/api';
import { canonicalJson } from '../canonical-json-plan.ts';
import {
  calculateStatus,
  deadlineRequeueMs,
  hasProgressDeadline,
  isComplete,
  newCondition,
  reasons,
  rolloutStatus,
  withCondition,
  type DeploymentStatus,
} from './conditions-plan.ts';
import {
  isRollingUpdate,
  maxSurgeOf,
  maxUnavailableOf,
  newReplicaSetSize,
  replicasOf,
  sizeOf,
  totalOf,
  totalSize,
} from './fenceposts-plan.ts';
import {
  byCreation,
  byRevision,
  findNewReplicaSet,
  HASH_LABEL,
  maxRevision,
  newReplicaSetAnnotations,
  REVISION,
  sameAnnotations,
  templateHash,
  withReplicasAnnotations,
} from './revision-plan.ts';
import { isScalingEvent, planScaling } from './scaling-plan.ts';

export interface ObservedDeployment {
  readonly deployment: Deployment;
  /** Those that the Deployment controls. */
  readonly replicaSets: readonly ReplicaSet[];
  /** Uids of ReplicaSets that have pods which have not ended: a Recreate waits for them. */
  readonly withRunningPods: ReadonlySet<string>;
  readonly nowMs: number;
  /** The same moment as metav1.Time. */
  readonly now: string;
}

export interface DeploymentPlan {
  /** To be created, before anything else. */
  readonly create: ReplicaSet | undefined;
  /** To be updated, in this order. */
  readonly update: readonly ReplicaSet[];
  /** What to tell of it, in this order. */
  readonly events: readonly { readonly reason: string; readonly message: string }[];
  readonly remove: readonly ReplicaSet[];
  /** To be set as the Deployment's revision annotation. */
  readonly revision: string | undefined;
  /** Undefined when the present one is right. */
  readonly status: DeploymentStatus | undefined;
  readonly requeueAfterMs: number | undefined;
}

export function planDeployment(observed: ObservedDeployment): DeploymentPlan {
  return new Planner(observed).plan();
}

/** Works on copies, so that each step sees what the steps before have planned. */
class Planner {
  readonly #observed: ObservedDeployment;
  readonly #deployment: Deployment;
  #status: DeploymentStatus;
  #create: ReplicaSet | undefined;
  #new: ReplicaSet | undefined;
  #old: ReplicaSet[];
  readonly #updated = new Set<string>();
  readonly #events: { readonly reason: string; readonly message: string }[] = [];
  readonly #remove: ReplicaSet[] = [];
  #revision: string | undefined;
  #rollsOut = false;

  constructor(observed: ObservedDeployment) {
    this.#observed = observed;
    this.#deployment = observed.deployment;
    this.#status = observed.deployment.status ?? {};
    this.#new = findNewReplicaSet(observed.deployment, observed.replicaSets);
    this.#old = observed.replicaSets.filter((each) => each !== this.#new).toSorted(byCreation);
  }

  plan(): DeploymentPlan {
    const { deployment, now } = this.#observed;
    const { spec, metadata } = deployment;
    if (metadata.deletionTimestamp !== undefined) {
      this.#status = calculateStatus(deployment, this.#status, this.#all, this.#new, now);
      return this.#result();
    }
    this.#checkPaused();
    if (spec?.paused === true || isScalingEvent(deployment, this.#all)) this.#scale();
    else if (isRollingUpdate(deployment)) this.#rolling();
    else this.#recreate();
    return this.#result();
  }

  get #all(): ReplicaSet[] {
    return this.#new === undefined ? this.#old : [...this.#old, this.#new];
  }

  #result(): DeploymentPlan {
    const { deployment, nowMs } = this.#observed;
    const changed = canonicalJson(this.#status) !== canonicalJson(deployment.status ?? {});
    const update = this.#all.filter((each) => each !== this.#create && this.#updated.has(each.metadata.name ?? ''));
    return {
      create: this.#create,
      update,
      events: this.#events,
      remove: this.#remove,
      revision: this.#revision,
      status: changed ? this.#status : undefined,
      requeueAfterMs: this.#rollsOut ? deadlineRequeueMs(deployment, this.#status, nowMs) : undefined,
    };
  }

  #setCondition(status: 'True' | 'False' | 'Unknown', reason: string, message: string): void {
    const condition = newCondition('Progressing', status, reason, message, this.#observed.now);
    this.#status = { ...this.#status, conditions: withCondition(this.#status.conditions ?? [], condition) };
  }

  /** Pausing stops the deadline's clock, resuming starts it anew. */
  #checkPaused(): void {
    if (!hasProgressDeadline(this.#deployment)) return;
    const condition = findCondition(this.#status.conditions, 'Progressing');
    if (condition?.reason === reasons.timedOut) return;
    const paused = this.#deployment.spec?.paused === true;
    const noted = condition?.reason === reasons.paused;
    if (paused && !noted) this.#setCondition('Unknown', reasons.paused, 'Deployment is paused');
    else if (!paused && noted) this.#setCondition('Unknown', reasons.resumed, 'Deployment is resumed');
  }

  #scale(): void {
    this.#syncRevision();
    for (const { replicaSet, size } of planScaling(this.#deployment, this.#new, this.#old))
      this.#resize(replicaSet, size);
    if (this.#deployment.spec?.paused === true) this.#cleanUp();
    this.#status = calculateStatus(this.#deployment, this.#status, this.#all, this.#new, this.#observed.now);
  }

  #rolling(): void {
    this.#syncRevision();
    if (this.#new === undefined) this.#createNew();
    if (!this.#reconcileNew() && !this.#reconcileOld() && isComplete(this.#deployment, this.#status)) this.#cleanUp();
    this.#syncRollout();
  }

  #recreate(): void {
    this.#syncRevision();
    const active = this.#old.filter((each) => sizeOf(each) > 0);
    for (const each of active) this.#resize(each, 0);
    if (active.length === 0 && !this.#oldPodsRunning()) {
      if (this.#new === undefined) this.#createNew();
      if (this.#new !== undefined) this.#resize(this.#new, replicasOf(this.#deployment));
      if (isComplete(this.#deployment, this.#status)) this.#cleanUp();
    }
    this.#syncRollout();
  }

  #oldPodsRunning(): boolean {
    if (totalOf(this.#old, 'replicas') > 0) return true;
    return this.#old.some(({ metadata }) => this.#observed.withRunningPods.has(metadata.uid ?? ''));
  }

  #syncRollout(): void {
    const { nowMs, now } = this.#observed;
    this.#rollsOut = true;
    this.#status = rolloutStatus(this.#deployment, this.#status, this.#all, this.#new, { ms: nowMs, now });
  }

  /** Gives the ReplicaSet of the present template, if there is one, its revision and the Deployment's annotations. */
  #syncRevision(): void {
    const found = this.#new;
    if (found === undefined) return;
    const revision = maxRevision(this.#old) + 1n;
    const annotations = newReplicaSetAnnotations(this.#deployment, found.metadata.annotations ?? {}, revision);
    const minReadySeconds = this.#deployment.spec?.minReadySeconds ?? 0;
    const stale = (found.spec?.minReadySeconds ?? 0) !== minReadySeconds;
    if (stale || !sameAnnotations(annotations, found.metadata.annotations)) {
      const { spec, metadata } = found;
      this.#replace(found, {
        ...found,
        metadata: { ...metadata, annotations },
        ...(spec === undefined ? {} : { spec: { ...spec, minReadySeconds } }),
      });
    }
    this.#setRevision(annotations[REVISION] ?? String(revision));
    if (hasProgressDeadline(this.#deployment) && findCondition(this.#status.conditions, 'Progressing') === undefined)
      this.#setCondition('True', reasons.foundNewReplicaSet, `Found new replica set "${found.metadata.name}"`);
  }

  #setRevision(revision: string): void {
    if (this.#deployment.metadata.annotations?.[REVISION] !== revision) this.#revision = revision;
  }

  #createNew(): void {
    const { metadata, spec } = this.#deployment;
    const template = spec?.template ?? {};
    const hash = templateHash(template, this.#status.collisionCount);
    const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
    const size = newReplicaSetSize(this.#deployment, this.#old, 0);
    const replicas = replicasOf(this.#deployment);
    const revision = maxRevision(this.#old) + 1n;
    const name = `${metadata.name}-${hash}`;
    const selector = spec?.selector ?? {};
    const created: ReplicaSet = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name,
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        labels,
        annotations: withReplicasAnnotations(
          newReplicaSetAnnotations(this.#deployment, {}, revision),
          replicas,
          replicas + maxSurgeOf(this.#deployment),
        ),
        ownerReferences: [newControllerRef(this.#deployment, deployments)],
      },
      spec: {
        replicas: size,
        ...(spec?.minReadySeconds === undefined ? {} : { minReadySeconds: spec.minReadySeconds }),
        selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    };
    this.#create = created;
    this.#new = created;
    if (size > 0) this.#events.push(scaled('up', name, 0, size));
    this.#setRevision(String(revision));
    if (hasProgressDeadline(this.#deployment))
      this.#setCondition('True', reasons.newReplicaSetCreated, `Created new replica set "${name}"`);
  }

  #reconcileNew(): boolean {
    const found = this.#new;
    if (found === undefined) return false;
    const replicas = replicasOf(this.#deployment);
    const size = sizeOf(found);
    if (size === replicas) return false;
    const next = size > replicas ? replicas : newReplicaSetSize(this.#deployment, this.#all, size);
    return this.#resize(found, next);
  }

  /** Scales old ReplicaSets down as far as availability allows: pods that are not healthy first, as nobody misses them. */
  #reconcileOld(): boolean {
    if (totalSize(this.#old) === 0) return false;
    const minAvailable = replicasOf(this.#deployment) - maxUnavailableOf(this.#deployment);
    const newUnavailable = sizeOf(this.#new) - (this.#new?.status?.availableReplicas ?? 0);
    const most = totalSize(this.#all) - minAvailable - newUnavailable;
    if (most <= 0) return false;
    let scaledDown = 0;
    for (const each of this.#old) {
      if (scaledDown >= most) break;
      const unhealthy = sizeOf(each) - (each.status?.availableReplicas ?? 0);
      if (sizeOf(each) === 0 || unhealthy <= 0) continue;
      const count = Math.min(most - scaledDown, unhealthy);
      this.#resize(each, sizeOf(each) - count);
      scaledDown += count;
    }
    let left = totalOf(this.#all, 'availableReplicas') - minAvailable;
    for (const each of this.#old) {
      if (left <= 0) break;
      const count = Math.min(sizeOf(each), left);
      if (count === 0) continue;
      this.#resize(each, sizeOf(each) - count);
      left -= count;
      scaledDown += count;
    }
    return scaledDown > 0;
  }

  /** Plans the size and the annotations that go with it; true if the size changes. */
  #resize(replicaSet: ReplicaSet, size: number): boolean {
    const replicas = replicasOf(this.#deployment);
    const annotations = withReplicasAnnotations(
      replicaSet.metadata.annotations ?? {},
      replicas,
      replicas + maxSurgeOf(this.#deployment),
    );
    const oldSize = sizeOf(replicaSet);
    if (size === oldSize && sameAnnotations(annotations, replicaSet.metadata.annotations)) return false;
    const { metadata, spec } = replicaSet;
    this.#replace(replicaSet, {
      ...replicaSet,
      metadata: { ...metadata, annotations },
      ...(spec === undefined ? {} : { spec: { ...spec, replicas: size } }),
    });
    if (size === oldSize) return false;
    this.#events.push(scaled(size > oldSize ? 'up' : 'down', metadata.name ?? '', oldSize, size));
    return true;
  }

  #replace(old: ReplicaSet, next: ReplicaSet): void {
    if (old === this.#create) this.#create = next;
    else this.#updated.add(next.metadata.name ?? '');
    if (old === this.#new) this.#new = next;
    else this.#old = this.#old.map((each) => (each === old ? next : each));
  }

  /** Drops the oldest revisions beyond the history limit, if nothing of them is left. */
  #cleanUp(): void {
    const limit = this.#deployment.spec?.revisionHistoryLimit;
    if (limit === undefined || limit === NO_HISTORY_LIMIT) return;
    const alive = this.#old.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const excess = alive.toSorted(byRevision).slice(0, Math.max(0, alive.length - limit));
    for (const each of excess) {
      const { status, metadata } = each;
      const settled = (metadata.generation ?? 0) <= (status?.observedGeneration ?? 0);
      if ((status?.replicas ?? 0) === 0 && sizeOf(each) === 0 && settled) this.#remove.push(each);
    }
  }
}

const NO_HISTORY_LIMIT = 2_147_483_647;

function scaled(direction: 'up' | 'down', name: string, from: number, to: number): { reason: string; message: string } {
  return { reason: 'ScalingReplicaSet', message: `Scaled ${direction} replica set ${name} from ${from} to ${to}` };
}
