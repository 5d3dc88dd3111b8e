import {
  controllerOf,
  deployments,
  formatTime,
  isAlreadyExists,
  isNotFound,
  keyOf,
  labelSelectorFrom,
  pods,
  replicaSets,
  splitKey,
  type Deployment,
  type Pod,
  type ReplicaSet,
} from '@naru/api';
import { Controller, type EventRecorder, type Informer, type ReconcileResult } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { claim, claimCandidates, controlledBy, controllerIndex } from '../ownership/claim.ts';
import { isPodTerminal } from '../pod/pod-state-plan.ts';
import { hasProgressDeadline, newCondition, reasons, withCondition, type DeploymentStatus } from './conditions-plan.ts';
import { planDeployment, type DeploymentPlan } from './plan.ts';
import { equalIgnoreHash, REVISION } from './revision-plan.ts';

/** Rolls Deployments out: makes, scales and removes their ReplicaSets. */
export class DeploymentController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #deployments: Informer<Deployment>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('deployment-controller');
    this.#deployments = context.informers.informer(deployments);
    this.#replicaSets = context.informers.informer(replicaSets, { indexers: controllerIndex });
    this.#pods = context.informers.informer(pods, { indexers: controllerIndex });
    this.#controller = new Controller({
      name: 'deployment',
      workers: context.options.concurrentSyncs.deployment,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = (deployment: Deployment): void => this.#controller.queue.add(keyOf(deployment));
    this.#deployments.addHandlers({ added: enqueue, updated: enqueue, deleted: enqueue });
    this.#replicaSets.addHandlers({
      added: (replicaSet) => this.#replicaSetChanged(replicaSet),
      updated: (replicaSet, old) => {
        if (controllerOf(old)?.uid !== controllerOf(replicaSet)?.uid) this.#enqueueOwner(old);
        this.#replicaSetChanged(replicaSet);
      },
      deleted: (replicaSet) => this.#enqueueOwner(replicaSet),
    });
    this.#pods.addHandlers({
      updated: (pod, old) => {
        if (isPodTerminal(pod) && !isPodTerminal(old)) this.#podEnded(pod);
      },
      deleted: (pod) => this.#podEnded(pod),
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  #replicaSetChanged(replicaSet: ReplicaSet): void {
    if (controllerOf(replicaSet) !== undefined) {
      this.#enqueueOwner(replicaSet);
      return;
    }
    for (const deployment of this.#deployments.list(replicaSet.metadata.namespace))
      if (labelSelectorFrom(deployment.spec?.selector).matches(replicaSet.metadata.labels))
        this.#controller.queue.add(keyOf(deployment));
  }

  #ownerOf(replicaSet: ReplicaSet): Deployment | undefined {
    const reference = controllerOf(replicaSet);
    if (reference === undefined || reference.kind !== deployments.kind) return undefined;
    const owner = this.#deployments.get(replicaSet.metadata.namespace ?? '', reference.name);
    return owner?.metadata.uid === reference.uid ? owner : undefined;
  }

  #enqueueOwner(replicaSet: ReplicaSet): void {
    const owner = this.#ownerOf(replicaSet);
    if (owner !== undefined) this.#controller.queue.add(keyOf(owner));
  }

  /** A Recreate goes on when the last pod of the old template has ended. */
  #podEnded(pod: Pod): void {
    const reference = controllerOf(pod);
    if (reference?.kind !== replicaSets.kind) return;
    const replicaSet = this.#replicaSets.get(pod.metadata.namespace ?? '', reference.name);
    const owner = replicaSet === undefined ? undefined : this.#ownerOf(replicaSet);
    if (owner?.spec?.strategy?.type === 'Recreate') this.#controller.queue.add(keyOf(owner));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const { namespace, name } = splitKey(key);
    const deployment = this.#deployments.get(namespace, name);
    if (deployment === undefined) return {};
    const selector = labelSelectorFrom(deployment.spec?.selector);
    if (selector.empty) {
      const message = 'This deployment is selecting all pods. A non-empty selector is required.';
      this.#recorder.event(deployment, { type: 'Warning', reason: 'SelectingAll', message });
      return {};
    }
    const claimed = await claim({
      client,
      owner: deployment,
      ownerResource: deployments,
      resource: replicaSets,
      selector,
      candidates: claimCandidates(this.#replicaSets, deployment),
      signal,
    });
    const withRunningPods = new Set(
      claimed
        .filter((each) => controlledBy(this.#pods, each).some((pod) => !isPodTerminal(pod)))
        .map(({ metadata }) => metadata.uid ?? ''),
    );
    const nowMs = clock.now();
    const plan = planDeployment({ deployment, replicaSets: claimed, withRunningPods, nowMs, now: formatTime(nowMs) });
    await this.#carryOut(deployment, plan, signal);
    return { requeueAfterMs: plan.requeueAfterMs };
  }

  async #carryOut(deployment: Deployment, plan: DeploymentPlan, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const { namespace } = deployment.metadata;
    if (plan.create !== undefined && !(await this.#create(deployment, plan.create, signal))) return;
    for (const replicaSet of plan.update) await client.update(replicaSets, replicaSet, { namespace, signal });
    for (const event of plan.events) this.#recorder.event(deployment, { type: 'Normal', ...event });
    for (const { metadata } of plan.remove) {
      try {
        await client.delete(replicaSets, metadata.name ?? '', {
          namespace,
          signal,
          body: { preconditions: { uid: metadata.uid ?? '' } },
        });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    let current = deployment;
    if (plan.revision !== undefined) {
      const { name = '', uid, resourceVersion } = deployment.metadata;
      const metadata = { uid, resourceVersion, annotations: { [REVISION]: plan.revision } };
      current = await client.patch(deployments, name, 'merge', { metadata }, { namespace, signal });
    }
    if (plan.status !== undefined) await this.#updateStatus(current, plan.status, signal);
  }

  async #updateStatus(deployment: Deployment, status: DeploymentStatus, signal: AbortSignal): Promise<void> {
    const { namespace } = deployment.metadata;
    const options = { namespace, subresource: 'status', signal };
    try {
      await this.#context.client.update(deployments, { ...deployment, status }, options);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** False when there is nothing more to do in this sync. */
  async #create(deployment: Deployment, replicaSet: ReplicaSet, signal: AbortSignal): Promise<boolean> {
    const { client, clock } = this.#context;
    const { namespace, uid } = deployment.metadata;
    try {
      await client.create(replicaSets, replicaSet, { signal });
      return true;
    } catch (error) {
      if (isNamespaceTerminating(error)) return false;
      const status = deployment.status ?? {};
      if (isAlreadyExists(error)) {
        const present = await client.get(replicaSets, replicaSet.metadata.name ?? '', { namespace, signal });
        // Our own of an earlier sync that the cache does not show yet: it will.
        if (controllerOf(present)?.uid === uid && equalIgnoreHash(present.spec?.template, deployment.spec?.template))
          throw error;
        // Another template with the same hash: the next sync takes another name.
        const collisionCount = (status.collisionCount ?? 0) + 1;
        await this.#updateStatus(deployment, { ...status, collisionCount }, signal);
        throw error;
      }
      const text = error instanceof Error ? error.message : String(error);
      const message = `Failed to create new replica set "${replicaSet.metadata.name}": ${text}`;
      this.#recorder.event(deployment, { type: 'Warning', reason: reasons.failedCreate, message });
      if (hasProgressDeadline(deployment)) {
        const now = formatTime(clock.now());
        const condition = newCondition('Progressing', 'False', reasons.failedCreate, message, now);
        const conditions = withCondition(status.conditions ?? [], condition);
        if (conditions.some((each) => each === condition))
          await this.#updateStatus(deployment, { ...status, conditions }, signal);
      }
      throw error;
    }
  }
}
