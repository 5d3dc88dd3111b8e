import type { KubeObject } from './object.ts';
import type { JsonSchema } from './structural/structural-schema.ts';

export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch';

export const allVerbs: readonly Verb[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];

/** A subresource as discovery lists it. */
export interface SubresourceDefinition {
  readonly name: string;
  /** Kind of its body where that is not the parent's, such as Scale of autoscaling/v1. */
  readonly kind?: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
}

/**
 * A resource of the API: what discovery says of it, and a typed handle for clients and registries.
 * `T` is the type of its objects; it exists for the compiler only.
 */
export interface Resource<T extends KubeObject = KubeObject> {
  /** API group, '' for core. */
  readonly group: string;
  readonly version: string;
  /** Plural name in lower case, as in paths. */
  readonly resource: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly Verb[];
  readonly subresources: readonly SubresourceDefinition[];
  /** Whether its objects are kept in the store. Reviews, bindings and component statuses are not. */
  readonly stored: boolean;
  /** Name of the model in @kubernetes/client-node, such as `V1Pod`: the key into the generated schemas. */
  readonly model: string;
  /** Of custom resources: what their objects are, instead of a model; `model` is then only the name of the schema. */
  readonly schema?: JsonSchema;
  /** Where it is not the kind with `List`. */
  readonly listKind?: string;
  /** Never set. Makes `Resource<Pod>` and `Resource<Node>` different types. */
  readonly objectType?: T;
}

export const statusSubresource: SubresourceDefinition = { name: 'status', verbs: ['get', 'patch', 'update'] };
export const scaleSubresource: SubresourceDefinition = {
  name: 'scale',
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  verbs: ['get', 'patch', 'update'],
};

type Definition = Pick<Resource, 'resource' | 'kind' | 'model' | 'namespaced'> &
  Partial<
    Pick<
      Resource,
      | 'group'
      | 'version'
      | 'singular'
      | 'shortNames'
      | 'categories'
      | 'verbs'
      | 'subresources'
      | 'stored'
      | 'schema'
      | 'listKind'
    >
  >;

/** Defines a resource; group '' and version v1 unless told. */
export function defineResource<T extends KubeObject>(definition: Definition): Resource<T> {
  return {
    group: '',
    version: 'v1',
    singular: definition.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: allVerbs,
    subresources: [],
    stored: true,
    ...definition,
  };
}

/** `v1`, `apps/v1`. */
export function apiVersionOf({ group, version }: { readonly group: string; readonly version: string }): string {
  return group === '' ? version : `${group}/${version}`;
}

/** Splits `apps/v1`; a bare version is core's. */
export function parseApiVersion(apiVersion: string): { readonly group: string; readonly version: string } {
  const slash = apiVersion.indexOf('/');
  return slash === -1
    ? { group: '', version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** `/api/v1/namespaces/default/pods/x/status`: the request path of a resource, object or subresource. */
export function pathOf(
  resource: Resource,
  where: {
    readonly namespace?: string | undefined;
    readonly name?: string | undefined;
    readonly subresource?: string | undefined;
  } = {},
): string {
  const base = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope =
    resource.namespaced && where.namespace !== undefined && where.namespace !== ''
      ? `/namespaces/${encodeURIComponent(where.namespace)}`
      : '';
  const name = where.name === undefined ? '' : `/${encodeURIComponent(where.name)}`;
  return `${base}${scope}/${resource.resource}${name}${where.subresource === undefined ? '' : `/${where.subresource}`}`;
}
