import { parseApiVersion, type Resource, type Verb } from '@naru/api';
import type { Client } from '@naru/client';

interface ApiResource {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced: boolean;
  readonly kind: string;
  readonly verbs: readonly string[];
}

interface ApiResourceList {
  readonly groupVersion: string;
  readonly resources: readonly ApiResource[];
}

interface ApiGroupList {
  readonly groups: readonly {
    readonly name: string;
    readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
    readonly preferredVersion?: { readonly groupVersion: string };
  }[];
}

export interface Discovered {
  /** Resources of the server, in their group's preferred version; without subresources. */
  readonly resources: readonly Resource[];
  /** Why some groups could not be asked: their resources are missing above. */
  readonly failures: readonly string[];
}

/** Asks the server which resources it has. @throws Error when it does not even tell its groups. */
export async function discover(client: Client, options: { readonly signal: AbortSignal }): Promise<Discovered> {
  const groups = (await client.raw('GET', '/apis', options)) as ApiGroupList;
  const versions = groups.groups.map(
    ({ versions, preferredVersion }) => preferredVersion?.groupVersion ?? versions[0]?.groupVersion ?? '',
  );
  const failures: string[] = [];
  const lists = await Promise.all(
    ['v1', ...versions.filter((each) => each !== '')].map(async (groupVersion) => {
      const path = groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
      try {
        return (await client.raw('GET', path, options)) as ApiResourceList;
      } catch (error) {
        failures.push(`${groupVersion}: ${error instanceof Error ? error.message : String(error)}`);
        return undefined;
      }
    }),
  );
  const resources = lists
    .filter((list) => list !== undefined)
    .flatMap(({ groupVersion, resources }) =>
      resources.filter(({ name }) => !name.includes('/')).map((resource) => resourceOf(groupVersion, resource)),
    );
  return { resources, failures };
}

function resourceOf(groupVersion: string, { name, singularName, namespaced, kind, verbs }: ApiResource): Resource {
  return {
    ...parseApiVersion(groupVersion),
    resource: name,
    singular: singularName ?? kind.toLowerCase(),
    kind,
    namespaced,
    shortNames: [],
    categories: [],
    verbs: verbs as readonly Verb[],
    subresources: [],
    model: '',
    stored: true,
  };
}
