/** Whether a pod may be on a node, by its node selector and required node affinity. */
import type { Node, NodeSelectorTerm, PodSpec } from '@naru/api';

type Requirement = NonNullable<NodeSelectorTerm['matchExpressions']>[number];

function matches({ operator, values = [] }: Requirement, value: string | undefined): boolean {
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
      return value !== undefined && Number(value) > Number(values[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, { metadata }: Node): boolean {
  // An empty term selects nothing.
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  return (
    matchExpressions.every((each) => matches(each, metadata.labels?.[each.key])) &&
    matchFields.every((each) => each.key === 'metadata.name' && matches(each, metadata.name))
  );
}

export function matchesNode(spec: Partial<PodSpec> | undefined, node: Node): boolean {
  if (spec?.nodeName !== undefined && spec.nodeName !== '' && spec.nodeName !== node.metadata.name) return false;
  for (const [label, value] of Object.entries(spec?.nodeSelector ?? {}))
    if (node.metadata.labels?.[label] !== value) return false;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}
