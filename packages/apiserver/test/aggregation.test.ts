/** APIServices: what extension API servers serve, through this server. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { eventually, runProgram } from '@naru/testkit';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';
import { startProxy } from './kubectl-proxy.ts';

const registration = '/apis/apiregistration.k8s.io/v1/apiservices';
const group = 'zoo.example.com';
const animals = `/apis/${group}/v1/namespaces/default/animals`;

const folder = await mkdtemp(join(tmpdir(), 'naru-aggregation-'));
t.teardown(async () => await rm(folder, { recursive: true, force: true }));

async function certificate(name: string, subject: string, names = ''): Promise<{ cert: string; key: string }> {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
  const extension = names === '' ? [] : ['-addext', `subjectAltName=${names}`];
  execFileSync(
    'openssl',
    // prettier-ignore
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', subject,
     ...extension, '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  );
  return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
}
const serving = await certificate('serving', '/CN=zoo', 'DNS:zoo.default.svc');
const proxyClient = await certificate('proxy', '/CN=front-proxy');

/** An extension server with one resource, as sample-apiserver's, that lists, gets, creates and watches. */
interface Animal {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace: string; resourceVersion: string; uid: string; creationTimestamp: string };
  spec?: unknown;
}
const stored = new Map<string, Animal>();
const watchers = new Set<ServerResponse>();
const seen: { url: string; headers: IncomingMessage['headersDistinct']; peer: string | undefined }[] = [];
let isHealthy = true;
let revision = 1;

const resourceList = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: `${group}/v1`,
  resources: [
    {
      name: 'animals',
      singularName: 'animal',
      namespaced: true,
      kind: 'Animal',
      verbs: ['create', 'get', 'list', 'watch'],
      shortNames: ['ani'],
    },
    { name: 'animals/status', singularName: '', namespaced: true, kind: 'Animal', verbs: ['get'] },
  ],
};
const openApiV3 = {
  openapi: '3.0.0',
  info: { title: 'zoo', version: 'v1' },
  paths: {
    [`/apis/${group}/v1/namespaces/{namespace}/animals`]: {
      get: {
        operationId: 'listAnimals',
        'x-kubernetes-action': 'list',
        'x-kubernetes-group-version-kind': { group, version: 'v1', kind: 'Animal' },
      },
    },
  },
  components: {
    schemas: {
      'com.example.zoo.v1.Animal': {
        type: 'object',
        description: 'An animal of the zoo.',
        properties: { spec: { type: 'object', description: 'What it eats.' } },
        'x-kubernetes-group-version-kind': [{ group, version: 'v1', kind: 'Animal' }],
      },
    },
  },
};
const openApiV2 = {
  swagger: '2.0',
  info: { title: 'zoo', version: 'v1' },
  paths: { [`/apis/${group}/v1/animals`]: { get: { operationId: 'listAnimals' } }, '/apis/apps/v1/x': {} },
  definitions: { 'com.example.zoo.v1.Animal': { type: 'object' } },
};

