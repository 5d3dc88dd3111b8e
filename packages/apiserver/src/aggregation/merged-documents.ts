/** Discovery and OpenAPI of this server and of those that extend it, as one. */
import { compareVersions, isJsonObject, type JsonObject } from '@naru/api';

/** A group version that another server serves. */
export interface RemoteGroupVersion {
  readonly group: string;
  readonly version: string;
  readonly groupPriority: number;
  readonly versionPriority: number;
  /** Resources as aggregated discovery has them; of one that is not available, those that it had. */
  readonly resources: readonly object[];
  readonly isCurrent: boolean;
  readonly openApiV3: { readonly serverRelativeURL: string } | undefined;
  readonly openApiV2: Readonly<Record<string, unknown>> | undefined;
}

/** Definitions' groups, and those that are built in, stand here among the others. */
const CUSTOM_PRIORITY = 1000;
const BUILT_IN_PRIORITY = 20_000;

interface Versioned {
  readonly version: string;
}

function byGroup(remotes: readonly RemoteGroupVersion[]): Map<string, RemoteGroupVersion[]> {
  const groups = new Map<string, RemoteGroupVersion[]>();
  for (const remote of remotes) groups.set(remote.group, [...(groups.get(remote.group) ?? []), remote]);
  for (const versions of groups.values())
    versions.sort((a, b) => b.versionPriority - a.versionPriority || compareVersions(a.version, b.version));
  return groups;
}

/** `own` versions and those of others, which win where both have one. */
function mergeVersions<T extends Versioned>(own: readonly T[], others: readonly T[]): T[] {
  const taken = new Set(others.map(({ version }) => version));
  return [...own.filter(({ version }) => !taken.has(version)), ...others];
}

/** Groups in the order of their priorities; groups of the same one stay in theirs. */
function mergeGroups<T>(
  own: readonly T[],
  remotes: readonly RemoteGroupVersion[],
  { nameOf, merge }: { nameOf: (group: T) => string; merge: (name: string, own: T | undefined) => T },
): T[] {
  const groups = byGroup(remotes);
  const priorityOf = (name: string): number => {
    const remote = groups.get(name);
    if (remote !== undefined) return Math.max(...remote.map((each) => each.groupPriority));
    return name.includes('.') && !name.endsWith('.k8s.io') ? CUSTOM_PRIORITY : BUILT_IN_PRIORITY;
  };
  const known = new Map(own.map((each) => [nameOf(each), each]));
  const names = [...known.keys(), ...[...groups.keys()].filter((name) => !known.has(name)).toSorted()];
  return names
    .toSorted((a, b) => priorityOf(b) - priorityOf(a))
    .map((name) => {
      const mine = known.get(name);
      return mine !== undefined && !groups.has(name) ? mine : merge(name, mine);
    });
}

interface LegacyGroup {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly name: string;
  readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
  readonly preferredVersion: unknown;
}

function mergeLegacyGroup(
  name: string,
  own: LegacyGroup | undefined,
  remotes: readonly RemoteGroupVersion[],
): LegacyGroup {
  const others = (byGroup(remotes).get(name) ?? []).map(({ version }) => ({
    groupVersion: `${name}/${version}`,
    version,
  }));
  const versions = mergeVersions(own?.versions ?? [], others);
  return { ...own, name, versions, preferredVersion: versions[0] };
}

/** The document at `/apis`. */
export function mergeGroupList(own: object, remotes: readonly RemoteGroupVersion[]): object {
  const { groups, ...rest } = own as { readonly groups: readonly LegacyGroup[] };
  const merge = (name: string, mine: LegacyGroup | undefined): LegacyGroup => mergeLegacyGroup(name, mine, remotes);
  return { ...rest, groups: mergeGroups(groups, remotes, { nameOf: ({ name }) => name, merge }) };
}

/** The document at `/apis/GROUP`; undefined: nobody serves it. */
export function mergeGroup(
  name: string,
  own: object | undefined,
  remotes: readonly RemoteGroupVersion[],
): object | undefined {
  if (!remotes.some(({ group }) => group === name)) return own;
  return { kind: 'APIGroup', apiVersion: 'v1', ...mergeLegacyGroup(name, own as LegacyGroup | undefined, remotes) };
}

interface AggregatedGroup {
  readonly metadata: { readonly name?: string };
  readonly versions: readonly {
    readonly version: string;
    readonly resources: readonly object[];
    readonly freshness: string;
  }[];
}

/** The aggregated document at `/apis`. */
export function mergeAggregated(own: object, remotes: readonly RemoteGroupVersion[]): object {
  const { items, ...rest } = own as { readonly items: readonly AggregatedGroup[] };
  const groups = byGroup(remotes);
  const merge = (name: string, mine: AggregatedGroup | undefined): AggregatedGroup => {
    const others = (groups.get(name) ?? []).map(({ version, resources, isCurrent }) => ({
      version,
      resources,
      freshness: isCurrent ? 'Current' : 'Stale',
    }));
    return { metadata: { name }, versions: mergeVersions(mine?.versions ?? [], others) };
  };
  return { ...rest, items: mergeGroups(items, remotes, { nameOf: ({ metadata }) => metadata.name ?? '', merge }) };
}

/** The document at `/openapi/v3`. */
export function mergeOpenApiV3Index(own: object, remotes: readonly RemoteGroupVersion[]): object {
  const { paths } = own as { readonly paths: JsonObject };
  const others = remotes.flatMap(({ group, version, openApiV3 }) =>
    openApiV3 === undefined ? [] : [[`apis/${group}/${version}`, openApiV3] as const],
  );
  return { ...own, paths: { ...paths, ...Object.fromEntries(others) } };
}

/** The document at `/openapi/v2`: of others, the paths of their group versions, and definitions that this server lacks. */
export function mergeOpenApiV2(own: object, remotes: readonly RemoteGroupVersion[]): object {
  const { paths, definitions, ...rest } = own as { readonly paths: JsonObject; readonly definitions: JsonObject };
  const allPaths = { ...paths };
  let allDefinitions = definitions;
  for (const { group, version, openApiV2 } of remotes) {
    const prefix = `/apis/${group}/${version}/`;
    for (const [path, item] of Object.entries(objectOf(openApiV2?.['paths'])))
      if (path.startsWith(prefix)) allPaths[path] = item;
    allDefinitions = { ...objectOf(openApiV2?.['definitions']), ...allDefinitions };
  }
  return { ...rest, paths: allPaths, definitions: allDefinitions };
}

function objectOf(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}
