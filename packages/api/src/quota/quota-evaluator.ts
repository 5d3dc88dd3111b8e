/**
 * What objects use of a ResourceQuota, by kind (k8s.io/kubernetes/pkg/quota/v1/evaluator/core and generic). Pods, Services
 * and PersistentVolumeClaims use resources of their own; of every kind the number of objects can be limited.
 */
import type { KubeObject, PersistentVolumeClaim, Pod, ResourceQuota, Service } from '../object.ts';
import { addAmounts, podLimits, podRequests, type Amounts } from '../pod-resources.ts';
import { newQuantity, parseQuantity, QuantityError, zeroQuantity, type Quantity } from '../quantity.ts';
import type { Resource } from '../resource.ts';
import { claimMeets, podMeets, scopesOf, type ScopeRequirement } from './quota-scopes.ts';

type GroupResource = Pick<Resource, 'group' | 'resource'>;

export interface QuotaEvaluator {
  readonly resource: GroupResource;
  /** Whether quota must be asked before this write. */
  handles(operation: string, subresource: string): boolean;
  /** Which of these names of a quota's resources the kind's objects use. */
  matchingResources(names: Iterable<string>): string[];
  meets(object: KubeObject, requirement: ScopeRequirement): boolean;
  /** What the object uses; `nowMs` tells pods that are past their grace period. */
  usage(object: KubeObject, nowMs: number): Map<string, Quantity>;
  /** Why an object cannot be counted: it does not say what these resources need to know. */
  constraintProblem?(required: readonly string[], object: KubeObject): string | undefined;
}

const one = newQuantity(1);

/** Kinds whose number had a name before `count/`. */
const plainNames: Readonly<Record<string, string>> = {
  'configmaps.': 'configmaps',
  'persistentvolumeclaims.': 'persistentvolumeclaims',
  'pods.': 'pods',
  'replicationcontrollers.': 'replicationcontrollers',
  'resourcequotas.': 'resourcequotas',
  'secrets.': 'secrets',
  'services.': 'services',
};

export function countName({ group, resource }: GroupResource): string {
  return `count/${resource}${group === '' ? '' : `.${group}`}`;
}

/** The resource that a quota's name counts objects of; undefined for names that count something else. */
export function countedResource(name: string): GroupResource | undefined {
  if (name.startsWith('count/')) {
    const [resource = '', ...group] = name.slice('count/'.length).split('.');
    return { group: group.join('.'), resource };
  }
  return Object.values(plainNames).includes(name) ? { group: '', resource: name } : undefined;
}

export function quotaEvaluator({ group, resource }: GroupResource): QuotaEvaluator {
  if (group === '' && resource === 'pods') return podEvaluator;
  if (group === '' && resource === 'services') return serviceEvaluator;
  if (group === '' && resource === 'persistentvolumeclaims') return claimEvaluator;
  return objectCountEvaluator({ group, resource });
}

function objectCountEvaluator(resource: GroupResource): QuotaEvaluator {
  const plain = plainNames[`${resource.resource}.${resource.group}`];
  const names = new Set([countName(resource), ...(plain === undefined ? [] : [plain])]);
  return {
    resource,
    handles: (operation, subresource) => operation === 'CREATE' && subresource === '',
    matchingResources: (wanted) => [...wanted].filter((name) => names.has(name)),
    meets: () => false,
    usage: () => new Map([...names].map((name) => [name, one])),
  };
}

const podResources: ReadonlySet<string> = new Set([
  'count/pods',
  'pods',
  'cpu',
  'memory',
  'ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
]);

/** Containers of pods in a namespace with a quota of these must say how much they want. */
const explicitResources: ReadonlySet<string> = new Set([
  'cpu',
  'memory',
  'requests.cpu',
  'requests.memory',
  'limits.cpu',
  'limits.memory',
]);

const HUGE_PAGES = 'hugepages-';
const REQUESTS = 'requests.';

function isExtendedResource(name: string): boolean {
  return name.includes('/') && !/(^|\.)kubernetes\.io\//u.test(name) && !name.startsWith(REQUESTS);
}

function computeUsage(requests: Amounts, limits: Amounts): Map<string, Quantity> {
  const usage = new Map<string, Quantity>([['pods', one]]);
  for (const [name, amount] of requests) {
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage' || name.startsWith(HUGE_PAGES)) {
      usage.set(name, amount);
      usage.set(`${REQUESTS}${name}`, amount);
    } else if (isExtendedResource(name)) usage.set(`${REQUESTS}${name}`, amount);
  }
  for (const name of ['cpu', 'memory', 'ephemeral-storage']) {
    const limit = limits.get(name);
    if (limit !== undefined) usage.set(`limits.${name}`, limit);
  }
  return usage;
}

