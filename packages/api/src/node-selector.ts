/** Which nodes a pod's nodeSelector and required node affinity let it run on (k8s.io/component-helpers/scheduling/corev1/nodeaffinity). */
import type { Labels } from './label-selector.ts';
import type { Node, NodeSelectorTerm, PodSpec } from './object.ts';

type Requirement = NonNullable<NodeSelectorTerm['matchExpressions']>[number];

const integer = /^[+-]?\d+$/u;
const noLabels: Labels = {};

function holds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
    case 'Lt': {
      const [bound] = values;
      if (value === undefined || bound === undefined || !integer.test(value) || !integer.test(bound)) return false;
      return operator === 'Gt' ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
    }
    default:
      return false;
  }
}

/** All requirements of a term must hold; a term without any matches no node. */
export function nodeSelectorTermMatches(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  const labels: Labels = node.metadata.labels ?? noLabels;
  const fields: Labels = { 'metadata.name': node.metadata.name ?? '' };
  return matchExpressions.every((each) => holds(each, labels)) && matchFields.every((each) => holds(each, fields));
}

/** Whether the node has what the nodeSelector and the required node affinity ask for; one of its terms is enough. */
export function matchesNodeAffinity(
  spec: Partial<Pick<PodSpec, 'nodeSelector' | 'affinity'>> | undefined,
  node: Node,
): boolean {
  const labels: Labels = node.metadata.labels ?? noLabels;
  for (const [key, value] of Object.entries(spec?.nodeSelector ?? {})) if (labels[key] !== value) return false;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => nodeSelectorTermMatches(term, node));
}
