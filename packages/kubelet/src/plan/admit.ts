import { matchesNodeAffinity, parseQuantity, type Node, type Pod } from '@naru/api';
import { specOf } from './pod-spec.ts';

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** What a pod's containers ask for of a resource: in thousandths for cpu, in units otherwise. */
function requested(pod: Pod, resource: 'cpu' | 'memory'): number {
  const spec = specOf(pod);
  const of = (container: { readonly resources?: { readonly requests?: Readonly<Record<string, string>> } }): number => {
    const quantity = parseQuantity(container.resources?.requests?.[resource] ?? '0');
    return resource === 'cpu' ? quantity.milliValue() : quantity.value();
  };
  const regular = spec.containers.reduce((sum, each) => sum + of(each), 0);
  const largestInit = Math.max(0, ...(spec.initContainers ?? []).map(of));
  return Math.max(regular, largestInit);
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
