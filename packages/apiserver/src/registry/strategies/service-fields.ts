import type { Service } from '@naru/api';
import { deepEqual } from './field-rules.ts';

type ServiceSpec = NonNullable<Service['spec']>;

export const needsClusterIp = ({ type }: ServiceSpec): boolean => type !== 'ExternalName';

export function needsNodePort({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean {
  return type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
}

/**
 * What an update that does not name an allocated field takes over from the stored Service, and what it drops because
 * the new type has no use for it and the client left it as it was.
 */
export function keepAllocatedFields(spec: ServiceSpec, old: ServiceSpec): void {
  normalizeClusterIps(spec, old);
  if (needsClusterIp(spec) && needsClusterIp(old)) {
    if ((spec.clusterIP ?? '') === '' && old.clusterIP !== undefined) spec.clusterIP = old.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0 && spec.clusterIP === old.clusterIP && old.clusterIPs !== undefined)
      spec.clusterIPs = old.clusterIPs;
  }
  if (needsNodePort(spec) && needsNodePort(old)) keepNodePorts(spec, old);
  if (spec.ipFamilyPolicy === undefined && old.ipFamilyPolicy !== undefined && needsClusterIp(spec))
    spec.ipFamilyPolicy = old.ipFamilyPolicy;
  dropFieldsOfOldType(spec, old);
}

/** A client that changes only one of clusterIP and clusterIPs means both. */
function normalizeClusterIps(spec: ServiceSpec, old: ServiceSpec): void {
  if (deepEqual(spec.clusterIP, old.clusterIP)) return;
  if (!deepEqual(spec.clusterIPs, old.clusterIPs)) return;
  const address = spec.clusterIP ?? '';
  if (address === '') delete spec.clusterIPs;
  else spec.clusterIPs = [address, ...(old.clusterIPs ?? []).slice(1)];
}

function keepNodePorts(spec: ServiceSpec, old: ServiceSpec): void {
  const used = new Set((spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0));
  for (const port of spec.ports ?? []) {
    if ((port.nodePort ?? 0) !== 0) continue;
    const before = (old.ports ?? []).find((each) => each.protocol === port.protocol && each.port === port.port);
    const nodePort = before?.nodePort ?? 0;
    if (nodePort !== 0 && !used.has(nodePort)) port.nodePort = nodePort;
  }
}

function dropFieldsOfOldType(spec: ServiceSpec, old: ServiceSpec): void {
  if (spec.type === old.type) return;
  if (needsClusterIp(old) && !needsClusterIp(spec)) {
    for (const field of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy'] as const)
      if (deepEqual(spec[field], old[field])) delete spec[field];
  }
  if (needsNodePort(old) && !needsNodePort(spec)) {
    for (const port of spec.ports ?? []) {
      const before = (old.ports ?? []).find(
        (each) => each.protocol === port.protocol && each.port === port.port && each.name === port.name,
      );
      if (before?.nodePort === port.nodePort) delete port.nodePort;
    }
  }
  const isExternal = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  if (!isExternal && (spec.externalIPs ?? []).length === 0 && spec.externalTrafficPolicy === old.externalTrafficPolicy)
    delete spec.externalTrafficPolicy;
  if (spec.type !== 'LoadBalancer') {
    for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass', 'healthCheckNodePort'] as const)
      if (spec[field] === old[field]) delete spec[field];
  }
  if (spec.type === 'ExternalName' && spec.internalTrafficPolicy === old.internalTrafficPolicy)
    delete spec.internalTrafficPolicy;
}
