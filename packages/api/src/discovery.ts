/**
 * Discovery documents: which groups, versions and resources there are, in the legacy form (APIVersions, APIGroupList,
 * APIResourceList) and the aggregated one (apidiscovery.k8s.io/v2).
 */
import { apiVersionOf, type Resource } from './resource.ts';

export interface ApiGroup {
  readonly name: string;
  /** The preferred one first. */
  readonly versions: readonly string[];
}

/** Upstream's order of its groups; others follow in the order of their names. */
const groupOrder: readonly string[] = [
  '',
  'apiregistration.k8s.io',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'resource.k8s.io',
  'flowcontrol.apiserver.k8s.io',
];

function groupRank(group: string): number {
  const at = groupOrder.indexOf(group);
  return at === -1 ? groupOrder.length : at;
}

/** GA before beta before alpha, then the higher number; what is no version of Kubernetes comes last. */
export function compareVersions(a: string, b: string): number {
  const rank = (text: string): readonly [number, number, number] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/u.exec(text);
    if (match === null) return [-1, 0, 0];
    const [, major, stage, minor = '0'] = match;
    return [stage === undefined ? 2 : stage === 'beta' ? 1 : 0, Number(major), Number(minor)];
  };
  const [left, right] = [rank(a), rank(b)];
  return right[0] - left[0] || right[1] - left[1] || right[2] - left[2] || (a < b ? -1 : a > b ? 1 : 0);
}

/** The groups of these resources, core included, in upstream's order. */
export function apiGroupsOf(resources: Iterable<Resource>): ApiGroup[] {
  const versions = new Map<string, Set<string>>();
  for (const { group, version } of resources) {
    const known = versions.get(group);
    if (known === undefined) versions.set(group, new Set([version]));
    else known.add(version);
  }
  return [...versions]
    .map(([name, all]) => ({ name, versions: [...all].toSorted(compareVersions) }))
    .toSorted((a, b) => groupRank(a.name) - groupRank(b.name) || (a.name < b.name ? -1 : 1));
}

/** The document at `/api`. `serverAddress` is host and port of this server. */
export function apiVersionsDocument(resources: Iterable<Resource>, serverAddress: string): object {
  return {
    kind: 'APIVersions',
    versions: apiGroupsOf(resources).find(({ name }) => name === '')?.versions ?? [],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

function groupBody({ name, versions }: ApiGroup): object {
  const all = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: all, preferredVersion: all[0] };
}

/** The document at `/apis`. */
export function apiGroupListDocument(resources: Iterable<Resource>): object {
  const groups = apiGroupsOf(resources).filter(({ name }) => name !== '');
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(groupBody) };
}

/** The document at `/apis/GROUP`; undefined where there is no such group. */
export function apiGroupDocument(resources: Iterable<Resource>, group: string): object | undefined {
  const found = apiGroupsOf(resources).find(({ name }) => name === group);
  return found === undefined || group === '' ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...groupBody(found) };
}

function namesOf({ shortNames, categories }: Resource): object {
  return {
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
}

function apiResources(resource: Resource): object[] {
  const { namespaced, kind, singular, verbs } = resource;
  return [
    { name: resource.resource, singularName: singular, namespaced, kind, verbs, ...namesOf(resource) },
    ...resource.subresources.map((each) => ({
      name: `${resource.resource}/${each.name}`,
      singularName: '',
      namespaced,
      ...(each.group === undefined ? {} : { group: each.group }),
      ...(each.version === undefined ? {} : { version: each.version }),
      kind: each.kind ?? kind,
      verbs: each.verbs,
    })),
  ];
}

/** The document at `/api/v1` or `/apis/GROUP/VERSION`; undefined where there is no such group version. */
export function apiResourceListDocument(
  resources: Iterable<Resource>,
  { group, version }: { readonly group: string; readonly version: string },
): object | undefined {
  const own = [...resources].filter((each) => each.group === group && each.version === version);
  if (own.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    ...(group === '' ? {} : { apiVersion: 'v1' }),
    groupVersion: apiVersionOf({ group, version }),
    resources: own.flatMap(apiResources),
  };
}

/** Group and version are told only where they are not those of the list. */
function responseKind(kind: string, group = '', version = ''): object {
  return { group, version, kind };
}

function resourceDiscovery(resource: Resource): object {
  const { kind, singular, verbs, subresources } = resource;
  return {
    resource: resource.resource,
    responseKind: responseKind(kind),
    scope: resource.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs,
    ...namesOf(resource),
    ...(subresources.length === 0
      ? {}
      : {
          subresources: subresources.map((each) => ({
            subresource: each.name,
            responseKind: responseKind(each.kind ?? kind, each.group, each.version),
            verbs: each.verbs,
          })),
        }),
  };
}

/** The aggregated document: at `/api` of the core group, at `/apis` of all others. */
export function aggregatedDiscoveryDocument(resources: Iterable<Resource>, at: '/api' | '/apis'): object {
  const all = [...resources];
  const groups = apiGroupsOf(all).filter(({ name }) => (name === '') === (at === '/api'));
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map(({ name, versions }) => ({
      metadata: name === '' ? {} : { name },
      versions: versions.map((version) => ({
        version,
        resources: all.filter((each) => each.group === name && each.version === version).map(resourceDiscovery),
        freshness: 'Current',
      })),
    })),
  };
}
