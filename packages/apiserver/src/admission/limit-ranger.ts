import {
  limitRanges,
  parseQuantity,
  podLimits,
  podRequests,
  type Amounts,
  type Container,
  type LimitRange,
  type PersistentVolumeClaim,
  type Pod,
  type PodSpec,
} from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { isResource, refuse } from './refusal.ts';

type Limit = NonNullable<LimitRange['spec']>['limits'][number];
type Resources = Readonly<Record<string, string>>;

/** Containers, pods and claims keep to the LimitRanges of their namespace, and get their defaults from them. */
export const limitRanger: AdmissionPlugin = {
  name: 'LimitRanger',
  handles: (operation, resource, subresource) =>
    subresource === '' &&
    ((operation === 'CREATE' && isResource(resource, '', 'pods')) ||
      ((operation === 'CREATE' || operation === 'UPDATE') && isResource(resource, '', 'persistentvolumeclaims'))),
  admit({ object, namespace, resource }, store) {
    if (resource.resource !== 'pods') return;
    const pod = object as Pod | undefined;
    const spec = pod?.spec;
    if (pod === undefined || spec === undefined) return;
    for (const limitRange of store.list(limitRanges, namespace)) {
      const limit = (limitRange.spec?.limits ?? []).find(({ type }) => type === 'Container');
      if (limit === undefined) continue;
      const limits = (limit as { readonly default?: Resources }).default ?? {};
      const requests = (limit.defaultRequest ?? {}) as Resources;
      const set = [
        ...(spec.containers ?? []).flatMap((each) => setDefaults(each, limits, requests, 'container')),
        ...(spec.initContainers ?? []).flatMap((each) => setDefaults(each, limits, requests, 'init container')),
      ];
      if (set.length > 0)
        ((pod.metadata ??= {}).annotations ??= {})['kubernetes.io/limit-ranger'] =
          `LimitRanger plugin set: ${set.join('; ')}`;
    }
  },
  validate(attributes, store) {
    const problems = store
      .list(limitRanges, attributes.namespace)
      .flatMap(({ spec }) => spec?.limits ?? [])
      .flatMap((limit) => problemsOf(attributes, limit));
    if (problems.length > 0)
      throw refuse(attributes, problems.length === 1 ? (problems[0] ?? '') : `[${problems.join(', ')}]`);
  },
};

/** Returns what was set, for the annotation that tells. */
function setDefaults(container: Container, limits: Resources, requests: Resources, role: string): string[] {
  container.resources ??= {};
  const given = { request: container.resources.requests ?? {}, limit: container.resources.limits ?? {} };
  const { resources } = container;
  // A request that the limit alone gives is the limit, not the default request.
  const implied = { ...requests, ...resources.limits };
  if (Object.keys(limits).length > 0) resources.limits = { ...limits, ...resources.limits };
  if (Object.keys(implied).length > 0) {
    const defaulted = Object.fromEntries(Object.keys(requests).map((name) => [name, implied[name] ?? '0']));
    resources.requests = { ...defaulted, ...resources.requests };
  }
  const set = { request: resources.requests ?? {}, limit: resources.limits ?? {} };
  return (['request', 'limit'] as const).flatMap((what) => {
    const names = Object.keys(set[what]).filter((name) => !Object.hasOwn(given[what], name));
    return names.length === 0 ? [] : [`${names.toSorted().join(', ')} ${what} for ${role} ${container.name}`];
  });
}

function problemsOf(attributes: AdmissionAttributes, limit: Limit): string[] {
  if (attributes.resource.resource === 'persistentvolumeclaims') {
    if (limit.type !== 'PersistentVolumeClaim') return [];
    const spec = (attributes.object as PersistentVolumeClaim | undefined)?.spec;
    return check(limit, spec?.resources?.requests ?? {}, {});
  }
  const spec = (attributes.object as Pod | undefined)?.spec;
  if (spec === undefined) return [];
  switch (limit.type) {
    case 'Container':
      return [...(spec.containers ?? []), ...(spec.initContainers ?? [])].flatMap(({ resources }) =>
        check(limit, (resources?.requests ?? {}) as Resources, (resources?.limits ?? {}) as Resources),
      );
    case 'Pod':
      return check(limit, textsOf(podRequests(withoutOverhead(spec))), textsOf(podLimits(withoutOverhead(spec))));
    default:
      return [];
  }
}

function withoutOverhead({ overhead: _overhead, ...spec }: PodSpec): PodSpec {
  return spec;
}

function textsOf(amounts: Amounts): Resources {
  return Object.fromEntries([...amounts].map(([name, quantity]) => [name, quantity.toString()]));
}

function check(limit: Limit, requests: Resources, limits: Resources): string[] {
  const { type } = limit;
  const problems: string[] = [];
  for (const [name, min] of Object.entries((limit.min ?? {}) as Resources)) {
    const text = requests[name];
    const base = `minimum ${name} usage per ${type} is ${min}`;
    if (text === undefined) problems.push(`${base}.  No request is specified`);
    else if (parseQuantity(text).compare(parseQuantity(min)) < 0) problems.push(`${base}, but request is ${text}`);
  }
  for (const [name, max] of Object.entries((limit.max ?? {}) as Resources)) {
    const isClaim = type === 'PersistentVolumeClaim';
    const text = isClaim ? requests[name] : limits[name];
    const word = isClaim ? 'request' : 'limit';
    const base = `maximum ${name} usage per ${type} is ${max}`;
    if (text === undefined) problems.push(`${base}.  No ${word} is specified`);
    else if (parseQuantity(text).compare(parseQuantity(max)) > 0) problems.push(`${base}, but ${word} is ${text}`);
  }
  for (const [name, ratio] of Object.entries((limit.maxLimitRequestRatio ?? {}) as Resources)) {
    const problem = ratioProblem(
      `${name} max limit to request ratio per ${type} is ${ratio}`,
      ratio,
      requests[name],
      limits[name],
    );
    if (problem !== undefined) problems.push(problem);
  }
  return problems;
}

function ratioProblem(base: string, ratio: string, request = '0', limit = '0'): string | undefined {
  const [low, high] = [parseQuantity(request).toNumber(), parseQuantity(limit).toNumber()];
  if (low === 0) return `${base}, but no request is specified or request is 0`;
  if (high === 0) return `${base}, but no limit is specified or limit is 0`;
  const observed = high / low;
  return observed > parseQuantity(ratio).toNumber()
    ? `${base}, but provided ratio is ${observed.toFixed(6)}`
    : undefined;
}
