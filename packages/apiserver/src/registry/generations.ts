/** Which kinds count the generations of their objects. */
import type { Resource } from '@naru/api';

const generationGroups: ReadonlySet<string> = new Set([
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apps',
  'batch',
  'flowcontrol.apiserver.k8s.io',
  'networking.k8s.io',
  'policy',
  'scheduling.k8s.io',
]);
const generationResources: ReadonlySet<string> = new Set([
  'endpointslices',
  'pods',
  'podtemplates',
  'replicationcontrollers',
]);

/** Whether the kind's objects have metadata.generation. */
export function countsGenerations({ group, resource, schema }: Resource): boolean {
  if (schema !== undefined) return true;
  if (resource === 'controllerrevisions') return false;
  return generationGroups.has(group) || generationResources.has(resource);
}
