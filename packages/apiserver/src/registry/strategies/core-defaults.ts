/** Defaults of services and other kinds of the core group that hold no pods; upstream's pkg/apis/core/v1/defaults.go. */
import type { Endpoints, Namespace, Node, Secret, Service, UnstructuredObject } from '@naru/api';

const DEFAULT_CLIENT_IP_TIMEOUT_SECONDS = 10_800;

export function setServiceDefaults(object: UnstructuredObject): void {
  const spec = ((object as unknown as Service).spec ??= {});
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  else if (spec.sessionAffinity === 'ClientIP') {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= DEFAULT_CLIENT_IP_TIMEOUT_SECONDS;
  }
  spec.type ||= 'ClusterIP';
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '') port.targetPort = port.port;
  }
  const isExternal =
    spec.type === 'NodePort' ||
    spec.type === 'LoadBalancer' ||
    (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0);
  if (isExternal) spec.externalTrafficPolicy ||= 'Cluster';
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
}

export function setEndpointsDefaults(object: UnstructuredObject): void {
  for (const subset of (object as unknown as Endpoints).subsets ?? [])
    for (const port of subset.ports ?? []) port.protocol ||= 'TCP';
}

export function setEndpointSliceDefaults(object: UnstructuredObject): void {
  for (const port of (object['ports'] ?? []) as { name?: string; protocol?: string }[]) {
    port.name ??= '';
    port.protocol ??= 'TCP';
  }
}

export function setNamespaceDefaults(object: UnstructuredObject): void {
  const { metadata } = object as unknown as Namespace;
  // The label lets selectors name a namespace.
  const name = metadata.name ?? '';
  if (name !== '') metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': name };
}

export function setNodeDefaults(object: UnstructuredObject): void {
  const status = (object as unknown as Node).status;
  if (status === undefined) return;
  if (status.allocatable === undefined && status.capacity !== undefined) status.allocatable = { ...status.capacity };
}

export function setSecretDefaults(object: UnstructuredObject): void {
  const secret = object as unknown as Secret;
  secret.type ||= 'Opaque';
  // stringData is for writing only: it goes into data, over what is there.
  if (secret.stringData === undefined) return;
  const data: Record<string, string> = { ...secret.data };
  for (const [key, value] of Object.entries(secret.stringData)) data[key] = Buffer.from(value).toString('base64');
  secret.data = data;
  delete secret.stringData;
}

export function setPersistentVolumeDefaults(object: UnstructuredObject): void {
  const spec = object['spec'] as
    { persistentVolumeReclaimPolicy?: string; volumeMode?: string; hostPath?: { type?: string } } | undefined;
  if (spec === undefined) return;
  spec.persistentVolumeReclaimPolicy ||= 'Retain';
  spec.volumeMode ??= 'Filesystem';
  if (spec.hostPath !== undefined) spec.hostPath.type ??= '';
}

export function setPersistentVolumeClaimDefaults(object: UnstructuredObject): void {
  const spec = object['spec'] as { volumeMode?: string } | undefined;
  if (spec !== undefined) spec.volumeMode ??= 'Filesystem';
}

type Resources = Record<string, string>;

export function setLimitRangeDefaults(object: UnstructuredObject): void {
  const spec = object['spec'] as
    | {
        limits?: {
          type: string;
          max?: Resources;
          default?: Resources;
          defaultRequest?: Resources;
          min?: Resources;
        }[];
      }
    | undefined;
  for (const limit of spec?.limits ?? []) {
    if (limit.type !== 'Container') continue;
    if (limit.max !== undefined) limit.default = { ...limit.max, ...limit.default };
    const request = { ...limit.min, ...limit.default, ...limit.defaultRequest };
    if (Object.keys(request).length > 0) limit.defaultRequest = request;
  }
}
