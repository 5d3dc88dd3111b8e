/** The EndpointSlices of a Service: which endpoints its pods make, and how they fit into slices with few writes. */
import {
  newControllerRef,
  services,
  type EndpointSlice,
  type Node,
  type Pod,
  type Service,
  type ServicePort,
} from '@naru/api';
import { canonicalJson } from '../canonical-json-plan.ts';
import { isPodReady, isPodTerminal } from '../pod/pod-state-plan.ts';

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const CONTROLLER_NAME = 'endpointslice-controller.k8s.io';
export const SERVICE_NAME = 'kubernetes.io/service-name';
const HEADLESS = 'service.kubernetes.io/headless';
const ZONE = 'topology.kubernetes.io/zone';
const LAST_CHANGE = 'endpoints.kubernetes.io/last-change-trigger-time';

export type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
export type EndpointPort = NonNullable<EndpointSlice['ports']>[number];
type AddressType = 'IPv4' | 'IPv6';

export interface ObservedService {
  readonly service: Service;
  /** Pods that the Service selects. */
  readonly pods: readonly Pod[];
  readonly nodeOf: (name: string) => Node | undefined;
  /** The Service's slices that this controller manages. */
  readonly slices: readonly EndpointSlice[];
  readonly maxEndpointsPerSlice: number;
}

export interface EndpointSlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

export function planEndpointSlices(observed: ObservedService): EndpointSlicePlan {
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const remove: EndpointSlice[] = [];
  const types = addressTypes(observed.service);
  for (const slice of observed.slices) if (!types.includes(slice.addressType as AddressType)) remove.push(slice);
  for (const type of types) {
    const slices = observed.slices.filter(({ addressType }) => addressType === type);
    const plan = planAddressType(observed, type, slices);
    create.push(...plan.create);
    update.push(...plan.update);
    remove.push(...plan.remove);
  }
  return { create, update, remove };
}

function addressTypes({ spec }: Service): readonly AddressType[] {
  const families = spec?.ipFamilies ?? [];
  if (families.length > 0) return families as AddressType[];
  return spec?.clusterIP?.includes(':') === true ? ['IPv6'] : ['IPv4'];
}

interface PortGroup {
  readonly ports: readonly EndpointPort[];
  readonly endpoints: Endpoint[];
}

function planAddressType(
  observed: ObservedService,
  type: AddressType,
  slices: readonly EndpointSlice[],
): EndpointSlicePlan {
  const groups = new Map<string, PortGroup>();
  for (const pod of observed.pods) {
    const endpoint = endpointOf(observed, pod, type);
    if (endpoint === undefined) continue;
    const ports = endpointPorts(observed.service, pod);
    const key = portsKey(ports);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { ports, endpoints: [endpoint] });
    else group.endpoints.push(endpoint);
  }
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const remove: EndpointSlice[] = [];
  const byPorts = Map.groupBy(slices, ({ ports }) => portsKey(ports ?? []));
  for (const [key, group] of groups) {
    const plan = planPorts(observed, type, group, byPorts.get(key) ?? []);
    create.push(...plan.create);
    update.push(...plan.update);
    remove.push(...plan.remove);
  }
  for (const [key, present] of byPorts) if (!groups.has(key)) remove.push(...present);
  // A Service without any endpoint keeps an empty slice, as a place for its mere existence.
  const left = slices.length - remove.length + create.length;
  if (left > 0) return { create, update, remove };
  const placeholder = remove.find(({ ports = [], endpoints }) => ports.length === 0 && (endpoints ?? []).length === 0);
  if (placeholder !== undefined) return { create, update, remove: remove.filter((each) => each !== placeholder) };
  return { create: [newSlice(observed.service, type, [], [])], update, remove };
}

