/** OpenAPI paths and operations of resources, in the words that v2 and v3 share. */
import { patchTypes } from '../patch/patch-types.ts';
import type { Resource, SubresourceDefinition } from '../resource.ts';
import type { GroupVersionKind } from '../schema.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly type: 'string' | 'integer' | 'boolean';
  readonly description: string;
}

/** What an operation takes or gives: a model, text, any patch. */
export type Body = { readonly model: string } | 'patch' | 'text';

export interface Operation {
  readonly path: string;
  readonly method: 'get' | 'put' | 'post' | 'delete' | 'patch';
  readonly action: 'get' | 'list' | 'put' | 'post' | 'delete' | 'deletecollection' | 'patch' | 'connect';
  readonly id: string;
  readonly description: string;
  readonly tag: string;
  readonly gvk: GroupVersionKind;
  readonly parameters: readonly Parameter[];
  readonly request?: Body;
  readonly response: Body;
  /** Media types of the patches that it takes; clients choose by them. */
  readonly patchTypes?: readonly string[];
}

const query = (name: string, type: Parameter['type'], description: string): Parameter => ({
  name,
  in: 'query',
  type,
  description,
});
const pathParameter = (name: string, description: string): Parameter => ({
  name,
  in: 'path',
  type: 'string',
  description,
});

const pretty = query('pretty', 'string', "If 'true', the output is pretty printed.");
const dryRun = query('dryRun', 'string', 'All: every stage is run, but nothing is stored.');
const fieldManager = query('fieldManager', 'string', 'Name of the actor that makes these changes.');
const fieldValidation = query(
  'fieldValidation',
  'string',
  'What becomes of unknown and duplicate fields: Ignore, Warn or Strict.',
);
const force = query('force', 'boolean', 'Takes over fields of other managers; for apply patches only.');
const selectors: readonly Parameter[] = [
  query('fieldSelector', 'string', 'Restricts the objects by their fields.'),
  query('labelSelector', 'string', 'Restricts the objects by their labels.'),
];
const listing: readonly Parameter[] = [
  ...selectors,
  query('continue', 'string', 'Token of the page before.'),
  query('limit', 'integer', 'The most objects that one page holds.'),
  query('resourceVersion', 'string', 'How old what is served may be.'),
  query('resourceVersionMatch', 'string', 'How resourceVersion is applied: NotOlderThan or Exact.'),
  query('sendInitialEvents', 'boolean', 'Starts a watch with events of the objects that are there.'),
  query('timeoutSeconds', 'integer', 'The longest that the request takes.'),
];
const watching: readonly Parameter[] = [
  query('allowWatchBookmarks', 'boolean', 'Asks for events of type BOOKMARK.'),
  query('watch', 'boolean', 'Goes on with changes as a stream of events.'),
];
const deleting: readonly Parameter[] = [
  dryRun,
  query('gracePeriodSeconds', 'integer', 'Seconds until the object is deleted; 0 is at once.'),
  query('orphanDependents', 'boolean', 'Deprecated: see propagationPolicy.'),
  query('propagationPolicy', 'string', 'What becomes of dependents: Orphan, Background or Foreground.'),
];
const writing: readonly Parameter[] = [dryRun, fieldManager, fieldValidation];

const pascal = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** `RbacAuthorization` of `rbac.authorization.k8s.io`. */
function groupName(group: string): string {
  if (group === '') return 'Core';
  return group
    .replace(/\.k8s\.io$/u, '')
    .split('.')
    .map(pascal)
    .join('');
}

interface Naming {
  readonly resource: Resource;
  readonly gvk: GroupVersionKind;
  /** Path of the collection of one namespace, or of all for cluster-scoped kinds. */
  readonly collection: string;
  readonly scopeParameters: readonly Parameter[];
  readonly tag: string;
  id(verb: string, suffix?: string): string;
}

function namingOf(resource: Resource): Naming {
  const { group, version, kind, namespaced } = resource;
  const base = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const prefix = `${groupName(group)}${pascal(version)}`;
  const scope = namespaced ? 'Namespaced' : '';
  return {
    resource,
    gvk: { group, kind, version },
    collection: `${base}${namespaced ? '/namespaces/{namespace}' : ''}/${resource.resource}`,
    scopeParameters: namespaced ? [pathParameter('namespace', 'Namespace of the object.')] : [],
    tag: `${prefix.charAt(0).toLowerCase()}${groupName(group).slice(1)}_${version}`,
    id: (verb, suffix = '') =>
      verb === 'deletecollection'
        ? `delete${prefix}Collection${scope}${kind}`
        : `${verb}${prefix}${scope}${kind}${suffix}`,
  };
}

function collectionOperations(naming: Naming, listModel: string | undefined): Operation[] {
  const { resource, gvk, collection, scopeParameters, tag } = naming;
  const { verbs, kind, model } = resource;
  const shared = { path: collection, tag, gvk };
  const list: Body = { model: listModel ?? model };
  const operations: Operation[] = [];
  const watches = verbs.includes('watch') ? watching : [];
  if (verbs.includes('list'))
    operations.push({
      ...shared,
      method: 'get',
      action: 'list',
      id: naming.id('list'),
      description: `list or watch objects of kind ${kind}`,
      parameters: [...scopeParameters, ...listing, ...watches, pretty],
      response: list,
    });
  if (verbs.includes('create'))
    operations.push({
      ...shared,
      method: 'post',
      action: 'post',
      id: naming.id('create'),
      description: `create a ${kind}`,
      parameters: [...scopeParameters, ...writing, pretty],
      request: { model },
      response: { model },
    });
  if (verbs.includes('deletecollection'))
    operations.push({
      ...shared,
      method: 'delete',
      action: 'deletecollection',
      id: naming.id('deletecollection'),
      description: `delete collection of ${kind}`,
      parameters: [...scopeParameters, ...listing, ...deleting, pretty],
      request: { model: 'V1DeleteOptions' },
      response: { model: 'V1Status' },
    });
  if (verbs.includes('list') && resource.namespaced)
    operations.push({
      ...shared,
      path: collection.replace('/namespaces/{namespace}', ''),
      method: 'get',
      action: 'list',
      id: `${naming.id('list').replace('Namespaced', '')}ForAllNamespaces`,
      description: `list or watch objects of kind ${kind}`,
      parameters: [...listing, ...watches, pretty],
      response: list,
    });
  return operations;
}

