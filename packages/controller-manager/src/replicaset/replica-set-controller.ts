import { controllerOf, formatTime, isNotFound, keyOf, pods, splitKey, type KubeObject, type Pod } from '@naru/api';
import { Controller, type EventRecorder, type Informer, type ReconcileResult } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { Expectations } from '../expectations.ts';
import { claim, claimCandidates, controlledBy, controllerIndex } from '../ownership/claim.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { podFromTemplate } from '../pod/pod-from-template-plan.ts';
import { isPodActive } from '../pod/pod-state-plan.ts';
import { slowStartBatch } from '../slow-start.ts';
import { availabilityRequeueMs, planReplicas, planStatus, type ReplicaFailure, type ReplicaOwnerView } from './plan.ts';
import type { ReplicaKind } from './replica-kind.ts';

/** Keeps as many pods as each ReplicaSet, or ReplicationController, asks for. */
export class ReplicaSetController<T extends KubeObject> implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #kind: ReplicaKind<T>;
  readonly #owners: Informer<T>;
  readonly #pods: Informer<Pod>;
  readonly #expectations: Expectations;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext, kind: ReplicaKind<T>, workers: number) {
    this.#context = context;
    this.#kind = kind;
    this.#expectations = new Expectations(context.clock);
    this.#recorder = context.recorder(kind.component);
    this.#owners = context.informers.informer(kind.resource, { indexers: controllerIndex });
    this.#pods = context.informers.informer(pods, { indexers: controllerIndex });
    this.#controller = new Controller({
      name: kind.resource.singular,
      workers,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    this.#owners.addHandlers({
      added: (owner) => queue.add(keyOf(owner)),
      updated: (owner) => queue.add(keyOf(owner)),
      deleted: (owner) => {
        this.#expectations.forget(keyOf(owner));
        queue.add(keyOf(owner));
      },
    });
    this.#pods.addHandlers({
      added: (pod) => this.#podAdded(pod),
      updated: (pod, old) => this.#podUpdated(pod, old),
      deleted: (pod) => this.#podDeleted(pod),
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  #podAdded(pod: Pod): void {
    // After a restart of this process a pod may first be seen when it is on its way out.
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#podDeleted(pod);
      return;
    }
    const key = this.#ownerKey(pod);
    if (key !== undefined) {
      this.#expectations.creationObserved(key);
      this.#controller.queue.add(key);
    } else if (controllerOf(pod) === undefined) this.#enqueueSelecting(pod);
  }

  #podUpdated(pod: Pod, old: Pod): void {
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#podDeleted(pod);
      return;
    }
    const key = this.#ownerKey(pod);
    const oldKey = this.#ownerKey(old);
    if (oldKey !== undefined && oldKey !== key) this.#controller.queue.add(oldKey);
    if (key !== undefined) {
      this.#controller.queue.add(key);
      return;
    }
    if (controllerOf(pod) !== undefined) return;
    const changed =
      controllerOf(old) !== undefined || JSON.stringify(old.metadata.labels) !== JSON.stringify(pod.metadata.labels);
    if (changed) this.#enqueueSelecting(pod);
  }

  #podDeleted(pod: Pod): void {
    const key = this.#ownerKey(pod);
    if (key === undefined) return;
    this.#expectations.deletionObserved(key, pod.metadata.uid ?? '');
    this.#controller.queue.add(key);
  }

  /** Key of the owner that controls the pod, when it is of this kind and still the same object. */
  #ownerKey(pod: Pod): string | undefined {
    const reference = controllerOf(pod);
    if (reference === undefined || reference.kind !== this.#kind.resource.kind) return undefined;
    const owner = this.#owners.get(pod.metadata.namespace ?? '', reference.name);
    return owner?.metadata.uid === reference.uid && owner !== undefined ? keyOf(owner) : undefined;
  }

  #enqueueSelecting(pod: Pod): void {
    for (const owner of this.#owners.list(pod.metadata.namespace))
      if (this.#kind.view(owner).selector.matches(pod.metadata.labels)) this.#controller.queue.add(keyOf(owner));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { namespace, name } = splitKey(key);
    const owner = this.#owners.get(namespace, name);
    if (owner === undefined) {
      this.#expectations.forget(key);
      return {};
    }
    const satisfied = this.#expectations.satisfied(key);
    const view = this.#kind.view(owner);
    const active = await claim({
      client: this.#context.client,
      owner,
      ownerResource: this.#kind.resource,
      resource: pods,
      selector: view.selector,
      candidates: claimCandidates(this.#pods, owner).filter(isPodActive),
      signal,
    });
    let failure: ReplicaFailure | undefined;
    let error: unknown;
    if (satisfied && owner.metadata.deletionTimestamp === undefined)
      ({ failure, error } = await this.#manageReplicas(key, owner, view, active, signal));
    await this.#updateStatus(owner, view, active, failure, signal);
    if (error !== undefined) throw error;
    return { requeueAfterMs: availabilityRequeueMs(view, active, this.#context.clock.now()) };
  }

  async #manageReplicas(
    key: string,
    owner: T,
    view: ReplicaOwnerView,
    active: readonly Pod[],
    signal: AbortSignal,
  ): Promise<{ failure?: ReplicaFailure; error?: unknown }> {
    const plan = planReplicas(view, active, this.#relatedByNode(owner, active), this.#context.clock.now());
    switch (plan.type) {
      case 'none':
        return {};
      case 'create': {
        const error = await this.#createPods(key, owner, view, plan.count, signal);
        return error === undefined ? {} : { error, failure: { reason: 'FailedCreate', message: messageOf(error) } };
      }
      case 'delete': {
        const error = await this.#deletePods(key, owner, plan.pods, signal);
        return error === undefined ? {} : { error, failure: { reason: 'FailedDelete', message: messageOf(error) } };
      }
      default:
        return plan satisfies never;
    }
  }

  async #createPods(
    key: string,
    owner: T,
    view: ReplicaOwnerView,
    count: number,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { client } = this.#context;
    const pod = podFromTemplate(view.template, owner, this.#kind.resource);
    this.#expectations.expectCreations(key, count);
    const { skipped, error } = await slowStartBatch(count, async () => {
      try {
        const created = await client.create(pods, pod, { signal });
        const message = `Created pod: ${created.metadata.name}`;
        this.#recorder.event(owner, { type: 'Normal', reason: 'SuccessfulCreate', message });
      } catch (error) {
        this.#expectations.creationObserved(key);
        // The pods will not be missed: the owner goes with its namespace.
        if (isNamespaceTerminating(error)) return;
        const message = `Error creating: ${messageOf(error)}`;
        this.#recorder.event(owner, { type: 'Warning', reason: 'FailedCreate', message });
        throw error;
      }
    });
    if (skipped > 0) this.#expectations.creationObserved(key, skipped);
    return error;
  }

  async #deletePods(key: string, owner: T, doomed: readonly Pod[], signal: AbortSignal): Promise<unknown> {
    const { client } = this.#context;
    this.#expectations.expectDeletions(
      key,
      doomed.map(({ metadata }) => metadata.uid ?? ''),
    );
    const results = await Promise.allSettled(
      doomed.map(async ({ metadata: { name = '', namespace, uid = '' } }) => {
        try {
          await client.delete(pods, name, { namespace, signal, body: { preconditions: { uid } } });
          this.#recorder.event(owner, { type: 'Normal', reason: 'SuccessfulDelete', message: `Deleted pod: ${name}` });
        } catch (error) {
          this.#expectations.deletionObserved(key, uid);
          if (isNotFound(error)) return;
          const message = `Error deleting: ${messageOf(error)}`;
          this.#recorder.event(owner, { type: 'Warning', reason: 'FailedDelete', message });
          throw error;
        }
      }),
    );
    return results.find((result) => result.status === 'rejected')?.reason;
  }

  /** Active pods per node of all owners of this kind that have the same controller: a Deployment's old and new. */
  #relatedByNode(owner: T, active: readonly Pod[]): ReadonlyMap<string, number> {
    const uid = controllerOf(owner)?.uid;
    const related =
      uid === undefined
        ? active
        : this.#owners
            .byIndex('controller', uid)
            .flatMap((sibling) => controlledBy(this.#pods, sibling).filter(isPodActive));
    const counts = new Map<string, number>();
    for (const { spec } of related) counts.set(spec?.nodeName ?? '', (counts.get(spec?.nodeName ?? '') ?? 0) + 1);
    return counts;
  }

  async #updateStatus(
    owner: T,
    view: ReplicaOwnerView,
    active: readonly Pod[],
    failure: ReplicaFailure | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, client } = this.#context;
    const status = planStatus(view, active, failure, { ms: clock.now(), time: formatTime(clock.now()) });
    if (status === view.status) return;
    const { namespace } = owner.metadata;
    try {
      await client.update(this.#kind.resource, this.#kind.withStatus(owner, status), {
        namespace,
        subresource: 'status',
        signal,
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
