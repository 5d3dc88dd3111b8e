import {
  controllerOf,
  deployments,
  formatTime,
  isNotFound,
  keyOf,
  labelSelectorFrom,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  splitKey,
  statefulSets,
  type Deployment,
  type KubeObject,
  type OwnerReference,
  type Pod,
  type PodDisruptionBudget,
  type ReplicaSet,
  type ReplicationController,
  type StatefulSet,
} from '@naru/api';
import { Controller, type Informer, type ReconcileResult } from '@naru/client';
import { canonicalJson } from '../canonical-json-plan.ts';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isPodReady } from '../pod/pod-state-plan.ts';
import { planDisruption } from './plan.ts';

type Scaled = Pick<KubeObject, 'metadata'> & { spec?: { replicas?: number } };

interface Scale {
  readonly uid: string;
  readonly replicas: number;
}

/** Keeps the status of PodDisruptionBudgets, by which the API server grants evictions. */
export class DisruptionController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #pods: Informer<Pod>;
  readonly #deployments: Informer<Deployment>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #statefulSets: Informer<StatefulSet>;
  readonly #replicationControllers: Informer<ReplicationController>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#budgets = context.informers.informer(podDisruptionBudgets);
    this.#pods = context.informers.informer(pods);
    this.#deployments = context.informers.informer(deployments);
    this.#replicaSets = context.informers.informer(replicaSets);
    this.#statefulSets = context.informers.informer(statefulSets);
    this.#replicationControllers = context.informers.informer(replicationControllers);
    this.#controller = new Controller({
      name: 'disruption',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const enqueue = (budget: PodDisruptionBudget): void => queue.add(keyOf(budget));
    this.#budgets.addHandlers({ added: enqueue, updated: enqueue });
    const podChanged = (pod: Pod): void => {
      for (const budget of this.#budgets.list(pod.metadata.namespace))
        if (labelSelectorFrom(budget.spec?.selector).matches(pod.metadata.labels)) enqueue(budget);
    };
    this.#pods.addHandlers({
      added: podChanged,
      updated: (pod, old) => {
        if (facts(pod) === facts(old)) return;
        podChanged(pod);
        podChanged(old);
      },
      deleted: podChanged,
    });
    // A change of scale changes what is expected.
    const scaleChanged = (object: Scaled, old: Scaled): void => {
      const { metadata } = object;
      if (object.spec?.replicas === old.spec?.replicas) return;
      for (const budget of this.#budgets.list(metadata.namespace)) enqueue(budget);
    };
    this.#deployments.addHandlers({ updated: scaleChanged });
    this.#statefulSets.addHandlers({ updated: scaleChanged });
    this.#replicaSets.addHandlers({ updated: scaleChanged });
    this.#replicationControllers.addHandlers({ updated: scaleChanged });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const { namespace, name } = splitKey(key);
    const budget = this.#budgets.get(namespace, name);
    if (budget === undefined || budget.metadata.deletionTimestamp !== undefined) return {};
    const selector = labelSelectorFrom(budget.spec?.selector);
    const selected = this.#pods.list(namespace).filter(({ metadata }) => selector.matches(metadata.labels));
    const nowMs = clock.now();
    const expectedScale = this.#expectedScale(namespace, selected);
    const plan = planDisruption({ budget, pods: selected, expectedScale, nowMs, now: formatTime(nowMs) });
    if (canonicalJson(plan.status) !== canonicalJson(budget.status ?? {})) {
      const options = { namespace, subresource: 'status', signal };
      try {
        await client.update(podDisruptionBudgets, { ...budget, status: plan.status }, options);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return { requeueAfterMs: plan.requeueAfterMs };
  }

  /** Sum of the sizes of all controllers of these pods; undefined when one of them is not known. */
  #expectedScale(namespace: string, selected: readonly Pod[]): number | undefined {
    const scales = new Map<string, number>();
    for (const pod of selected) {
      const reference = controllerOf(pod);
      // A pod of its own counts for nothing: nobody would replace it.
      if (reference === undefined) continue;
      const scale = this.#scaleOf(namespace, reference);
      if (scale === undefined) return undefined;
      scales.set(scale.uid, scale.replicas);
    }
    return [...scales.values()].reduce((sum, replicas) => sum + replicas, 0);
  }

  #scaleOf(namespace: string, { kind, name, uid }: OwnerReference): Scale | undefined {
    const scale = (object: Scaled | undefined): Scale | undefined =>
      object?.metadata.uid === uid ? { uid, replicas: object.spec?.replicas ?? 1 } : undefined;
    switch (kind) {
      case 'ReplicaSet': {
        const replicaSet = this.#replicaSets.get(namespace, name);
        const owner = replicaSet === undefined ? undefined : controllerOf(replicaSet);
        return owner?.kind === 'Deployment' ? this.#scaleOf(namespace, owner) : scale(replicaSet);
      }
      case 'Deployment':
        return scale(this.#deployments.get(namespace, name));
      case 'StatefulSet':
        return scale(this.#statefulSets.get(namespace, name));
      case 'ReplicationController':
        return scale(this.#replicationControllers.get(namespace, name));
      default:
        return undefined;
    }
  }
}

/** What of a pod counts for a budget. */
function facts(pod: Pod): string {
  const { labels, deletionTimestamp, ownerReferences } = pod.metadata;
  return JSON.stringify([labels, deletionTimestamp, ownerReferences, pod.status?.phase, isPodReady(pod)]);
}
