/** What belongs to no kind: discovery, paging, versions of lists and watches, paths and bodies that are wrong. */
import { NAMESPACE } from './kind-samples.ts';
import type { CorpusRequest, Json } from './request.ts';

const configMaps = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
const get = (name: string, path: string, more: Partial<CorpusRequest> = {}): CorpusRequest => ({
  name: `server: ${name}`,
  method: 'GET',
  path,
  ...more,
});

const discovery: readonly CorpusRequest[] = [
  ...[
    '/api',
    '/version',
    '/healthz',
    '/livez',
    '/readyz',
    '/healthz/ping',
    '/healthz/none',
    '/apis/none',
    '/none',
    '/',
  ].map((path) => get(path, path)),
  ...['apps', 'batch', 'policy', 'rbac.authorization.k8s.io', 'none.example.com'].map((group) =>
    get(`the group ${group}`, `/apis/${group}`),
  ),
  ...[
    'autoscaling/v1',
    'coordination.k8s.io/v1',
    'node.k8s.io/v1',
    'apps/v9',
    'none.example.com/v1',
    'apps/v1',
    'authorization.k8s.io/v1',
  ].map((version) => get(`the version ${version}`, `/apis/${version}`)),
  get('the version v2', '/api/v2'),
  get('discovery as YAML', '/apis/coordination.k8s.io/v1', { headers: { accept: 'application/yaml' } }),
  get('discovery as CSV', '/apis/coordination.k8s.io/v1', { headers: { accept: 'text/csv' } }),
];

const wrongPaths: readonly CorpusRequest[] = [
  get('a resource that is none', '/api/v1/none'),
  get('a resource that is none in a namespace', `/api/v1/namespaces/${NAMESPACE}/none/x`),
  get('a namespaced object without namespace', '/api/v1/configmaps/x'),
  get('a cluster-scoped object in a namespace', `/api/v1/namespaces/${NAMESPACE}/nodes/x`),
  get('a path that ends in a slash', `${configMaps}/`),
  get('create on an object', `${configMaps}/x`, { method: 'POST', body: {} }),
  get('update a collection', configMaps, { method: 'PUT', body: {} }),
  get('patch a collection', configMaps, { method: 'PATCH', type: 'application/merge-patch+json', body: {} }),
  get('options of a collection', configMaps, { method: 'OPTIONS' }),
  get('head of a collection', configMaps, { method: 'HEAD' }),
  get('create everywhere', '/api/v1/configmaps', { method: 'POST', body: { metadata: { name: 'x' } } }),
  get('delete all namespaces', '/api/v1/namespaces', { method: 'DELETE' }),
  get('get a review', '/apis/authorization.k8s.io/v1/subjectaccessreviews'),
  get('the old way to watch', `/api/v1/watch/namespaces/${NAMESPACE}/configmaps?timeoutSeconds=1&resourceVersion=0`, {
    events: 1,
  }),
];

const body = (name: string, text: unknown, more: Partial<CorpusRequest> = {}): CorpusRequest =>
  get(name, `${configMaps}?dryRun=All`, { method: 'POST', body: text, ...more });
