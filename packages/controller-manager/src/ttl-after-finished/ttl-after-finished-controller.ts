import { isNotFound, jobs, keyOf, splitKey, type Job } from '@naru/api';
import { Controller, type Informer, type ReconcileResult } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { ttlLeftMs } from './plan.ts';

/** Deletes finished Jobs when their `ttlSecondsAfterFinished` is over. */
export class TtlAfterFinishedController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #jobs: Informer<Job>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#jobs = context.informers.informer(jobs);
    this.#controller = new Controller({
      name: 'ttl-after-finished',
      workers: context.options.concurrentSyncs.ttlAfterFinished,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const enqueue = (job: Job): void => {
      if (ttlLeftMs(job, 0) !== undefined) this.#controller.queue.add(keyOf(job));
    };
    this.#jobs.addHandlers({ added: enqueue, updated: enqueue });
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
    const cached = this.#jobs.get(namespace, name);
    const leftMs = cached === undefined ? undefined : ttlLeftMs(cached, clock.now());
    if (leftMs === undefined) return {};
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    try {
      // The time may have been changed since: what the server has now counts.
      const live = await client.get(jobs, name, { namespace, signal });
      const left = ttlLeftMs(live, clock.now());
      if (left === undefined) return {};
      if (left > 0) return { requeueAfterMs: left };
      const preconditions = { uid: live.metadata.uid ?? '' };
      await client.delete(jobs, name, { namespace, signal, body: { propagationPolicy: 'Foreground', preconditions } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return {};
  }
}
