import type { EndpointSlice, ServicePort } from '@naru/api';
import { hostPort, type Backend } from './listener-plan.ts';

export type IPFamily = 'IPv4' | 'IPv6';

/** An endpoint of one Service port. */
export interface Endpoint extends Backend {
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly isLocal: boolean;
  /** Zones that should use it; undefined: no hint. */
  readonly zones: readonly string[] | undefined;
}

/** The node that a plan is for. */
export interface PlanNode {
  readonly name: string;
  readonly zone: string | undefined;
}

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

/** The endpoints of a Service port in all of the Service's slices; the same address in two slices counts once. */
export function endpointsOf(
  port: ServicePort,
  slices: readonly EndpointSlice[],
  options: { readonly family: IPFamily; readonly node: PlanNode },
): readonly Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== options.family) continue;
    for (const { name, protocol, port: number } of slice.ports ?? []) {
      if ((name ?? '') !== (port.name ?? '') || (protocol ?? 'TCP') !== (port.protocol ?? 'TCP')) continue;
      if (number === undefined) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const [address] = endpoint.addresses;
        if (address === undefined) continue;
        const found = newEndpoint(endpoint, { address, port: number }, options.node);
        const known = endpoints.get(found.key);
        // While an endpoint moves from one slice to another it is in both: what says ready is newer, or as good.
        if (known === undefined || (!known.ready && found.ready)) endpoints.set(found.key, found);
      }
    }
  }
  return [...endpoints.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function newEndpoint(
  { conditions, nodeName, hints }: SliceEndpoint,
  { address, port }: { readonly address: string; readonly port: number },
  node: PlanNode,
): Endpoint {
  const ready = conditions?.ready ?? true;
  return {
    key: hostPort(address, port),
    address,
    port,
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    isLocal: nodeName === node.name,
    zones: hints?.forZones?.map(({ name }) => name),
  };
}

/**
 * The endpoints that get traffic under a policy: ready ones, else those that still serve while they terminate (KEP-1669).
 * `Local`: only of this node. `Cluster`: those hinted for the node's zone, if all have hints and any is for it (KEP-2433).
 */
export function usableEndpoints(
  endpoints: readonly Endpoint[],
  policy: 'Cluster' | 'Local',
  node: PlanNode,
): readonly Endpoint[] {
  const candidates = policy === 'Local' ? endpoints.filter(({ isLocal }) => isLocal) : endpoints;
  const ready = candidates.filter((each) => each.ready);
  if (ready.length === 0) return candidates.filter(({ serving, terminating }) => serving && terminating);
  if (policy === 'Local' || node.zone === undefined) return ready;
  const { zone } = node;
  if (ready.some(({ zones }) => zones === undefined || zones.length === 0)) return ready;
  const near = ready.filter(({ zones }) => zones?.includes(zone));
  return near.length === 0 ? ready : near;
}
