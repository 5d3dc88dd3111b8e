import { matchesNodeAffinity, parseQuantity, podRequests, zeroQuantity, type Node, type Pod } from '@naru/api';

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** What a pod asks for of a resource: in thousandths for cpu, in units otherwise. */
function requested(pod: Pod, resource: 'cpu' | 'memory'): number {
  const quantity = podRequests(pod.spec).get(resource) ?? zeroQuantity;
  return resource === 'cpu' ? quantity.milliValue() : quantity.value();
}

/**
 * Whether a node takes in a pod that was bound to it: it must match the pod's selectors and have room beside the pods that
 * are there (upstream's lifecycle.PredicateAdmitHandler). Undefined if it does.
 */
export function admit(pod: Pod, node: Node, others: readonly Pod[]): Refusal | undefined {
  if (!matchesNodeAffinity(pod.spec, node)) return { reason: 'NodeAffinity', message: 'Predicate NodeAffinity failed' };
  const allocatable = node.status?.allocatable ?? {};
  const podsMax = allocatable['pods'] === undefined ? Infinity : parseQuantity(allocatable['pods']).value();
  const insufficient = (name: string, numbers: readonly [number, number, number]): Refusal => ({
    reason: `OutOf${name}`,
    message: `Node didn't have enough resource: ${name}, requested: ${numbers[0]}, used: ${numbers[1]}, capacity: ${numbers[2]}`,
  });
  if (others.length + 1 > podsMax) return insufficient('pods', [1, others.length, podsMax]);
  for (const resource of ['cpu', 'memory'] as const) {
    const wanted = requested(pod, resource);
    const text = allocatable[resource];
    if (wanted === 0 || text === undefined) continue;
    const capacity = resource === 'cpu' ? parseQuantity(text).milliValue() : parseQuantity(text).value();
    const used = others.reduce((sum, each) => sum + requested(each, resource), 0);
    if (wanted + used > capacity) return insufficient(resource, [wanted, used, capacity]);
  }
  return undefined;
}
