/** What makes no sense is refused with upstream's code, reason and message; nothing hangs, nothing dies. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { runProgram } from '@naru/testkit';
import { ApiFixture, startStore, type RequestOptions } from './api-fixture.ts';

await using store = await startStore('etcd');
await using api = await ApiFixture.start(store);

const configMaps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';
const deployments = '/apis/apps/v1/namespaces/default/deployments';

interface Case extends RequestOptions {
  readonly what: string;
  readonly method?: string;
  readonly path: string;
  readonly code: number;
  readonly reason?: string;
  readonly message?: string | RegExp;
  readonly field?: string;
}

const mergePatch = 'application/merge-patch+json';
const configMap = (changes: object): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'x' },
  ...changes,
});
const deployment = (spec: object): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'd' },
  spec: {
    selector: { matchLabels: { a: 'b' } },
    template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    ...spec,
  },
});

const notFound = {
  code: 404,
  reason: 'NotFound',
  message: 'the server could not find the requested resource',
} as const;
const notAllowed = {
  code: 405,
  reason: 'MethodNotAllowed',
  message: 'the server does not allow this method on the requested resource',
} as const;

const cases: readonly Case[] = [
  {
    what: 'malformed JSON',
    method: 'POST',
    path: configMaps,
    raw: '{"kind":',
    code: 400,
    reason: 'BadRequest',
    message:
      /the object provided is unrecognized \(must be of type ConfigMap\): couldn't get version\/kind; json parse error/u,
  },
  {
    what: 'a body that is no object',
    method: 'POST',
    path: configMaps,
    raw: '[1]',
    code: 400,
    reason: 'BadRequest',
    message: /must be of type ConfigMap/u,
  },
  { what: 'an empty body', method: 'POST', path: configMaps, raw: ' ', code: 400, reason: 'BadRequest' },
  { what: 'no body', method: 'POST', path: configMaps, code: 400, reason: 'BadRequest' },
  {
    what: 'malformed YAML',
    method: 'POST',
    path: configMaps,
    raw: 'a: [b',
    type: 'application/yaml',
    code: 400,
    reason: 'BadRequest',
    message: /error converting YAML to JSON/u,
  },
  {
    what: 'a YAML bomb',
    method: 'POST',
    path: configMaps,
    type: 'application/yaml',
    raw: bomb(),
    code: 400,
    reason: 'BadRequest',
  },
  {
    what: 'malformed protobuf',
    method: 'POST',
    path: configMaps,
    raw: 'k8s\0\xff',
    type: 'application/vnd.kubernetes.protobuf',
    code: 400,
    reason: 'BadRequest',
  },
  {
    what: 'an unknown media type',
    method: 'POST',
    path: configMaps,
    raw: 'x',
    type: 'text/csv',
    code: 415,
    reason: 'UnsupportedMediaType',
  },
  {
    what: 'a body over 3 MiB',
    method: 'POST',
    path: configMaps,
    raw: JSON.stringify(configMap({ data: { a: 'x'.repeat(3 * 1024 * 1024) } })),
    code: 413,
    reason: 'RequestEntityTooLarge',
  },
  {
    what: 'another kind',
    method: 'POST',
    path: configMaps,
    body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' } },
    code: 400,
    reason: 'BadRequest',
    message: /Secret in version "v1" cannot be handled as a ConfigMap/u,
  },
  {
    what: 'another version',
    method: 'POST',
    path: configMaps,
    body: { apiVersion: 'v2', kind: 'ConfigMap', metadata: { name: 'x' } },
    code: 400,
    reason: 'BadRequest',
    message: 'the API version in the data (v2) does not match the expected API version (v1)',
  },
  {
    what: 'a kind that is a number',
    method: 'POST',
    path: configMaps,
    body: { apiVersion: 'v1', kind: 7 },
    code: 400,
    reason: 'BadRequest',
  },
  {
    what: 'metadata that is a string',
    method: 'POST',
    path: configMaps,
    body: configMap({ metadata: 'x' }),
    code: 400,
    reason: 'BadRequest',
  },
  {
    what: 'a wrong type',
    method: 'POST',
    path: configMaps,
    body: configMap({ data: { a: 1 } }),
    code: 400,
    reason: 'BadRequest',
    message:
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string',
  },
  {
    what: 'an unknown field, strictly',
    method: 'POST',
    path: `${configMaps}?fieldValidation=Strict`,
    body: configMap({ dta: {} }),
    code: 400,
    reason: 'BadRequest',
    message: 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"',
  },
  {
    what: 'a duplicate field, strictly',
    method: 'POST',
    path: `${configMaps}?fieldValidation=Strict`,
    raw: '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","name":"y"}}',
    code: 400,
    reason: 'BadRequest',
    message: /duplicate field "metadata.name"/u,
  },
  {
    what: 'a fieldValidation that there is not',
    method: 'POST',
    path: `${configMaps}?fieldValidation=Never`,
    body: configMap({}),
    code: 422,
    reason: 'Invalid',
  },
  {
    what: 'a dryRun that there is not',
    method: 'POST',
    path: `${configMaps}?dryRun=Some`,
    body: configMap({}),
    code: 422,
    reason: 'Invalid',
    message: /Unsupported value: \["Some"\]/u,
  },
  {
    what: 'no name',
    method: 'POST',
    path: configMaps,
    body: configMap({ metadata: {} }),
    code: 422,
    reason: 'Invalid',
    message: 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    field: 'metadata.name',
  },
  {
    what: 'a name that is no DNS subdomain',
    method: 'POST',
    path: configMaps,
    body: configMap({ metadata: { name: 'Not_A_Name' } }),
    code: 422,
    reason: 'Invalid',
    field: 'metadata.name',
    message:
      /^ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain must consist of/u,
  },
  {
    what: 'a bad label',
    method: 'POST',
    path: configMaps,
    body: configMap({ metadata: { name: 'x', labels: { 'a b': 'c' } } }),
    code: 422,
    reason: 'Invalid',
    field: 'metadata.labels',
  },
  {
    what: 'a bad label value',
    method: 'POST',
    path: configMaps,
    body: configMap({ metadata: { name: 'x', labels: { a: 'c d' } } }),
    code: 422,
    reason: 'Invalid',
    field: 'metadata.labels',
  },
  {
    what: 'a bad finalizer',
    method: 'POST',
    path: configMaps,
    body: configMap({ metadata: { name: 'x', finalizers: ['x'] } }),
    code: 422,
    reason: 'Invalid',
    field: 'metadata.finalizers[0]',
  },
  {
    what: 'another namespace than the path’s',
    method: 'POST',
    path: configMaps,
    body: configMap({ metadata: { name: 'x', namespace: 'other' } }),
    code: 400,
    reason: 'BadRequest',
    message: 'the namespace of the provided object does not match the namespace sent on the request',
  },
  {
    what: 'another name than the path’s',
    method: 'PUT',
    path: `${configMaps}/y`,
    body: configMap({}),
    code: 400,
    reason: 'BadRequest',
    message: 'the name of the object (x) does not match the name on the URL (y)',
  },
  {
    what: 'an update of nothing',
    method: 'PUT',
    path: `${configMaps}/x`,
    body: configMap({}),
    code: 404,
    reason: 'NotFound',
    message: 'configmaps "x" not found',
  },
  {
    what: 'a patch of nothing',
    method: 'PATCH',
    path: `${configMaps}/x`,
    body: {},
    type: mergePatch,
    code: 404,
    reason: 'NotFound',
  },
  {
    what: 'a malformed patch',
    method: 'PATCH',
    path: `${configMaps}/kube-root`,
    raw: '{',
    type: mergePatch,
    code: 400,
    reason: 'BadRequest',
  },
  {
    what: 'a patch of an unknown form',
    method: 'PATCH',
    path: `${configMaps}/x`,
    body: {},
    type: 'application/json',
    code: 415,
    reason: 'UnsupportedMediaType',
    message:
      /accepted media types include: application\/json-patch\+json, application\/merge-patch\+json, application\/strategic-merge-patch\+json/u,
  },
  {
    what: 'a missing required field',
    method: 'POST',
    path: pods,
    body: { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'p' }, spec: { containers: [] } },
    code: 422,
    reason: 'Invalid',
    field: 'spec.containers',
  },
  {
    what: 'a container without a name',
    method: 'POST',
    path: pods,
    body: { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'p' }, spec: { containers: [{ image: 'x' }] } },
    code: 422,
    reason: 'Invalid',
    field: 'spec.containers[0].name',
  },
  {
    what: 'a deployment whose selector does not match',
    method: 'POST',
    path: deployments,
    body: deployment({ selector: { matchLabels: { a: 'c' } } }),
    code: 422,
    reason: 'Invalid',
  },
  {
    what: 'replicas that are a string',
    method: 'POST',
    path: deployments,
    body: deployment({ replicas: '3' }),
    code: 400,
    reason: 'BadRequest',
    message: /cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32/u,
  },
  {
    what: 'negative replicas',
    method: 'POST',
    path: deployments,
    body: deployment({ replicas: -1 }),
    code: 422,
    reason: 'Invalid',
    field: 'spec.replicas',
  },
  { what: 'a bad label selector', path: `${configMaps}?labelSelector=a+in+b`, code: 400, reason: 'BadRequest' },
  {
    what: 'a bad field selector',
    path: `${configMaps}?fieldSelector=nonsense`,
    code: 400,
    reason: 'BadRequest',
    message: /can't understand 'nonsense'/u,
  },
  {
    what: 'a field that cannot be selected by',
    path: `${configMaps}?fieldSelector=data.x%3Dy`,
    code: 400,
    reason: 'BadRequest',
    message: /^"data.x" is not a known field selector/u,
  },
  { what: 'a bad limit', path: `${configMaps}?limit=many`, code: 400, reason: 'BadRequest' },
  { what: 'a bad continue token', path: `${configMaps}?continue=zzz`, code: 400, reason: 'BadRequest' },
  { what: 'a bad resourceVersion', path: `${configMaps}?resourceVersion=abc`, code: 400, reason: 'BadRequest' },
  {
    what: 'a resourceVersion of the future',
    path: `${configMaps}?resourceVersion=999999999`,
    code: 504,
    reason: 'Timeout',
    message: /Too large resource version: 999999999/u,
  },
  {
    what: 'a match without a resourceVersion',
    path: `${configMaps}?resourceVersionMatch=Exact`,
    code: 422,
    reason: 'Invalid',
    message: /resourceVersionMatch is forbidden unless resourceVersion is provided/u,
  },
  {
    what: 'a match that there is not',
    path: `${configMaps}?resourceVersion=1&resourceVersionMatch=Best`,
    code: 422,
    reason: 'Invalid',
  },
  {
    what: 'both propagation options',
    method: 'DELETE',
    path: `${configMaps}/x`,
    body: { orphanDependents: true, propagationPolicy: 'Orphan' },
    code: 422,
    reason: 'Invalid',
  },
  {
    what: 'a propagation policy that there is not',
    method: 'DELETE',
    path: `${configMaps}/x?propagationPolicy=Sideways`,
    code: 422,
    reason: 'Invalid',
  },
  { what: 'an unknown kind', path: '/api/v1/namespaces/default/widgets', ...notFound },
  { what: 'an unknown version', path: '/api/v9/pods', ...notFound },
  { what: 'an unknown group', path: '/apis/example.com/v1/widgets', ...notFound },
  { what: 'an unknown version of a group', path: '/apis/apps/v9', ...notFound },
  { what: 'an unknown subresource', path: `${pods}/x/nonsense`, ...notFound },
  { what: 'a namespace for a cluster-wide kind', path: '/api/v1/namespaces/default/nodes', ...notFound },
  {
    what: 'a verb that a kind does not know',
    method: 'POST',
    path: `${configMaps}/x`,
    body: configMap({}),
    ...notAllowed,
  },
  { what: 'PUT on a collection', method: 'PUT', path: configMaps, body: configMap({}), ...notAllowed },
  { what: 'GET of a review', path: '/apis/authorization.k8s.io/v1/subjectaccessreviews', ...notAllowed },
  {
    what: 'an answer that nobody can give',
    path: configMaps,
    headers: { accept: 'image/png' },
    code: 406,
    reason: 'NotAcceptable',
  },
  { what: 'no credentials', path: configMaps, token: '', code: 401, reason: 'Unauthorized', message: 'Unauthorized' },
  { what: 'unknown credentials', path: configMaps, token: 'nobody', code: 401, reason: 'Unauthorized' },
  {
    what: 'a user who may not',
    path: configMaps,
    token: 'joe',
    code: 403,
    reason: 'Forbidden',
    message:
      'configmaps is forbidden: User "joe" cannot list resource "configmaps" in API group "" in the namespace "default"',
  },
  {
    what: 'a scale below zero',
    method: 'PUT',
    path: `${deployments}/nothing/scale`,
    body: { spec: { replicas: 1 } },
    code: 404,
    reason: 'NotFound',
  },
  { what: 'a bad escape in the path', path: '/api/v1/namespaces/%zz/pods', code: 400, reason: 'BadRequest' },
];

function bomb(): string {
  const lines = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 9; i++) {
    const [name, from] = ['abcdefghi'[i] ?? '', 'abcdefghi'[i - 1] ?? ''];
    lines.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${from}`).join(', ')}]`);
  }
  return lines.join('\n');
}

await t.test('every refusal is a Status', async (t) => {
  for (const { what, method = 'GET', path, code, reason, message, field, ...options } of cases) {
    const answer = await api.request(method, path, options);
    t.equal(answer.status, code, `${what}: ${answer.text.slice(0, 300)}`);
    t.match(
      answer.body,
      {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        code,
        ...(reason === undefined ? {} : { reason }),
        ...(message === undefined ? {} : { message }),
      },
      what,
    );
    if (field !== undefined) {
      const causes = answer.body.details?.['causes'] as { field?: string }[] | undefined;
      t.ok(
        causes?.some((each) => each.field === field),
        `${what}: a cause names ${field}`,
      );
    }
    t.notMatch(answer.text, /node_modules|\.ts:\d+/u, 'no stack trace');
  }
});

await t.test('unknown fields become warnings unless they are ignored', async (t) => {
  const body = configMap({ metadata: { name: 'warned' }, dta: {} });
  const warned = await api.request('POST', `${configMaps}?dryRun=All`, { body });
  t.equal(warned.status, 201);
  t.match(warned.headers.get('warning'), /^299 - "unknown field \\"dta\\""$/u);
  t.equal(warned.body['dta'], undefined);
  const ignored = await api.request('POST', `${configMaps}?dryRun=All&fieldValidation=Ignore`, { body });
  t.equal(ignored.headers.get('warning'), null);
});

await t.test('paths outside the API get the plain 404, and YAML clients get YAML refusals', async (t) => {
  for (const path of ['/nonsense', '/apis/nonsense', '/apis/nonsense/v1']) {
    const plain = await api.request('GET', path);
    t.equal(plain.status, 404, path);
    t.equal(plain.text, '404 page not found\n', path);
  }
  const { paths } = (await api.request('GET', '/')).body as unknown as { readonly paths: readonly string[] };
  for (const path of ['/api/v1', '/apis', '/apis/apps', '/apis/apps/v1', '/healthz', '/readyz/etcd', '/version'])
    t.ok(paths.includes(path), path);
  const yaml = await api.request('GET', `${configMaps}/none`, { headers: { accept: 'application/yaml' } });
  t.match(yaml.text, /^kind: Status$/mu);
});

await t.test('bytes that are no HTTP, and bodies that never end, do not disturb the server', async (t) => {
  const { port } = new URL(api.url);
  const garbage = connect(Number(port), '127.0.0.1');
  garbage.on('error', () => undefined);
  garbage.write('\x16\x03\x01 not http\r\n\r\n');
  garbage.resume();
  await once(garbage, 'close');
  const half = connect(Number(port), '127.0.0.1');
  half.write(
    `POST ${configMaps} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
  );
  await once(half, 'connect');
  half.destroy();
  t.equal((await api.request('GET', '/readyz')).text, 'ok');
});

await t.test('a bad flag ends the process with status 2 and the flag’s name', async (t) => {
  const main = join(import.meta.dirname, '..', 'src', 'main.ts');
  const flags: readonly (readonly [readonly string[], RegExp])[] = [
    [['--nonsense'], /unknown flag: --nonsense/u],
    [[], /required flag: --etcd-servers/u],
    [['--etcd-servers=nonsense'], /"--etcd-servers" flag/u],
    [['--etcd-servers=http://127.0.0.1:1', '--tls-cert-file=/none'], /--tls-cert-file/u],
    [['--etcd-servers=http://127.0.0.1:1', '--authorization-mode=Maybe'], /--authorization-mode/u],
    [['--etcd-servers=http://127.0.0.1:1', '--service-cluster-ip-range=x'], /service-cluster-ip-range/u],
  ];
  const results = await Promise.all(
    flags.map(async ([args]) => await runProgram(process.execPath, [main, ...args], { allowFailure: true })),
  );
  for (const [i, { code, stderr }] of results.entries()) {
    t.equal(code, 2);
    t.match(stderr, flags[i]?.[1]);
  }
});
