/** Subresources: eviction and budgets, ephemeral containers, resize, applied scales, proxies. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import t from 'tap';
import { ApiFixture, startStore, type Answer } from './api-fixture.ts';

await using store = await startStore('etcd');
await using api = await ApiFixture.start(store);

const pods = '/api/v1/namespaces/default/pods';
const merge = 'application/merge-patch+json';

async function created(path: string, body: object): Promise<Answer> {
  const answer = await api.request('POST', path, { body });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer;
}

async function withStatus(path: string, status: object): Promise<void> {
  const answer = await api.request('PATCH', `${path}/status`, { type: merge, body: { status } });
  if (answer.status !== 200) throw new Error(answer.text);
}

async function runningPod(name: string, ready: boolean, changes: object = {}): Promise<void> {
  await created(pods, {
    metadata: { name, labels: { app: 'a' } },
    spec: {
      nodeName: 'n1',
      containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1', memory: '1Gi' } } }],
    },
    ...changes,
  });
  const condition = { type: 'Ready', status: ready ? 'True' : 'False' };
  await withStatus(`${pods}/${name}`, { phase: 'Running', conditions: [condition] });
}

const evict = async (name: string, fields: object = {}): Promise<Answer> =>
  await api.request('POST', `${pods}/${name}/eviction`, {
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name }, ...fields },
  });

await t.test('eviction: no more pods go than their budget allows', async (t) => {
  const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
  for (const name of ['a', 'b', 'c']) await runningPod(name, true);
  await runningPod('sick', false);
  await created(budgets, {
    metadata: { name: 'budget' },
    spec: { minAvailable: 2, selector: { matchLabels: { app: 'a' } } },
  });
  const early = await evict('a');
  t.match(early, {
    status: 429,
    body: {
      reason: 'TooManyRequests',
      message: "Cannot evict pod as it would violate the pod's disruption budget.",
      details: {
        causes: [
          {
            reason: 'DisruptionBudget',
            message: 'The disruption budget budget is still being processed by the server.',
          },
        ],
      },
    },
  });
  t.equal(early.headers.get('retry-after'), '10');
  const counts = { currentHealthy: 3, desiredHealthy: 2, expectedPods: 3, observedGeneration: 1 };
  await withStatus(`${budgets}/budget`, { ...counts, disruptionsAllowed: 1 });
  t.match(await evict('a', { deleteOptions: { dryRun: ['All'] } }), { status: 201 });
  const atOnce = await Promise.all([evict('a'), evict('b'), evict('c')]);
  t.strictSame(
    atOnce.map((each) => each.status).toSorted((a, b) => a - b),
    [201, 429, 429],
    'one disruption is had by one',
  );
  const budget = await api.request('GET', `${budgets}/budget`);
  t.match(budget.body.status, {
    disruptionsAllowed: 0,
    conditions: [{ type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods' }],
  });
  const evicted = ['a', 'b', 'c'][atOnce.findIndex((each) => each.status === 201)] ?? '';
  t.strictSame(Object.keys((budget.body.status as { disruptedPods: object }).disruptedPods), [evicted]);
  const pod = await api.request('GET', `${pods}/${evicted}`);
  t.match(pod.body.metadata['deletionTimestamp'], /^\d{4}-/u);
  t.match(pod.body.status, {
    conditions: [{ type: 'Ready' }, { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' }],
  });
  const refused = ['a', 'b', 'c'].find((each) => each !== evicted) ?? '';
  t.match(await evict(refused), {
    status: 429,
    body: {
      details: {
        causes: [{ message: 'The disruption budget budget needs 2 healthy pods and has 3 currently' }],
      },
    },
  });
  t.equal((await evict('sick')).status, 201, 'a pod that is not ready goes while the others are enough');
  await runningPod('sick2', false);
  await withStatus(`${budgets}/budget`, { ...counts, currentHealthy: 1, disruptionsAllowed: 0 });
  t.equal((await evict('sick2')).status, 429);
  await api.request('PATCH', `${budgets}/budget`, {
    type: merge,
    body: { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } },
  });
  t.equal((await evict('sick2')).status, 201);
  await created(budgets, { metadata: { name: 'other' }, spec: { selector: { matchLabels: { app: 'a' } } } });
  t.match(await evict(refused), { status: 500, body: { message: /more than one PodDisruptionBudget/u } });
  t.equal((await evict('none')).status, 404);
});

await t.test('ephemeral containers are added, and stay as they are', async (t) => {
  await runningPod('debugged', true);
  const path = `${pods}/debugged/ephemeralcontainers`;
  const patch = async (...containers: readonly object[]): Promise<Answer> =>
    await api.request('PATCH', path, {
      type: 'application/strategic-merge-patch+json',
      body: { spec: { ephemeralContainers: containers, nodeName: 'other' } },
    });
  const debug = { name: 'debug', image: 'busybox', stdin: true, targetContainerName: 'c' };
  t.match(await patch(debug), {
    status: 200,
    body: { kind: 'Pod', spec: { nodeName: 'n1', ephemeralContainers: [{ ...debug, imagePullPolicy: 'Always' }] } },
  });
  t.match(
    (await patch({ ...debug, image: 'other' })).body.message,
    /existing ephemeral containers "debug" may not be changed/u,
  );
  const replaced = await api.request('GET', path);
  const { ephemeralContainers: _gone, ...spec } = replaced.body.spec ?? {};
  t.match((await api.request('PUT', path, { body: { ...replaced.body, spec } })).body.message, /may not be removed/u);
  t.match((await patch({ name: 'c', image: 'i' })).body.message, /Duplicate value: "c"/u);
  t.match(
    (await patch({ name: 'd', image: 'i', targetContainerName: 'x' })).body.message,
    /targetContainerName: Not found: "x"/u,
  );
  t.match(
    (await patch({ name: 'd', image: 'i', resources: { limits: { cpu: '1' } } })).body.message,
    /resources: Forbidden: cannot be set for an Ephemeral Container/u,
  );
  const whole = await api.request('PATCH', `${pods}/debugged`, {
    type: merge,
    body: { spec: { ephemeralContainers: [{ name: 'd', image: 'i' }] } },
  });
  t.equal(whole.status, 422, 'not by the pod itself');
});

await t.test('resize: cpu and memory, within the QoS class', async (t) => {
  await runningPod('resized', true);
  const resize = async (resources: object): Promise<Answer> =>
    await api.request('PATCH', `${pods}/resized/resize`, {
      type: 'application/strategic-merge-patch+json',
      body: { spec: { containers: [{ name: 'c', image: 'other', resources }] } },
    });
  t.match(await resize({ requests: { cpu: '2' } }), {
    status: 200,
    body: {
      metadata: { generation: 2 },
      spec: { containers: [{ image: 'i', resources: { requests: { cpu: '2', memory: '1Gi' } } }] },
    },
  });
  t.match(
    (await resize({ requests: { cpu: '2', memory: '1Gi' }, limits: { cpu: '2', memory: '1Gi' } })).body.message,
    /Pod QOS Class may not change as a result of resizing/u,
  );
  t.match((await resize({ requests: { 'ephemeral-storage': '1Gi' } })).body.message, /only cpu and memory/u);
});

await t.test('a Scale is applied: its replicas have an owner', async (t) => {
  const deployments = '/apis/apps/v1/namespaces/default/deployments';
  await created(`${deployments}?fieldManager=creator`, {
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  });
  const apply = async (replicas: number, manager: string, query = ''): Promise<Answer> =>
    await api.request('PATCH', `${deployments}/d/scale?fieldManager=${manager}${query}`, {
      type: 'application/apply-patch+yaml',
      body: { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'd' }, spec: { replicas } },
    });
  t.equal((await apply(3, 'one')).status, 409, 'the default is its creator’s');
  t.match(await apply(3, 'one', '&force=true'), { status: 200, body: { kind: 'Scale', spec: { replicas: 3 } } });
  const deployment = await api.request('GET', `${deployments}/d`);
  t.match(deployment.body.spec, { replicas: 3, selector: { matchLabels: { a: 'b' } } });
  const managers = deployment.body.metadata['managedFields'] as { manager: string }[];
  t.match(
    managers.find((each) => each.manager === 'one'),
    {
      operation: 'Apply',
      subresource: 'scale',
      fieldsV1: { 'f:spec': { 'f:replicas': {} } },
    },
  );
  t.match(await apply(4, 'two'), { status: 409, body: { details: { causes: [{ field: '.spec.replicas' }] } } });
  t.match(await apply(4, 'two', '&force=true'), { status: 200, body: { spec: { replicas: 4 } } });
});

/** A server at an address that pods may have, which tells what it was asked. */
async function startBackend(): Promise<Server> {
  const server = createServer((request: IncomingMessage, response) => {
    if (request.url === '/redirect') {
      response.writeHead(302, { location: '/elsewhere?x=1' }).end();
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method, url, headers } = request;
      response.setHeader('content-type', 'application/json');
      response.setHeader('x-backend', 'yes');
      response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
    });
  });
  server.on('upgrade', (request, socket) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n${request.url ?? ''}\n`,
    );
    socket.pipe(socket);
  });
  server.listen(0, '127.77.0.1');
  await once(server, 'listening');
  return server;
}

await t.test('proxy: pods and services, any method, redirects, upgrades', async (t) => {
  const backend = await startBackend();
  t.teardown(() => {
    backend.close();
    backend.closeAllConnections();
  });
  const { port } = backend.address() as AddressInfo;
  await runningPod('web', true);
  await withStatus(`${pods}/web`, { podIP: '127.77.0.1', podIPs: [{ ip: '127.77.0.1' }] });
  await created('/api/v1/namespaces/default/services', {
    metadata: { name: 'web' },
    spec: { ports: [{ name: 'http', port: 80 }] },
  });
  await created('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port }],
    endpoints: [{ addresses: ['127.77.0.1'], conditions: { ready: true } }],
  });
  for (const base of [
    `${pods}/web:${port}/proxy`,
    '/api/v1/namespaces/default/services/web/proxy',
    '/api/v1/namespaces/default/services/web:http/proxy',
    '/api/v1/namespaces/default/services/http:web:80/proxy',
  ]) {
    const answer = await api.request('PUT', `${base}/a%2Fb/?watch=true&q=1`, { raw: 'hello', type: 'text/plain' });
    t.match(answer.body, { method: 'PUT', url: '/a%2Fb/?watch=true&q=1', body: 'hello' }, base);
    t.equal(answer.headers.get('x-backend'), 'yes');
    const { headers } = answer.body as unknown as { headers: Record<string, string> };
    t.notOk('authorization' in headers, 'what the caller has shown to the API server stays there');
    t.equal(headers['x-forwarded-uri'], `${base}/a%2Fb/`);
  }
  const base = '/api/v1/namespaces/default/services/web/proxy';
  const redirected = await fetch(`${api.url}${base}/redirect`, {
    headers: { authorization: 'Bearer admin' },
    redirect: 'manual',
  });
  t.equal(redirected.headers.get('location'), `${base}/elsewhere?x=1`);
  const bare = await fetch(`${api.url}${base}`, { headers: { authorization: 'Bearer admin' }, redirect: 'manual' });
  t.strictSame([bare.status, bare.headers.get('location')], [301, `${base}/`]);
  t.equal((await api.request('GET', `${base}/`, { token: 'joe' })).status, 403);
  t.match(await api.request('GET', '/api/v1/namespaces/default/services/web:x/proxy/'), {
    status: 503,
    body: { message: 'no service port "x" found for service "web"' },
  });

  const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
  socket.write(
    `GET ${base}/socket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`,
  );
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await once(socket, 'data');
  socket.write('ping');
  while (!text.endsWith('ping')) await once(socket, 'data');
  t.match(text, /^HTTP\/1\.1 101 [\s\S]*\/socket\nping$/u);
  socket.destroy();

  for (const address of ['127.0.0.1', '169.254.169.254'])
    t.match(
      await (async () => {
        await withStatus(`${pods}/web`, { podIP: address, podIPs: [{ ip: address }] });
        return await api.request('GET', `${pods}/web:${port}/proxy/`);
      })(),
      { status: 400, body: { message: 'address not allowed' } },
    );
});