/** Fits one group of endpoints into slices of its ports: those that changed in place, new ones where there is room. */
function planPorts(
  observed: ObservedService,
  type: AddressType,
  { ports, endpoints }: PortGroup,
  slices: readonly EndpointSlice[],
): EndpointSlicePlan {
  const max = observed.maxEndpointsPerSlice;
  const desired = new Map(endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
  const labels = sliceLabels(observed.service);
  const unchanged: EndpointSlice[] = [];
  const changed = new Map<EndpointSlice, Endpoint[]>();
  const remove: EndpointSlice[] = [];
  for (const slice of slices) {
    let dirty = !sameLabels(slice.metadata.labels, labels, observed.service);
    const kept: Endpoint[] = [];
    for (const present of slice.endpoints ?? []) {
      const wanted = desired.get(endpointKey(present));
      if (wanted === undefined) {
        dirty = true;
        continue;
      }
      desired.delete(endpointKey(present));
      kept.push(wanted);
      if (canonicalJson(wanted) !== canonicalJson(present)) dirty = true;
    }
    if (kept.length === 0) remove.push(slice);
    else if (dirty) changed.set(slice, kept);
    else unchanged.push(slice);
  }
  const left = [...desired.values()];
  // Slices that are written anyway are filled first.
  for (const kept of changed.values()) if (kept.length < max) kept.push(...left.splice(0, max - kept.length));
  // What is left over goes into one slice with just enough room, rather than into a new one.
  if (left.length > 0 && left.length < max) {
    const count = ({ endpoints: present = [] }: EndpointSlice): number => present.length;
    const fitting = unchanged
      .filter((slice) => count(slice) + left.length <= max)
      .sort((a, b) => count(b) - count(a))[0];
    if (fitting !== undefined) changed.set(fitting, [...(fitting.endpoints ?? []), ...left.splice(0)]);
  }
  const create: EndpointSlice[] = [];
  while (left.length > 0) {
    const part = left.splice(0, max);
    // A slice that would be removed is written anew instead.
    const reused = remove.pop();
    if (reused === undefined) create.push(newSlice(observed.service, type, ports, part));
    else changed.set(reused, part);
  }
  const update = [...changed].map(([slice, kept]) => withEndpoints(observed.service, slice, kept));
  return { create, update, remove };
}

function withEndpoints(service: Service, slice: EndpointSlice, endpoints: Endpoint[]): EndpointSlice {
  const { [HEADLESS]: _, ...present } = slice.metadata.labels ?? {};
  return {
    ...slice,
    metadata: { ...slice.metadata, labels: { ...present, ...sliceLabels(service) } },
    endpoints,
  };
}

function newSlice(
  service: Service,
  addressType: AddressType,
  ports: readonly EndpointPort[],
  endpoints: Endpoint[],
): EndpointSlice {
  const { name, namespace, annotations } = service.metadata;
  const trigger = annotations?.[LAST_CHANGE];
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: sliceLabels(service),
      ...(trigger === undefined ? {} : { annotations: { [LAST_CHANGE]: trigger } }),
      ownerReferences: [newControllerRef(service, services)],
    },
    addressType,
    ports: [...ports],
    endpoints,
  };
}

/** The Service's labels and those by which its slices are found. */
function sliceLabels(service: Service): Record<string, string> {
  return {
    ...service.metadata.labels,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
    [SERVICE_NAME]: service.metadata.name ?? '',
    [MANAGED_BY]: CONTROLLER_NAME,
  };
}

function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === 'None' || spec?.clusterIP === '' || spec?.clusterIP === undefined;
}

function sameLabels(
  present: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>>,
  service: Service,
): boolean {
  if (!isHeadless(service) && present?.[HEADLESS] !== undefined) return false;
  return Object.entries(wanted).every(([name, value]) => present?.[name] === value);
}

/** An endpoint is the same as long as its pod is. */
function endpointKey({ targetRef, addresses }: Endpoint): string {
  return targetRef?.uid ?? addresses.join(',');
}

function portsKey(ports: readonly EndpointPort[]): string {
  return ports
    .map(({ name = '', protocol = 'TCP', port = 0, appProtocol = '' }) =>
      JSON.stringify([name, protocol, port, appProtocol]),
    )
    .sort()
    .join();
}

function podAddress(pod: Pod, type: AddressType): string | undefined {
  const ips = pod.status?.podIPs?.map(({ ip }) => ip) ?? [];
  const all = ips.length > 0 ? ips : [pod.status?.podIP ?? ''];
  return all.find((ip) => ip !== '' && ip.includes(':') === (type === 'IPv6'));
}

/** The pod as an endpoint; undefined when it has no address (yet) or has ended. */
function endpointOf({ service, nodeOf }: ObservedService, pod: Pod, type: AddressType): Endpoint | undefined {
  const address = podAddress(pod, type);
  if (address === undefined || isPodTerminal(pod)) return undefined;
  const { name = '', namespace, uid, deletionTimestamp } = pod.metadata;
  const serving = isPodReady(pod);
  const terminating = deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const nodeName = pod.spec?.nodeName;
  const zone = nodeName === undefined ? undefined : nodeOf(nodeName)?.metadata.labels?.[ZONE];
  const hostname = pod.spec?.subdomain === service.metadata.name ? pod.spec?.hostname : undefined;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    targetRef: {
      kind: 'Pod',
      ...(namespace === undefined ? {} : { namespace }),
      name,
      ...(uid === undefined ? {} : { uid }),
    },
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(hostname === undefined || hostname === '' ? {} : { hostname }),
  };
}

/** The Service's ports as numbers of this pod; a named target port that the pod has not is left out. */
export function endpointPorts(service: Service, pod: Pod): EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const servicePort of service.spec?.ports ?? []) {
    const port = targetPort(servicePort, pod);
    if (port === undefined) continue;
    const { name = '', protocol = 'TCP', appProtocol } = servicePort;
    ports.push({ name, port, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) });
  }
  return ports;
}

/** The number of a Service port's target in this pod. */
export function targetPort({ targetPort, port, protocol = 'TCP' }: ServicePort, pod: Pod): number | undefined {
  if (targetPort === undefined || targetPort === 0 || targetPort === '') return port;
  if (typeof targetPort === 'number') return targetPort;
  const restartable = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const container of [...(pod.spec?.containers ?? []), ...restartable])
    for (const each of container.ports ?? [])
      if (each.name === targetPort && (each.protocol ?? 'TCP') === protocol) return each.containerPort;
  return undefined;
}
