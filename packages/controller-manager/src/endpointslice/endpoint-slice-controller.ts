import {
  endpointSlices,
  isNotFound,
  keyOf,
  nodes,
  pods,
  selectorFromSet,
  services,
  splitKey,
  type EndpointSlice,
  type Node,
  type Pod,
  type Service,
} from '@naru/api';
import { Controller, type EventRecorder, type Informer, type ReconcileResult } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { isNamespaceTerminating } from '../namespace/terminating.ts';
import { CONTROLLER_NAME, MANAGED_BY, planEndpointSlices, SERVICE_NAME } from './plan.ts';
import { endpointChanged, ServiceSelection } from './service-selection.ts';
import { SliceTracker } from './slice-tracker.ts';

const BY_SERVICE = 'service';
const BY_NODE = 'node';

/** Keeps the EndpointSlices of Services with a selector in step with their pods. */
export class EndpointSliceController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #services: Informer<Service>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #tracker = new SliceTracker();
  readonly #recorder: EventRecorder;
  readonly #controller: Controller;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder('endpoint-slice-controller');
    this.#services = context.informers.informer(services);
    this.#pods = context.informers.informer(pods, { indexers: { [BY_NODE]: ({ spec }) => [spec?.nodeName ?? ''] } });
    this.#nodes = context.informers.informer(nodes);
    this.#slices = context.informers.informer(endpointSlices, {
      indexers: { [BY_SERVICE]: (slice) => (isManaged(slice) ? [serviceKeyOf(slice)] : []) },
    });
    this.#controller = new Controller({
      name: 'endpointslice',
      workers: context.options.concurrentSyncs.service,
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
    this.#slices.addHandlers({
      added: (slice) => this.#sliceChanged(slice),
      updated: (slice) => this.#sliceChanged(slice),
      deleted: (slice) => this.#sliceDeleted(slice),
    });
    this.#nodes.addHandlers({
      added: (node) => this.#nodeChanged(node, podChanged),
      updated: (node, old) => {
        const zone = 'topology.kubernetes.io/zone';
        if (node.metadata.labels?.[zone] !== old.metadata.labels?.[zone]) this.#nodeChanged(node, podChanged);
      },
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  /** A node's zone is part of the endpoints of its pods. */
  #nodeChanged(node: Node, podChanged: (pod: Pod) => void): void {
    if (!this.#pods.hasSynced) return;
    for (const pod of this.#pods.byIndex(BY_NODE, node.metadata.name ?? '')) podChanged(pod);
  }

  #sliceChanged(slice: EndpointSlice): void {
    if (isManaged(slice) && this.#tracker.observed(serviceKeyOf(slice), slice))
      this.#controller.queue.add(serviceKeyOf(slice));
  }

  #sliceDeleted(slice: EndpointSlice): void {
    if (!isManaged(slice)) return;
    this.#tracker.deletionObserved(serviceKeyOf(slice), slice);
    this.#controller.queue.add(serviceKeyOf(slice));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { namespace, name } = splitKey(key);
    const service = this.#services.get(namespace, name);
    if (service === undefined || service.metadata.deletionTimestamp !== undefined) {
      // Its slices have an owner reference: the garbage collector removes them.
      if (service === undefined) this.#tracker.forget(key);
      return {};
    }
    const { selector, type } = service.spec ?? {};
    if (type === 'ExternalName' || selector === undefined || Object.keys(selector).length === 0) return {};
    const slices = this.#slices
      .byIndex(BY_SERVICE, key)
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    // The cache does not show yet what was written last: its event brings the key back.
    if (this.#tracker.isStale(key, slices)) return {};
    const matching = selectorFromSet(selector);
    const plan = planEndpointSlices({
      service,
      pods: this.#pods.list(namespace).filter(({ metadata }) => matching.matches(metadata.labels)),
      nodeOf: (node) => this.#nodes.get('', node),
      slices,
      maxEndpointsPerSlice: this.#context.options.maxEndpointsPerSlice,
    });
    await this.#carryOut(key, service, plan, signal);
    return {};
  }

  async #carryOut(
    key: string,
    service: Service,
    plan: ReturnType<typeof planEndpointSlices>,
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#context;
    const { namespace } = service.metadata;
    try {
      for (const slice of plan.create)
        this.#tracker.written(key, await client.create(endpointSlices, slice, { signal }));
      for (const slice of plan.update)
        this.#tracker.written(key, await client.update(endpointSlices, slice, { namespace, signal }));
      for (const { metadata } of plan.remove) {
        const { name = '', uid = '' } = metadata;
        this.#tracker.deleting(key, uid);
        try {
          await client.delete(endpointSlices, name, { namespace, signal, body: { preconditions: { uid } } });
        } catch (error) {
          this.#tracker.deletionFailed(key, uid);
          if (!isNotFound(error)) throw error;
        }
      }
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      const message = `Error updating Endpoint Slices for Service ${key}: ${error instanceof Error ? error.message : String(error)}`;
      this.#recorder.event(service, { type: 'Warning', reason: 'FailedToUpdateEndpointSlices', message });
      throw error;
    }
  }
}

function isManaged({ metadata }: EndpointSlice): boolean {
  return metadata.labels?.[MANAGED_BY] === CONTROLLER_NAME && metadata.labels[SERVICE_NAME] !== undefined;
}

function serviceKeyOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace}/${metadata.labels?.[SERVICE_NAME]}`;
}
