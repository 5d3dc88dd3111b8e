import { isNotFound, pods, type Binding, type Pod } from '@naru/api';
import type { Client, EventRecorder } from '@naru/client';
import type { Clock, Logger } from '@naru/component';
import type { ClusterState } from './cluster-state.ts';
import { isAssigned } from './cluster-state.ts';
import { fitErrorMessage, type Diagnosis } from './framework/diagnosis.ts';
import type { Framework } from './framework/framework.ts';
import { newPodInfo, type PodInfo } from './framework/pod-info.ts';
import { preempt } from './framework/preemption.ts';
import type { SchedulerMetrics } from './metrics.ts';
import type { Nominator } from './nominator.ts';
import { PodStatusWriter } from './pod-status-writer.ts';
import type { QueuedPod, SchedulingQueue } from './queue/scheduling-queue.ts';
import { TaskPool } from './task-pool.ts';

/** Bindings on their way to the API server at once; while so many are, no further pod is placed. */
const BINDINGS_MAX = 64;
/** After this long the scheduler lets events in before it places the next pod. */
const TURN_MS = 10;

export interface SchedulerOptions {
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly state: ClusterState;
  readonly queue: SchedulingQueue;
  readonly nominator: Nominator;
  /** By the name that pods ask for. */
  readonly frameworks: ReadonlyMap<string, Framework>;
  readonly metrics: SchedulerMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Takes pods from the queue one after the other and places each in one synchronous step; binds them in the background.
 * Invariant: a pod is in the queue, or placed in the cache, or neither, but never both.
 */
export class Scheduler implements AsyncDisposable {
  readonly #options: SchedulerOptions;
  readonly #bindings = new TaskPool({ concurrency: BINDINGS_MAX, waitingMax: 0, onFree: () => this.wake() });
  readonly #statuses: PodStatusWriter;
  #running = false;
  #turnDue: NodeJS.Immediate | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#statuses = new PodStatusWriter(options);
  }

