import {
  endpoints,
  isAlreadyExists,
  isNotFound,
  keyOf,
  pods,
  selectorFromSet,
  services,
  splitKey,
  type Endpoints,
  type Pod,
  type Service,
} from '@naru/api';
import { Controller, type Informer } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { endpointChanged, ServiceSelection } from '../endpointslice/service-selection.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { planEndpoints } from './plan.ts';

/** Keeps the Endpoints of Services with a selector in step with their pods. */
export class EndpointsController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #services: Informer<Service>;
  readonly #pods: Informer<Pod>;
  readonly #endpoints: Informer<Endpoints>;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#services = context.informers.informer(services);
    this.#pods = context.informers.informer(pods);
    this.#endpoints = context.informers.informer(endpoints);
    this.#controller = new Controller({
      name: 'endpoints',
      workers: context.options.concurrentSyncs.endpoint,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const enqueue = (service: Service): void => queue.add(keyOf(service));
    this.#services.addHandlers({ added: enqueue, updated: enqueue, deleted: enqueue });
    const selection = new ServiceSelection(this.#services);
    const podChanged = (pod: Pod): void => {
      for (const key of selection.servicesOf(pod.metadata.namespace ?? '', pod.metadata.labels)) queue.add(key);
    };
    this.#pods.addHandlers({
      added: podChanged,
      updated: (pod, old) => {
        if (endpointChanged(pod, old)) for (const key of selection.affectedBy(pod, old)) queue.add(key);
      },
      deleted: podChanged,
    });
    // Also what a Service left behind that was deleted while nobody looked.
    const present = (each: Endpoints): void => {
      if (this.#services.get(each.metadata.namespace ?? '', each.metadata.name ?? '')?.spec?.selector !== undefined)
        queue.add(keyOf(each));
    };
    this.#endpoints.addHandlers({ updated: present, deleted: present });
  }

  start(signal: AbortSignal): void {
    for (const each of this.#endpoints.list()) this.#controller.queue.add(keyOf(each));
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const { namespace, name } = splitKey(key);
    const service = this.#services.get(namespace, name);
    const present = this.#endpoints.get(namespace, name);
    if (service === undefined) {
      if (present === undefined || isLeaderElectionRecord(present)) return;
      await client.delete(endpoints, name, { namespace, signal }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
      return;
    }
    const { selector, type } = service.spec ?? {};
    if (type === 'ExternalName' || selector === undefined || Object.keys(selector).length === 0) return;
    const matching = selectorFromSet(selector);
    const selected = this.#pods.list(namespace).filter(({ metadata }) => matching.matches(metadata.labels));
    const plan = planEndpoints(service, selected, present);
    try {
      if (plan.type === 'create') await client.create(endpoints, plan.endpoints, { signal });
      else if (plan.type === 'update') await client.update(endpoints, plan.endpoints, { signal });
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      // It is there, but not yet in the cache: its event brings the key back.
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

/** Old leader election keeps its records in Endpoints without a Service. */
function isLeaderElectionRecord({ metadata }: Endpoints): boolean {
  return metadata.annotations?.['control-plane.alpha.kubernetes.io/leader'] !== undefined;
}
