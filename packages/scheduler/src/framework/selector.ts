import { isStatusError, labelSelectorFrom, selectorFromSet, type LabelSelector, type Labels } from '@naru/api';

export type { Labels };

/** A label selector made ready to be asked often. */
export interface LabelMatcher {
  /** The same for selectors that say the same; fit as a key. */
  readonly key: string;
  matches(labels: Labels | undefined): boolean;
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
  const compiled = selectorFromSet(labels);
  return { key: compiled.toString(), matches: (others) => compiled.matches(others) };
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
