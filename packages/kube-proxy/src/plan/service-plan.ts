import type { EndpointSlice, Service, ServicePort } from '@naru/api';
import { endpointsOf, usableEndpoints, type IPFamily, type PlanNode } from './endpoints.ts';
import { listenerKey, type Backend, type ListenerPlan } from './listener-plan.ts';

/** Upstream's default for sessionAffinity ClientIP: three hours. */
const AFFINITY_TIMEOUT_SECONDS = 10_800;

export interface PlanInput {
  readonly service: Service;
  /** The Service's own. */
  readonly slices: readonly EndpointSlice[];
  readonly node: PlanNode;
  /** Addresses of this node on which NodePorts are served. */
  readonly nodePortAddresses: readonly string[];
}

/** What of a Service must be served on this node. Headless and ExternalName Services need nothing. */
export function planService({ service, slices, node, nodePortAddresses }: PlanInput): readonly ListenerPlan[] {
  const { spec, metadata } = service;
  if (spec === undefined || spec.type === 'ExternalName') return [];
  const clusterIPs = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter((ip) => ip !== '' && ip !== 'None');
  if (clusterIPs.length === 0) return [];
  const affinityMs =
    spec.sessionAffinity === 'ClientIP'
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_TIMEOUT_SECONDS) * 1000
      : undefined;
  const plans: ListenerPlan[] = [];
  for (const port of spec.ports ?? []) {
    const protocol = port.protocol ?? 'TCP';
    if (protocol !== 'TCP' && protocol !== 'UDP') continue;
    const servicePort = `${metadata.namespace ?? ''}/${metadata.name ?? ''}${port.name === undefined || port.name === '' ? '' : `:${port.name}`}`;
    const backendsOf = (address: string, policy: string | undefined): readonly Backend[] =>
      backendsFor(port, slices, { family: familyOf(address), node, policy: policy === 'Local' ? 'Local' : 'Cluster' });
    const add = (kind: ListenerPlan['kind'], address: string, number: number, policy: string | undefined): void => {
      const key = listenerKey(protocol, address, number);
      const backends = backendsOf(address, policy);
      plans.push({ key, kind, protocol, address, port: number, servicePort, backends, affinityMs });
    };
    for (const clusterIP of clusterIPs) add('clusterIP', clusterIP, port.port, spec.internalTrafficPolicy);
    if (port.nodePort === undefined || port.nodePort === 0 || spec.type === 'ClusterIP') continue;
    const families = new Set(clusterIPs.map(familyOf));
    for (const address of nodePortAddresses)
      if (families.has(familyOf(address))) add('nodePort', address, port.nodePort, spec.externalTrafficPolicy);
  }
  return plans;
}

function backendsFor(
  port: ServicePort,
  slices: readonly EndpointSlice[],
  options: { readonly family: IPFamily; readonly node: PlanNode; readonly policy: 'Cluster' | 'Local' },
): readonly Backend[] {
  const endpoints = endpointsOf(port, slices, options);
  return usableEndpoints(endpoints, options.policy, options.node).map(({ key, address, port: number }) => ({
    key,
    address,
    port: number,
  }));
}

function familyOf(address: string): IPFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}
