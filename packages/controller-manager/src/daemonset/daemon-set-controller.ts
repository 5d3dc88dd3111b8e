import {
  controllerOf,
  daemonSets,
  isNotFound,
  keyOf,
  labelSelectorFrom,
  nodes,
  pods,
  splitKey,
  type DaemonSet,
  type Node,
  type Pod,
} from '@naru/api';
import { Controller, type EventRecorder, type Informer, type ReconcileResult } from '@naru/client';
import { canonicalJson } from '../canonical-json-plan.ts';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { Expectations } from '../expectations.ts';
import { HASH_LABEL } from '../history/plan.ts';
import { RevisionCollision, RevisionHistory } from '../history/revision-history.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { claim, claimCandidates, controllerIndex } from '../ownership/claim.ts';
import { podFromTemplate } from '../pod/pod-from-template-plan.ts';
import { nextAvailableMs } from '../pod/pod-state-plan.ts';
import { planDaemonSet, planStatus, templateForNode, type DaemonSetPlan, type ObservedDaemonSet } from './plan.ts';

const HISTORY_LIMIT = 10;
/** Pods created or deleted in one sync: upstream's. */
const BURST_REPLICAS = 250;

/** Keeps one pod of each DaemonSet on every node that it is for. */
export class DaemonSetController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #daemonSets: Informer<DaemonSet>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #history: RevisionHistory;
  readonly #expectations: Expectations;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('daemonset-controller');
    this.#expectations = new Expectations(context.clock);
    this.#history = new RevisionHistory(context);
    this.#daemonSets = context.informers.informer(daemonSets);
    this.#pods = context.informers.informer(pods, { indexers: controllerIndex });
    this.#nodes = context.informers.informer(nodes);
    this.#controller = new Controller({
      name: 'daemonset',
      workers: context.options.concurrentSyncs.daemonSet,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const enqueue = (daemonSet: DaemonSet): void => queue.add(keyOf(daemonSet));
    this.#daemonSets.addHandlers({
      added: enqueue,
      updated: enqueue,
      deleted: (daemonSet) => this.#expectations.forget(keyOf(daemonSet)),
    });
    const enqueueAll = (): void => {
      for (const daemonSet of this.#daemonSets.list()) enqueue(daemonSet);
    };
    this.#nodes.addHandlers({
      added: enqueueAll,
      updated: (node, old) => {
        if (placementFacts(node) !== placementFacts(old)) enqueueAll();
      },
      deleted: enqueueAll,
    });
    this.#pods.addHandlers({
      added: (pod) => this.#podChanged(pod, 'added'),
      updated: (pod, old) => {
        const before = this.#ownerOf(old);
        if (before !== undefined && controllerOf(pod)?.uid !== controllerOf(old)?.uid) enqueue(before);
        this.#podChanged(pod, 'updated');
      },
      deleted: (pod) => this.#podChanged(pod, 'deleted'),
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  #ownerOf(pod: Pod): DaemonSet | undefined {
    const reference = controllerOf(pod);
    if (reference?.kind !== daemonSets.kind) return undefined;
    const owner = this.#daemonSets.get(pod.metadata.namespace ?? '', reference.name);
    return owner?.metadata.uid === reference.uid ? owner : undefined;
  }

  #podChanged(pod: Pod, change: 'added' | 'updated' | 'deleted'): void {
    const owner = this.#ownerOf(pod);
    if (owner === undefined) {
      if (controllerOf(pod) === undefined && change !== 'deleted')
        for (const each of this.#daemonSets.list(pod.metadata.namespace))
          if (labelSelectorFrom(each.spec?.selector).matches(pod.metadata.labels))
            this.#controller.queue.add(keyOf(each));
      return;
    }
    const key = keyOf(owner);
    if (change === 'deleted' || pod.metadata.deletionTimestamp !== undefined)
      this.#expectations.deletionObserved(key, pod.metadata.uid ?? '');
    else if (change === 'added') this.#expectations.creationObserved(key);
    this.#controller.queue.add(key);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const { namespace, name } = splitKey(key);
    const daemonSet = this.#daemonSets.get(namespace, name);
    if (daemonSet === undefined || daemonSet.metadata.deletionTimestamp !== undefined) return {};
    const selector = labelSelectorFrom(daemonSet.spec?.selector);
    if (selector.empty) return {};
    const satisfied = this.#expectations.satisfied(key);
    const claimed = await claim({
      client,
      owner: daemonSet,
      ownerResource: daemonSets,
      resource: pods,
      selector,
      candidates: claimCandidates(this.#pods, daemonSet),
      signal,
    });
    const revisions = await this.#syncHistory(daemonSet, signal);
    const hash = revisions.update.metadata.labels?.[HASH_LABEL] ?? '';
    const observed = { daemonSet, nodes: this.#nodes.list(), pods: claimed, hash, nowMs: clock.now() };
    if (satisfied) await this.#carryOut(key, observed, planDaemonSet(observed), signal);
    const live = new Set(claimed.map(({ metadata }) => `${name}-${metadata.labels?.[HASH_LABEL]}`));
    live.add(revisions.update.metadata.name ?? '');
    const limit = daemonSet.spec?.revisionHistoryLimit ?? HISTORY_LIMIT;
    await this.#history.truncate(revisions.all, live, limit, signal);
    const status = planStatus(observed);
    if (canonicalJson(status) !== canonicalJson(daemonSet.status ?? {}))
      await this.#updateStatus(daemonSet, status, signal);
    const minReadySeconds = daemonSet.spec?.minReadySeconds ?? 0;
    return {
      requeueAfterMs: minReadySeconds === 0 ? undefined : nextAvailableMs(claimed, minReadySeconds, clock.now()),
    };
  }

  async #syncHistory(daemonSet: DaemonSet, signal: AbortSignal): ReturnType<RevisionHistory['sync']> {
    try {
      return await this.#history.sync(
        {
          object: daemonSet,
          resource: daemonSets,
          template: daemonSet.spec?.template ?? {},
          collisionCount: daemonSet.status?.collisionCount,
          historyLimit: daemonSet.spec?.revisionHistoryLimit ?? HISTORY_LIMIT,
          hashLabel: HASH_LABEL,
        },
        signal,
      );
    } catch (error) {
      if (error instanceof RevisionCollision && daemonSet.status !== undefined) {
        const collisionCount = (daemonSet.status.collisionCount ?? 0) + 1;
        await this.#updateStatus(daemonSet, { ...daemonSet.status, collisionCount }, signal);
      }
      throw error;
    }
  }

  async #updateStatus(daemonSet: DaemonSet, status: DaemonSet['status'], signal: AbortSignal): Promise<void> {
    const { namespace } = daemonSet.metadata;
    const options = { namespace, subresource: 'status', signal };
    try {
      await this.#context.client.update(
        daemonSets,
        { ...daemonSet, ...(status === undefined ? {} : { status }) },
        options,
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #carryOut(
    key: string,
    { daemonSet, hash }: ObservedDaemonSet,
    plan: DaemonSetPlan,
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#context;
    const create = plan.create.slice(0, BURST_REPLICAS);
    const remove = plan.remove.slice(0, BURST_REPLICAS);
    if (create.length === 0 && remove.length === 0) return;
    for (const { metadata, spec } of plan.failed) {
      const message = `Found failed daemon pod ${metadata.namespace}/${metadata.name} on node ${spec?.nodeName}, will try to kill it`;
      this.#recorder.event(daemonSet, { type: 'Warning', reason: 'FailedDaemonPod', message });
    }
    this.#expectations.expect(
      key,
      create.length,
      remove.map(({ metadata }) => metadata.uid ?? ''),
    );
    const template = daemonSet.spec?.template ?? {};
    const results = await Promise.allSettled([
      ...create.map(async (node) => {
        const pod = podFromTemplate(templateForNode(template, node, hash), daemonSet, daemonSets);
        try {
          const created = await client.create(pods, pod, { signal });
          const message = `Created pod: ${created.metadata.name}`;
          this.#recorder.event(daemonSet, { type: 'Normal', reason: 'SuccessfulCreate', message });
        } catch (error) {
          this.#expectations.creationObserved(key);
          if (isNamespaceTerminating(error)) return;
          const message = `Error creating: ${error instanceof Error ? error.message : String(error)}`;
          this.#recorder.event(daemonSet, { type: 'Warning', reason: 'FailedCreate', message });
          throw error;
        }
      }),
      ...remove.map(async ({ metadata: { name = '', namespace, uid = '' } }) => {
        try {
          await client.delete(pods, name, { namespace, signal, body: { preconditions: { uid } } });
          this.#recorder.event(daemonSet, {
            type: 'Normal',
            reason: 'SuccessfulDelete',
            message: `Deleted pod: ${name}`,
          });
        } catch (error) {
          this.#expectations.deletionObserved(key, uid);
          if (!isNotFound(error)) throw error;
        }
      }),
    ]);
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }
}

/** What of a node decides whether daemons belong there. */
function placementFacts({ metadata, spec }: Node): string {
  return JSON.stringify([metadata.labels, spec?.taints, spec?.unschedulable]);
}
