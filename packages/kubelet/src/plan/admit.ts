import {
  isTolerated,
  matchesNodeAffinity,
  parseQuantity,
  podRequests,
  zeroQuantity,
  type Container,
  type Node,
  type Pod,
} from '@naru/api';
import { isSidecar } from './pod-spec.ts';

type ContainerPort = NonNullable<Container['ports']>[number];

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** What a pod asks for of a resource: in thousandths for cpu, in units otherwise. */
function requested(pod: Pod, resource: string): number {
  const quantity = podRequests(pod.spec).get(resource) ?? zeroQuantity;
  return resource === 'cpu' ? quantity.milliValue() : quantity.value();
}

/** The ports of the host that a pod has for as long as it lives. */
function hostPorts({ spec }: Pod): readonly ContainerPort[] {
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? []).filter(isSidecar)];
  return containers.flatMap(({ ports }) => ports ?? []).filter(({ hostPort }) => (hostPort ?? 0) !== 0);
}

const everyAddress = '0.0.0.0';
const addressOf = ({ hostIP = '' }: ContainerPort): string => (hostIP === '' ? everyAddress : hostIP);

function collide(a: ContainerPort, b: ContainerPort): boolean {
  if (a.hostPort !== b.hostPort || (a.protocol ?? 'TCP') !== (b.protocol ?? 'TCP')) return false;
  const addresses = [addressOf(a), addressOf(b)];
  return addresses[0] === addresses[1] || addresses.includes(everyAddress);
}

/**
 * Whether a node takes in a pod that was bound to it: there must be room and free ports beside the pods that are there, and
 * it must match the pod's selectors and tolerations (upstream's lifecycle.PredicateAdmitHandler). Undefined if it does.
 */
export function admit(pod: Pod, node: Node, others: readonly Pod[]): Refusal | undefined {
  const failed = (predicate: string, reason: string): Refusal => ({
    reason: predicate,
    message: `Predicate ${predicate} failed: ${reason}`,
  });
  const insufficient = insufficientResource(pod, node, others);
  if (insufficient !== undefined) return insufficient;
  if (!matchesNodeAffinity(pod.spec, node))
    return failed('NodeAffinity', "node(s) didn't match Pod's node affinity/selector");
  const wanted = hostPorts(pod);
  if (wanted.length > 0 && others.flatMap(hostPorts).some((each) => wanted.some((port) => collide(port, each))))
    return failed('NodePorts', "node(s) didn't have free ports for the requested pod ports");
  const evicts = node.spec?.taints?.some(
    (taint) => taint.effect === 'NoExecute' && !isTolerated(pod.spec?.tolerations, taint),
  );
  return evicts === true ? failed('TaintToleration', "node(s) had taints that the pod didn't tolerate") : undefined;
}

function insufficientResource(pod: Pod, node: Node, others: readonly Pod[]): Refusal | undefined {
  const allocatable = node.status?.allocatable ?? {};
  const podsMax = allocatable['pods'] === undefined ? Infinity : parseQuantity(allocatable['pods']).value();
  const insufficient = (name: string, numbers: readonly [number, number, number]): Refusal => ({
    reason: `OutOf${name}`,
    message: `Node didn't have enough resource: ${name}, requested: ${numbers[0]}, used: ${numbers[1]}, capacity: ${numbers[2]}`,
  });
  if (others.length + 1 > podsMax) return insufficient('pods', [1, others.length, podsMax]);
  for (const resource of new Set(['cpu', 'memory', 'ephemeral-storage', ...podRequests(pod.spec).keys()])) {
    const wanted = requested(pod, resource);
    const text = allocatable[resource];
    // An extended resource that the node does not know is the cluster’s, and not for it to refuse.
    if (wanted === 0 || text === undefined) continue;
    const capacity = resource === 'cpu' ? parseQuantity(text).milliValue() : parseQuantity(text).value();
    const used = others.reduce((sum, each) => sum + requested(each, resource), 0);
    if (wanted + used > capacity) return insufficient(resource, [wanted, used, capacity]);
  }
  return undefined;
}
