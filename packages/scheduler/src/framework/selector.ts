import {
  isStatusError,
  labelSelectorFrom,
  type LabelSelector,
  type Labels,
  type Node,
  type NodeSelectorTerm,
} from '@naru/api';

export type { Labels };

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** A label selector made ready to be asked often. */
export interface LabelMatcher {
  /** The same for selectors that say the same; fit as a key. */
  readonly key: string;
  matches(labels: Labels | undefined): boolean;
}

const none: Labels = {};

function requirementHolds(requirement: Requirement, labels: Labels): boolean {
  const value = labels[requirement.key];
  const values = requirement.values ?? [];
  switch (requirement.operator) {
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
      if (value === undefined || bound === undefined || !/^[+-]?\d+$/u.test(value) || !/^[+-]?\d+$/u.test(bound))
        return false;
      return requirement.operator === 'Gt' ? Number(value) > Number(bound) : Number(value) < Number(bound);
    }
    default:
      return false;
  }
}

const nothing: LabelMatcher = { key: '!', matches: () => false };

/** Compiles metav1.LabelSelector; undefined, or one that the API would not admit, selects nothing, an empty one everything. */
export function compileLabelSelector(selector: LabelSelector | undefined): LabelMatcher {
  if (selector === undefined) return nothing;
  try {
    const compiled = labelSelectorFrom(selector);
    return { key: compiled.toString(), matches: (labels) => compiled.matches(labels) };
  } catch (error) {
    if (isStatusError(error)) return nothing;
    throw error;
  }
}

/** Compiles a map of labels that must all be there, such as a Service's selector. */
export function compileLabelSet(labels: Labels): LabelMatcher {
  return compileLabelSelector({ matchLabels: { ...labels } });
}

/** All of them must match. */
export function matchAll(matchers: readonly LabelMatcher[]): LabelMatcher {
  const [only] = matchers;
  if (matchers.length === 1 && only !== undefined) return only;
  return {
    key: [...new Set(matchers.map((each) => each.key))].sort().join(';'),
    matches: (labels) => matchers.every((each) => each.matches(labels)),
  };
}

/** A term without any requirement matches no node, as upstream has it. */
export function nodeSelectorTermMatches(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  const labels: Labels = node.metadata.labels ?? none;
  const nodeFields: Labels = { 'metadata.name': node.metadata.name ?? '' };
  return (
    expressions.every((each) => requirementHolds(each as Requirement, labels)) &&
    fields.every((each) => requirementHolds(each as Requirement, nodeFields))
  );
}
