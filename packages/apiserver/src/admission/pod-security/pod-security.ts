/** PodSecurity: the labels of a namespace say which pods it takes (k8s.io/pod-security-admission). */
import { equalJson, fieldInvalid, namespaces, newInvalid, pods, type Labels, type Pod } from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from '../admission.ts';
import { isResource, refuse } from '../refusal.ts';
import { baselineChecks, type Check } from './baseline-checks.ts';
import type { PodSpec, Violation } from './containers.ts';
import {
  defaultPodSecurityConfig,
  levels,
  policyVersion,
  type Level,
  type Mode,
  type PodSecurityConfig,
  type Policy,
} from './pod-security-config.ts';
import { restrictedChecks, restrictedSince } from './restricted-checks.ts';

const PREFIX = 'pod-security.kubernetes.io/';

/** Pods of a namespace that are looked at when its level changes. */
const EXISTING_PODS_MAX = 3000;

/** Kinds that make pods, and where their template is. */
const templates: Readonly<Record<string, readonly string[]>> = {
  'cronjobs.batch': ['spec', 'jobTemplate', 'spec', 'template'],
  'daemonsets.apps': ['spec', 'template'],
  'deployments.apps': ['spec', 'template'],
  'jobs.batch': ['spec', 'template'],
  'podtemplates.': ['template'],
  'replicasets.apps': ['spec', 'template'],
  'replicationcontrollers.': ['spec', 'template'],
  'statefulsets.apps': ['spec', 'template'],
};

type PolicyOf = (mode: Mode) => Policy;

export function podSecurity(config = defaultPodSecurityConfig): AdmissionPlugin {
  return {
    name: 'PodSecurity',
    handles: (operation, resource, subresource) =>
      (operation === 'CREATE' || operation === 'UPDATE') &&
      (isResource(resource, '', 'pods')
        ? subresource === '' || subresource === 'ephemeralcontainers'
        : subresource === '' &&
          (isResource(resource, '', 'namespaces') ||
            templates[`${resource.resource}.${resource.group}`] !== undefined)),
    validate(attributes, store) {
      const { resource, namespace } = attributes;
      if (isResource(resource, '', 'namespaces')) {
        checkNamespace(attributes, store, config);
        return;
      }
      const found = store.get(namespaces, '', namespace);
      if (found === undefined) return;
      const isPod = isResource(resource, '', 'pods');
      const spec = isPod ? (attributes.object as Pod | undefined)?.spec : templateOf(attributes)?.spec;
      const exemption = exemptionOf(attributes, spec, config);
      if (exemption !== undefined) {
        attributes.annotate?.(`${PREFIX}exempt`, exemption);
        return;
      }
      const policyOf = policiesOf(found.metadata.labels, config);
      if (isPod) checkPod(attributes, policyOf);
      else checkTemplate(attributes, policyOf);
    },
  };
}

/** Why nothing is checked; undefined: it is. */
function exemptionOf(
  { namespace, user }: AdmissionAttributes,
  spec: PodSpec | undefined,
  { exemptions }: PodSecurityConfig,
): string | undefined {
  if (exemptions.namespaces.includes(namespace)) return 'namespace';
  if (exemptions.usernames.includes(user.name)) return 'user';
  return exemptions.runtimeClasses.includes(spec?.runtimeClassName ?? '') ? 'runtimeClass' : undefined;
}

function policiesOf(labels: Labels | undefined, { defaults }: PodSecurityConfig): PolicyOf {
  return (mode) => ({
    level: levels.find((each) => each === labels?.[`${PREFIX}${mode}`]) ?? defaults[mode].level,
    version: labels?.[`${PREFIX}${mode}-version`] ?? defaults[mode].version,
  });
}

/** What is wrong with a pod, as one text; undefined: nothing. */
export function violations(
  { level, version }: Policy,
  spec: PodSpec,
  annotations: Readonly<Record<string, string>> = {},
): string | undefined {
  if (level === 'privileged') return undefined;
  // Versions that are not known yet are as the latest.
  const minor = version === 'latest' ? Infinity : Number(version.slice('v1.'.length));
  const found = checksOf(level, minor)
    .map((check) => check(spec, annotations, minor))
    .filter((each): each is Violation => each !== undefined);
  if (found.length === 0) return undefined;
  return found.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ');
}

function checksOf(level: Level, minor: number): readonly Check[] {
  if (level === 'baseline') return Object.values(baselineChecks);
  const restricted = Object.entries(restrictedChecks).filter(([name]) => (restrictedSince[name] ?? 0) <= minor);
  const replaced = new Set(restricted.map(([name]) => name));
  const others = Object.entries(baselineChecks).filter(([name]) => !replaced.has(name));
  return [...others, ...restricted].map(([, check]) => check);
}

