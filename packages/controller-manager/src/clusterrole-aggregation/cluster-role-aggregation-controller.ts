import { clusterRoles, isNotFound, type ClusterRole } from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { planRules } from './plan.ts';

/** Fills in the rules of ClusterRoles that aggregate others. */
export class ClusterRoleAggregationController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #clusterRoles: Informer<ClusterRole>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#clusterRoles = context.informers.informer(clusterRoles);
    this.#controller = new Controller({
      name: 'clusterrole-aggregation',
      workers: 5,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (name, { signal }) => await this.#reconcile(name, signal),
    });
    const changed = (): void => {
      if (!this.#clusterRoles.hasSynced) return;
      for (const { aggregationRule, metadata } of this.#clusterRoles.list())
        if (aggregationRule !== undefined) this.#controller.queue.add(metadata.name ?? '');
    };
    this.#clusterRoles.addHandlers({ added: changed, updated: changed, deleted: changed });
  }

  start(signal: AbortSignal): void {
    for (const { metadata } of this.#clusterRoles.list()) this.#controller.queue.add(metadata.name ?? '');
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const role = this.#clusterRoles.get('', name);
    const rules = role === undefined ? undefined : planRules(role, this.#clusterRoles.list());
    if (role === undefined || rules === undefined) return;
    try {
      await this.#context.client.update(clusterRoles, { ...role, rules }, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
