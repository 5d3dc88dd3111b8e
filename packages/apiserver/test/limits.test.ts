/** What bounds a client: sizes, depth, time, what it does not read; and how a server goes that is asked to. */
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { eventually } from '@naru/testkit';
import { ApiFixture, startStore } from './api-fixture.ts';

await using store = await startStore('etcd');
const configMaps = '/api/v1/namespaces/default/configmaps';
const authorization = 'authorization: Bearer admin';

/** Everything that comes back for what is sent, until the server closes. */
async function exchange(api: ApiFixture, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  socket.write(bytes);
  if (!socket.closed) await once(socket, 'close');
  return text;
}

await t.test('sizes', async (t) => {
  await using api = await ApiFixture.start(store);
  const get = (headers: string, path = configMaps): string =>
    `GET ${path} HTTP/1.1\r\nhost: x\r\n${authorization}\r\n${headers}connection: close\r\n\r\n`;
  t.match(await exchange(api, get(`x-long: ${'x'.repeat(500_000)}\r\n`)), /^HTTP\/1\.1 200 /u);
  t.match(
    await exchange(api, get(`x-long: ${'x'.repeat(1_100_000)}\r\n`)),
    /^HTTP\/1\.1 431 .*\r\n[\s\S]*431 Request Header Fields Too Large$/u,
  );
  t.match(await exchange(api, get('', `/${'x'.repeat(1_100_000)}`)), /^HTTP\/1\.1 431 /u);
  t.match(await exchange(api, get('x y: z\r\n')), /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*400 Bad Request$/u);
  const many = Array.from({ length: 3000 }, (_, i) => `x-${i}: y\r\n`).join('');
  t.match(
    await exchange(
      api,
      `GET ${configMaps} HTTP/1.1\r\nhost: x\r\n${many}${authorization}\r\nconnection: close\r\n\r\n`,
    ),
    /^HTTP\/1\.1 200 /u,
    'no header is lost for others before it',
  );
  const tooLong = `POST ${configMaps} HTTP/1.1\r\nhost: x\r\n${authorization}\r\ncontent-type: application/json\r\ncontent-length: 3145729\r\nconnection: close\r\n\r\n`;
  t.match(await exchange(api, tooLong), /^HTTP\/1\.1 413 [\s\S]*limit is 3145728/u, 'before it is sent');
});

await t.test('depth and number', async (t) => {
  await using api = await ApiFixture.start(store);
  const deep = (depth: number): string => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  const refused = await api.request('POST', configMaps, { raw: deep(1000) });
  t.match(refused, { status: 400, body: { kind: 'Status', message: 'exceeded max depth' } });
  const data = { a: '['.repeat(5000), b: '"{'.repeat(5000) };
  t.equal((await api.request('POST', configMaps, { body: { metadata: { name: 'text' }, data } })).status, 201);
  for (const type of ['merge-patch', 'strategic-merge-patch'])
    t.match(await api.request('PATCH', `${configMaps}/text`, { raw: deep(20_000), type: `application/${type}+json` }), {
      status: 400,
      body: { message: 'exceeded max depth' },
    });
  const operations = Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/kind', value: 'ConfigMap' }));
  t.match(await api.request('PATCH', `${configMaps}/text`, { body: operations, type: 'application/json-patch+json' }), {
    status: 413,
    body: { reason: 'RequestEntityTooLarge' },
  });
});

await t.test('a warning may name what is not ASCII', async (t) => {
  await using api = await ApiFixture.start(store);
  const body = { metadata: { name: 'w' }, 'größe\u2713"': 1, '\u0001': 2 };
  const answer = await api.request('POST', `${configMaps}?dryRun=All`, { body });
  t.equal(answer.status, 201);
  const warning = Buffer.from(answer.headers.get('warning') ?? '', 'latin1').toString();
  t.ok(warning.includes(String.raw`299 - "unknown field \"größe✓`), warning);
});