function json(response: ServerResponse, code: number, value: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json', 'x-zoo': 'yes' }).end(JSON.stringify(value));
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'https://zoo');
  const certificateOf = (request.socket as TLSSocket).getPeerCertificate();
  seen.push({
    url: request.url ?? '',
    headers: request.headersDistinct,
    peer: certificateOf.subject?.CN as string | undefined,
  });
  if (!isHealthy) return json(response, 500, {});
  if (pathname === `/apis/${group}/v1`) return json(response, 200, resourceList);
  if (pathname === '/openapi/v3')
    return json(response, 200, {
      paths: { [`apis/${group}/v1`]: { serverRelativeURL: `/openapi/v3/apis/${group}/v1?hash=ABC` } },
    });
  if (pathname === `/openapi/v3/apis/${group}/v1`) return json(response, 200, openApiV3);
  if (pathname === '/openapi/v2') return json(response, 200, openApiV2);
  const match = /^\/apis\/zoo\.example\.com\/v1(?:\/namespaces\/([^/]+))?\/animals(?:\/([^/]+))?$/u.exec(pathname);
  if (match === null) return json(response, 404, { kind: 'Status', code: 404 });
  if (request.method === 'POST') {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Animal;
    const metadata = {
      ...body.metadata,
      namespace: match[1] ?? '',
      resourceVersion: String(++revision),
      uid: body.metadata.name,
      creationTimestamp: '2026-01-01T00:00:00Z',
    };
    const animal = { ...body, metadata };
    stored.set(animal.metadata.name, animal);
    for (const watcher of watchers) watcher.write(`${JSON.stringify({ type: 'ADDED', object: animal })}\n`);
    return json(response, 201, animal);
  }
  if (searchParams.get('watch') !== null) {
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    watchers.add(response);
    response.once('close', () => watchers.delete(response));
    return;
  }
  if (match[2] !== undefined) {
    const animal = stored.get(match[2]);
    return animal === undefined
      ? json(response, 404, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 })
      : json(response, 200, animal);
  }
  json(response, 200, {
    kind: 'AnimalList',
    apiVersion: `${group}/v1`,
    metadata: { resourceVersion: String(revision) },
    items: [...stored.values()],
  });
}

