/** Which requests a webhook or a policy is about: rules, scope and selectors (k8s.io/apiserver/pkg/admission/plugin/webhook/predicates). */
import { labelSelectorFrom, namespaces, type Labels, type LabelSelector, type Resource } from '@naru/api';
import type { AdmissionAttributes, AdmissionStore } from '../admission.ts';

export interface Rule {
  readonly apiGroups?: readonly string[];
  readonly apiVersions?: readonly string[];
  readonly resources?: readonly string[];
  readonly operations?: readonly string[];
  readonly scope?: string;
  readonly resourceNames?: readonly string[];
}

export interface MatchCriteria {
  readonly rules: readonly Rule[];
  readonly excludeRules?: readonly Rule[];
  readonly matchPolicy?: string | undefined;
  readonly namespaceSelector?: LabelSelector | undefined;
  readonly objectSelector?: LabelSelector | undefined;
}

/** Kinds that change what admission does: nothing that they configure may be asked about them. */
const exempt: ReadonlySet<string> = new Set([
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
]);

export function isExempt({ group, resource }: Resource): boolean {
  return group === 'admissionregistration.k8s.io' && exempt.has(resource);
}

/** The resource in the version in which the criteria name it; undefined: they are not about this request. */
export function matchedResource(
  criteria: MatchCriteria,
  attributes: AdmissionAttributes,
  store: AdmissionStore,
): Resource | undefined {
  const resource = resourceByRules(criteria, attributes);
  if (resource === undefined) return undefined;
  if (!matchesNamespace(criteria.namespaceSelector, attributes, store)) return undefined;
  return matchesObject(criteria.objectSelector, attributes) ? resource : undefined;
}

function resourceByRules(
  { rules, excludeRules = [], matchPolicy }: MatchCriteria,
  attributes: AdmissionAttributes,
): Resource | undefined {
  const { resource, equivalents } = attributes;
  const { version } = resource;
  if (excludeRules.some((rule) => matchesRule(rule, attributes, version))) return undefined;
  if (rules.some((rule) => matchesRule(rule, attributes, version))) return resource;
  if (matchPolicy === 'Exact') return undefined;
  return equivalents?.resources.find(
    (other) => other.version !== version && rules.some((rule) => matchesRule(rule, attributes, other.version)),
  );
}

function matchesRule(rule: Rule, attributes: AdmissionAttributes, version: string): boolean {
  const { operation, resource, name, object } = attributes;
  const has = (list: readonly string[] | undefined, value: string): boolean =>
    list?.includes('*') === true || list?.includes(value) === true;
  if (rule.scope === 'Namespaced' && (!resource.namespaced || isNamespace(resource))) return false;
  if (rule.scope === 'Cluster' && resource.namespaced) return false;
  const names = rule.resourceNames ?? [];
  const objectName = name === '' ? (object?.metadata.name ?? '') : name;
  return (
    has(rule.operations, operation) &&
    has(rule.apiGroups, resource.group) &&
    has(rule.apiVersions, version) &&
    (rule.resources ?? []).some((each) => matchesResource(each, resource.resource, attributes.subresource)) &&
    (names.length === 0 || names.includes(objectName))
  );
}

/** `pods`, `pods/log`, `*` and both halves with a star. */
function matchesResource(pattern: string, resource: string, subresource: string): boolean {
  const [wanted = '', wantedSub = ''] = pattern.split('/');
  if (wanted !== '*' && wanted !== resource) return false;
  return wantedSub === '*' || wantedSub === subresource;
}

function isNamespace({ group, resource }: Resource): boolean {
  return group === '' && resource === 'namespaces';
}

function isEmpty(selector: LabelSelector | undefined): boolean {
  return (
    selector === undefined ||
    (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0)
  );
}

function matchesNamespace(
  selector: LabelSelector | undefined,
  { resource, namespace, object, oldObject }: AdmissionAttributes,
  store: AdmissionStore,
): boolean {
  if (isEmpty(selector)) return true;
  let labels: Labels | undefined;
  if (isNamespace(resource)) labels = (object ?? oldObject)?.metadata.labels;
  else if (namespace === '') return true;
  else labels = store.get(namespaces, '', namespace)?.metadata.labels;
  return labelSelectorFrom(selector).matches(labels);
}

function matchesObject(selector: LabelSelector | undefined, { object, oldObject }: AdmissionAttributes): boolean {
  if (isEmpty(selector)) return true;
  const compiled = labelSelectorFrom(selector);
  return [object, oldObject].some((each) => each?.metadata !== undefined && compiled.matches(each.metadata.labels));
}
