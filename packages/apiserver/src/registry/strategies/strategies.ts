import type { GroupResource } from '@naru/api';
import type { Strategy } from '../strategy.ts';
import {
  configMapStrategy,
  eventStrategy,
  leaseStrategy,
  namespaceStrategy,
  nodeStrategy,
  secretStrategy,
} from './core-kinds.ts';
import { podStrategy } from './pod.ts';
import { serviceStrategy } from './service.ts';
import {
  daemonSetStrategy,
  deploymentStrategy,
  replicaSetStrategy,
  replicationControllerStrategy,
  statefulSetStrategy,
} from './workloads.ts';

const genericStrategy: Strategy = {};

/** By plural name and group, as error messages name resources. */
const strategies: Readonly<Record<string, Strategy>> = {
  configmaps: configMapStrategy,
  events: eventStrategy,
  namespaces: namespaceStrategy,
  nodes: nodeStrategy,
  pods: podStrategy,
  replicationcontrollers: replicationControllerStrategy,
  secrets: secretStrategy,
  services: serviceStrategy,
  'daemonsets.apps': daemonSetStrategy,
  'deployments.apps': deploymentStrategy,
  'replicasets.apps': replicaSetStrategy,
  'statefulsets.apps': statefulSetStrategy,
  'leases.coordination.k8s.io': leaseStrategy,
};

/** The strategy of a resource, by group and plural name; the generic one where a kind has nothing of its own. */
export function strategyFor({ group, resource }: GroupResource): Strategy {
  const key = group === '' ? resource : `${resource}.${group}`;
  return strategies[key] ?? genericStrategy;
}