const zoo = createServer({ ...serving, requestCert: true, rejectUnauthorized: false }, (request, response) => {
  void answer(request, response);
}).listen(0, '127.0.0.1');
zoo.on('upgrade', (request: IncomingMessage, socket) => {
  const key = request.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\nhello ${request.headers['x-remote-user'] as string}`,
  );
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
});
await once(zoo, 'listening');
t.teardown(() => {
  zoo.closeAllConnections();
  zoo.close();
});
const { port } = zoo.address() as AddressInfo;

await using store = await startStore('etcd');
await using api = await ApiFixture.start(store, {
  aggregator: { ...proxyClient, endpointRouting: true },
  requestHeader: {
    clientCa: proxyClient.cert,
    allowedNames: [],
    usernameHeaders: ['X-Remote-User'],
    uidHeaders: ['X-Remote-Uid'],
    groupHeaders: ['X-Remote-Group'],
    extraHeadersPrefix: ['X-Remote-Extra-'],
  },
});

async function ok(code: number, ...request: Parameters<ApiFixture['request']>): Promise<Answer> {
  const answered = await api.request(...request);
  t.equal(answered.status, code, answered.status === code ? `${request[0]} ${request[1]}` : answered.text);
  return answered;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** The condition `Available`, when it has this reason. */
async function available(name: string, reason: string): Promise<Condition> {
  return await eventually(
    async () => {
      const { body, text } = await api.request('GET', `${registration}/${name}`);
      const { conditions = [] } = (body.status ?? {}) as { conditions?: Condition[] };
      const found = conditions.find((each) => each.type === 'Available');
      if (found?.reason !== reason) throw new Error(text);
      return found;
    },
    { deadlineMs: 60_000 },
  );
}

const apiService = (spec: object = {}): object => ({
  apiVersion: 'apiregistration.k8s.io/v1',
  kind: 'APIService',
  metadata: { name: `v1.${group}` },
  spec: {
    group,
    version: 'v1',
    groupPriorityMinimum: 2000,
    versionPriority: 10,
    service: { namespace: 'default', name: 'zoo' },
    caBundle: Buffer.from(serving.cert).toString('base64'),
    ...spec,
  },
});
const service = (ports: object[]): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'zoo', namespace: 'default' },
  spec: { ports },
});
const slice = (endpoints: object[]): object => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'zoo-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'zoo' } },
  addressType: 'IPv4',
  endpoints,
  ports: [{ name: 'https', port, protocol: 'TCP' }],
});
const aggregated = {
  headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json' },
};
const merge = { type: 'application/merge-patch+json' };

await t.test('what this server serves itself has APIServices', async (t) => {
  const local = await available('v1.apps', 'Local');
  t.match(local, { status: 'True', message: 'Local APIServices are always available' });
  await available('v2.autoscaling', 'Local');
  const core = await ok(200, 'GET', `${registration}/v1.`);
  t.match(core.body, {
    metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': 'onstart' } },
    spec: { version: 'v1', groupPriorityMinimum: 18_000, versionPriority: 1 },
  });
  await ok(200, 'DELETE', `${registration}/v1.apps`);
  await available('v1.apps', 'Local');
  const names = { plural: 'pens', kind: 'Pen' };
  const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }];
  await ok(201, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    body: {
      metadata: { name: 'pens.example.org' },
      spec: { group: 'example.org', scope: 'Namespaced', names, versions },
    },
  });
  await available('v1.example.org', 'Local');
  const table = await ok(200, 'GET', registration, {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  });
  t.match(
    (table.body['rows'] as { cells: unknown[] }[])
      .map(({ cells }) => cells.slice(0, 3))
      .find(([name]) => name === 'v1.example.org'),
    ['v1.example.org', 'Local', 'True'],
  );
  await ok(200, 'DELETE', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pens.example.org');
  await eventually(async () => {
    if ((await api.request('GET', `${registration}/v1.example.org`)).status !== 404) throw new Error('still there');
  });
});

await t.test('APIServices are validated in upstream words', async (t) => {
  const refused = async (body: object): Promise<string> => {
    const answered = await api.request('POST', registration, { body });
    t.equal(answered.status, 422, answered.text);
    return answered.body.message ?? '';
  };
  t.match(
    await refused({ ...apiService(), metadata: { name: 'zoo' } }),
    'must be `spec.version+"."+spec.group`: "v1.zoo.example.com"',
  );
  t.match(
    await refused(apiService({ groupPriorityMinimum: 0 })),
    'spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000',
  );
  t.match(
    await refused(apiService({ insecureSkipTLSVerify: true })),
    'spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present',
  );
  t.match(await refused(apiService({ service: undefined })), 'local APIServices may not have a caBundle');
});

await t.test('an APIService tells why it is not available', async (t) => {
  await ok(201, 'POST', registration, { body: apiService() });
  t.match(await available(`v1.${group}`, 'ServiceNotFound'), {
    status: 'False',
    message: 'service/zoo in "default" is not present',
  });
  const down = await ok(503, 'GET', animals);
  t.equal(down.text, 'service unavailable\n');
  t.match(down.headers.get('content-type'), 'text/plain');
  const stale = await ok(200, 'GET', '/apis', aggregated);
  t.match(
    (stale.body.items ?? []).find(({ metadata }) => metadata.name === group),
    { versions: [{ version: 'v1', freshness: 'Stale', resources: [] }] },
  );
  await ok(201, 'POST', '/api/v1/namespaces/default/services', { body: service([{ name: 'http', port: 80 }]) });
  t.match(await available(`v1.${group}`, 'ServicePortError'), {
    message: 'service/zoo in "default" is not listening on port 443',
  });
  await ok(200, 'PATCH', '/api/v1/namespaces/default/services/zoo', {
    body: { spec: { ports: [{ name: 'https', port: 443 }] } },
    ...merge,
  });
  t.match(await available(`v1.${group}`, 'EndpointsNotFound'), {
    message: 'cannot find endpointslices for service/zoo in "default"',
  });
  const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
  const here = { addresses: ['127.0.0.1'] };
  await ok(201, 'POST', slices, { body: slice([{ ...here, conditions: { ready: false } }]) });
  t.match(await available(`v1.${group}`, 'MissingEndpoints'), {
    message: 'endpointslices for service/zoo in "default" have no addresses with port name "https"',
  });
  isHealthy = false;
  await ok(200, 'PATCH', `${slices}/zoo-1`, { body: { endpoints: [here] }, ...merge });
  t.match(await available(`v1.${group}`, 'FailedDiscoveryCheck'), {
    message: `failing or missing response from https://127.0.0.1:${port}/apis/${group}/v1: bad status from https://127.0.0.1:${port}/apis/${group}/v1: 500`,
  });
  isHealthy = true;
  t.match(await available(`v1.${group}`, 'Passed'), { status: 'True', message: 'all checks passed' });
});

