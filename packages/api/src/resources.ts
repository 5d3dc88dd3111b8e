/** The built-in resources. Data: names, scope, short names, categories and subresources are upstream's. */
import type * as objects from './object.ts';
import { defineResource, scaleSubresource, statusSubresource } from './resource.ts';

export const pods = defineResource<objects.Pod>({
  resource: 'pods',
  kind: 'Pod',
  model: 'V1Pod',
  namespaced: true,
  shortNames: ['po'],
  categories: ['all'],
  subresources: [
    { name: 'attach', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
    { name: 'binding', kind: 'Binding', verbs: ['create'] },
    { name: 'ephemeralcontainers', verbs: ['get', 'patch', 'update'] },
    { name: 'eviction', group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
    { name: 'exec', kind: 'PodExecOptions', verbs: ['create', 'get'] },
    { name: 'log', verbs: ['get'] },
    { name: 'portforward', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
    { name: 'proxy', kind: 'PodProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] },
    { name: 'resize', verbs: ['get', 'patch', 'update'] },
    statusSubresource,
  ],
});
export const nodes = defineResource<objects.Node>({
  resource: 'nodes',
  kind: 'Node',
  model: 'V1Node',
  namespaced: false,
  shortNames: ['no'],
  subresources: [statusSubresource],
});
export const namespaces = defineResource<objects.Namespace>({
  resource: 'namespaces',
  kind: 'Namespace',
  model: 'V1Namespace',
  namespaced: false,
  shortNames: ['ns'],
  subresources: [{ name: 'finalize', verbs: ['update'] }, statusSubresource],
});
export const services = defineResource<objects.Service>({
  resource: 'services',
  kind: 'Service',
  model: 'V1Service',
  namespaced: true,
  shortNames: ['svc'],
  categories: ['all'],
  subresources: [statusSubresource],
});
export const endpoints = defineResource<objects.Endpoints>({
  resource: 'endpoints',
  singular: 'endpoints',
  kind: 'Endpoints',
  model: 'V1Endpoints',
  namespaced: true,
  shortNames: ['ep'],
});
export const configMaps = defineResource<objects.ConfigMap>({
  resource: 'configmaps',
  kind: 'ConfigMap',
  model: 'V1ConfigMap',
  namespaced: true,
  shortNames: ['cm'],
});
export const secrets = defineResource<objects.Secret>({
  resource: 'secrets',
  kind: 'Secret',
  model: 'V1Secret',
  namespaced: true,
});
export const serviceAccounts = defineResource<objects.ServiceAccount>({
  resource: 'serviceaccounts',
  kind: 'ServiceAccount',
  model: 'V1ServiceAccount',
  namespaced: true,
  shortNames: ['sa'],
  subresources: [
    { name: 'token', group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] },
  ],
});
export const events = defineResource<objects.CoreEvent>({
  resource: 'events',
  kind: 'Event',
  model: 'CoreV1Event',
  namespaced: true,
  shortNames: ['ev'],
});
export const deployments = defineResource<objects.Deployment>({
  group: 'apps',
  resource: 'deployments',
  kind: 'Deployment',
  model: 'V1Deployment',
  namespaced: true,
  shortNames: ['deploy'],
  categories: ['all'],
  subresources: [scaleSubresource, statusSubresource],
});
export const replicaSets = defineResource<objects.ReplicaSet>({
  group: 'apps',
  resource: 'replicasets',
  kind: 'ReplicaSet',
  model: 'V1ReplicaSet',
  namespaced: true,
  shortNames: ['rs'],
  categories: ['all'],
  subresources: [scaleSubresource, statusSubresource],
});
export const leases = defineResource<objects.Lease>({
  group: 'coordination.k8s.io',
  resource: 'leases',
  kind: 'Lease',
  model: 'V1Lease',
  namespaced: true,
});
export const endpointSlices = defineResource<objects.EndpointSlice>({
  group: 'discovery.k8s.io',
  resource: 'endpointslices',
  kind: 'EndpointSlice',
  model: 'V1EndpointSlice',
  namespaced: true,
});
