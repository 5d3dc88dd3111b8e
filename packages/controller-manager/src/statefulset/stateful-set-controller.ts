import {
  controllerOf,
  isAlreadyExists,
  isNotFound,
  keyOf,
  labelSelectorFrom,
  persistentVolumeClaims,
  pods,
  splitKey,
  statefulSets,
  type ControllerRevision,
  type Pod,
  type StatefulSet,
} from '@naru/api';
import { Controller, type EventRecorder, type Informer, type ReconcileResult } from '@naru/client';
import { canonicalJson } from '../canonical-json-plan.ts';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { Expectations } from '../expectations.ts';
import { HASH_LABEL, REVISION_HASH_LABEL, type HistoryPlan } from '../history/plan.ts';
import { RevisionCollision, RevisionHistory } from '../history/revision-history.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { claim, claimCandidates, controllerIndex } from '../ownership/claim.ts';
import { nextAvailableMs } from '../pod/pod-state-plan.ts';
import { ordinalOf, planStatefulSet, type StatefulSetAction, type StatefulSetStatus } from './plan.ts';

const HISTORY_LIMIT = 10;

/** Keeps the pods of StatefulSets: named, in order, with claims that stay. */
export class StatefulSetController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #statefulSets: Informer<StatefulSet>;
  readonly #pods: Informer<Pod>;
  readonly #history: RevisionHistory;
  readonly #expectations: Expectations;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('statefulset-controller');
    this.#history = new RevisionHistory(context);
    this.#expectations = new Expectations(context.clock);
    this.#statefulSets = context.informers.informer(statefulSets);
    this.#pods = context.informers.informer(pods, { indexers: controllerIndex });
    this.#controller = new Controller({
      name: 'statefulset',
      workers: context.options.concurrentSyncs.statefulSet,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = (statefulSet: StatefulSet): void => this.#controller.queue.add(keyOf(statefulSet));
    this.#statefulSets.addHandlers({
      added: enqueue,
      updated: enqueue,
      deleted: (statefulSet) => this.#expectations.forget(keyOf(statefulSet)),
    });
    this.#pods.addHandlers({
      added: (pod) => this.#podChanged(pod, { isNew: true, isGone: false }),
      updated: (pod) => this.#podChanged(pod, { isNew: false, isGone: false }),
      deleted: (pod) => this.#podChanged(pod, { isNew: false, isGone: true }),
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  #podChanged(pod: Pod, { isNew, isGone }: { readonly isNew: boolean; readonly isGone: boolean }): void {
    const reference = controllerOf(pod);
    if (reference === undefined) {
      if (!isGone)
        for (const each of this.#statefulSets.list(pod.metadata.namespace))
          if (labelSelectorFrom(each.spec?.selector).matches(pod.metadata.labels))
            this.#controller.queue.add(keyOf(each));
      return;
    }
    if (reference.kind !== statefulSets.kind) return;
    const owner = this.#statefulSets.get(pod.metadata.namespace ?? '', reference.name);
    if (owner?.metadata.uid !== reference.uid || owner === undefined) return;
    const key = keyOf(owner);
    if (isGone || pod.metadata.deletionTimestamp !== undefined)
      this.#expectations.deletionObserved(key, pod.metadata.uid ?? '');
    else if (isNew) this.#expectations.creationObserved(key);
    this.#controller.queue.add(key);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const { namespace, name } = splitKey(key);
    const statefulSet = this.#statefulSets.get(namespace, name);
    if (statefulSet === undefined) return {};
    const selector = labelSelectorFrom(statefulSet.spec?.selector);
    // Names are unique, so nothing is made twice; but a pod whose deletion is not seen yet is not to be waited for wrongly.
    const satisfied = this.#expectations.satisfied(key);
    const claimed = await claim({
      client,
      owner: statefulSet,
      ownerResource: statefulSets,
      resource: pods,
      selector,
      candidates: claimCandidates(this.#pods, statefulSet).filter((pod) => ordinalOf(statefulSet, pod) !== undefined),
      signal,
    });
    const revisions = await this.#syncHistory(statefulSet, signal);
    const observed = {
      statefulSet,
      pods: claimed,
      updateRevision: revisions.update,
      currentRevision: currentOf(statefulSet, revisions),
      nowMs: clock.now(),
    };
    const plan = planStatefulSet(observed);
    if (satisfied && statefulSet.metadata.deletionTimestamp === undefined)
      await this.#carryOut(key, statefulSet, plan.actions, signal);
    if (canonicalJson(plan.status) !== canonicalJson(statefulSet.status ?? {}))
      await this.#updateStatus(statefulSet, plan.status, signal);
    const live = new Set(claimed.map(({ metadata }) => metadata.labels?.[HASH_LABEL] ?? ''));
    for (const each of [plan.status.currentRevision, plan.status.updateRevision]) live.add(each ?? '');
    const limit = statefulSet.spec?.revisionHistoryLimit ?? HISTORY_LIMIT;
    await this.#history.truncate(revisions.all, live, limit, signal);
    const minReadySeconds = statefulSet.spec?.minReadySeconds ?? 0;
    return {
      requeueAfterMs: minReadySeconds === 0 ? undefined : nextAvailableMs(claimed, minReadySeconds, clock.now()),
    };
  }

  async #syncHistory(statefulSet: StatefulSet, signal: AbortSignal): Promise<HistoryPlan> {
    try {
      return await this.#history.sync(
        {
          object: statefulSet,
          resource: statefulSets,
          template: statefulSet.spec?.template ?? {},
          collisionCount: statefulSet.status?.collisionCount,
          historyLimit: statefulSet.spec?.revisionHistoryLimit ?? HISTORY_LIMIT,
          hashLabel: REVISION_HASH_LABEL,
        },
        signal,
      );
    } catch (error) {
      if (error instanceof RevisionCollision && statefulSet.status !== undefined) {
        const collisionCount = (statefulSet.status.collisionCount ?? 0) + 1;
        await this.#updateStatus(statefulSet, { ...statefulSet.status, collisionCount }, signal);
      }
      throw error;
    }
  }

  async #updateStatus(statefulSet: StatefulSet, status: StatefulSetStatus, signal: AbortSignal): Promise<void> {
    const { namespace } = statefulSet.metadata;
    try {
      await this.#context.client.update(
        statefulSets,
        { ...statefulSet, status },
        { namespace, subresource: 'status', signal },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #carryOut(
    key: string,
    statefulSet: StatefulSet,
    actions: readonly StatefulSetAction[],
    signal: AbortSignal,
  ): Promise<void> {
    const creations = actions.filter(({ type }) => type === 'create').length;
    const deletions = actions.filter(({ type }) => type === 'delete').map(({ pod }) => pod.metadata.uid ?? '');
    if (actions.length === 0) return;
    this.#expectations.expect(key, creations, deletions);
    for (const action of actions) {
      if (action.type === 'create') await this.#create(key, statefulSet, action, signal);
      else await this.#delete(key, statefulSet, action.pod, signal);
    }
  }

  async #create(
    key: string,
    statefulSet: StatefulSet,
    { pod, claims }: Extract<StatefulSetAction, { type: 'create' }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#context;
    const { name = '' } = pod.metadata;
    const set = statefulSet.metadata.name;
    try {
      for (const claim of claims) {
        try {
          await client.create(persistentVolumeClaims, claim, { signal });
          const message = `create Claim ${claim.metadata.name} Pod ${name} in StatefulSet ${set} success`;
          this.#recorder.event(statefulSet, { type: 'Normal', reason: 'SuccessfulCreate', message });
        } catch (error) {
          if (!isAlreadyExists(error)) throw error;
        }
      }
      await client.create(pods, pod, { signal });
      const message = `create Pod ${name} in StatefulSet ${set} successful`;
      this.#recorder.event(statefulSet, { type: 'Normal', reason: 'SuccessfulCreate', message });
    } catch (error) {
      this.#expectations.creationObserved(key);
      // Of an earlier sync, not in the cache yet; or its predecessor is still going: its event brings the key back.
      if (isNamespaceTerminating(error) || isAlreadyExists(error)) return;
      const text = error instanceof Error ? error.message : String(error);
      const message = `create Pod ${name} in StatefulSet ${set} failed error: ${text}`;
      this.#recorder.event(statefulSet, { type: 'Warning', reason: 'FailedCreate', message });
      throw error;
    }
  }

  async #delete(key: string, statefulSet: StatefulSet, { metadata }: Pod, signal: AbortSignal): Promise<void> {
    const { name = '', namespace, uid = '' } = metadata;
    try {
      await this.#context.client.delete(pods, name, { namespace, signal, body: { preconditions: { uid } } });
      const message = `delete Pod ${name} in StatefulSet ${statefulSet.metadata.name} successful`;
      this.#recorder.event(statefulSet, { type: 'Normal', reason: 'SuccessfulDelete', message });
    } catch (error) {
      this.#expectations.deletionObserved(key, uid);
      if (!isNotFound(error)) throw error;
    }
  }
}

/** The revision that the update started from, as the status names it; a new set's is the present one. */
function currentOf({ status }: StatefulSet, { all, update }: HistoryPlan): ControllerRevision {
  return all.find(({ metadata }) => metadata.name === status?.currentRevision) ?? update;
}
