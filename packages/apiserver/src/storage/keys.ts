/** Where objects are in the store: upstream's layout, `/registry/<resource>/[<namespace>/]<name>`. */
import type { Resource } from '@naru/api';

/** Resources whose place is not their own name, as upstream has it. */
const specialPrefixes: Readonly<Record<string, string>> = {
  'endpoints.': 'services/endpoints',
  'ingresses.networking.k8s.io': 'ingress',
  'nodes.': 'minions',
  'replicationcontrollers.': 'controllers',
  'services.': 'services/specs',
};

/** Groups whose resources' places begin with the group, as upstream's API extensions and all custom resources have it. */
const prefixedGroups: ReadonlySet<string> = new Set(['apiextensions.k8s.io', 'apiregistration.k8s.io']);

/** `/registry/pods/`: all objects of the resource, in every namespace. */
export function resourcePrefix(resource: Resource, etcdPrefix = '/registry'): string {
  const special = specialPrefixes[`${resource.resource}.${resource.group}`];
  if (special !== undefined) return `${etcdPrefix}/${special}/`;
  return prefixedGroups.has(resource.group) || resource.schema !== undefined
    ? `${etcdPrefix}/${resource.group}/${resource.resource}/`
    : `${etcdPrefix}/${resource.resource}/`;
}

/** The key of one object below its resource's prefix. */
export function objectKey(prefix: string, namespace: string, name: string): string {
  return namespace === '' ? prefix + name : `${prefix}${namespace}/${name}`;
}

/** The end of the range of all keys that start with `prefix`. */
export function prefixEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
