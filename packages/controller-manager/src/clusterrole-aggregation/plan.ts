/** Rules of a ClusterRole that is made of others. */
import { labelSelectorFrom, type ClusterRole, type PolicyRule } from '@naru/api';
import { canonicalJson } from '../canonical-json-plan.ts';

/** The rules of all that the role's selectors match, each once; undefined when it has them, or aggregates nothing. */
export function planRules(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] | undefined {
  if (role.aggregationRule === undefined) return undefined;
  const rules = new Map<string, PolicyRule>();
  const byName = all.toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
  for (const each of role.aggregationRule.clusterRoleSelectors ?? []) {
    const selector = labelSelectorFrom(each);
    for (const { metadata, rules: others } of byName) {
      if (metadata.name === role.metadata.name || !selector.matches(metadata.labels)) continue;
      for (const rule of others ?? []) rules.set(canonicalJson(rule), rule);
    }
  }
  const wanted = [...rules.values()];
  return canonicalJson(wanted) === canonicalJson(role.rules ?? []) ? undefined : wanted;
}
