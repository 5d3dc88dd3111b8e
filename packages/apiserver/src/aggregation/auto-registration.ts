/** Keeps the APIServices of what this server serves itself (kube-aggregator's autoregister and crdregistration). */
import {
  apiServices,
  builtInResources,
  customResourceDefinitions,
  equalJson,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type UnstructuredObject,
} from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import { loopbackContext } from '../bootstrap.ts';
import { deleteObject } from '../registry/deletion.ts';
import type { ResourceStack } from '../resource-stack.ts';
import { isAutoManaged, wantedApiServices } from './api-services.ts';
import { ReconcileQueue } from './reconcile-queue.ts';

export interface AutoRegistrationOptions {
  readonly stack: ResourceStack;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class AutoRegistration {
  readonly #options: AutoRegistrationOptions;
  readonly #queue: ReconcileQueue;

  constructor(options: AutoRegistrationOptions) {
    this.#options = options;
    this.#queue = new ReconcileQueue({
      clock: options.clock,
      retry: { baseMs: 100, maxMs: 5000 },
      reconcile: async (name) => await this.#reconcile(name),
      failed: (name, error) => options.logger.warn({ err: error, name }, 'registering an APIService failed'),
    });
  }

  /** Something may have changed of this APIService, or of what it stands for. */
  mark(name: string): void {
    this.#queue.mark(name);
  }

  /** Works until the signal aborts; the definitions that there are must be known by then. */
  async run(signal: AbortSignal): Promise<void> {
    const { caches } = this.#options.stack;
    for (const name of this.#wanted().keys()) this.mark(name);
    for (const { metadata } of caches.list(apiServices)) this.mark(metadata.name ?? '');
    await this.#queue.run(signal);
  }

  #wanted(): ReturnType<typeof wantedApiServices> {
    return wantedApiServices(builtInResources, this.#options.stack.caches.list(customResourceDefinitions));
  }

  async #reconcile(name: string): Promise<void> {
    const { stack, clock } = this.#options;
    const registry = stack.registryOf(apiServices);
    if (registry === undefined) return;
    const wanted = this.#wanted().get(name) as unknown as UnstructuredObject | undefined;
    const current = stack.caches.get(apiServices, '', name) as unknown as UnstructuredObject | undefined;
    const context = loopbackContext('', clock.now());
    try {
      if (current === undefined) {
        if (wanted !== undefined) await registry.create(structuredClone(wanted), context);
      } else if (!isAutoManaged(current)) return;
      else if (wanted === undefined) await deleteObject(registry, name, {}, context);
      else if (!equalJson(current['spec'], wanted['spec']))
        await registry.update(name, '', (old) => ({ ...old, spec: wanted['spec'] }), context);
    } catch (error) {
      if (!isAlreadyExists(error) && !isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}
