import type { AuthorizationAttributes } from './authorizer.ts';

/** rbac.authorization.k8s.io/v1 PolicyRule. */
export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

/** Whether a rule allows a request. */
export function ruleAllows(rule: PolicyRule, attributes: AuthorizationAttributes): boolean {
  if (!hasOrAll(rule.verbs, attributes.verb)) return false;
  if (!attributes.isResourceRequest)
    return (rule.nonResourceURLs ?? []).some((url) => urlMatches(url, attributes.path));
  return (
    hasOrAll(rule.apiGroups, attributes.group) &&
    resourceMatches(rule.resources, attributes.resource, attributes.subresource) &&
    nameMatches(rule.resourceNames, attributes.name)
  );
}

function hasOrAll(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes('*') || list.includes(value));
}

function resourceMatches(list: readonly string[] | undefined, resource: string, subresource: string): boolean {
  if (list === undefined) return false;
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  return list.some((each) => each === '*' || each === combined || (subresource !== '' && each === `*/${subresource}`));
}

function nameMatches(list: readonly string[] | undefined, name: string): boolean {
  return list === undefined || list.length === 0 || list.includes(name);
}

function urlMatches(pattern: string, path: string): boolean {
  if (pattern === '*' || pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/u, ''));
}

/**
 * The rules that `owner` does not cover, one per verb, group, resource and name, for the check that nobody grants more
 * than they have.
 */
export function uncoveredRules(owner: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakDown).filter((rule) => !owner.some((each) => covers(each, rule)));
}

function breakDown(rule: PolicyRule): PolicyRule[] {
  const rules: PolicyRule[] = [];
  for (const verb of rule.verbs) {
    for (const apiGroup of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const base = { verbs: [verb], apiGroups: [apiGroup], resources: [resource] };
        const names = rule.resourceNames ?? [];
        if (names.length === 0) rules.push(base);
        else rules.push(...names.map((name) => ({ ...base, resourceNames: [name] })));
      }
    }
    rules.push(...(rule.nonResourceURLs ?? []).map((url) => ({ verbs: [verb], nonResourceURLs: [url] })));
  }
  return rules;
}

function covers(owner: PolicyRule, rule: PolicyRule): boolean {
  if (!coversAll(owner.verbs, rule.verbs)) return false;
  const urls = rule.nonResourceURLs ?? [];
  if (urls.length > 0) {
    return urls.every((url) => (owner.nonResourceURLs ?? []).some((each) => each === url || urlMatches(each, url)));
  }
  const resources = rule.resources ?? [];
  const resourcesCovered = resources.every((resource) => {
    const slash = resource.indexOf('/');
    const owned = owner.resources ?? [];
    return (
      owned.includes('*') || owned.includes(resource) || (slash !== -1 && owned.includes(`*${resource.slice(slash)}`))
    );
  });
  const ownedNames = owner.resourceNames ?? [];
  const names = rule.resourceNames ?? [];
  const namesCovered =
    ownedNames.length === 0 || (names.length > 0 && names.every((name) => ownedNames.includes(name)));
  return coversAll(owner.apiGroups, rule.apiGroups) && resourcesCovered && namesCovered;
}

function coversAll(owner: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean {
  return owner !== undefined && (owner.includes('*') || (wanted ?? []).every((each) => owner.includes(each)));
}

/** A rule as upstream's escalation message shows it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`. */
export function formatRule(rule: PolicyRule): string {
  const shown: readonly (readonly [string, readonly string[] | undefined])[] = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['ResourceNames', rule.resourceNames],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['Verbs', rule.verbs],
  ];
  const parts = shown
    .filter(([, list]) => list !== undefined && list.length > 0)
    .map(([name, list]) => `${name}:[${(list ?? []).map((each) => JSON.stringify(each)).join(' ')}]`);
  return `{${parts.join(', ')}}`;
}
