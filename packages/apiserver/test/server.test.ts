/** The server around the API: start and stop, several of them, other versions, others' names, logs of kubelets. */
import { createPublicKey, generateKeyPairSync, verify, type JsonWebKey } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { eventually, runProgram } from '@naru/testkit';
import { ApiFixture, startStore, type Answer, type Body } from './api-fixture.ts';

async function succeeded(request: Promise<Answer>): Promise<Answer> {
  const answer = await request;
  if (answer.status !== 200) throw new Error(answer.text);
  return answer;
}

await t.test('several servers start on an empty store at the same time, and leave it as one would', async (t) => {
  await using store = await startStore('etcd');
  const servers = await Promise.all([1, 2, 3].map(async () => ApiFixture.start(store)));
  const [first] = servers;
  if (first === undefined) throw new Error('no server');
  const namespaces = await first.request('GET', '/api/v1/namespaces');
  t.strictSame(
    namespaces.body.items?.map((each) => each.metadata.name),
    ['default', 'kube-node-lease', 'kube-public', 'kube-system'],
  );
  const service = await eventually(
    async () => await succeeded(first.request('GET', '/api/v1/namespaces/default/services/kubernetes')),
    { deadlineMs: 60_000 },
  );
  t.match(service.body, { spec: { clusterIP: '10.0.0.1', ports: [{ name: 'https', port: 443 }] } });
  const endpoints = await eventually(
    async () => await succeeded(first.request('GET', '/api/v1/namespaces/default/endpoints/kubernetes')),
    { deadlineMs: 60_000 },
  );
  t.match(endpoints.body['subsets'], [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ name: 'https' }] }]);
  const version = await first.request('GET', '/version', { token: '' });
  t.match(version.body, { major: '1', gitVersion: /^v1\./u });
  for (const path of ['/healthz', '/livez', '/readyz'])
    t.equal((await first.request('GET', path, { token: '' })).text, 'ok');
  const verbose = await first.request('GET', '/readyz?verbose', { token: '' });
  t.match(verbose.text, /^\[\+\]ping ok\n\[\+\]etcd ok\n[\s\S]*readyz check passed\n$/u);
  t.equal((await first.request('GET', '/readyz/etcd')).text, 'ok');
  t.match(
    (await first.request('GET', '/metrics')).text,
    /^apiserver_request_total\{verb="LIST",.*resource="namespaces".*\} \d+$/mu,
  );
  t.equal((await first.request('GET', '/metrics', { token: '' })).status, 401);

  const watch = first.watch('/api/v1/namespaces?watch=true&resourceVersion=0');
  const seen: string[] = [];
  const ended = (async () => {
    for await (const event of watch) seen.push(event.type);
  })();
  await eventually(
    () => {
      if (seen.length !== 4) throw new Error(`${seen.length} events`);
    },
    { deadlineMs: 60_000 },
  );
  for (const server of servers) await server[Symbol.asyncDispose]();
  await ended;
  t.pass('watches end cleanly when a server stops');
  await t.rejects(first.request('GET', '/version'));
});

