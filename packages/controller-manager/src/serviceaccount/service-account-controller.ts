import { isAlreadyExists, namespaces, serviceAccounts, type Namespace, type ServiceAccount } from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { DEFAULT_SERVICE_ACCOUNT, planServiceAccount } from './plan.ts';

/** Gives every namespace the ServiceAccount `default`, again when it is deleted. */
export class ServiceAccountController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #namespaces: Informer<Namespace>;
  readonly #serviceAccounts: Informer<ServiceAccount>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#namespaces = context.informers.informer(namespaces);
    this.#serviceAccounts = context.informers.informer(serviceAccounts);
    this.#controller = new Controller({
      name: 'serviceaccount',
      workers: context.options.concurrentSyncs.serviceAccount,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const enqueue = ({ metadata }: Namespace): void => queue.add(metadata.name ?? '');
    this.#namespaces.addHandlers({ added: enqueue, updated: enqueue });
    this.#serviceAccounts.addHandlers({
      deleted: ({ metadata }) => {
        if (metadata.name === DEFAULT_SERVICE_ACCOUNT) queue.add(metadata.namespace ?? '');
      },
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(namespace: string, signal: AbortSignal): Promise<void> {
    const present = this.#serviceAccounts.get(namespace, DEFAULT_SERVICE_ACCOUNT);
    const wanted = planServiceAccount(this.#namespaces.get('', namespace), present);
    if (wanted === undefined) return;
    try {
      await this.#context.client.create(serviceAccounts, wanted, { signal });
    } catch (error) {
      if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
    }
  }
}