const bodies: readonly CorpusRequest[] = [
  body('a body of YAML', 'metadata:\n  name: yam\ndata:\n  a: "1"\n', { type: 'application/yaml' }),
  body('YAML with a tab', 'metadata:\n\tname: y\n', { type: 'application/yaml' }),
  body('an empty body', ''),
  body('null', 'null'),
  body('a string', '"x"'),
  body('JSON that goes on', '{"metadata":{"name":"x"}} {}'),
  body('an unknown field', { metadata: { name: 'x' }, more: 1 }),
  body('a null field', { metadata: { name: 'x' }, data: null }),
  body('a null value', { metadata: { name: 'x' }, data: { a: null } }),
  body('metadata in words', { metadata: 'x' }),
  body('labels of numbers', { metadata: { name: 'x', labels: { a: 1 } } }),
  body('a bad time', { metadata: { name: 'x', creationTimestamp: 'yesterday' } }),
  body('owners', {
    metadata: { name: 'x', ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' }] },
  }),
  body('bad owners', { metadata: { name: 'x', ownerReferences: [{ kind: 'Pod' }] } }),
  body('two owners that control', {
    metadata: {
      name: 'x',
      ownerReferences: ['a', 'b'].map((uid) => ({ apiVersion: 'v1', kind: 'Pod', name: 'p', uid, controller: true })),
    },
  }),
  body('bad finalizers', { metadata: { name: 'x', finalizers: ['short', 'a b/c'] } }),
  body('a long name', { metadata: { name: 'x'.repeat(300) } }),
  body('too many annotations', { metadata: { name: 'x', annotations: { a: 'x'.repeat(300_000) } } }),
  body('a version of its own', {
    metadata: { name: 'x', uid: 'mine', generation: 7, selfLink: '/x', creationTimestamp: '2020-01-01T00:00:00Z' },
  }),
  body('a bad dry run', { metadata: { name: 'x' } }, { path: `${configMaps}?dryRun=Some` }),
  body(
    'a bad field manager',
    { metadata: { name: 'x' } },
    { path: `${configMaps}?dryRun=All&fieldManager=${'x'.repeat(200)}` },
  ),
  body('an answer of YAML', { metadata: { name: 'x' } }, { headers: { accept: 'application/yaml' } }),
  body(
    'an answer of one kind or another',
    { metadata: { name: 'x' } },
    { headers: { accept: 'text/html, application/json;q=0.9, */*;q=0.8' } },
  ),
];

const item = (i: number): Json => ({
  metadata: { name: `page-${i}`, labels: { page: 'yes', n: String(i), odd: i % 2 === 1 ? 'yes' : 'no' } },
});
const paged = `${configMaps}?labelSelector=page`;
const selectors = [
  'page=yes',
  'page!=yes',
  'n in (1,2)',
  'n notin (1,2),page',
  '!page',
  'page,odd=yes',
  'n>3',
  'n<2,page',
  'n in (',
  'n in ()',
  'a b',
  '=x',
  'page==yes',
];
const paging: readonly CorpusRequest[] = [
  ...[1, 2, 3, 4, 5].map((i): CorpusRequest =>
    get(`page object ${i}`, configMaps, { method: 'POST', body: item(i), keep: `page-${i}` }),
  ),
  get('the first page', `${paged}&limit=2`, { keep: 'first' }),
  get('the second page', `${paged}&limit=2&continue={{first.metadata.continue}}`, { keep: 'second' }),
  get('an object between pages', `${configMaps}/page-5`, { method: 'DELETE' }),
  get('the last page', `${paged}&limit=2&continue={{second.metadata.continue}}`),
  get('the second page all at once', `${paged}&continue={{first.metadata.continue}}`),
  get('a page with a version', `${paged}&limit=2&resourceVersion=1&continue={{first.metadata.continue}}`),
  get('a page of a bad token', `${paged}&limit=2&continue=nonsense`),
  get('a bad limit', `${paged}&limit=many`),
  get('a negative limit', `${paged}&limit=-1`),
  get('a list at version 0', `${paged}&resourceVersion=0&fieldSelector=metadata.name%3Dpage-1`),
  get('a page at version 0', `${paged}&resourceVersion=0&limit=1&fieldSelector=metadata.name%3Dpage-1`),
  get('a list not older than', `${paged}&resourceVersion={{page-3.metadata.resourceVersion}}`),
  get(
    'a list not older than, said so',
    `${paged}&resourceVersion={{page-3.metadata.resourceVersion}}&resourceVersionMatch=NotOlderThan`,
  ),
  get('a list of just then', `${paged}&resourceVersion={{page-3.metadata.resourceVersion}}&resourceVersionMatch=Exact`),
  get('a page of just then', `${paged}&resourceVersion={{page-3.metadata.resourceVersion}}&limit=2`),
  get('an exact list without a version', `${paged}&resourceVersionMatch=Exact`),
  get('an exact list at version 0', `${paged}&resourceVersion=0&resourceVersionMatch=Exact`),
  get('a match that is none', `${paged}&resourceVersion=1&resourceVersionMatch=Almost`),
  get('a match of a watch', `${paged}&watch=1&resourceVersion=0&resourceVersionMatch=NotOlderThan`, { events: 1 }),
  get('a list of a bad version', `${paged}&resourceVersion=abc`),
  get('a list of the future', `${paged}&resourceVersion=99999999`),
  get('a get of the future', `${configMaps}/page-1?resourceVersion=99999999`),
  get('a get of a bad version', `${configMaps}/page-1?resourceVersion=abc`),
  ...selectors.map((selector): CorpusRequest =>
    get(
      `a list by ${selector}`,
      `${configMaps}?limit=10&labelSelector=${encodeURIComponent(selector)}&fieldSelector=metadata.namespace%3D${NAMESPACE}`,
    ),
  ),
  get(
    'a list by a name that is not one',
    `${configMaps}?fieldSelector=metadata.name%21%3Dpage-1%2Cmetadata.name%21%3Dpage-2&labelSelector=page`,
  ),
];

const from = 'watch=1&labelSelector=page&timeoutSeconds=2&resourceVersion';
const watches: readonly CorpusRequest[] = [
  get('a watch from an object on', `${configMaps}?${from}={{page-2.metadata.resourceVersion}}`, {
    events: { deleted: 'page-5' },
  }),
  get(
    'a watch of odd ones',
    `${configMaps}?watch=1&timeoutSeconds=2&labelSelector=odd%3Dyes&resourceVersion={{page-1.metadata.resourceVersion}}`,
    { events: { deleted: 'page-5' } },
  ),
  get(
    'a watch of one object',
    `${configMaps}?${from}={{page-1.metadata.resourceVersion}}&fieldSelector=metadata.name%3Dpage-4`,
    { events: 1 },
  ),
  get('a watch from version 0', `${configMaps}?${from}=0&fieldSelector=metadata.name%3Dpage-1`, { events: 1 }),
  get('a watch without a version', `${configMaps}?watch=1&labelSelector=page&fieldSelector=metadata.name%3Dpage-1`, {
    events: 1,
  }),
  get('a watch of a bad version', `${configMaps}?${from}=abc`, { events: 1 }),
  get('a watch from long ago', `${configMaps}?${from}=1`, { events: 1 }),
  get('a watch with a bad timeout', `${configMaps}?watch=1&timeoutSeconds=soon`, { events: 1 }),
  get('a watch as XML', `${configMaps}?watch=1`, { headers: { accept: 'application/xml' }, events: 1 }),
];

const fine = { method: 'PATCH', type: 'application/apply-patch+yaml' } as const;
const applied = (data: Json): Json => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owned' }, data });
const ownership: readonly CorpusRequest[] = [
  get('apply a first', `${configMaps}/owned?fieldManager=one`, { ...fine, body: applied({ a: '1', b: '1' }) }),
  get('apply another', `${configMaps}/owned?fieldManager=two`, { ...fine, body: applied({ b: '1', c: '2' }) }),
  get('apply a conflict of two', `${configMaps}/owned?fieldManager=three`, {
    ...fine,
    body: applied({ a: '9', c: '9' }),
  }),
  get('apply with force over two', `${configMaps}/owned?fieldManager=three&force=true`, {
    ...fine,
    body: applied({ a: '9', c: '9' }),
  }),
  get('apply nothing any more', `${configMaps}/owned?fieldManager=one`, { ...fine, body: applied({}) }),
  get('apply managed fields', `${configMaps}/owned?fieldManager=one`, {
    ...fine,
    body: { ...applied({}), metadata: { name: 'owned', managedFields: [] } },
  }),
  get('apply another name', `${configMaps}/owned?fieldManager=one`, {
    ...fine,
    body: { ...applied({}), metadata: { name: 'other' } },
  }),
  get('apply without kind', `${configMaps}/owned?fieldManager=one`, { ...fine, body: { metadata: { name: 'owned' } } }),
  get('apply an unknown field', `${configMaps}/owned?fieldManager=one`, { ...fine, body: { ...applied({}), more: 1 } }),
  get('apply a bad type', `${configMaps}/owned?fieldManager=one`, { ...fine, body: applied({ a: 1 }) }),
  get('apply what is no YAML', `${configMaps}/owned?fieldManager=one`, { ...fine, body: 'a: b: c' }),
  get('patch with force', `${configMaps}/owned?force=true`, {
    method: 'PATCH',
    type: 'application/merge-patch+json',
    body: {},
  }),
  get('apply to a version that is old', `${configMaps}/owned?fieldManager=one`, {
    ...fine,
    body: { ...applied({}), metadata: { name: 'owned', resourceVersion: '1' } },
  }),
  get('update the owned', `${configMaps}/owned?fieldManager=four`, {
    method: 'PUT',
    body: { metadata: { name: 'owned' }, data: { a: '9', d: '4' } },
  }),
  get('forget the owners', `${configMaps}/owned`, {
    method: 'PATCH',
    type: 'application/merge-patch+json',
    body: { metadata: { managedFields: [{}] } },
  }),
];

const patch = (name: string, type: string, text: unknown): CorpusRequest =>
  get(`patch ${name}`, `${configMaps}/page-1?dryRun=All`, { method: 'PATCH', type, body: text });
const json = 'application/json-patch+json';
const patches: readonly CorpusRequest[] = [
  patch('that is no JSON', json, '['),
  patch('that is no list', json, {}),
  patch('of an unknown operation', json, [{ op: 'grow', path: '/data' }]),
  patch('without a path', json, [{ op: 'add', value: 1 }]),
  patch('that adds below nothing', json, [{ op: 'add', path: '/data/x', value: '1' }]),
  patch('that replaces nothing', json, [{ op: 'replace', path: '/data', value: {} }]),
  patch('that moves', json, [
    { op: 'add', path: '/data', value: { a: '1' } },
    { op: 'move', from: '/data/a', path: '/data/b' },
    { op: 'copy', from: '/data/b', path: '/data/c~1d' },
  ]),
  patch('with a bad key', json, [{ op: 'add', path: '/data', value: { 'a b': '1' } }]),
  patch('with a bad type', json, [{ op: 'add', path: '/data', value: 7 }]),
  patch('of its kind', json, [{ op: 'replace', path: '/kind', value: 'Secret' }]),
  patch('of a null', 'application/merge-patch+json', { data: { a: '1', b: null } }),
  patch('of bad JSON', 'application/merge-patch+json', '{'),
  patch('strategic and bad', 'application/strategic-merge-patch+json', '{'),
  patch('strategic with a replacement', 'application/strategic-merge-patch+json', {
    data: { $patch: 'replace', z: '1' },
  }),
  patch('strategic with a bad directive', 'application/strategic-merge-patch+json', { data: { $patch: 'nothing' } }),
  patch('in no type', 'text/plain', '{}'),
];

export const serverRequests: readonly CorpusRequest[] = [
  ...discovery,
  ...wrongPaths,
  ...bodies,
  ...paging,
  ...watches,
  ...ownership,
  ...patches,
];
