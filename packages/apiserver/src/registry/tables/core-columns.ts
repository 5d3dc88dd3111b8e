/** Columns of the core kinds, networking and leases. */
import type {
  ComponentStatus,
  ConfigMap,
  CoreEvent,
  Endpoints,
  EndpointSlice,
  Lease,
  Namespace,
  Node,
  Secret,
  Service,
  ServiceAccount,
} from '@naru/api';
import type { TableConvertor } from '../strategy.ts';
import { firstOf, formatLabels, formatLabelSelector, orNone } from './cells.ts';
import { ageColumn, column, nameColumn, tableOf, wide } from './column.ts';
import { ageOf, type Elapsed } from './duration.ts';

const SHOWN_MAX = 3;
const count = (map: object | undefined): number => Object.keys(map ?? {}).length;

function externalIp({ spec, status }: Service): string {
  const addresses = spec?.externalIPs ?? [];
  switch (spec?.type) {
    case 'ExternalName':
      return spec.externalName ?? '';
    case 'LoadBalancer': {
      const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '');
      const all = [...ingress.filter((each) => each !== ''), ...addresses];
      return all.length === 0 ? '<pending>' : all.join(',');
    }
    default:
      return orNone(addresses.join(','));
  }
}

export const serviceTable: TableConvertor = tableOf<Service>([
  nameColumn(),
  column('Type', ({ spec }) => spec?.type ?? ''),
  column('Cluster-IP', ({ spec }) => orNone(spec?.clusterIPs?.[0] ?? spec?.clusterIP)),
  column('External-IP', externalIp),
  column('Port(s)', ({ spec }) =>
    orNone(
      (spec?.ports ?? [])
        .map(({ port, nodePort, protocol }) =>
          (nodePort ?? 0) > 0 ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
        )
        .join(','),
    ),
  ),
  ageColumn(),
  wide('Selector', ({ spec }) => formatLabels(spec?.selector)),
]);

function nodeStatus({ spec, status }: Node): string {
  const ready = (status?.conditions ?? []).find(({ type }) => type === 'Ready');
  const words = [ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady'];
  if (spec?.unschedulable === true) words.push('SchedulingDisabled');
  return words.join(',');
}

const roleLabelPrefix = 'node-role.kubernetes.io/';

function nodeRoles({ metadata }: Node): string {
  const roles = new Set<string>();
  for (const [label, value] of Object.entries(metadata.labels ?? {})) {
    if (label.startsWith(roleLabelPrefix) && label.length > roleLabelPrefix.length)
      roles.add(label.slice(roleLabelPrefix.length));
    if (label === 'kubernetes.io/role' && value !== '') roles.add(value);
  }
  return orNone([...roles].toSorted().join(','));
}

const nodeAddress =
  (wanted: string) =>
  ({ status }: Node): string =>
    orNone((status?.addresses ?? []).find(({ type }) => type === wanted)?.address);

const orUnknown = (text: string | undefined): string => (text === undefined || text === '' ? '<unknown>' : text);

export const nodeTable: TableConvertor = tableOf<Node>([
  nameColumn(),
  column('Status', nodeStatus),
  column('Roles', nodeRoles),
  ageColumn(),
  column('Version', ({ status }) => status?.nodeInfo?.kubeletVersion ?? ''),
  wide('Internal-IP', nodeAddress('InternalIP')),
  wide('External-IP', nodeAddress('ExternalIP')),
  wide('OS-Image', ({ status }) => orUnknown(status?.nodeInfo?.osImage)),
  wide('Kernel-Version', ({ status }) => orUnknown(status?.nodeInfo?.kernelVersion)),
  wide('Container-Runtime', ({ status }) => orUnknown(status?.nodeInfo?.containerRuntimeVersion)),
]);

export const namespaceTable: TableConvertor = tableOf<Namespace>([
  nameColumn(),
  column('Status', ({ status }) => status?.phase ?? ''),
  ageColumn(),
]);

export const configMapTable: TableConvertor = tableOf<ConfigMap>([
  nameColumn(),
  column('Data', ({ data, binaryData }) => count(data) + count(binaryData), { type: 'integer' }),
  ageColumn(),
]);

export const secretTable: TableConvertor = tableOf<Secret>([
  nameColumn(),
  column('Type', ({ type }) => type ?? ''),
  column('Data', ({ data }) => count(data), { type: 'integer' }),
  ageColumn(),
]);

export const serviceAccountTable: TableConvertor = tableOf<ServiceAccount>([
  nameColumn(),
  column('Secrets', ({ secrets }) => (secrets ?? []).length, { type: 'integer' }),
  ageColumn(),
]);

function formatEndpoints({ subsets }: Endpoints): string {
  const list = (subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => ip)
      : ports.flatMap(({ port }) => addresses.map(({ ip }) => `${ip.includes(':') ? `[${ip}]` : ip}:${port}`)),
  );
  return firstOf(list, SHOWN_MAX, '<none>');
}

