import { isNotFound, keyOf, nodes, pods, splitKey, formatTime, type Node, type Pod } from '@naru/api';
import { Controller, type EventRecorder, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isPodTerminal } from '../pod/pod-state-plan.ts';
import { tolerationSeconds } from './taints-plan.ts';

const BY_NODE = 'node';

/** Deletes pods from nodes with NoExecute taints that they do not tolerate, or no longer. */
export class TaintEvictionController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #pods: Informer<Pod>;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;
  /** When the time of pods on tainted nodes began, by pod uid, on this process's own clock. */
  readonly #since = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('taint-eviction-controller');
    this.#nodes = context.informers.informer(nodes);
    this.#pods = context.informers.informer(pods, { indexers: { [BY_NODE]: ({ spec }) => [spec?.nodeName ?? ''] } });
    this.#controller = new Controller({
      name: 'taint-eviction',
      workers: 8,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    this.#nodes.addHandlers({
      added: (node) => this.#nodeChanged(node),
      updated: (node, old) => {
        if (JSON.stringify(node.spec?.taints) !== JSON.stringify(old.spec?.taints)) this.#nodeChanged(node);
      },
    });
    this.#pods.addHandlers({
      added: (pod) => this.#podChanged(pod),
      updated: (pod, old) => {
        const moved = pod.spec?.nodeName !== old.spec?.nodeName;
        if (moved || JSON.stringify(pod.spec?.tolerations) !== JSON.stringify(old.spec?.tolerations))
          this.#podChanged(pod);
      },
      deleted: (pod) => {
        if (this.#since.delete(pod.metadata.uid ?? '')) queue.forget(keyOf(pod));
      },
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  #nodeChanged({ metadata }: Node): void {
    for (const pod of this.#pods.byIndex(BY_NODE, metadata.name ?? '')) this.#controller.queue.add(keyOf(pod));
  }

  #podChanged(pod: Pod): void {
    const node = this.#nodes.get('', pod.spec?.nodeName ?? '');
    const tainted = node?.spec?.taints?.some(({ effect }) => effect === 'NoExecute') === true;
    if (tainted || this.#since.has(pod.metadata.uid ?? '')) this.#controller.queue.add(keyOf(pod));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<{ requeueAfterMs?: number }> {
    const { client, clock } = this.#context;
    const { namespace, name } = splitKey(key);
    const pod = this.#pods.get(namespace, name);
    const node = this.#nodes.get('', pod?.spec?.nodeName ?? '');
    if (pod === undefined || node === undefined) return {};
    const { uid = '', deletionTimestamp } = pod.metadata;
    if (deletionTimestamp !== undefined || isPodTerminal(pod)) return {};
    const seconds = tolerationSeconds(node.spec?.taints, pod.spec?.tolerations);
    const since = this.#since.get(uid);
    if (seconds === undefined) {
      if (this.#since.delete(uid)) {
        const message = `Cancelling deletion of Pod ${key}`;
        this.#recorder.event(pod, { type: 'Normal', reason: 'TaintManagerEviction', message });
      }
      return {};
    }
    const nowMs = clock.monotonic();
    if (since === undefined) this.#since.set(uid, nowMs);
    const leftMs = (since ?? nowMs) + seconds * 1000 - nowMs;
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    const message = `Marking for deletion Pod ${key}`;
    this.#recorder.event(pod, { type: 'Normal', reason: 'TaintManagerEviction', message });
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: formatTime(clock.now()),
    };
    const patch = { metadata: { uid }, status: { conditions: [condition] } };
    try {
      await client.patch(pods, name, 'strategic', patch, { namespace, subresource: 'status', signal });
      await client.delete(pods, name, { namespace, signal, body: { preconditions: { uid } } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    this.#since.delete(uid);
    return {};
  }
}
