import { parseQuantity, type Container, type Pod } from '@naru/api';
import { allContainers, specOf } from './pod-spec.ts';

export interface DownwardFacts {
  readonly pod: Pod;
  readonly podIP: string;
  readonly hostIP: string;
  /** What the node can give to pods: the default of a container's limits. */
  readonly allocatable: Readonly<Record<string, string>>;
}

/** Lines of `key="value"`, sorted by key, as downward API files have labels and annotations. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/** The value of a fieldRef, or undefined if there is no such field. */
export function fieldValue(facts: DownwardFacts, fieldPath: string): string | undefined {
  const { metadata } = facts.pod;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/u.exec(fieldPath);
  if (keyed !== null) {
    const map = keyed[1] === 'labels' ? metadata.labels : metadata.annotations;
    return map?.[keyed[2] ?? ''] ?? '';
  }
  switch (fieldPath) {
    case 'metadata.name':
      return metadata.name ?? '';
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return formatMap(metadata.labels);
    case 'metadata.annotations':
      return formatMap(metadata.annotations);
    case 'spec.nodeName':
      return specOf(facts.pod).nodeName ?? '';
    case 'spec.serviceAccountName':
      return specOf(facts.pod).serviceAccountName ?? '';
    case 'status.hostIP':
    case 'status.hostIPs':
      return facts.hostIP;
    case 'status.podIP':
    case 'status.podIPs':
      return facts.podIP;
    default:
      return undefined;
  }
}

/**
 * The value of a resourceFieldRef: a request or limit in units of the divisor, rounded up. A limit that is not set is what
 * the node can give. Undefined if the container or resource is unknown.
 */
export function resourceValue(
  facts: DownwardFacts,
  reference: {
    readonly resource: string;
    readonly containerName?: string | undefined;
    readonly divisor?: string | undefined;
  },
  self?: Container,
): string | undefined {
  const container =
    reference.containerName === undefined || reference.containerName === ''
      ? self
      : allContainers(facts.pod).find(({ name }) => name === reference.containerName);
  const [kind = '', ...rest] = reference.resource.split('.');
  const name = rest.join('.');
  if (container === undefined || (kind !== 'limits' && kind !== 'requests') || name === '') return undefined;
  const { limits = {}, requests = {} } = container.resources ?? {};
  const amount = kind === 'limits' ? (limits[name] ?? facts.allocatable[name]) : requests[name];
  const quantity = parseQuantity(amount ?? '0');
  const divisor = parseQuantity(
    reference.divisor === undefined || reference.divisor === '' || reference.divisor === '0' ? '1' : reference.divisor,
  );
  const value =
    name === 'cpu'
      ? Math.ceil(quantity.milliValue() / divisor.milliValue())
      : Math.ceil(quantity.value() / divisor.value());
  return String(value);
}