await t.test('requests are passed on in the name of who asks', async (t) => {
  seen.length = 0;
  const made = await ok(201, 'POST', `${animals}?dryRun=&x=y%20z`, {
    body: { apiVersion: `${group}/v1`, kind: 'Animal', metadata: { name: 'lion' }, spec: { eats: 'meat' } },
    headers: { 'x-remote-user': 'mallory', 'x-remote-group': 'system:masters', 'x-remote-extra-a': 'b' },
  });
  t.match(made.body, { metadata: { name: 'lion', namespace: 'default' } });
  t.equal(made.headers.get('x-zoo'), 'yes');
  const post = seen.find(({ url }) => url.startsWith(animals));
  t.equal(post?.url, `${animals}?dryRun=&x=y%20z`);
  t.equal(post?.peer, 'front-proxy', 'with the certificate of a front proxy');
  t.match(post?.headers, { 'x-remote-user': ['admin'], 'x-remote-group': ['system:masters', 'system:authenticated'] });
  for (const name of ['authorization', 'x-remote-extra-a']) t.notOk(post?.headers[name], name);
  const impersonated = {
    headers: {
      'impersonate-user': 'jane',
      'impersonate-group': 'system:masters',
      'impersonate-extra-scopes%2fA': 'all',
    },
  };
  await ok(200, 'GET', `${animals}/lion`, impersonated);
  // The server asks things of its own meanwhile.
  const get = seen.find(({ url }) => url === `${animals}/lion`);
  t.match(get?.headers, { 'x-remote-user': ['jane'], 'x-remote-extra-scopes%2fa': ['all'] });
  t.notOk(get?.headers['impersonate-user']);
  t.equal((await ok(404, 'GET', `${animals}/bear`)).body.reason, 'NotFound');
  const before = seen.length;
  const forbidden = await ok(403, 'GET', animals, { token: 'joe' });
  t.match(
    forbidden.body.message,
    'animals.zoo.example.com is forbidden: User "joe" cannot list resource "animals" in API group "zoo.example.com" in the namespace "default"',
  );
  const asJoe = seen.slice(before).filter(({ headers }) => headers['x-remote-user']?.includes('joe') === true);
  t.strictSame(asJoe, [], 'authorization is this server’s affair');
});