export const endpointsTable: TableConvertor = tableOf<Endpoints>([
  nameColumn(),
  column('Endpoints', formatEndpoints),
  ageColumn(),
]);

export const endpointSliceTable: TableConvertor = tableOf<EndpointSlice>([
  nameColumn(),
  column('AddressType', ({ addressType }) => addressType),
  column('Ports', ({ ports }) =>
    firstOf(
      (ports ?? []).map(({ port }) => String(port ?? '*')),
      SHOWN_MAX,
      '<unset>',
    ),
  ),
  column('Endpoints', ({ endpoints }) =>
    firstOf(
      (endpoints ?? []).flatMap(({ addresses }) => addresses),
      SHOWN_MAX,
      '<unset>',
    ),
  ),
  ageColumn(),
]);

/** An event in the form of the core group, or of events.k8s.io. */
type AnyEvent = Partial<Omit<CoreEvent, 'metadata'>> &
  Pick<CoreEvent, 'metadata'> & {
    regarding?: CoreEvent['involvedObject'];
    note?: string;
    reportingController?: string;
    deprecatedSource?: CoreEvent['source'];
    deprecatedFirstTimestamp?: string;
    deprecatedLastTimestamp?: string;
    deprecatedCount?: number;
  };

function eventSource(event: AnyEvent): string {
  const { component = '', host = '' } = event.source ?? event.deprecatedSource ?? {};
  const name = component === '' ? (event.reportingComponent ?? event.reportingController ?? '') : component;
  return host === '' ? name : `${name}, ${host}`;
}

const firstSeen = ({ firstTimestamp, deprecatedFirstTimestamp, eventTime }: AnyEvent): Elapsed | string =>
  ageOf(firstTimestamp ?? deprecatedFirstTimestamp ?? eventTime);

function lastSeen(event: AnyEvent): Elapsed | string {
  if (event.series !== undefined) return ageOf(event.series.lastObservedTime);
  const last = event.lastTimestamp ?? event.deprecatedLastTimestamp;
  return last === undefined ? firstSeen(event) : ageOf(last);
}

const objectOf = (event: AnyEvent): CoreEvent['involvedObject'] => event.involvedObject ?? event.regarding ?? {};

