/** One served version of a custom resource, made out of its definition. */
import {
  apiVersionOf,
  cloneJson,
  defineResource,
  hasDefaults,
  readCustomObject,
  scaleSubresource,
  statusSubresource,
  type CustomResourceDefinition,
  type JsonSchema,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import { customResourceStrategy } from '../registry/strategies/custom-resource.ts';
import type { ResourceRegistration } from '../registry/strategy.ts';
import { customTable } from '../registry/tables/custom-table.ts';
import { customScale, type ObjectScale } from '../server/scale.ts';
import type { VersionView } from '../server/version-view.ts';

type Version = CustomResourceDefinition['spec']['versions'][number];

export interface CustomVersion {
  readonly resource: Resource;
  readonly registration: ResourceRegistration;
  readonly view: VersionView | undefined;
  readonly scale: ObjectScale | undefined;
  /** Fields that field selectors may name in this version. */
  readonly selectable: ReadonlySet<string>;
  /** The warning of a deprecated version. */
  readonly deprecation: string | undefined;
}

/** JSON paths by which any version selects: the cache knows the values of all of them. */
export function selectablePathsOf({ spec }: CustomResourceDefinition): string[] {
  return [...new Set(spec.versions.flatMap((each) => (each.selectableFields ?? []).map(({ jsonPath }) => jsonPath)))];
}

/** The served versions; none while the definition has no storage version. */
export function customVersionsOf(definition: CustomResourceDefinition): CustomVersion[] {
  const { spec } = definition;
  const storage = spec.versions.find((each) => each.storage);
  if (storage === undefined) return [];
  const stored = resourceOf(definition, storage);
  const paths = selectablePathsOf(definition);
  return spec.versions
    .filter(({ served }) => served)
    .map((version) => customVersion(definition, version, { stored, paths }));
}

function schemaOf(version: Version): JsonSchema {
  return version.schema?.openAPIV3Schema ?? {};
}

function resourceOf({ spec, status }: CustomResourceDefinition, version: Version): Resource {
  const { group } = spec;
  const names = status?.acceptedNames ?? spec.names;
  const { kind, plural, singular, listKind, shortNames = [], categories = [] } = names;
  const subresources = [
    ...(version.subresources?.status === undefined ? [] : [statusSubresource]),
    ...(version.subresources?.scale === undefined ? [] : [scaleSubresource]),
  ];
  return defineResource({
    group,
    version: version.name,
    resource: plural,
    singular: singular ?? kind.toLowerCase(),
    kind,
    model: `${group.split('.').toReversed().join('.')}.${version.name}.${kind}`,
    namespaced: spec.scope === 'Namespaced',
    shortNames,
    categories,
    subresources,
    schema: schemaOf(version),
    ...(listKind === undefined || listKind === '' ? {} : { listKind }),
  });
}

function customVersion(
  definition: CustomResourceDefinition,
  version: Version,
  { stored, paths }: { readonly stored: Resource; readonly paths: readonly string[] },
): CustomVersion {
  const resource = resourceOf(definition, version);
  const schema = schemaOf(version);
  const hasStatus = version.subresources?.status !== undefined;
  const scale = version.subresources?.scale;
  const selectable = new Set(['metadata.name', ...(resource.namespaced ? ['metadata.namespace'] : [])]);
  for (const { jsonPath } of version.selectableFields ?? []) selectable.add(jsonPath.replace(/^\./u, ''));
  const strategy = customResourceStrategy({ schema, hasStatus, selectablePaths: paths });
  const table = customTable(version.additionalPrinterColumns);
  return {
    resource,
    registration: { resource, strategy, table },
    view: viewOf(definition, resource, stored),
    scale: scale === undefined ? undefined : customScale(scale),
    selectable,
    deprecation: deprecationOf(version, resource),
  };
}

function deprecationOf({ deprecated, deprecationWarning }: Version, resource: Resource): string | undefined {
  if (deprecated !== true) return undefined;
  return deprecationWarning ?? `${apiVersionOf(resource)} ${resource.kind} is deprecated`;
}

/**
 * What is stored differs from what is served when it may be of another version, or lack defaults that its schema has by
 * now. Where neither can be, the stored bytes are served as they are.
 */
function viewOf({ status }: CustomResourceDefinition, served: Resource, stored: Resource): VersionView | undefined {
  const schema = served.schema ?? {};
  const isStored = served.version === stored.version;
  const isOnlyStored = (status?.storedVersions ?? []).every((each) => each === served.version);
  if (isStored && isOnlyStored && !hasDefaults(schema)) return undefined;
  const storedVersion = apiVersionOf(stored);
  const servedVersion = apiVersionOf(served);
  return {
    served,
    stored,
    toStored: (object) => ({ ...object, apiVersion: storedVersion }),
    fromStored: (object) => {
      const read: UnstructuredObject = { ...cloneJson(object), apiVersion: servedVersion };
      readCustomObject(read, schema);
      return read;
    },
  };
}
