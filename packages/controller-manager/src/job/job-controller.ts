import {
  controllerOf,
  findCondition,
  formatTime,
  isInvalid,
  isNotFound,
  jobs,
  keyOf,
  labelSelectorFrom,
  pods,
  splitKey,
  type Job,
  type Pod,
} from '@naru/api';
import { Controller, type EventRecorder, type Informer, type ReconcileResult } from '@naru/client';
import { canonicalJson } from '../canonical-json-plan.ts';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { Expectations } from '../expectations.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { claim, claimCandidates, controllerIndex } from '../ownership/claim.ts';
import { slowStartBatch } from '../slow-start.ts';
import { planJob, TRACKING_FINALIZER, type JobPlan } from './plan.ts';
import { podOf } from './pod-plan.ts';

/** Runs the pods of Jobs until enough have succeeded or too many failed. */
export class JobController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #jobs: Informer<Job>;
  readonly #pods: Informer<Pod>;
  readonly #expectations: Expectations;
  /** Pods whose finalizer was removed, until the cache shows it. */
  readonly #untracked = new Set<string>();
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('job-controller');
    this.#expectations = new Expectations(context.clock);
    this.#jobs = context.informers.informer(jobs);
    this.#pods = context.informers.informer(pods, { indexers: controllerIndex });
    this.#controller = new Controller({
      name: 'job',
      workers: context.options.concurrentSyncs.job,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const enqueue = (job: Job): void => queue.add(keyOf(job));
    this.#jobs.addHandlers({ added: enqueue, updated: enqueue, deleted: enqueue });
    this.#pods.addHandlers({
      added: (pod) => this.#podChanged(pod, 'added'),
      updated: (pod) => this.#podChanged(pod, 'updated'),
      deleted: (pod) => this.#podChanged(pod, 'deleted'),
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  #podChanged(pod: Pod, change: 'added' | 'updated' | 'deleted'): void {
    const { namespace = '', uid = '', deletionTimestamp } = pod.metadata;
    if (change === 'deleted' || !isTracked(pod)) this.#untracked.delete(uid);
    const reference = controllerOf(pod);
    if (reference === undefined) {
      if (change !== 'deleted')
        for (const each of this.#jobs.list(namespace))
          if (labelSelectorFrom(each.spec?.selector).matches(pod.metadata.labels))
            this.#controller.queue.add(keyOf(each));
      return;
    }
    if (reference.kind !== jobs.kind) return;
    // Also when the Job is gone: its pods' finalizers must not stay.
    const key = `${namespace}/${reference.name}`;
    if (change === 'deleted' || deletionTimestamp !== undefined) this.#expectations.deletionObserved(key, uid);
    else if (change === 'added') this.#expectations.creationObserved(key);
    this.#controller.queue.add(key);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const { namespace, name } = splitKey(key);
    const job = this.#jobs.get(namespace, name);
    await this.#releaseOrphans(namespace, name, job, signal);
    if (job === undefined) {
      this.#expectations.forget(key);
      return {};
    }
    const satisfied = this.#expectations.satisfied(key);
    const claimed = await claim({
      client,
      owner: job,
      ownerResource: jobs,
      resource: pods,
      selector: labelSelectorFrom(job.spec?.selector),
      candidates: claimCandidates(this.#pods, job),
      signal,
    });
    const nowMs = clock.now();
    const plan = planJob({ job, pods: claimed, untracked: this.#untracked, nowMs, now: formatTime(nowMs) });
    if (satisfied && job.metadata.deletionTimestamp === undefined) await this.#managePods(key, job, plan, signal);
    if (canonicalJson(plan.status) !== canonicalJson(job.status ?? {})) await this.#updateStatus(job, plan, signal);
    for (const pod of plan.untrack) await this.#untrack(pod, signal);
    return { requeueAfterMs: plan.requeueAfterMs };
  }

  async #updateStatus(job: Job, { status }: JobPlan, signal: AbortSignal): Promise<void> {
    const { namespace } = job.metadata;
    try {
      await this.#context.client.update(jobs, { ...job, status }, { namespace, subresource: 'status', signal });
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    for (const [type, reason] of [
      ['Complete', 'Completed'],
      ['Failed', undefined],
    ] as const) {
      const condition = findCondition(status.conditions, type);
      if (condition?.status !== 'True' || findCondition(job.status?.conditions, type)?.status === 'True') continue;
      const complete = type === 'Complete';
      this.#recorder.event(job, {
        type: complete ? 'Normal' : 'Warning',
        reason: reason ?? condition.reason ?? type,
        message: complete ? 'Job completed' : (condition.message ?? ''),
      });
    }
  }

  async #managePods(key: string, job: Job, { create, remove }: JobPlan, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    if (create.length === 0 && remove.length === 0) return;
    this.#expectations.expect(
      key,
      create.length,
      remove.map(({ metadata }) => metadata.uid ?? ''),
    );
    const deletions = await Promise.allSettled(
      remove.map(async ({ metadata: { name = '', namespace, uid = '' } }) => {
        try {
          await client.delete(pods, name, { namespace, signal, body: { preconditions: { uid } } });
          this.#recorder.event(job, { type: 'Normal', reason: 'SuccessfulDelete', message: `Deleted pod: ${name}` });
        } catch (error) {
          this.#expectations.deletionObserved(key, uid);
          if (!isNotFound(error)) throw error;
        }
      }),
    );
    let next = 0;
    const { skipped, error } = await slowStartBatch(create.length, async () => {
      const pod = podOf(job, create[next++]);
      try {
        const created = await client.create(pods, pod, { signal });
        const message = `Created pod: ${created.metadata.name}`;
        this.#recorder.event(job, { type: 'Normal', reason: 'SuccessfulCreate', message });
      } catch (error) {
        this.#expectations.creationObserved(key);
        if (isNamespaceTerminating(error)) return;
        const message = `Error creating: ${error instanceof Error ? error.message : String(error)}`;
        this.#recorder.event(job, { type: 'Warning', reason: 'FailedCreate', message });
        throw error;
      }
    });
    if (skipped > 0) this.#expectations.creationObserved(key, skipped);
    const failure = deletions.find((result) => result.status === 'rejected')?.reason ?? error;
    if (failure !== undefined) throw failure;
  }

  /** Pods of a Job that is gone, or of another one of its name, are held by nobody. */
  async #releaseOrphans(namespace: string, name: string, job: Job | undefined, signal: AbortSignal): Promise<void> {
    for (const pod of this.#pods.list(namespace)) {
      const reference = controllerOf(pod);
      if (reference?.kind !== jobs.kind || reference.name !== name || !isTracked(pod)) continue;
      if (job === undefined || reference.uid !== job.metadata.uid) await this.#untrack(pod, signal);
    }
  }

  async #untrack(pod: Pod, signal: AbortSignal): Promise<void> {
    const { name = '', namespace, uid = '' } = pod.metadata;
    if (this.#untracked.has(uid)) return;
    const patch = { metadata: { uid, '$deleteFromPrimitiveList/finalizers': [TRACKING_FINALIZER] } };
    try {
      await this.#context.client.patch(pods, name, 'strategic', patch, { namespace, signal });
    } catch (error) {
      if (!isNotFound(error) && !isInvalid(error)) throw error;
    }
    this.#untracked.add(uid);
  }
}

function isTracked({ metadata }: Pod): boolean {
  return metadata.finalizers?.includes(TRACKING_FINALIZER) === true;
}
