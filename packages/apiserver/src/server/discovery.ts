/** Discovery: which groups, versions and resources there are, in the legacy and the aggregated form. */
import { apiVersionOf, type Resource } from '@naru/api';
import type { IncomingMessage } from 'node:http';
import { acceptClauses } from './negotiation.ts';

/** Groups with their versions, the preferred one first, in the order of their priority. */
interface Group {
  readonly name: string;
  readonly versions: string[];
}

export class Discovery {
  readonly #groups = new Map<string, Group>();
  readonly #resources = new Map<string, Resource[]>();

  constructor(resources: Iterable<Resource>) {
    for (const resource of resources) {
      const { group, version } = resource;
      let entry = this.#groups.get(group);
      if (entry === undefined) this.#groups.set(group, (entry = { name: group, versions: [] }));
      if (!entry.versions.includes(version)) entry.versions.push(version);
      const key = `${group}/${version}`;
      const list = this.#resources.get(key);
      if (list === undefined) this.#resources.set(key, [resource]);
      else list.push(resource);
    }
    for (const { versions } of this.#groups.values()) versions.sort(byVersionPriority);
  }

  /** The document at `/api`, `/apis`, `/apis/G`, `/api/v1` or `/apis/G/V`; undefined: there is none. */
  documentAt(path: string, raw: IncomingMessage, serverAddress: string): unknown {
    const parts = path.split('/').filter((each) => each !== '');
    const [root, group = '', version] = parts;
    if (root === 'api') {
      if (parts.length === 1)
        return wantsAggregated(raw)
          ? this.#aggregated([...this.#groups.values()].filter((each) => each.name === ''))
          : this.#apiVersions(serverAddress);
      return parts.length === 2 ? this.#resourceList('', group) : undefined;
    }
    if (parts.length === 1) {
      const groups = [...this.#groups.values()].filter((each) => each.name !== '');
      return wantsAggregated(raw)
        ? this.#aggregated(groups)
        : { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(apiGroup) };
    }
    const found = this.#groups.get(group);
    if (found === undefined || group === '') return undefined;
    if (version === undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(found) };
    return parts.length === 3 ? this.#resourceList(group, version) : undefined;
  }

  #apiVersions(serverAddress: string): object {
    return {
      kind: 'APIVersions',
      versions: this.#groups.get('')?.versions ?? [],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
    };
  }

  #resourceList(group: string, version: string): object | undefined {
    const resources = this.#resources.get(`${group}/${version}`);
    if (resources === undefined) return undefined;
    return {
      kind: 'APIResourceList',
      ...(group === '' ? {} : { apiVersion: 'v1' }),
      groupVersion: apiVersionOf({ group, version }),
      resources: resources.flatMap(apiResources),
    };
  }

  #aggregated(groups: readonly Group[]): object {
    return {
      kind: 'APIGroupDiscoveryList',
      apiVersion: 'apidiscovery.k8s.io/v2',
      metadata: {},
      items: groups.map(({ name, versions }) => ({
        metadata: { ...(name === '' ? {} : { name }), creationTimestamp: null },
        versions: versions.map((version) => ({
          version,
          resources: (this.#resources.get(`${name}/${version}`) ?? []).map(resourceDiscovery),
          freshness: 'Current',
        })),
      })),
    };
  }
}

/** GA before beta before alpha, then the higher number. */
function byVersionPriority(a: string, b: string): number {
  const rank = (text: string): number => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/u.exec(text);
    if (match === null) return -1;
    const [, major = '0', stage, minor = '0'] = match;
    const stageRank = stage === undefined ? 2 : stage === 'beta' ? 1 : 0;
    return stageRank * 1e6 + Number(major) * 1e3 + Number(minor);
  };
  return rank(b) - rank(a);
}

export const aggregatedMediaType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Whether the client would rather have the aggregated form. */
export function wantsAggregated(raw: IncomingMessage): boolean {
  for (const { type, parameters } of acceptClauses(raw.headers.accept ?? '')) {
    if (type !== 'application/json' && type !== '*/*' && type !== 'application/*') continue;
    const { g, v, as } = parameters;
    if (as === undefined) return false;
    if (g === 'apidiscovery.k8s.io' && v === 'v2' && as === 'APIGroupDiscoveryList') return true;
  }
  return false;
}

function apiGroup({ name, versions }: Group): object {
  const all = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: all, preferredVersion: all[0] };
}

function apiResources(resource: Resource): object[] {
  const { namespaced, kind } = resource;
  return [
    {
      name: resource.resource,
      singularName: resource.singular,
      namespaced,
      kind,
      verbs: resource.verbs,
      ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
      ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    },
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

function resourceDiscovery(resource: Resource): object {
  const { group, version, kind } = resource;
  return {
    resource: resource.resource,
    responseKind: { group, version, kind },
    scope: resource.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: resource.singular,
    verbs: resource.verbs,
    ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
    ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    ...(resource.subresources.length === 0
      ? {}
      : {
          subresources: resource.subresources.map((each) => ({
            subresource: each.name,
            responseKind: { group: each.group ?? group, version: each.version ?? version, kind: each.kind ?? kind },
            verbs: each.verbs,
          })),
        }),
  };
}
