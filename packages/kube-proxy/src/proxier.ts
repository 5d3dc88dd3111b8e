import {
  endpointSlices,
  keyOf,
  nodes,
  parseTime,
  services,
  splitKey,
  type EndpointSlice,
  type KubeObject,
  type Node,
  type Service,
} from '@naru/api';
import type { Informer, InformerFactory } from '@naru/client';
import type { Clock } from '@naru/component';
import type { ProxyMetrics } from './metrics.ts';
import { selectNodePortAddresses, type NodePortAddresses } from './node-addresses.ts';
import type { PlanNode } from './plan/endpoints.ts';
import type { ListenerPlan } from './plan/listener-plan.ts';
import { planService } from './plan/service-plan.ts';

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** What others proxy, and what needs no proxy, is left out as upstream does. */
const NOT_PROXIED = '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name';
const ZONE_LABEL = 'topology.kubernetes.io/zone';
const LAST_CHANGE_ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time';

/** The Services that are ours to serve. */
export function proxiedServices(informers: InformerFactory): Informer<Service> {
  return informers.informer(services, { labelSelector: NOT_PROXIED, transform: withoutManagedFields });
}

/** A proxy mode: makes plans true on this machine. */
export interface ProxyMode {
  /** Makes these the listeners of the Service; none when it is gone. */
  apply(service: string, plans: readonly ListenerPlan[]): void;
}

export interface ProxierOptions {
  readonly informers: InformerFactory;
  readonly mode: ProxyMode;
  readonly nodeName: string;
  /** Overrides the addresses of the Node object. */
  readonly nodeIP: string | undefined;
  readonly nodePortAddresses: NodePortAddresses;
  readonly metrics: ProxyMetrics;
  readonly clock: Clock;
}

/** Follows Services, their EndpointSlices and the own Node; plans each Service anew that any of them changes. */
export class Proxier {
  readonly #options: ProxierOptions;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #nodes: Informer<Node>;
  readonly #dirty = new Set<string>();
  /** Of the changes that are not carried out yet: when they were triggered. */
  #triggeredMs: number[] = [];
  #due: NodeJS.Immediate | undefined;
  #stopped = false;

  constructor(options: ProxierOptions) {
    this.#options = options;
    const { informers, nodeName } = options;
    this.#services = proxiedServices(informers);
    this.#slices = informers.informer(endpointSlices, {
      labelSelector: NOT_PROXIED,
      transform: withoutManagedFields,
      indexers: { service: (slice) => [serviceOf(slice)] },
    });
    this.#nodes = informers.informer(nodes, {
      fieldSelector: `metadata.name=${nodeName}`,
      transform: withoutManagedFields,
    });
  }

  get hasSynced(): boolean {
    return this.#services.hasSynced && this.#slices.hasSynced;
  }

  /** Feeds on the informers until `signal` aborts. Nothing is done before all are in, so that no Service looks empty. */
  attach(signal: AbortSignal): void {
    signal.addEventListener('abort', () => this.#stop(), { once: true });
    const { metrics } = this.#options;
    const serviceChanged = (service: Service): void => {
      metrics.serviceChanges.inc();
      this.#mark(keyOf(service));
    };
    this.#services.addHandlers({ added: serviceChanged, updated: serviceChanged, deleted: serviceChanged });
    const sliceChanged = (slice: EndpointSlice): void => {
      metrics.endpointChanges.inc();
      const triggeredMs = parseTime(slice.metadata.annotations?.[LAST_CHANGE_ANNOTATION]);
      if (this.hasSynced && !Number.isNaN(triggeredMs)) this.#triggeredMs.push(triggeredMs);
      this.#mark(serviceOf(slice));
    };
    this.#slices.addHandlers({ added: sliceChanged, updated: sliceChanged, deleted: sliceChanged });
    const nodeChanged = (node: Node, old?: Node): void => {
      if (old !== undefined && nodeMatters(node) === nodeMatters(old)) return;
      for (const service of this.#services.list()) this.#mark(keyOf(service));
    };
    this.#nodes.addHandlers({
      added: (node) => nodeChanged(node),
      updated: nodeChanged,
      deleted: (node) => nodeChanged(node),
    });
    for (const informer of [this.#services, this.#slices])
      informer.synced({ signal }).then(
        () => this.#schedule(),
        () => undefined,
      );
  }

  #mark(service: string): void {
    this.#dirty.add(service);
    this.#schedule();
  }

  /** Changes that come together are carried out together. */
  #schedule(): void {
    if (this.#due !== undefined || this.#stopped || !this.hasSynced || this.#dirty.size === 0) return;
    this.#due = setImmediate(() => {
      this.#due = undefined;
      this.#sync();
    });
  }

  #sync(): void {
    const { clock, metrics, mode } = this.#options;
    const startMs = clock.monotonic();
    const node = this.#planNode();
    const nodePortAddresses = this.#nodePortAddresses();
    const keys = [...this.#dirty];
    this.#dirty.clear();
    // What is gone goes first: another may want its ports.
    const [gone, present] = partition(keys, (key) => this.#service(key) === undefined);
    for (const key of gone) mode.apply(key, []);
    for (const key of present) {
      const service = this.#service(key);
      if (service === undefined) continue;
      mode.apply(key, planService({ service, slices: this.#slices.byIndex('service', key), node, nodePortAddresses }));
    }
    metrics.syncDuration.observe((clock.monotonic() - startMs) / 1000);
    metrics.syncTimestamp.set(clock.now() / 1000);
    for (const triggeredMs of this.#triggeredMs.splice(0))
      metrics.networkProgrammingDuration.observe(Math.max(0, clock.now() - triggeredMs) / 1000);
  }

  #service(key: string): Service | undefined {
    const { namespace, name } = splitKey(key);
    return this.#services.get(namespace, name);
  }

  #planNode(): PlanNode {
    const { nodeName } = this.#options;
    return { name: nodeName, zone: this.#nodes.get('', nodeName)?.metadata.labels?.[ZONE_LABEL] };
  }

  #nodePortAddresses(): readonly string[] {
    const { nodeName, nodeIP, nodePortAddresses } = this.#options;
    const nodeIPs = nodeIP === undefined ? internalIPs(this.#nodes.get('', nodeName)) : [nodeIP];
    return selectNodePortAddresses(nodePortAddresses, nodeIPs);
  }

  #stop(): void {
    this.#stopped = true;
    if (this.#due !== undefined) clearImmediate(this.#due);
    this.#due = undefined;
  }
}

function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace ?? ''}/${metadata.labels?.[SERVICE_NAME_LABEL] ?? ''}`;
}

function internalIPs(node: Node | undefined): readonly string[] {
  return (node?.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
}

/** What of the own Node decides about listeners. */
function nodeMatters(node: Node): string {
  return JSON.stringify([node.metadata.labels?.[ZONE_LABEL], internalIPs(node)]);
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  const [yes, no]: [T[], T[]] = [[], []];
  for (const item of items) (test(item) ? yes : no).push(item);
  return [yes, no];
}

function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _dropped, ...metadata } = object.metadata;
  return { ...object, metadata };
}
