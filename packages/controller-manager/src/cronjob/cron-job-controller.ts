import {
  controllerOf,
  cronJobs,
  isAlreadyExists,
  isNotFound,
  jobs,
  keyOf,
  splitKey,
  type CronJob,
  type Job,
} from '@naru/api';
import { Controller, type EventRecorder, type Informer, type ReconcileResult } from '@naru/client';
import { canonicalJson } from '../canonical-json-plan.ts';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { controlledBy, controllerIndex } from '../ownership/claim.ts';
import { planCronJob, type CronJobStatus } from './plan.ts';
import { Schedule, ScheduleError } from './schedule-plan.ts';

/** Starts the Jobs of CronJobs when they are due. */
export class CronJobController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #cronJobs: Informer<CronJob>;
  readonly #jobs: Informer<Job>;
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('cronjob-controller');
    this.#cronJobs = context.informers.informer(cronJobs);
    this.#jobs = context.informers.informer(jobs, { indexers: controllerIndex });
    this.#controller = new Controller({
      name: 'cronjob',
      workers: context.options.concurrentSyncs.cronJob,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = (cronJob: CronJob): void => this.#controller.queue.add(keyOf(cronJob));
    this.#cronJobs.addHandlers({ added: enqueue, updated: enqueue });
    const jobChanged = (job: Job): void => {
      const reference = controllerOf(job);
      if (reference?.kind === cronJobs.kind) this.#controller.queue.add(`${job.metadata.namespace}/${reference.name}`);
    };
    this.#jobs.addHandlers({ added: jobChanged, updated: jobChanged, deleted: jobChanged });
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
    const cronJob = this.#cronJobs.get(namespace, name);
    if (cronJob === undefined) return {};
    let schedule: Schedule;
    try {
      schedule = new Schedule(cronJob.spec?.schedule ?? '', cronJob.spec?.timeZone);
    } catch (error) {
      if (!(error instanceof ScheduleError)) throw error;
      const message = `unparseable schedule: "${cronJob.spec?.schedule}": ${error.message}`;
      this.#recorder.event(cronJob, { type: 'Warning', reason: 'UnparseableSchedule', message });
      return {};
    }
    const plan = planCronJob({ cronJob, schedule, jobs: controlledBy(this.#jobs, cronJob), nowMs: clock.now() });
    for (const event of plan.events) this.#recorder.event(cronJob, event);
    for (const { metadata } of plan.remove) {
      const body = { propagationPolicy: 'Background', preconditions: { uid: metadata.uid ?? '' } };
      try {
        await client.delete(jobs, metadata.name ?? '', { namespace, signal, body });
        const message = `Deleted job ${metadata.name}`;
        this.#recorder.event(cronJob, { type: 'Normal', reason: 'SuccessfulDelete', message });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    let { status } = plan;
    if (plan.create !== undefined) {
      const created = await this.#start(cronJob, plan.create, signal);
      if (created === undefined) return {};
      const { kind, apiVersion } = plan.create;
      const { uid, resourceVersion } = created.metadata;
      const reference = { kind, apiVersion, namespace, name: created.metadata.name, uid, resourceVersion };
      status = { ...status, active: [...(status.active ?? []), reference] as NonNullable<CronJobStatus['active']> };
    }
    if (canonicalJson(status) !== canonicalJson(cronJob.status ?? {}))
      await client
        .update(cronJobs, { ...cronJob, status }, { namespace, subresource: 'status', signal })
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
    return { requeueAfterMs: plan.requeueAfterMs };
  }

  /** The Job that was started, also when that was in an earlier sync; undefined when it cannot be. */
  async #start(cronJob: CronJob, job: Job, signal: AbortSignal): Promise<Job | undefined> {
    const { client } = this.#context;
    const { name = '', namespace } = job.metadata;
    try {
      const created = await client.create(jobs, job, { signal });
      this.#recorder.event(cronJob, { type: 'Normal', reason: 'SuccessfulCreate', message: `Created job ${name}` });
      return created;
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      if (isAlreadyExists(error)) {
        const present = await client.get(jobs, name, { namespace, signal });
        if (controllerOf(present)?.uid === cronJob.metadata.uid) return present;
      }
      const message = `Error creating job: ${error instanceof Error ? error.message : String(error)}`;
      this.#recorder.event(cronJob, { type: 'Warning', reason: 'FailedCreate', message });
      throw error;
    }
  }
}