await t.test('a request ends when its time is over', async (t) => {
  await using api = await ApiFixture.start(store, { requestTimeoutMs: 300 });
  const late = await api.request('GET', `${configMaps}?resourceVersion=99999999`);
  t.match(late, {
    status: 504,
    body: {
      reason: 'Timeout',
      message: 'Timeout: request did not complete within the allotted timeout',
      code: 504,
    },
  });
  t.match(await api.request('GET', `${configMaps}?resourceVersion=99999999&timeout=10ms`), { status: 504 });
  t.match(await api.request('GET', `${configMaps}?timeout=soon`), {
    status: 400,
    body: { message: /invalid timeout specified in the request URL/u },
  });
  const begun = performance.now();
  const slow = await exchange(
    api,
    `POST ${configMaps} HTTP/1.1\r\nhost: x\r\n${authorization}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{`,
  );
  t.match(slow, /^HTTP\/1\.1 504 /u, 'also while its body is on its way');
  t.ok(performance.now() - begun < 30_000, 'and its connection is closed');
  let events = 0;
  for await (const _ of api.watch(
    `${configMaps}?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`,
  ))
    events++;
  t.ok(events > 0, 'watches have their own');
});

await t.test('a watcher that does not read is ended, and costs a bounded queue until then', async (t) => {
  await using api = await ApiFixture.start(store);
  const watcher = connect(Number(new URL(api.url).port), '127.0.0.1');
  watcher.on('error', () => undefined);
  watcher.write(`GET ${configMaps}?watch=true&resourceVersion=0 HTTP/1.1\r\nhost: x\r\n${authorization}\r\n\r\n`);
  await once(watcher, 'readable');
  await api.request('POST', configMaps, { body: { metadata: { name: 'busy' }, data: {} } });
  // 32 MiB of events wait for it at most, besides what the system buffers: some more than these are written.
  const text = 'x'.repeat(900_000);
  const hasEnded = async (): Promise<boolean> => {
    const metrics = await api.request('GET', '/metrics');
    const running = /^apiserver_longrunning_requests\{[^}]*verb="WATCH"[^}]*resource="configmaps"[^}]*\} (\d+)$/mu.exec(
      metrics.text,
    );
    return running?.[1] === '0';
  };
  for (let i = 0; i < 80; i++) {
    const body = { metadata: { name: 'busy' }, data: { text: `${i}${text}` } };
    const written = await api.request('PUT', `${configMaps}/busy`, { body });
    if (written.status !== 200) throw new Error(written.text);
    if (i % 10 === 9 && (await hasEnded())) break;
  }
  t.ok(await eventually(hasEnded), 'it is ended');
  watcher.resume();
  if (!watcher.closed) await once(watcher, 'close');
});

await t.test('a server that stops is not ready at once, serves on, and then ends what it can', async (t) => {
  const api = await ApiFixture.start(store, { shutdownDelayMs: 1500 });
  let watchEnded = false;
  const watching = (async () => {
    for await (const _ of api.watch(`${configMaps}?watch=true&resourceVersion=0`));
    watchEnded = true;
  })();
  await api.request('GET', '/readyz');
  const stopping = api[Symbol.asyncDispose]();
  t.match(await api.request('GET', '/readyz'), { status: 500, text: /shutdown/u });
  t.equal((await api.request('GET', '/livez')).status, 200);
  t.equal((await api.request('GET', configMaps)).status, 200, 'whoever comes is served');
  t.equal(watchEnded, false, 'watches go on');
  await stopping;
  await watching;
  t.equal(watchEnded, true);
  await t.rejects(api.request('GET', configMaps));
});

await t.test('what comes on an open connection to a server that ends is sent elsewhere', async (t) => {
  const api = await ApiFixture.start(store);
  const port = Number(new URL(api.url).port);
  const head = `GET ${configMaps}?limit=1 HTTP/1.1\r\nhost: x\r\n${authorization}\r\n\r\n`;
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  socket.on('error', () => undefined);
  // A request that takes until the revision is there, or too long, keeps the connection from being idle.
  socket.write(`GET ${configMaps}?resourceVersion=99999999 HTTP/1.1\r\nhost: x\r\n${authorization}\r\n\r\n`);
  await eventually(
    async () => {
      const metrics = (await api.request('GET', '/metrics')).text;
      if (!/^apiserver_current_inflight_requests\{request_kind="readOnly"\} [1-9]/mu.test(metrics))
        throw new Error('not yet');
    },
    { deadlineMs: 30_000 },
  );
  const stopping = api[Symbol.asyncDispose]();
  socket.write(head);
  if (!socket.closed) await once(socket, 'close');
  await stopping;
  t.match(text, /HTTP\/1\.1 504 /u, 'what was begun is ended');
  t.match(text, /HTTP\/1\.1 503 [\s\S]*retry-after: 1[\s\S]*apiserver is shutting down/iu);
});