function checkPod(attributes: AdmissionAttributes, policyOf: PolicyOf): void {
  const pod = attributes.object as Pod | undefined;
  const old = attributes.oldObject as Pod | undefined;
  if (pod?.spec === undefined || (old !== undefined && !isSignificant(pod, old))) return;
  const { annotations } = pod.metadata;
  const enforce = policyOf('enforce');
  const problem = violations(enforce, pod.spec, annotations);
  if (problem !== undefined)
    throw refuse(attributes, `violates PodSecurity "${enforce.level}:${enforce.version}": ${problem}`);
  tell(attributes, policyOf, pod.spec, annotations);
}

type Template = Pick<Pod, 'spec'> & { readonly metadata?: { readonly annotations?: Record<string, string> } };

function templateOf({ resource, object }: AdmissionAttributes): Template | undefined {
  let at: unknown = object;
  for (const field of templates[`${resource.resource}.${resource.group}`] ?? [])
    at = (at as Readonly<Record<string, unknown>> | undefined)?.[field];
  return at as Template | undefined;
}

function checkTemplate(attributes: AdmissionAttributes, policyOf: PolicyOf): void {
  const template = templateOf(attributes);
  if (template?.spec !== undefined) tell(attributes, policyOf, template.spec, template.metadata?.annotations);
}

/** Warns and annotates, where the labels want it. */
function tell(
  attributes: AdmissionAttributes,
  policyOf: PolicyOf,
  spec: PodSpec,
  annotations: Readonly<Record<string, string>> | undefined,
): void {
  for (const mode of ['audit', 'warn'] as const) {
    const policy = policyOf(mode);
    const problem = violations(policy, spec, annotations);
    if (problem === undefined) continue;
    const text = `would violate PodSecurity "${policy.level}:${policy.version}": ${problem}`;
    if (mode === 'warn') attributes.warn(text);
    else attributes.annotate?.(`${PREFIX}audit-violations`, text);
  }
}

/** Whether an update can make a pod worse: all else of its security is immutable. */
function isSignificant(pod: Pod, old: Pod): boolean {
  const relevant = ({ spec }: Pod): unknown => [
    spec?.containers.map(({ image }) => image),
    spec?.initContainers?.map(({ image }) => image),
    spec?.ephemeralContainers,
  ];
  return !equalJson(relevant(pod), relevant(old));
}

function checkNamespace(attributes: AdmissionAttributes, store: AdmissionStore, config: PodSecurityConfig): void {
  const { object, oldObject, resource } = attributes;
  const labels = object?.metadata.labels ?? {};
  const errors = Object.entries(labels).flatMap(([key, value]) => {
    const mode = /^pod-security\.kubernetes\.io\/(?:enforce|audit|warn)(-version)?$/u.exec(key);
    if (mode === null) return [];
    const field = `metadata.labels[${key}]`;
    if (mode[1] === undefined)
      return levels.some((each) => each === value)
        ? []
        : [fieldInvalid(field, value, `must be one of ${levels.join(', ')}`)];
    return policyVersion.test(value) ? [] : [fieldInvalid(field, value, 'must be "latest" or "v1.x"')];
  });
  // What was wrong before may stay.
  if (errors.length > 0 && !equalJson(labels, oldObject?.metadata.labels))
    throw newInvalid({ group: resource.group, kind: resource.kind }, object?.metadata.name ?? '', errors);
  if (oldObject === undefined || config.exemptions.namespaces.includes(object?.metadata.name ?? '')) return;
  const now = policiesOf(labels, config)('enforce');
  const before = policiesOf(oldObject.metadata.labels, config)('enforce');
  const isStricter = levels.indexOf(now.level) > levels.indexOf(before.level);
  if (isStricter || now.version !== before.version) warnOfPods(attributes, store, now, config);
}

function warnOfPods(
  attributes: AdmissionAttributes,
  store: AdmissionStore,
  policy: Policy,
  { exemptions }: PodSecurityConfig,
): void {
  const name = attributes.object?.metadata.name ?? '';
  const byProblem = new Map<string, string[]>();
  for (const pod of store.list(pods, name).slice(0, EXISTING_PODS_MAX)) {
    if (pod.spec === undefined || exemptions.runtimeClasses.includes(pod.spec.runtimeClassName ?? '')) continue;
    const problem = violations(policy, pod.spec, pod.metadata.annotations);
    if (problem === undefined) continue;
    // The details differ from pod to pod; the reasons tell what it is about.
    const reasons = problem.replaceAll(/ \([^()]*\)/gu, '');
    byProblem.set(reasons, [...(byProblem.get(reasons) ?? []), pod.metadata.name ?? '']);
  }
  if (byProblem.size === 0) return;
  attributes.warn(
    `existing pods in namespace ${JSON.stringify(name)} violate the new PodSecurity enforce level "${policy.level}:${policy.version}"`,
  );
  for (const [reasons, [first = '', ...others]] of byProblem) {
    const more = others.length === 0 ? '' : ` (and ${others.length} other pod${others.length === 1 ? '' : 's'})`;
    attributes.warn(`${first}${more}: ${reasons}`);
  }
}
