import { MAX_NODE_SCORE, type Plugin } from '../framework/plugin.ts';
import { amountOf } from '../framework/resources.ts';

/** Prefers nodes whose resources would be used to like degrees with the pod on them. */
export function nodeResourcesBalancedAllocation(names: readonly string[] = ['cpu', 'memory']): Plugin<undefined, true> {
  return {
    name: 'NodeResourcesBalancedAllocation',
    events: [],
    preScore(pod) {
      return names.some((name) => amountOf(pod.requests, name) > 0) ? true : undefined;
    },
    score(pod, node) {
      const fractions: number[] = [];
      for (const name of names) {
        const total = amountOf(node.allocatable, name);
        if (total === 0) continue;
        fractions.push(Math.min(1, (amountOf(node.requested, name) + amountOf(pod.requests, name)) / total));
      }
      return Math.trunc((1 - standardDeviation(fractions)) * MAX_NODE_SCORE);
    },
  };
}

function standardDeviation(values: readonly number[]): number {
  const [first = 0, second = 0] = values;
  if (values.length < 2) return 0;
  if (values.length === 2) return Math.abs(first - second) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