  /** Places pods until `signal` aborts; resolves when the bindings under way are done. */
  async run(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => resolve(), { once: true });
    this.#running = true;
    this.wake();
    await aborted;
    await this[Symbol.asyncDispose]();
  }

  /** There may be a pod to place. */
  wake(): void {
    if (!this.#running || this.#turnDue !== undefined) return;
    this.#turnDue = setImmediate(() => {
      this.#turnDue = undefined;
      this.#turn();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#running = false;
    if (this.#turnDue !== undefined) clearImmediate(this.#turnDue);
    this.#turnDue = undefined;
    await Promise.all([this.#bindings[Symbol.asyncDispose](), this.#statuses[Symbol.asyncDispose]()]);
  }

  #turn(): void {
    const { queue, clock } = this.#options;
    const endMs = clock.monotonic() + TURN_MS;
    while (this.#running && this.#bindings.hasRoom) {
      const queued = queue.pop();
      if (queued === undefined) return;
      this.#scheduleOne(queued);
      if (clock.monotonic() >= endMs) {
        this.wake();
        return;
      }
    }
  }

  #scheduleOne(queued: QueuedPod): void {
    const { state, metrics, frameworks, clock, nominator, recorder, logger } = this.#options;
    const { info } = queued;
    const framework = frameworks.get(info.pod.spec?.schedulerName ?? '');
    if (framework === undefined || state.cache.isPlaced(info.uid)) return;
    if (info.terminating) {
      const message = `skip schedule deleting pod: ${queued.key}`;
      recorder.event(info.pod, { type: 'Warning', reason: 'FailedScheduling', message });
      return;
    }
    const startMs = clock.monotonic();
    const result = framework.schedule(info, state.cache);
    metrics.algorithmDuration.observe((clock.monotonic() - startMs) / 1000);
    if (result.kind === 'unschedulable') {
      this.#rejected(queued, framework, result.diagnosis);
      this.#observe('unschedulable', framework, startMs);
      return;
    }
    const { nodeName } = result;
    state.cache.assumePod(info, nodeName);
    nominator.delete(info.uid);
    logger.debug({ pod: queued.key, node: nodeName, evaluatedNodes: result.evaluatedNodes }, 'pod placed');
    this.#bindings.run(async () => await this.#bind(queued, nodeName, framework, startMs));
  }

  async #bind(queued: QueuedPod, nodeName: string, framework: Framework, startMs: number): Promise<void> {
    const { client, recorder, metrics, clock, logger } = this.#options;
    const { info } = queued;
    const { name, namespace, uid } = info.pod.metadata;
    const binding: Binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: name ?? '', namespace: namespace ?? '', ...(uid === undefined ? {} : { uid }) },
      target: { kind: 'Node', name: nodeName },
    };
    try {
      await client.createSubresource(pods, info.name, 'binding', binding, { namespace: info.namespace });
    } catch (error) {
      this.#bindFailed(queued, framework, error);
      this.#observe('error', framework, startMs);
      return;
    }
    this.#observe('scheduled', framework, startMs);
    metrics.podAttempts.observe(queued.attempts);
    const attempts = queued.attempts >= 16 ? '16+' : String(queued.attempts);
    metrics.sliDuration.observe({ attempts }, (clock.monotonic() - queued.firstSeenMs) / 1000);
    logger.info({ pod: queued.key, node: nodeName }, 'pod bound');
    const message = `Successfully assigned ${queued.key} to ${nodeName}`;
    recorder.event(info.pod, { type: 'Normal', reason: 'Scheduled', message });
  }

  /** The assumption is taken back, and what it kept from others is free again. */
  #bindFailed(queued: QueuedPod, framework: Framework, error: unknown): void {
    const { state, queue, logger } = this.#options;
    const { info } = queued;
    if (state.cache.isAssumed(info.uid)) {
      state.cache.forgetPod(info.uid);
      queue.moveOnEvent({ kind: 'AssignedPodDelete', pod: info });
    }
    const latest = this.#latest(info);
    if (latest === undefined || isNotFound(error)) {
      logger.info({ pod: queued.key }, 'pod is gone before it was bound');
      return;
    }
    if (isAssigned(latest)) {
      logger.info({ pod: queued.key, node: latest.spec?.nodeName }, 'pod was bound by another');
      return;
    }
    const message = error instanceof Error ? error.message : String(error);
    logger.warn({ pod: queued.key, err: error, profile: framework.profile.schedulerName }, 'binding failed');
    queued.info = newPodInfo(latest);
    queue.addBackoff(queued);
    this.#report(queued.info, { reason: 'SchedulerError', message: `binding rejected: ${message}` });
  }

  #rejected(queued: QueuedPod, framework: Framework, diagnosis: Diagnosis): void {
    const { queue, state, metrics, nominator, logger } = this.#options;
    const { info } = queued;
    let postFilterMessage = '';
    let nominatedNodeName: string | undefined;
    if (diagnosis.numAllNodes > 0 && framework.profile.preempts) {
      metrics.preemptionAttempts.inc();
      const preemption = preempt(framework, info, diagnosis, state.cache, state.disruptionBudgets());
      if (preemption.kind === 'nominated') {
        ({ nodeName: nominatedNodeName } = preemption);
        metrics.preemptionVictims.observe(preemption.victims.length);
        for (const other of nominator.podsFor(nominatedNodeName))
          if (other.priority < info.priority) this.#clearNomination(other);
        nominator.set(info, nominatedNodeName);
        this.#statuses.evict(preemption.victims, info, nominatedNodeName);
      } else {
        postFilterMessage = preemption.message;
        if (preemption.clearsNomination) {
          nominatedNodeName = '';
          nominator.delete(info.uid);
        }
      }
    }
    const message = fitErrorMessage(diagnosis, postFilterMessage);
    logger.debug({ pod: queued.key, message }, 'pod fits no node');
    queue.addUnschedulable(queued, diagnosis.plugins);
    this.#report(info, { reason: 'Unschedulable', message, nominatedNodeName });
  }

  #clearNomination(pod: PodInfo): void {
    this.#options.nominator.delete(pod.uid);
    const latest = this.#latest(pod);
    if (latest !== undefined) this.#statuses.setNominatedNode(latest, '');
  }

  #report(
    info: PodInfo,
    outcome: {
      readonly reason: 'Unschedulable' | 'SchedulerError';
      readonly message: string;
      readonly nominatedNodeName?: string | undefined;
    },
  ): void {
    const { recorder } = this.#options;
    recorder.event(info.pod, { type: 'Warning', reason: 'FailedScheduling', message: outcome.message });
    this.#statuses.setUnscheduled(this.#latest(info) ?? info.pod, outcome);
  }

  /** The pod as it is now, unless another took its name. */
  #latest(info: PodInfo): Pod | undefined {
    const latest = this.#options.state.pods.get(info.namespace, info.name);
    return latest?.metadata.uid === info.pod.metadata.uid ? latest : undefined;
  }

  #observe(result: 'scheduled' | 'unschedulable' | 'error', framework: Framework, startMs: number): void {
    const { metrics, clock } = this.#options;
    const labels = { result, profile: framework.profile.schedulerName };
    metrics.scheduleAttempts.inc(labels);
    metrics.attemptDuration.observe(labels, (clock.monotonic() - startMs) / 1000);
  }
}
