/** The Endpoints of a Service: its pods' addresses, grouped by the ports that they share. */
import { isBeingDeleted, type Endpoints, type Pod, type Service } from '@naru/api';
import { canonicalJson } from '../canonical-json-plan.ts';
import { endpointPorts, type EndpointPort } from '../endpointslice/plan.ts';
import { isPodReady, isPodTerminal } from '../pod/pod-state-plan.ts';

const HEADLESS = 'service.kubernetes.io/headless';
const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const CONTROLLER_NAME = 'endpoint-controller';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
/** Addresses that one Endpoints object holds at most; more are left out and an annotation says so. */
const ADDRESSES_MAX = 1000;

type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];
type Port = NonNullable<Subset['ports']>[number];

interface Entry {
  readonly address: Address;
  readonly ready: boolean;
}

export type EndpointsPlan =
  { readonly type: 'none' } | { readonly type: 'create' | 'update'; readonly endpoints: Endpoints };

/** What to write so that the Endpoints tell of these pods. */
export function planEndpoints(service: Service, pods: readonly Pod[], present: Endpoints | undefined): EndpointsPlan {
  const { subsets, truncated } = subsetsOf(service, pods);
  const labels = {
    ...service.metadata.labels,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
    [MANAGED_BY]: CONTROLLER_NAME,
  };
  const annotations = { ...present?.metadata.annotations };
  if (truncated) annotations[OVER_CAPACITY] = 'truncated';
  else delete annotations[OVER_CAPACITY];
  const { name = '', namespace = '' } = service.metadata;
  const metadata = {
    ...(present?.metadata ?? { name, namespace }),
    labels,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
  const endpoints: Endpoints = { ...present, apiVersion: 'v1', kind: 'Endpoints', metadata, subsets };
  if (present === undefined) return { type: 'create', endpoints };
  const facts = (each: Endpoints): string =>
    canonicalJson([sorted(each.subsets ?? []), each.metadata.labels ?? {}, each.metadata.annotations ?? {}]);
  return facts(endpoints) === facts(present) ? { type: 'none' } : { type: 'update', endpoints };
}

function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === 'None' || spec?.clusterIP === '' || spec?.clusterIP === undefined;
}

/** Servers and other writers may have another order. */
function sorted(subsets: readonly Subset[]): string[] {
  return subsets.map((each) => canonicalJson(each)).sort();
}

function entryOf(service: Service, pod: Pod): Entry | undefined {
  const tolerant = service.spec?.publishNotReadyAddresses === true;
  const ip = addressOf(service, pod);
  if (ip === undefined || isPodTerminal(pod) || (isBeingDeleted(pod) && !tolerant)) return undefined;
  const { name = '', namespace = '', uid = '' } = pod.metadata;
  const nodeName = pod.spec?.nodeName;
  const hostname = pod.spec?.subdomain === service.metadata.name ? pod.spec?.hostname : undefined;
  return {
    ready: tolerant || isPodReady(pod),
    address: {
      ip,
      ...(hostname === undefined || hostname === '' ? {} : { hostname }),
      ...(nodeName === undefined ? {} : { nodeName }),
      targetRef: { kind: 'Pod', namespace, name, uid },
    },
  };
}

/** The pod's address of the Service's first family. */
function addressOf({ spec }: Service, pod: Pod): string | undefined {
  const v6 = (spec?.ipFamilies?.[0] ?? (spec?.clusterIP?.includes(':') === true ? 'IPv6' : 'IPv4')) === 'IPv6';
  const ips = [...(pod.status?.podIPs?.map(({ ip }) => ip) ?? []), pod.status?.podIP ?? ''];
  return ips.find((ip) => ip !== '' && ip.includes(':') === v6);
}

function subsetsOf(service: Service, pods: readonly Pod[]): { subsets: Subset[]; truncated: boolean } {
  const byIp = (a: Entry, b: Entry): number => (a.address.ip < b.address.ip ? -1 : 1);
  const all = pods
    .map((pod) => ({ pod, entry: entryOf(service, pod) }))
    .filter((each): each is { pod: Pod; entry: Entry } => each.entry !== undefined)
    // Ready ones are kept when there are too many.
    .sort((a, b) => Number(b.entry.ready) - Number(a.entry.ready) || byIp(a.entry, b.entry));
  const byPort = new Map<string, { readonly port: EndpointPort | undefined; readonly entries: Entry[] }>();
  for (const { pod, entry } of all.slice(0, ADDRESSES_MAX)) {
    const ports = endpointPorts(service, pod);
    const headless = isHeadless(service) && (service.spec?.ports ?? []).length === 0;
    for (const port of headless ? [undefined] : ports) {
      const key = canonicalJson(port ?? null);
      const group = byPort.get(key);
      if (group === undefined) byPort.set(key, { port, entries: [entry] });
      else group.entries.push(entry);
    }
  }
  // Ports that the same pods have make one subset.
  const subsets = Map.groupBy(byPort.values(), ({ entries }) =>
    entries.map(({ address }) => address.targetRef?.uid ?? '').join(),
  );
  return {
    truncated: all.length > ADDRESSES_MAX,
    subsets: [...subsets.values()].map((groups) => {
      const entries = groups[0]?.entries ?? [];
      const ready = entries.filter((each) => each.ready).map(({ address }) => address);
      const notReady = entries.filter((each) => !each.ready).map(({ address }) => address);
      const ports = groups.map(({ port }) => port).filter((port) => port !== undefined);
      return {
        ...(ready.length === 0 ? {} : { addresses: ready }),
        ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
        ...(ports.length === 0 ? {} : { ports: ports.map(portOf).sort(byName) }),
      };
    }),
  };
}

function portOf({ name = '', port = 0, protocol = 'TCP', appProtocol }: EndpointPort): Port {
  return {
    ...(name === '' ? {} : { name }),
    port,
    protocol,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  };
}

function byName(a: Port, b: Port): number {
  return `${a.name ?? ''} ${a.port}` < `${b.name ?? ''} ${b.port}` ? -1 : 1;
}
