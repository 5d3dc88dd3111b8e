/** CustomResourceDefinitions and their instances; the subresources of built-in kinds that are not of every kind. */
import { NAMESPACE } from './kind-samples.ts';
import type { CorpusRequest, Json } from './request.ts';

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const group = 'corpus.example.com';
const things = `/apis/${group}/v1/namespaces/${NAMESPACE}/things`;
const merge = 'application/merge-patch+json';

const ask = (
  name: string,
  method: CorpusRequest['method'],
  path: string,
  more: Partial<CorpusRequest> = {},
): CorpusRequest => ({
  name: `custom: ${name}`,
  method,
  path,
  ...more,
});

const schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 10 },
        color: { type: 'string', enum: ['red', 'blue'], default: 'red' },
        name: { type: 'string', pattern: '^[a-z]+$', maxLength: 5 },
        tags: { type: 'array', maxItems: 2, items: { type: 'string' } },
        any: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        port: { 'x-kubernetes-int-or-string': true },
        nested: { type: 'object', properties: { on: { type: 'boolean', default: true } } },
        replicas: { type: 'integer' },
        when: { type: 'string', format: 'date-time' },
        maybe: { type: 'string', nullable: true },
      },
    },
    status: { type: 'object', properties: { phase: { type: 'string' }, replicas: { type: 'integer' } } },
  },
};
const version = {
  name: 'v1',
  served: true,
  storage: true,
  schema: { openAPIV3Schema: schema },
  subresources: { status: {}, scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } },
  additionalPrinterColumns: [
    { name: 'Size', type: 'integer', jsonPath: '.spec.size', description: 'How big' },
    { name: 'Color', type: 'string', jsonPath: '.spec.color', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
const names = {
  plural: 'things',
  singular: 'thing',
  kind: 'Thing',
  listKind: 'ThingList',
  shortNames: ['th'],
  categories: ['all'],
};
const definition = (spec: Json = {}, metadata: Json = {}): Json => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `things.${group}`, ...metadata },
  spec: { group, scope: 'Namespaced', names, versions: [version], ...spec },
});
const withSchema = (openAPIV3Schema: Json): Json =>
  definition({ versions: [{ ...version, schema: { openAPIV3Schema } }] });

const badDefinitions: readonly CorpusRequest[] = Object.entries({
  'without a schema': definition({ versions: [{ ...version, schema: undefined }] }),
  'of another name': definition({}, { name: 'other' }),
  'without storage': definition({ versions: [{ ...version, storage: false }] }),
  'without versions': definition({ versions: [] }),
  'of no scope': definition({ scope: 'Some' }),
  'of no group': definition({ group: 'x' }),
  'of a bad plural': definition({ names: { ...names, plural: 'Things' } }),
  'that is not structural': withSchema({ type: 'object', properties: { a: {} } }),
  'with a default that does not fit': withSchema({
    type: 'object',
    properties: { a: { type: 'integer', default: 'x' } },
  }),
  'with a bad pattern': withSchema({ type: 'object', properties: { a: { type: 'string', pattern: '(' } } }),
  'with a type that is none': withSchema({ type: 'object', properties: { a: { type: 'text' } } }),
  'of the group of Kubernetes': definition({ group: 'x.k8s.io' }, { name: 'things.x.k8s.io' }),
  'with a bad path of a column': definition({
    versions: [{ ...version, additionalPrinterColumns: [{ name: 'A', type: 'string', jsonPath: 'x[' }] }],
  }),
}).map(([name, body]) => ask(`create a definition ${name}`, 'POST', `${definitions}?dryRun=All`, { body }));

const thing = (spec: Json, more: Json = {}): Json => ({
  apiVersion: `${group}/v1`,
  kind: 'Thing',
  metadata: { name: 'one' },
  spec,
  ...more,
});
const badThings: readonly CorpusRequest[] = Object.entries({
  'without its size': thing({}),
  'without spec': { apiVersion: `${group}/v1`, kind: 'Thing', metadata: { name: 'none' } },
  'that is too big': thing({ size: 11 }),
  'of a half': thing({ size: 1.5 }),
  'of a size in words': thing({ size: 'x' }),
  'of no color': thing({ size: 1, color: 'green' }),
  'with a long name': thing({ size: 1, name: 'ABCDEFG' }),
  'with many tags': thing({ size: 1, tags: ['a', 'b', 'c'] }),
  'with a tag of a number': thing({ size: 1, tags: [1] }),
  'of no time': thing({ size: 1, when: 'soon' }),
  'of another kind': { ...thing({ size: 1 }), kind: 'Other' },
  'of another version': { ...thing({ size: 1 }), apiVersion: `${group}/v2` },
  'with a bad label': thing({ size: 1 }, { metadata: { name: 'x', labels: { 'a b': 'c' } } }),
  'with everything': thing(
    { size: 2, any: { a: [1] }, port: 'http', nested: {}, maybe: null, more: 'pruned' },
    { extra: 1, status: { phase: 'x' } },
  ),
}).map(([name, body]) => ask(`create a thing ${name}`, 'POST', `${things}?dryRun=All`, { body }));

