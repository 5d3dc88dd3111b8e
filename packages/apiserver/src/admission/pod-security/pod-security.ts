/** PodSecurity: the labels of a namespace say which pods it takes (k8s.io/pod-security-admission). */
import { equalJson, fieldInvalid, namespaces, newInvalid, pods, type Labels, type Pod } from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from '../admission.ts';
import { isResource, refuse } from '../refusal.ts';
import { baselineChecks } from './baseline-checks.ts';
import type { PodSpec, Violation } from './containers.ts';
import { restrictedChecks } from './restricted-checks.ts';

const PREFIX = 'pod-security.kubernetes.io/';
const levels = ['privileged', 'baseline', 'restricted'] as const;
type Level = (typeof levels)[number];
type Mode = 'enforce' | 'audit' | 'warn';

/** Pods of a namespace that are looked at when its level changes. */
const EXISTING_PODS_MAX = 3000;

interface Policy {
  readonly level: Level;
  readonly version: string;
}

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

export const podSecurity: AdmissionPlugin = {
  name: 'PodSecurity',
  handles: (operation, resource, subresource) =>
    (operation === 'CREATE' || operation === 'UPDATE') &&
    (isResource(resource, '', 'pods')
      ? subresource === '' || subresource === 'ephemeralcontainers'
      : subresource === '' &&
        (isResource(resource, '', 'namespaces') || templates[`${resource.resource}.${resource.group}`] !== undefined)),
  validate(attributes, store) {
    const { resource, namespace } = attributes;
    if (isResource(resource, '', 'namespaces')) {
      checkNamespace(attributes, store);
      return;
    }
    const labels = store.get(namespaces, '', namespace)?.metadata.labels;
    if (labels === undefined) return;
    if (isResource(resource, '', 'pods')) checkPod(attributes, labels);
    else checkTemplate(attributes, labels);
  },
};

function policyOf(labels: Labels, mode: Mode): Policy {
  const level = levels.find((each) => each === labels[`${PREFIX}${mode}`]) ?? 'privileged';
  return { level, version: labels[`${PREFIX}${mode}-version`] ?? 'latest' };
}

/** What is wrong with a pod, as one text; undefined: nothing. */
export function violations(
  level: Level,
  spec: PodSpec,
  annotations: Readonly<Record<string, string>> = {},
): string | undefined {
  if (level === 'privileged') return undefined;
  const checks = level === 'baseline' ? baselineChecks : { ...baselineOnly, ...restrictedChecks };
  const found = Object.values(checks)
    .map((check) => check(spec, annotations))
    .filter((each): each is Violation => each !== undefined);
  if (found.length === 0) return undefined;
  return found.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ');
}

const baselineOnly = Object.fromEntries(
  Object.entries(baselineChecks).filter(([name]) => !Object.hasOwn(restrictedChecks, name)),
);

function checkPod(attributes: AdmissionAttributes, labels: Labels): void {
  const pod = attributes.object as Pod | undefined;
  const old = attributes.oldObject as Pod | undefined;
  if (pod?.spec === undefined || (old !== undefined && !isSignificant(pod, old))) return;
  const { annotations } = pod.metadata;
  const enforce = policyOf(labels, 'enforce');
  const problem = violations(enforce.level, pod.spec, annotations);
  if (problem !== undefined)
    throw refuse(attributes, `violates PodSecurity "${enforce.level}:${enforce.version}": ${problem}`);
  tell(attributes, labels, pod.spec, annotations);
}

function checkTemplate(attributes: AdmissionAttributes, labels: Labels): void {
  const { resource, object } = attributes;
  let at: unknown = object;
  for (const field of templates[`${resource.resource}.${resource.group}`] ?? [])
    at = (at as Readonly<Record<string, unknown>> | undefined)?.[field];
  const template = at as Pick<Pod, 'spec'> & { readonly metadata?: { readonly annotations?: Record<string, string> } };
  if (template?.spec !== undefined) tell(attributes, labels, template.spec, template.metadata?.annotations);
}

/** Warns and annotates, where the labels want it. */
function tell(
  attributes: AdmissionAttributes,
  labels: Labels,
  spec: PodSpec,
  annotations: Readonly<Record<string, string>> | undefined,
): void {
  for (const mode of ['audit', 'warn'] as const) {
    const { level, version } = policyOf(labels, mode);
    const problem = violations(level, spec, annotations);
    if (problem === undefined) continue;
    const text = `would violate PodSecurity "${level}:${version}": ${problem}`;
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

function checkNamespace(attributes: AdmissionAttributes, store: AdmissionStore): void {
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
    return /^(?:latest|v1\.\d+)$/u.test(value) ? [] : [fieldInvalid(field, value, 'must be "latest" or "v1.x"')];
  });
  // What was wrong before may stay.
  if (errors.length > 0 && !equalJson(labels, oldObject?.metadata.labels))
    throw newInvalid({ group: resource.group, kind: resource.kind }, object?.metadata.name ?? '', errors);
  const { level, version } = policyOf(labels, 'enforce');
  const before = policyOf(oldObject?.metadata.labels ?? {}, 'enforce');
  if (oldObject !== undefined && levels.indexOf(level) > levels.indexOf(before.level))
    warnOfPods(attributes, store, { level, version });
}

function warnOfPods(attributes: AdmissionAttributes, store: AdmissionStore, { level, version }: Policy): void {
  const name = attributes.object?.metadata.name ?? '';
  const byProblem = new Map<string, string[]>();
  for (const pod of store.list(pods, name).slice(0, EXISTING_PODS_MAX)) {
    const problem = pod.spec === undefined ? undefined : violations(level, pod.spec, pod.metadata.annotations);
    if (problem === undefined) continue;
    // The details differ from pod to pod; the reasons tell what it is about.
    const reasons = problem.replaceAll(/ \([^()]*\)/gu, '');
    byProblem.set(reasons, [...(byProblem.get(reasons) ?? []), pod.metadata.name ?? '']);
  }
  if (byProblem.size === 0) return;
  attributes.warn(
    `existing pods in namespace ${JSON.stringify(name)} violate the new PodSecurity enforce level "${level}:${version}"`,
  );
  for (const [reasons, [first = '', ...others]] of byProblem) {
    const more = others.length === 0 ? '' : ` (and ${others.length} other pod${others.length === 1 ? '' : 's'})`;
    attributes.warn(`${first}${more}: ${reasons}`);
  }
}
