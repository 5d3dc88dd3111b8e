import { configMaps, isAlreadyExists, isNotFound, namespaces, type ConfigMap, type Namespace } from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { planRootCa, ROOT_CA_CONFIG_MAP } from './plan.ts';

/** Publishes the cluster's CA as the ConfigMap `kube-root-ca.crt` in every namespace. */
export class RootCaPublisher implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #rootCa: string;
  readonly #namespaces: Informer<Namespace>;
  readonly #configMaps: Informer<ConfigMap>;
  readonly #controller: Controller;

  constructor(context: ControllerContext, rootCa: string) {
    this.#context = context;
    this.#rootCa = rootCa;
    this.#namespaces = context.informers.informer(namespaces);
    this.#configMaps = context.informers.informer(configMaps, { fieldSelector: `metadata.name=${ROOT_CA_CONFIG_MAP}` });
    this.#controller = new Controller({
      name: 'root-ca-certificate-publisher',
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const enqueue = ({ metadata }: Namespace): void => queue.add(metadata.name ?? '');
    this.#namespaces.addHandlers({ added: enqueue, updated: enqueue });
    const changed = ({ metadata }: ConfigMap): void => {
      if (metadata.name === ROOT_CA_CONFIG_MAP) queue.add(metadata.namespace ?? '');
    };
    this.#configMaps.addHandlers({ updated: changed, deleted: changed });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(namespace: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const present = this.#configMaps.get(namespace, ROOT_CA_CONFIG_MAP);
    const plan = planRootCa(this.#namespaces.get('', namespace), present, this.#rootCa);
    try {
      switch (plan.type) {
        case 'none':
          return;
        case 'create':
          await client.create(configMaps, plan.configMap, { signal });
          return;
        case 'update':
          await client.update(configMaps, plan.configMap, { signal });
          return;
        default:
          plan satisfies never;
      }
    } catch (error) {
      if (!isAlreadyExists(error) && !isNamespaceTerminating(error) && !isNotFound(error)) throw error;
    }
  }
}