const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
const isEstablished: NonNullable<CorpusRequest['until']> = ({ body }) =>
  JSON.stringify(body).includes('"reason":"InitialNamesAccepted"');

const instances: readonly CorpusRequest[] = [
  ask('create the definition, dry run', 'POST', `${definitions}?dryRun=All`, { body: definition() }),
  ask('create the definition', 'POST', definitions, { body: definition() }),
  ask('the definition is established', 'GET', `${definitions}/things.${group}`, { until: isEstablished }),
  ask('the first list', 'GET', things, { until: ({ status }) => status === 200 }),
  ask('its version', 'GET', `/apis/${group}/v1`, {
    until: ({ body }) => JSON.stringify(body).includes('things/scale'),
  }),
  ask('its group', 'GET', `/apis/${group}`, { until: ({ status }) => status === 200 }),
  ...badThings,
  ask('create a thing', 'POST', things, { body: thing({ size: 3, nested: {} }), keep: 'thing' }),
  ask('create a thing again', 'POST', things, { body: thing({ size: 3 }) }),
  ask('get the thing', 'GET', `${things}/one`),
  ask('get the thing as Table', 'GET', `${things}/one`, { headers: table }),
  ask('list things as Table', 'GET', things, { headers: table }),
  ask('list things by a field', 'GET', `${things}?fieldSelector=spec.size%3D3`),
  ask('list things by name', 'GET', `${things}?fieldSelector=metadata.name%3Done`),
  ask('merge patch of the thing', 'PATCH', `${things}/one`, {
    type: merge,
    body: { spec: { color: 'blue', tags: ['a'] } },
  }),
  ask('bad merge patch of the thing', 'PATCH', `${things}/one`, { type: merge, body: { spec: { size: 99 } } }),
  ask('strategic merge patch of the thing', 'PATCH', `${things}/one`, {
    type: 'application/strategic-merge-patch+json',
    body: {},
  }),
  ask('JSON patch of the thing', 'PATCH', `${things}/one`, {
    type: 'application/json-patch+json',
    body: [{ op: 'add', path: '/spec/name', value: 'abc' }],
  }),
  ask('apply the thing', 'PATCH', `${things}/one?fieldManager=ann`, {
    type: 'application/apply-patch+yaml',
    body: thing({ size: 4 }),
  }),
  ask('apply the thing with force', 'PATCH', `${things}/one?fieldManager=ann&force=true`, {
    type: 'application/apply-patch+yaml',
    body: thing({ size: 4, nested: { on: false } }),
  }),
  ask('update of the thing without a version', 'PUT', `${things}/one`, { body: thing({ size: 5 }) }),
  ask('patch the status', 'PATCH', `${things}/one/status`, {
    type: merge,
    body: { status: { phase: 'Good', more: 1 }, spec: { size: 9 } },
  }),
  ask('patch the status by the object', 'PATCH', `${things}/one`, { type: merge, body: { status: { phase: 'Bad' } } }),
  ask('get its scale before there are replicas', 'GET', `${things}/one/scale`),
  ask('patch its replicas', 'PATCH', `${things}/one`, { type: merge, body: { spec: { replicas: 2 } } }),
  ask('get its scale', 'GET', `${things}/one/scale`),
  ask('patch its scale', 'PATCH', `${things}/one/scale`, { type: merge, body: { spec: { replicas: 3 } } }),
  ask('patch its scale below zero', 'PATCH', `${things}/one/scale`, { type: merge, body: { spec: { replicas: -3 } } }),
  ask('a subresource that is none', 'GET', `${things}/one/none`),
  ask('delete the thing in the foreground', 'DELETE', `${things}/one`, { body: { propagationPolicy: 'Foreground' } }),
  ask('let the thing go', 'PATCH', `${things}/one`, { type: merge, body: { metadata: { finalizers: [] } } }),
  ask('watch things', 'GET', `${things}?watch=1&timeoutSeconds=2&resourceVersion={{thing.metadata.resourceVersion}}`, {
    events: { deleted: 'one' },
  }),
  ask('patch the definition to another scope', 'PATCH', `${definitions}/things.${group}?dryRun=All`, {
    type: merge,
    body: { spec: { scope: 'Cluster' } },
  }),
  ask('delete the definition', 'DELETE', `${definitions}/things.${group}`),
  ask('things without definition', 'GET', things, { until: ({ status }) => status === 404 }),
];

const subresources: readonly CorpusRequest[] = [
  ask('a token', 'POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/default/token`, {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: ['a'], expirationSeconds: 3600 },
    },
  }),
  ask('a token for too short', 'POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/default/token`, {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: ['a'], expirationSeconds: 5 },
    },
  }),
  ask('a token of nobody', 'POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/none/token`, {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: ['a'] } },
  }),
  ask('a token bound to nothing', 'POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/default/token`, {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: ['a'], boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'none' } },
    },
  }),
];

export const definitionRequests: readonly CorpusRequest[] = [...badDefinitions, ...instances, ...subresources];
