import { formatTime, isNotFound, pods, type Pod } from '@naru/api';
import type { Client, EventRecorder } from '@naru/client';
import type { Clock, Logger } from '@naru/component';
import { podKey, type PodInfo } from './framework/pod-info.ts';
import { TaskPool } from './task-pool.ts';

const WRITES_MAX = 16;
/** Pods whose status waits to be written; further ones keep their old status until their next try. */
const WRITES_WAITING_MAX = 10_000;

export interface PodStatusWriterOptions {
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Writes in the background what pods are told while they wait, and evicts those that make room. */
export class PodStatusWriter implements AsyncDisposable {
  readonly #options: PodStatusWriterOptions;
  readonly #writes = new TaskPool({ concurrency: WRITES_MAX, waitingMax: WRITES_WAITING_MAX });
  /** The newest status of each pod that is not written yet. */
  readonly #pending = new Map<string, { readonly pod: Pod; readonly status: Record<string, unknown> }>();

  constructor(options: PodStatusWriterOptions) {
    this.#options = options;
  }

  /** Condition PodScheduled=False with the reason; nothing is written when the pod says so already. */
  setUnscheduled(
    pod: Pod,
    outcome: { readonly reason: string; readonly message: string; readonly nominatedNodeName?: string | undefined },
  ): void {
    const { reason, message, nominatedNodeName } = outcome;
    const old = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    const sameNomination =
      nominatedNodeName === undefined || nominatedNodeName === (pod.status?.nominatedNodeName ?? '');
    if (old?.status === 'False' && old.reason === reason && old.message === message && sameNomination) return;
    const lastTransitionTime =
      old?.status === 'False' && old.lastTransitionTime !== undefined
        ? old.lastTransitionTime
        : formatTime(this.#options.clock.now());
    this.#write(pod, {
      conditions: [{ type: 'PodScheduled', status: 'False', reason, message, lastProbeTime: null, lastTransitionTime }],
      ...(sameNomination ? {} : { nominatedNodeName: nominatedNodeName === '' ? null : nominatedNodeName }),
    });
  }

  setNominatedNode(pod: Pod, nominatedNodeName: string): void {
    this.#write(pod, { nominatedNodeName: nominatedNodeName === '' ? null : nominatedNodeName });
  }

  /** Deletes the victims, each with the condition that says why. */
  evict(victims: readonly PodInfo[], preemptor: PodInfo, nodeName: string): void {
    for (const victim of victims.filter(({ terminating }) => !terminating))
      this.#writes.run(async () => await this.#evict(victim, preemptor, nodeName));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writes[Symbol.asyncDispose]();
  }

  async #evict(victim: PodInfo, preemptor: PodInfo, nodeName: string): Promise<void> {
    const { client, recorder, clock, logger } = this.#options;
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'PreemptionByScheduler',
      message: `${preemptor.pod.spec?.schedulerName ?? ''}: preempting to accommodate a higher priority pod`,
      lastTransitionTime: formatTime(clock.now()),
    };
    const where = { namespace: victim.namespace };
    try {
      await client.patch(
        pods,
        victim.name,
        'strategic',
        { status: { conditions: [condition] } },
        { ...where, subresource: 'status' },
      );
      const uid = victim.pod.metadata.uid;
      await client.delete(pods, victim.name, {
        ...where,
        ...(uid === undefined ? {} : { body: { preconditions: { uid } } }),
      });
    } catch (error) {
      if (!isNotFound(error))
        logger.warn({ err: error, pod: podKey(victim.pod) }, 'cannot evict a victim of preemption');
      return;
    }
    logger.info({ pod: podKey(victim.pod), preemptor: podKey(preemptor.pod), node: nodeName }, 'pod preempted');
    const message = `Preempted by pod ${preemptor.uid} on node ${nodeName}`;
    recorder.event(victim.pod, { type: 'Normal', reason: 'Preempted', message });
  }

  #write(pod: Pod, status: Record<string, unknown>): void {
    const key = podKey(pod);
    const waits = this.#pending.get(key);
    this.#pending.set(key, { pod, status: { ...waits?.status, ...status } });
    if (waits !== undefined) return;
    if (!this.#writes.run(async () => await this.#send(key))) this.#pending.delete(key);
  }

  async #send(key: string): Promise<void> {
    const pending = this.#pending.get(key);
    this.#pending.delete(key);
    if (pending === undefined) return;
    const { name = '', namespace, uid } = pending.pod.metadata;
    try {
      await this.#options.client.patch(
        pods,
        name,
        'strategic',
        { ...(uid === undefined ? {} : { metadata: { uid } }), status: pending.status },
        { namespace, subresource: 'status' },
      );
    } catch (error) {
      if (!isNotFound(error)) this.#options.logger.warn({ err: error, pod: key }, 'cannot write the status of a pod');
    }
  }
}