function involvedObject(event: AnyEvent): string {
  const { kind = '', name = '' } = objectOf(event);
  return name === '' ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`;
}

function eventCount({ series, count: times, deprecatedCount }: AnyEvent): number {
  if (series !== undefined) return series.count ?? 0;
  return (times ?? deprecatedCount ?? 0) || 1;
}

export const eventTable: TableConvertor = tableOf<AnyEvent>([
  column('Last Seen', lastSeen),
  column('Type', ({ type }) => type ?? ''),
  column('Reason', ({ reason }) => reason ?? ''),
  column('Object', involvedObject),
  wide('Subobject', (event) => objectOf(event).fieldPath ?? ''),
  wide('Source', eventSource),
  column('Message', ({ message, note }) => (message ?? note ?? '').trim()),
  wide('First Seen', firstSeen),
  column('Count', eventCount, { type: 'integer', priority: 1 }),
  column('Name', ({ metadata }) => metadata.name ?? '', { format: 'name', priority: 1 }),
]);

type ComponentCondition = NonNullable<ComponentStatus['conditions']>[number];
const healthOf = ({ conditions = [] }: ComponentStatus): ComponentCondition | undefined =>
  conditions.find((each) => each.type === 'Healthy');
const healthNames: Readonly<Record<string, string>> = { True: 'Healthy', False: 'Unhealthy' };

export const componentStatusTable: TableConvertor = tableOf<ComponentStatus>([
  nameColumn(),
  column('Status', (object) => healthNames[healthOf(object)?.status ?? ''] ?? 'Unknown'),
  column('Message', (object) => healthOf(object)?.message ?? ''),
  column('Error', (object) => healthOf(object)?.error ?? ''),
]);

export const leaseTable: TableConvertor = tableOf<Lease>([
  nameColumn(),
  column('Holder', ({ spec }) => spec?.holderIdentity ?? ''),
  ageColumn(),
]);

interface Ingress {
  readonly metadata: { name?: string; creationTimestamp?: string };
  readonly spec?: {
    ingressClassName?: string;
    rules?: { host?: string }[];
    tls?: unknown[];
  };
  readonly status?: { loadBalancer?: { ingress?: { ip?: string; hostname?: string }[] } };
}

function ingressHosts({ spec }: Ingress): string {
  const hosts = (spec?.rules ?? []).map(({ host }) => host ?? '').filter((host) => host !== '');
  return firstOf(hosts, SHOWN_MAX, '*');
}

export const ingressTable: TableConvertor = tableOf<Ingress>([
  nameColumn(),
  column('Class', ({ spec }) => orNone(spec?.ingressClassName)),
  column('Hosts', ingressHosts),
  column('Address', ({ status }) =>
    (status?.loadBalancer?.ingress ?? [])
      .map(({ ip, hostname }) => ip ?? hostname ?? '')
      .filter((each) => each !== '')
      .join(','),
  ),
  column('Ports', ({ spec }) => ((spec?.tls ?? []).length > 0 ? '80, 443' : '80')),
  ageColumn(),
]);

interface IngressClass {
  readonly metadata: { name?: string; creationTimestamp?: string };
  readonly spec?: { controller?: string; parameters?: { apiGroup?: string; kind: string; name: string } };
}

export const ingressClassTable: TableConvertor = tableOf<IngressClass>([
  nameColumn(),
  column('Controller', ({ spec }) => spec?.controller ?? ''),
  column('Parameters', ({ spec }) => {
    const parameters = spec?.parameters;
    if (parameters === undefined) return '<none>';
    const { apiGroup, kind, name } = parameters;
    return `${kind}${apiGroup === undefined ? '' : `.${apiGroup}`}/${name}`;
  }),
  ageColumn(),
]);

interface NetworkPolicy {
  readonly metadata: { name?: string; creationTimestamp?: string };
  readonly spec?: { podSelector?: { matchLabels?: Record<string, string> } };
}

export const networkPolicyTable: TableConvertor = tableOf<NetworkPolicy>([
  nameColumn(),
  column('Pod-Selector', ({ spec }) => formatLabelSelector(spec?.podSelector)),
  ageColumn(),
]);

interface IpAddress {
  readonly metadata: { name?: string; creationTimestamp?: string };
  readonly spec?: { parentRef?: { group?: string; resource?: string; namespace?: string; name?: string } };
}

export const ipAddressTable: TableConvertor = tableOf<IpAddress>([
  nameColumn(),
  column('ParentRef', ({ spec }) => {
    const { group = '', resource = '', namespace = '', name = '' } = spec?.parentRef ?? {};
    return [group === '' ? resource : `${resource}.${group}`, namespace, name].filter((each) => each !== '').join('/');
  }),
  ageColumn(),
]);

interface ServiceCidr {
  readonly metadata: { name?: string; creationTimestamp?: string };
  readonly spec?: { cidrs?: string[] };
}

export const serviceCidrTable: TableConvertor = tableOf<ServiceCidr>([
  nameColumn(),
  column('CIDRs', ({ spec }) => (spec?.cidrs ?? []).join(',')),
  ageColumn(),
]);
