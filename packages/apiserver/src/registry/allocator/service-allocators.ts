import { formatTime, type UnstructuredObject } from '@naru/api';
import { UsageError, type Clock } from '@naru/component';
import { randomUUID } from 'node:crypto';
import type { AllocationStore } from './allocation-store.ts';
import { numberToIp, type IpRange } from './ip-range.ts';
import { NumberAllocator, type Owner } from './number-allocator.ts';

export interface PortRange {
  readonly first: number;
  readonly size: number;
}

/** Parses `--service-node-port-range`: `30000-32767` or `30000+2768`. @throws UsageError */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d+)([-+])(\d+)$/u.exec(text);
  const first = Number(match?.[1]);
  const last = match?.[2] === '+' ? first + Number(match[3]) - 1 : Number(match?.[3]);
  if (match === null || first < 1 || last > 65_535 || last < first)
    throw new UsageError(`service-node-port-range: ${JSON.stringify(text)} is not a valid port range`);
  return { first, size: last - first + 1 };
}

/**
 * ClusterIPs. The allocation of an address is upstream's IPAddress object of that name, so that `kubectl get ipaddresses`
 * shows who has what.
 */
export function newIpAllocator(options: {
  readonly store: AllocationStore;
  readonly range: IpRange;
  readonly random: () => number;
  readonly clock: Clock;
}): NumberAllocator {
  const { store, range, random, clock } = options;
  return new NumberAllocator({
    store,
    first: range.base + 1,
    size: range.size,
    prefix: '/registry/ipaddresses/',
    keyOf: numberToIp,
    encode: (number, owner) => Buffer.from(JSON.stringify(newIpAddress(numberToIp(number), owner, clock.now()))),
    ownerOf(value) {
      const { spec } = JSON.parse(value.toString()) as { spec?: { parentRef?: Owner & { resource: string } } };
      const parent = spec?.parentRef;
      return parent?.resource === 'services' ? { namespace: parent.namespace, name: parent.name } : undefined;
    },
    random,
  });
}

function newIpAddress(address: string, owner: Owner, nowMs: number): UnstructuredObject {
  return {
    kind: 'IPAddress',
    apiVersion: 'networking.k8s.io/v1',
    metadata: {
      name: address,
      uid: randomUUID(),
      creationTimestamp: formatTime(nowMs),
      labels: {
        'ipaddress.kubernetes.io/ip-family': 'IPv4',
        'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
      },
    },
    spec: { parentRef: { group: '', resource: 'services', namespace: owner.namespace, name: owner.name } },
  };
}

/** Node ports: a key per port that names its Service. */
export function newPortAllocator(options: {
  readonly store: AllocationStore;
  readonly range: PortRange;
  readonly random: () => number;
}): NumberAllocator {
  const { store, range, random } = options;
  return new NumberAllocator({
    store,
    ...range,
    prefix: '/registry/ranges/servicenodeports/',
    keyOf: String,
    encode: (_number, { namespace, name }) => Buffer.from(JSON.stringify({ namespace, name })),
    ownerOf: (value) => JSON.parse(value.toString()) as Owner,
    random,
  });
}