await t.test('one server', async (t) => {
  await using store = await startStore('etcd');
  await using api = await ApiFixture.start(store);

  await t.test('discovery and OpenAPI say what there is', async (t) => {
    t.match((await api.request('GET', '/api')).body, { kind: 'APIVersions', versions: ['v1'] });
    t.match((await api.request('GET', '/apis')).body, { kind: 'APIGroupList' });
    const core = await api.request('GET', '/api/v1');
    const resources = core.body['resources'] as Body[];
    t.match(
      resources.find((each) => each['name'] === 'pods/log'),
      { kind: 'Pod', namespaced: true, verbs: ['get'] },
    );
    t.match(
      resources.find((each) => each['name'] === 'pods/exec'),
      { kind: 'PodExecOptions', namespaced: true, verbs: ['create', 'get'] },
    );
    t.match(
      resources.find((each) => each['name'] === 'pods/resize'),
      { kind: 'Pod', namespaced: true, verbs: ['get', 'patch', 'update'] },
    );
    const aggregated = await api.request('GET', '/apis', {
      headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json' },
    });
    t.equal(aggregated.body.kind, 'APIGroupDiscoveryList');
    t.match(aggregated.headers.get('content-type'), /as=APIGroupDiscoveryList/u);
    const kept = await api.request('GET', '/apis', {
      headers: {
        accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
        'if-none-match': aggregated.headers.get('etag') ?? '',
      },
    });
    t.equal(kept.status, 304);
    const index = await api.request('GET', '/openapi/v3');
    t.match(index.body['paths'], { 'apis/apps/v1': { serverRelativeURL: /^\/openapi\/v3\/apis\/apps\/v1\?hash=/u } });
    t.match((await api.request('GET', '/openapi/v3/apis/apps/v1')).body, { openapi: '3.0.0' });
    // The first is what kubectl before 1.27 asks for.
    for (const name of ['spec.v2@v1.0', 'spec.v2.v1.0']) {
      const accept = `application/com.github.proto-openapi.${name}+protobuf`;
      const v2 = await api.request('GET', '/openapi/v2', { headers: { accept } });
      t.equal(v2.headers.get('content-type'), 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
      t.ok(v2.text.startsWith('\n\u00032.0\u0012'), 'a message that begins with swagger: 2.0');
    }
    const v2 = await api.request('GET', '/openapi/v2', { headers: { accept: 'text/html,application/*;q=0.5' } });
    t.match(v2.body, { swagger: '2.0' });
    t.equal((await api.request('GET', '/openapi/v2', { headers: { accept: 'text/html' } })).status, 406);
  });

  await t.test('what is computed has no table', async (t) => {
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const table = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const body = { spec: { nonResourceAttributes: { path: '/', verb: 'get' } } };
    t.equal((await api.request('POST', path, { body, headers: { accept: table } })).status, 406);
    const review = await api.request('POST', path, { body, headers: { accept: `${table},application/json` } });
    t.match(review, { status: 201, body: { kind: 'SelfSubjectAccessReview', status: { allowed: true } } });
  });

  await t.test('the state of the control plane can be read', async (t) => {
    const list = await api.request('GET', '/api/v1/componentstatuses');
    t.match(list.body, {
      kind: 'ComponentStatusList',
      items: [
        { metadata: { name: 'controller-manager' }, conditions: [{ type: 'Healthy', status: 'False' }] },
        { metadata: { name: 'scheduler' } },
        { metadata: { name: 'etcd-0' }, conditions: [{ type: 'Healthy', status: 'True', message: 'ok' }] },
      ],
    });
    t.match((await api.request('GET', '/api/v1/componentstatuses/etcd-0')).body, { kind: 'ComponentStatus' });
    t.equal((await api.request('GET', '/api/v1/componentstatuses/x')).status, 404);
    t.equal((await api.request('DELETE', '/api/v1/componentstatuses/etcd-0')).status, 405);
    const table = await api.request('GET', '/api/v1/componentstatuses', {
      headers: { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' },
    });
    t.match(table.body['rows'], [{}, {}, { cells: ['etcd-0', 'Healthy', 'ok', ''] }]);
  });

  await t.test('an Event and an autoscaler are the same object in both of their versions', async (t) => {
    const events = '/api/v1/namespaces/default/events';
    const other = '/apis/events.k8s.io/v1/namespaces/default/events';
    const event = {
      metadata: { name: 'e' },
      involvedObject: { kind: 'Pod', namespace: 'default', name: 'p' },
      message: 'hello',
      reason: 'Greeted',
      type: 'Normal',
    };
    t.equal((await api.request('POST', events, { body: event })).status, 201);
    t.match((await api.request('GET', `${other}/e`)).body, {
      apiVersion: 'events.k8s.io/v1',
      regarding: { name: 'p' },
      note: 'hello',
    });
    for (const [path, selector, status, count] of [
      [other, 'regarding.name=p,reason=Greeted,metadata.name=e', 200, 1],
      [other, 'reportingController!=', 200, 0],
      [other, 'involvedObject.name=p', 400, undefined],
      [other, 'source=', 400, undefined],
      [events, 'involvedObject.name=p,source=', 200, 1],
      [events, 'regarding.name=p', 400, undefined],
    ] as const) {
      const list = await api.request('GET', `${path}?fieldSelector=${encodeURIComponent(selector)}`);
      t.match({ status: list.status, count: list.body.items?.length }, { status, count }, `${path} ${selector}`);
    }
    t.match((await api.request('GET', other)).body, {
      kind: 'EventList',
      apiVersion: 'events.k8s.io/v1',
      items: [{ note: 'hello' }],
    });
    const patched = await api.request('PATCH', `${other}/e`, {
      type: 'application/merge-patch+json',
      body: { note: 'bye' },
    });
    t.match(patched.body, { apiVersion: 'events.k8s.io/v1', note: 'bye' });
    t.match((await api.request('GET', `${events}/e`)).body, {
      apiVersion: 'v1',
      message: 'bye',
      involvedObject: { name: 'p' },
    });
    const { stdout } = await runProgram('etcdctl', [`--endpoints=${store.clientUrl}`, 'lease', 'list'], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
    t.match(stdout, /found [2-9] leases/u, 'events end with a lease, beside the one of the server itself');

    const autoscalers = '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers';
    const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' };
    const body = {
      metadata: { name: 'h' },
      spec: { scaleTargetRef, maxReplicas: 3, targetCPUUtilizationPercentage: 50 },
    };
    t.equal((await api.request('POST', autoscalers, { body })).status, 201);
    const v2 = await api.request('GET', '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h');
    t.match(v2.body.spec, { metrics: [{ resource: { name: 'cpu', target: { averageUtilization: 50 } } }] });
  });

  await t.test('a request can be made in another’s name by those who may', async (t) => {
    const headers = { 'impersonate-user': 'joe' };
    const path = '/api/v1/namespaces/default/secrets';
    t.match(await api.request('GET', path, { headers }), { status: 403, body: { message: /User "joe" cannot list/u } });
    t.match(await api.request('GET', path, { headers: { 'impersonate-user': 'admin' }, token: 'joe' }), {
      status: 403,
      body: { message: /User "joe" cannot impersonate resource "users"/u },
    });
    const grouped = { 'impersonate-user': 'joe', 'impersonate-group': 'system:masters' };
    t.equal((await api.request('GET', path, { headers: grouped })).status, 200);
    const groupOnly = await api.request('GET', path, { headers: { 'impersonate-group': 'system:masters' } });
    t.equal(groupOnly.status, 400);
  });

  await t.test('a binding may be posted to bindings too', async (t) => {
    const spec = { containers: [{ name: 'c', image: 'i' }] };
    await api.request('POST', '/api/v1/namespaces/default/pods', { body: { metadata: { name: 'b' }, spec } });
    const body = { metadata: { name: 'b' }, target: { kind: 'Node', name: 'n9' } };
    t.equal((await api.request('POST', '/api/v1/namespaces/default/bindings', { body })).status, 201);
    t.equal((await api.request('POST', '/api/v1/namespaces/default/bindings', { body })).status, 409);
    t.match((await api.request('GET', '/api/v1/namespaces/default/pods/b')).body, { spec: { nodeName: 'n9' } });
  });

  await t.test('large lists are compressed for those who ask', async (t) => {
    const path = '/api/v1/namespaces/default/configmaps';
    const data = { text: 'x'.repeat(100_000) };
    for (const name of ['big1', 'big2']) await api.request('POST', path, { body: { metadata: { name }, data } });
    const plain = await api.request('GET', path, { headers: { 'accept-encoding': 'identity' } });
    t.equal(plain.headers.get('content-encoding'), null);
    t.equal(Number(plain.headers.get('content-length')), Buffer.byteLength(plain.text));
    const compressed = await api.request('GET', path, { headers: { 'accept-encoding': 'gzip' } });
    t.equal(compressed.headers.get('content-encoding'), 'gzip');
    t.equal(compressed.text, plain.text);
  });

  await t.test('logs of a pod without a node are empty, and of a node that does not answer an error', async (t) => {
    const pods = '/api/v1/namespaces/default/pods';
    const spec = { containers: [{ name: 'c', image: 'i' }] };
    await api.request('POST', pods, { body: { metadata: { name: 'idle' }, spec } });
    t.match(await api.request('GET', `${pods}/idle/log`), { status: 200, text: '' });
    t.match(await api.request('GET', `${pods}/idle/log?container=x`), {
      status: 400,
      body: { message: 'container x is not valid for pod idle' },
    });
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await api.request('POST', '/api/v1/nodes', { body: { metadata: { name: 'n1' } } });
    await api.request('PATCH', '/api/v1/nodes/n1/status', {
      type: 'application/merge-patch+json',
      body: {
        status: {
          addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
          daemonEndpoints: { kubeletEndpoint: { Port: port } },
        },
      },
    });
    await api.request('POST', pods, { body: { metadata: { name: 'placed' }, spec: { ...spec, nodeName: 'n1' } } });
    t.match(await api.request('GET', `${pods}/placed/log`), {
      status: 500,
      body: { reason: 'InternalError', message: /containerLogs\/default\/placed\/c/u },
    });
  });
});

await t.test('servers that extend the API are told how callers are known', async (t) => {
  await using store = await startStore('etcd');
  const requestHeader = {
    allowedNames: ['front-proxy'],
    usernameHeaders: ['X-Remote-User'],
    uidHeaders: [],
    groupHeaders: ['X-Remote-Group'],
    extraHeadersPrefix: [],
  };
  const path = '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication';
  const pem = await readFile(join(import.meta.dirname, 'fixtures', 'authority.pem'), 'utf8');
  for (const usernameHeaders of [['X-Remote-User'], ['X-Other']]) {
    await using api = await ApiFixture.start(store, {
      requestHeader: { ...requestHeader, clientCa: pem, usernameHeaders },
    });
    t.match((await api.request('GET', path)).body.data, {
      'requestheader-client-ca-file': pem,
      'requestheader-allowed-names': '["front-proxy"]',
      'requestheader-username-headers': JSON.stringify(usernameHeaders),
    });
  }
});

await t.test('tokens of ServiceAccounts can be checked by others', async (t) => {
  await using store = await startStore('etcd');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const issuer = 'https://issuer.example';
  await using api = await ApiFixture.start(store, {
    serviceAccounts: {
      issuers: [issuer],
      audiences: [],
      signingKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      keys: [publicKey.export({ type: 'spki', format: 'pem' }).toString()],
      jwksUri: undefined,
    },
  });
  const { body } = await api.request('GET', '/.well-known/openid-configuration');
  t.match(body, {
    issuer,
    jwks_uri: /^https:.*\/openid\/v1\/jwks$/u,
    id_token_signing_alg_values_supported: ['RS256'],
  });
  const answer = await api.request('GET', '/openid/v1/jwks');
  t.equal(answer.headers.get('content-type'), 'application/jwk-set+json');
  const { keys } = JSON.parse(answer.text) as { keys: JsonWebKey[] };
  t.match(keys, [{ use: 'sig', alg: 'RS256', kty: 'RSA', kid: /./u }]);
  t.equal(keys.length, 1, 'a key is listed once');
  t.equal((await api.request('GET', '/openid/v1/jwks', { token: 'joe' })).status, 403);
  const path = '/api/v1/namespaces/default/serviceaccounts';
  await api.request('POST', path, { body: { metadata: { name: 'robot' } } });
  const { token } = (await api.request('POST', `${path}/robot/token`, { body: {} })).body.status as { token: string };
  const [header = '', claims = '', signature = ''] = token.split('.');
  const [key] = keys;
  t.equal(
    key === undefined
      ? false
      : verify(
          'sha256',
          Buffer.from(`${header}.${claims}`),
          createPublicKey({ key, format: 'jwk' }),
          Buffer.from(signature, 'base64url'),
        ),
    true,
  );
});