/** get, update and patch of an object, or of its status or scale. */
function objectOperations(
  { resource, scopeParameters, tag, collection, id }: Naming,
  what: {
    readonly path: string;
    readonly suffix: string;
    readonly gvk: GroupVersionKind;
    readonly model: string;
    readonly verbs: readonly string[];
    readonly of: string;
  },
): Operation[] {
  const { kind } = resource;
  const { verbs, suffix, of, gvk } = what;
  const shared = { path: `${collection}/{name}${what.path}`, tag, gvk, response: { model: what.model } };
  const parameters = [...scopeParameters, pathParameter('name', `Name of the ${kind}.`)];
  const operations: Operation[] = [];
  if (verbs.includes('get'))
    operations.push({
      ...shared,
      method: 'get',
      action: 'get',
      id: id('read', suffix),
      description: `read ${of} the specified ${kind}`,
      parameters: [...parameters, pretty],
    });
  if (verbs.includes('update'))
    operations.push({
      ...shared,
      method: 'put',
      action: 'put',
      id: id('replace', suffix),
      description: `replace ${of} the specified ${kind}`,
      parameters: [...parameters, ...writing, pretty],
      request: { model: what.model },
    });
  if (verbs.includes('patch'))
    operations.push({
      ...shared,
      method: 'patch',
      action: 'patch',
      id: id('patch', suffix),
      description: `partially update ${of} the specified ${kind}`,
      parameters: [...parameters, ...writing, force, pretty],
      request: 'patch',
    });
  if (verbs.includes('delete') && what.path === '')
    operations.push({
      ...shared,
      method: 'delete',
      action: 'delete',
      id: id('delete'),
      description: `delete a ${kind}`,
      parameters: [...parameters, ...deleting, pretty],
      request: { model: 'V1DeleteOptions' },
      response: { model: 'V1Status' },
    });
  return operations;
}

const methodOfVerb: Readonly<Record<string, Operation['method']>> = {
  get: 'get',
  create: 'post',
  update: 'put',
  patch: 'patch',
  delete: 'delete',
};

/** Models of the bodies of subresources that are not their parent's kind. */
const subresourceModels: Readonly<Record<string, string>> = {
  Binding: 'V1Binding',
  Eviction: 'V1Eviction',
  Scale: 'V1Scale',
  TokenRequest: 'AuthenticationV1TokenRequest',
};

function subresourceOperations(naming: Naming, subresource: SubresourceDefinition): Operation[] {
  const { resource, scopeParameters, tag, collection, id } = naming;
  const { name, verbs } = subresource;
  const kind = subresource.kind ?? resource.kind;
  const gvk = {
    group: subresource.group ?? resource.group,
    kind,
    version: subresource.version ?? resource.version,
  };
  const suffix = pascal(name);
  const model = kind === resource.kind ? resource.model : subresourceModels[kind];
  const parameters = [...scopeParameters, pathParameter('name', `Name of the ${resource.kind}.`)];
  const path = `${collection}/{name}/${name}`;
  if (model === undefined || name === 'log')
    return verbs.map((verb): Operation => {
      const method = methodOfVerb[verb] ?? 'get';
      const connects = model === undefined;
      return {
        path,
        method,
        action: connects ? 'connect' : 'get',
        id: id(connects ? `connect${pascal(method)}` : 'read', suffix),
        description: connects
          ? `connect ${method.toUpperCase()} requests to ${name} of ${resource.kind}`
          : `read ${name} of the specified ${resource.kind}`,
        tag,
        gvk,
        parameters,
        response: 'text',
      };
    });
  const operations = objectOperations(naming, { path: `/${name}`, suffix, gvk, model, verbs, of: `${name} of` });
  if (verbs.includes('create'))
    operations.push({
      path,
      method: 'post',
      action: 'post',
      id: id('create', suffix),
      description: `create ${name} of a ${resource.kind}`,
      tag,
      gvk,
      parameters: [...parameters, ...writing, pretty],
      request: { model },
      response: { model },
    });
  return operations;
}

/** Every operation of a resource and its subresources. */
export function operationsOf(resource: Resource, listModel: string | undefined): Operation[] {
  const naming = namingOf(resource);
  const { gvk } = naming;
  return [
    ...collectionOperations(naming, listModel),
    ...objectOperations(naming, { path: '', suffix: '', gvk, model: resource.model, verbs: resource.verbs, of: '' }),
    ...resource.subresources.flatMap((each) => subresourceOperations(naming, each)),
  ].map((each) => ({
    ...each,
    description: each.description.replaceAll('  ', ' '),
    // Without a model there are no merge keys.
    ...(resource.schema === undefined ? {} : { patchTypes: [patchTypes.json, patchTypes.merge] }),
  }));
}