await t.test('watches and upgrades are streams', async (t) => {
  const watch = api.watch(`${animals}?watch=1`);
  const first = watch.next();
  await eventually(async () => {
    if (watchers.size === 0) throw new Error('the watch has not come');
    const { text } = await api.request('GET', '/metrics');
    // The request for metrics itself is one.
    if (!/^apiserver_current_inflight_requests\{request_kind="readOnly"\} 1$/mu.test(text))
      throw new Error('the watch has a seat');
  });
  await ok(201, 'POST', animals, { body: { apiVersion: `${group}/v1`, kind: 'Animal', metadata: { name: 'seal' } } });
  t.match((await first).value, { type: 'ADDED', object: { metadata: { name: 'seal' } } });
  await watch.return();
  await eventually(() => {
    if (watchers.size > 0) throw new Error('the watch goes on without its client');
  });
  const socket = connect(api.server.port, '127.0.0.1');
  socket.write(
    `GET ${animals}/lion/feed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  let text = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.endsWith('hello admin')) break;
  }
  t.match(text, /^HTTP\/1\.1 101 /u);
  socket.destroy();
});

await t.test('discovery and OpenAPI are of both', async (t) => {
  const list = await ok(200, 'GET', '/apis');
  const names = (list.body['groups'] as { name: string }[]).map(({ name }) => name);
  t.equal(names.at(-1), group);
  t.match((await ok(200, 'GET', `/apis/${group}`)).body, {
    kind: 'APIGroup',
    name: group,
    preferredVersion: { groupVersion: `${group}/v1` },
  });
  t.strictSame((await ok(200, 'GET', `/apis/${group}/v1`)).body, resourceList);
  const all = await eventually(async () => {
    const found = ((await api.request('GET', '/apis', aggregated)).body.items ?? []).find(
      ({ metadata }) => metadata.name === group,
    );
    if (!JSON.stringify(found).includes('Current')) throw new Error(JSON.stringify(found));
    return found;
  });
  t.match(all, {
    versions: [
      {
        version: 'v1',
        resources: [
          {
            resource: 'animals',
            scope: 'Namespaced',
            shortNames: ['ani'],
            responseKind: { kind: 'Animal' },
            subresources: [{ subresource: 'status' }],
          },
        ],
      },
    ],
  });
  const index = await ok(200, 'GET', '/openapi/v3');
  t.match((JSON.parse(index.text) as { paths: unknown }).paths, {
    [`apis/${group}/v1`]: { serverRelativeURL: `/openapi/v3/apis/${group}/v1?hash=ABC` },
    'apis/apps/v1': {},
  });
  t.strictSame((await ok(200, 'GET', `/openapi/v3/apis/${group}/v1`)).body, openApiV3);
  const v2 = (await ok(200, 'GET', '/openapi/v2')).body as unknown as typeof openApiV2;
  t.ok(v2.paths[`/apis/${group}/v1/animals`]);
  t.notOk((v2.paths as Record<string, unknown>)['/apis/apps/v1/x'], 'only of its own group version');
  t.ok(v2.definitions['com.example.zoo.v1.Animal']);
});

await t.test('kubectl knows no difference', async (t) => {
  const proxy = await startProxy(api.url);
  const home = await mkdtemp(join(tmpdir(), 'naru-kubectl-'));
  t.teardown(async () => {
    await proxy.stop();
    await rm(home, { recursive: true, force: true });
  });
  const run = async (...args: readonly string[]): Promise<string> => {
    const env = { ...process.env, HOME: home, KUBECONFIG: join(home, 'none') };
    return (await runProgram('kubectl', [`--server=${proxy.url}`, ...args], { env })).stdout;
  };
  t.match(await run('get', 'ani'), /NAME +AGE\nlion +/u);
  t.match(await run('get', 'animal', 'lion', '-o', 'jsonpath={.spec.eats}'), /^meat$/u);
  t.match(await run('api-resources', '--api-group', group), /animals +ani +zoo.example.com\/v1 +true +Animal/u);
  t.match(await run('api-versions'), /zoo.example.com\/v1/u);
  t.match(await run('explain', 'animal.spec'), /What it eats/u);
  t.match(await run('get', 'apiservices'), /v1.zoo.example.com +default\/zoo +True/u);
  t.match(await run('get', 'apiservices', 'v1.'), /v1\. +Local +True/u);
});

await t.test('whose certificate is not the one of the caBundle is not believed', async () => {
  const path = `${registration}/v1.${group}`;
  await ok(200, 'PATCH', path, {
    body: { spec: { caBundle: Buffer.from(proxyClient.cert).toString('base64') } },
    ...merge,
  });
  await eventually(async () => {
    const answered = await api.request('GET', animals);
    if (answered.status !== 503 || !/^error trying to reach service: .*certificate/u.test(answered.text))
      throw new Error(answered.text);
  });
  await ok(200, 'PATCH', path, { body: { spec: { caBundle: null, insecureSkipTLSVerify: true } }, ...merge });
  await eventually(async () => {
    const answered = await api.request('GET', animals);
    if (answered.status !== 200) throw new Error(answered.text);
  });
  await ok(200, 'DELETE', path);
  await eventually(async () => {
    const answered = await api.request('GET', `/apis/${group}`);
    if (answered.status !== 404) throw new Error(answered.text);
  });
});

await t.test('extension servers find out by whom callers are vouched for', async (t) => {
  const { body } = await ok(200, 'GET', '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication');
  t.match(body.data, {
    'requestheader-client-ca-file': proxyClient.cert,
    'requestheader-username-headers': '["X-Remote-User"]',
    'requestheader-uid-headers': '["X-Remote-Uid"]',
    'requestheader-group-headers': '["X-Remote-Group"]',
    'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
  });
});
