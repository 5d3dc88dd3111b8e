import type { KubeObject } from '@naru/api';
import { bootstrapPolicy } from '../authorization/bootstrap-policy.ts';

const systemNamespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

const priorityClasses = [
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    description: 'Used for system critical pods that must not be moved from their current node.',
  },
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    description:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
];

function namespace(name: string): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

function priorityClass({ name, ...rest }: (typeof priorityClasses)[number]): KubeObject {
  const object = {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name },
    preemptionPolicy: 'PreemptLowerPriority',
    ...rest,
  };
  return object;
}

/**
 * What every cluster starts with besides the `kubernetes` Service: each start of an API server creates those that are
 * missing, in this order, and leaves the others as they are.
 */
export function bootstrapObjects(): readonly KubeObject[] {
  return [...systemNamespaces.map(namespace), ...priorityClasses.map(priorityClass), ...bootstrapPolicy()];
}
