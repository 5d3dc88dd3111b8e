/** One served version of a custom resource, made out of its definition. */
import {
  apiVersionOf,
  defineResource,
  scaleSubresource,
  statusSubresource,
  type CustomResourceDefinition,
  type JsonSchema,
  type Resource,
} from '@naru/api';
import { customResourceStrategy, selectableFieldsOf } from '../registry/strategies/custom-resource.ts';
import type { ResourceRegistration } from '../registry/strategy.ts';
import { customTable } from '../registry/tables/custom-table.ts';
import { customScale, type ObjectScale } from '../server/scale.ts';
import { ObjectConverter } from '../server/object-converter.ts';
import type { ReadView } from '../server/version-view.ts';
import type { StorageVersion } from '../registry/storage-version.ts';
import type { VersionConversion } from './version-conversion.ts';

type Version = CustomResourceDefinition['spec']['versions'][number];

export interface CustomVersion {
  readonly resource: Resource;
  readonly registration: ResourceRegistration;
  readonly served: boolean;
  readonly storage: boolean;
  readonly storageVersion: StorageVersion | undefined;
  readonly readView: ReadView | undefined;
  readonly converter: ObjectConverter | undefined;
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

/** The versions that are served, and the one that is stored; none while the definition has no storage version. */
export function customVersionsOf(definition: CustomResourceDefinition, conversion: VersionConversion): CustomVersion[] {
  const { spec } = definition;
  const storage = spec.versions.find((each) => each.storage);
  if (storage === undefined) return [];
  const stored = resourceOf(definition, storage);
  const paths = selectablePathsOf(definition);
  return spec.versions
    .filter(({ served, storage: isStored }) => served || isStored)
    .map((version) => customVersion(definition, version, { stored, paths, conversion }));
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
  options: { readonly stored: Resource; readonly paths: readonly string[]; readonly conversion: VersionConversion },
): CustomVersion {
  const { stored, paths, conversion } = options;
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
    served: version.served,
    storage: version.storage,
    storageVersion: conversion.storageVersion(resource, stored),
    ...readersOf(resource, stored, { conversion, paths }),
    scale: scale === undefined ? undefined : customScale(scale),
    selectable,
    deprecation: deprecationOf(version, resource),
  };
}

function deprecationOf({ deprecated, deprecationWarning }: Version, resource: Resource): string | undefined {
  if (deprecated !== true) return undefined;
  return deprecationWarning ?? `${apiVersionOf(resource)} ${resource.kind} is deprecated`;
}

/** How stored objects are read in a version. */
function readersOf(
  resource: Resource,
  stored: Resource,
  { conversion, paths }: { readonly conversion: VersionConversion; readonly paths: readonly string[] },
): Pick<CustomVersion, 'readView' | 'converter'> {
  if (!conversion.asks) return { readView: conversion.readView(resource, stored), converter: undefined };
  const converter = new ObjectConverter({
    resource,
    selectableFields: selectableFieldsOf(paths),
    read: async (objects) => await conversion.read(objects, apiVersionOf(resource)),
  });
  return { readView: undefined, converter };
}