/** A pod that has ended, or should have by now, uses nothing but its place in the store. */
function usesResources({ metadata, status }: Pod, nowMs: number): boolean {
  if (status?.phase === 'Failed' || status?.phase === 'Succeeded') return false;
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return true;
  return nowMs <= Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

const podEvaluator: QuotaEvaluator = {
  resource: { group: '', resource: 'pods' },
  handles: (operation, subresource) =>
    (operation === 'CREATE' && subresource === '') || (operation === 'UPDATE' && subresource === 'resize'),
  matchingResources: (names) =>
    [...names].filter(
      (name) =>
        podResources.has(name) ||
        name.startsWith(HUGE_PAGES) ||
        name.startsWith(`${REQUESTS}${HUGE_PAGES}`) ||
        (name.startsWith(REQUESTS) && isExtendedResource(name.slice(REQUESTS.length))),
    ),
  meets: (object, requirement) => podMeets(object, requirement),
  usage(object, nowMs) {
    const pod = object as Pod;
    const usage = usesResources(pod, nowMs)
      ? computeUsage(podRequests(pod.spec), podLimits(pod.spec))
      : new Map<string, Quantity>();
    return usage.set('count/pods', one);
  },
  constraintProblem(required, object) {
    const wanted = required.filter((name) => explicitResources.has(name));
    const { spec } = object as Pod;
    // Requests and limits of the pod as a whole are as good as those of each container.
    const podLevel = computeUsage(amounts(spec?.resources?.requests), amounts(spec?.resources?.limits));
    const missing = new Map<string, Set<string>>();
    for (const { name, resources } of [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])]) {
      const given = computeUsage(amounts(resources?.requests), amounts(resources?.limits));
      for (const each of wanted)
        if (!given.has(each) && !podLevel.has(each)) missing.set(each, (missing.get(each) ?? new Set()).add(name));
    }
    if (missing.size === 0) return undefined;
    const parts = [...missing].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `must specify ${parts.map(([name, containers]) => `${name} for: ${[...containers].toSorted().join(',')}`).join('; ')}`;
  },
};

function amounts(list: Readonly<Record<string, string>> | undefined): Map<string, Quantity> {
  return new Map(Object.keys(list ?? {}).map((name) => [name, zeroQuantity]));
}

const serviceResources: ReadonlySet<string> = new Set([
  'count/services',
  'services',
  'services.loadbalancers',
  'services.nodeports',
]);

const serviceEvaluator: QuotaEvaluator = {
  resource: { group: '', resource: 'services' },
  handles: (operation, subresource) => subresource === '' && (operation === 'CREATE' || operation === 'UPDATE'),
  matchingResources: (names) => [...names].filter((name) => serviceResources.has(name)),
  meets: () => false,
  usage(object) {
    const { type, ports = [], allocateLoadBalancerNodePorts } = (object as Service).spec ?? {};
    const usage = new Map([
      ['count/services', one],
      ['services', one],
      ['services.nodeports', zeroQuantity],
      ['services.loadbalancers', zeroQuantity],
    ]);
    const chosen = ports.filter(({ nodePort = 0 }) => nodePort !== 0).length;
    if (type === 'NodePort') usage.set('services.nodeports', newQuantity(ports.length));
    if (type === 'LoadBalancer') {
      usage.set('services.loadbalancers', one);
      usage.set('services.nodeports', newQuantity(allocateLoadBalancerNodePorts === false ? chosen : ports.length));
    }
    return usage;
  },
};

const CLASS_SUFFIX = '.storageclass.storage.k8s.io/';
const claimResources: ReadonlySet<string> = new Set([
  'count/persistentvolumeclaims',
  'persistentvolumeclaims',
  'requests.storage',
]);

const claimEvaluator: QuotaEvaluator = {
  resource: { group: '', resource: 'persistentvolumeclaims' },
  handles: (operation, subresource) => subresource === '' && (operation === 'CREATE' || operation === 'UPDATE'),
  matchingResources: (names) =>
    [...names].filter(
      (name) =>
        claimResources.has(name) ||
        name.endsWith(`${CLASS_SUFFIX}requests.storage`) ||
        name.endsWith(`${CLASS_SUFFIX}persistentvolumeclaims`),
    ),
  meets: claimMeets,
  usage(object) {
    const { spec, metadata, status } = object as PersistentVolumeClaim;
    const usage = new Map([
      ['count/persistentvolumeclaims', one],
      ['persistentvolumeclaims', one],
    ]);
    const storageClass =
      metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec?.storageClassName ?? '';
    if (storageClass !== '') usage.set(`${storageClass}${CLASS_SUFFIX}persistentvolumeclaims`, one);
    const requested = storageOf(spec?.resources?.requests);
    const allocated = storageOf(status?.allocatedResources);
    if (requested === undefined) return usage;
    // A claim that shrinks back after a failed expansion still has what was allocated.
    const storage = allocated !== undefined && allocated.compare(requested) > 0 ? allocated : requested;
    usage.set('requests.storage', storage);
    if (storageClass !== '') usage.set(`${storageClass}${CLASS_SUFFIX}requests.storage`, storage);
    return usage;
  },
};

function storageOf(list: Readonly<Record<string, string>> | undefined): Quantity | undefined {
  try {
    return list?.['storage'] === undefined ? undefined : parseQuantity(list['storage']);
  } catch (error) {
    if (error instanceof QuantityError) return undefined;
    throw error;
  }
}

/** Whether a quota counts an object: it limits what the object uses, and all its scopes are met. */
export function quotaMatches(quota: ResourceQuota, evaluator: QuotaEvaluator, object: KubeObject): boolean {
  if (evaluator.matchingResources(Object.keys(quota.status?.hard ?? quota.spec?.hard ?? {})).length === 0) return false;
  return scopesOf(quota).every((requirement) => evaluator.meets(object, requirement));
}

/** What objects of one kind use of the quota. */
export function quotaUsage(
  quota: ResourceQuota,
  evaluator: QuotaEvaluator,
  objects: Iterable<KubeObject>,
  nowMs: number,
): Map<string, Quantity> {
  const names = evaluator.matchingResources(Object.keys(quota.spec?.hard ?? {}));
  const total = new Map<string, Quantity>(names.map((name) => [name, zeroQuantity]));
  if (names.length === 0) return total;
  const scopes = scopesOf(quota);
  for (const object of objects) {
    if (!scopes.every((requirement) => evaluator.meets(object, requirement))) continue;
    const usage = evaluator.usage(object, nowMs);
    for (const name of names) {
      const amount = usage.get(name);
      if (amount !== undefined) addAmounts(total, new Map([[name, amount]]));
    }
  }
  return total;
}
