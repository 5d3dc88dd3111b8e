import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { configMaps, isConflict, isGone, isNotFound, isStatusError, nodes, pods, type ConfigMap } from '@naru/api';
import { FakeApiServer } from '@naru/testkit';
import { KubeconfigError, listAll, loadKubeconfig, RestClient } from '@naru/client';
import { splitLines } from '../src/split-lines.ts';

function configMap(name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data };
}

await t.test('RestClient', async (t) => {
  await using server = new FakeApiServer();
  await using client = new RestClient({ server: await server.start(), bearerToken: 'secret', userAgent: 'test/1' });

  await t.test('creates, reads, updates, patches and deletes', async (t) => {
    const created = await client.create(configMaps, configMap('a', { x: '1' }));
    t.equal(server.requests.at(-1)?.path, '/api/v1/namespaces/default/configmaps');
    t.match(server.requests.at(-1)?.headers, { authorization: 'Bearer secret', 'user-agent': 'test/1' });
    t.same((await client.get(configMaps, 'a', { namespace: 'default' })).data, { x: '1' });
    const updated = await client.update(configMaps, { ...created, data: { x: '2' } });
    t.not(updated.metadata.resourceVersion, created.metadata.resourceVersion);
    const stale = await client.update(configMaps, { ...created, data: { x: '3' } }).catch((error: unknown) => error);
    t.ok(isConflict(stale));
    const patched = await client.patch(configMaps, 'a', 'merge', { data: { y: '3' } }, { namespace: 'default' });
    t.same(patched.data, { x: '2', y: '3' });
    t.equal(server.requests.at(-1)?.headers['content-type'], 'application/merge-patch+json');
    await client.delete(configMaps, 'a', { namespace: 'default', body: { propagationPolicy: 'Foreground' } });
    t.same(server.requests.at(-1)?.body, { propagationPolicy: 'Foreground' });
    const error: unknown = await client.get(configMaps, 'a', { namespace: 'default' }).catch((error: unknown) => error);
    t.ok(isNotFound(error), 'a failure is a StatusError made of the body');
    t.match(error, { message: 'configmaps "a" not found', code: 404 });
  });

  await t.test('tells the code of a failure whose body is no Status', async (t) => {
    server.reactor = (_request, response) => {
      response.writeHead(503, { 'retry-after': '7' });
      response.end('<html>');
      return true;
    };
    const error = await client.raw('GET', '/readyz').catch((error: unknown) => error);
    server.reactor = undefined;
    t.ok(isStatusError(error));
    t.match(error, { code: 503, reason: 'ServiceUnavailable', status: { details: { retryAfterSeconds: 7 } } });
  });

  await t.test('lists in pages, and at once when the pages expire', async (t) => {
    for (let i = 0; i < 7; i++) await client.create(configMaps, configMap(`p${i}`));
    const all = await listAll(client, configMaps, { namespace: 'default', pageSize: 3 });
    t.equal(all.items.length, 7);
    t.equal(all.items[0]?.kind, 'ConfigMap', 'items have their type meta');
    server.requests.length = 0;
    server.reactor = ({ query }) => {
      if (query.has('continue')) server.compact();
      return false;
    };
    const again = await listAll(client, configMaps, { namespace: 'default', pageSize: 3 });
    server.reactor = undefined;
    t.same(
      again.items.map(({ metadata }) => metadata.name),
      ['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6'],
    );
    t.equal(server.requests.length, 3);
  });

  await t.test('watches: events in order, bookmarks, a clean end, 410 as an error', async (t) => {
    const { resourceVersion } = await listAll(client, nodes);
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } };
    await client.create(nodes, node);
    const seen: string[] = [];
    for await (const { type, object } of client.watch(nodes, { resourceVersion, allowWatchBookmarks: true })) {
      seen.push(`${type} ${object.metadata.name ?? ''}`);
      if (seen.length === 1) await client.delete(nodes, 'n1');
      if (type === 'DELETED') server.bookmark();
      if (type === 'BOOKMARK') server.endWatches();
    }
    t.same(seen, ['ADDED n1', 'DELETED n1', 'BOOKMARK ']);
    server.compact();
    const expired = await Array.fromAsync(client.watch(nodes, { resourceVersion: '1' })).catch(
      (error: unknown) => error,
    );
    t.ok(isGone(expired));
  });

  await t.test('ends the request of a watch that nobody reads any more', async (t) => {
    await client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n2' } });
    for await (const { object } of client.watch(nodes, { resourceVersion: String(server.revision - 1) })) {
      t.equal(object.metadata.name, 'n2');
      break;
    }
    const abort = new AbortController();
    const watching = Array.fromAsync(client.watch(pods, { resourceVersion: '0', signal: abort.signal }));
    abort.abort(new Error('enough'));
    await t.rejects(watching, /enough/u);
  });
});

await t.test('a watch that is silent for longer than it was asked to last is dropped', async (t) => {
  await using server = new FakeApiServer();
  await using client = new RestClient({ server: await server.start(), watchGraceMs: 200 });
  await t.rejects(async () => {
    for await (const _ of client.watch(pods, { resourceVersion: '1', timeoutSeconds: 0 })) t.fail();
  }, /timeout/iu);
});

await t.test('splitLines', async (t) => {
  const split = async (...chunks: string[]): Promise<string[]> => {
    async function* source(): AsyncGenerator<Buffer> {
      for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk, 'latin1'));
    }
    return await Array.fromAsync(splitLines(source(), 10));
  };
  t.same(await split('a\nb', 'c\n', 'd'), ['a', 'bc'], 'the cut-off rest is left out');
  t.same(await split('\n\na', 'b', 'c', '\n\n'), ['abc']);
  const snowman = Buffer.from('☃\n').toString('latin1');
  t.same(await split(snowman.slice(0, 2), snowman.slice(2)), ['☃'], 'a character may be split between chunks');
  await t.rejects(split('012345', '678901'), /longer than 10 bytes/u);
});

await t.test('loadKubeconfig', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'naru-kubeconfig-'));
  t.teardown(async () => await rm(folder, { recursive: true }));
  const file = join(folder, 'config');
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  await writeFile(join(folder, 'key.pem'), 'KEY');
  await writeFile(
    file,
    `apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: c1, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: ${base64('CA')}}}
- {name: c2, cluster: {server: 'http://127.0.0.1:8080/prefix'}}
users:
- {name: u1, user: {client-certificate-data: ${base64('CERT')}, client-key: key.pem}}
- {name: u2, user: {token: abc}}
- {name: u3, user: {exec: {command: x}}}
- {name: u4, user: {client-key: key.pem}}
contexts:
- {name: one, context: {cluster: c1, user: u1, namespace: ns}}
- {name: two, context: {cluster: c2, user: u2}}
- {name: three, context: {cluster: c2, user: u3}}
- {name: four, context: {cluster: c2, user: u4}}
- {name: five, context: {cluster: nowhere}}
`,
  );
  t.same(await loadKubeconfig(file), {
    server: 'https://127.0.0.1:6443',
    namespace: 'ns',
    tls: { ca: 'CA', cert: 'CERT', key: 'KEY' },
  });
  t.same(await loadKubeconfig(file, { context: 'two' }), {
    server: 'http://127.0.0.1:8080/prefix',
    namespace: 'default',
    tls: {},
    bearerToken: 'abc',
  });
  const entries = {
    clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:8080' } }],
    users: [{ name: 'u', user: { token: 'abc' } }],
    contexts: [{ name: 'one', context: { cluster: 'c', user: 'u' } }],
  };
  for (const text of [
    JSON.stringify({ ...entries, 'current-context': 'one' }),
    `{clusters: [{name: c, cluster: {server: 'http://127.0.0.1:8080'}}], users: [{name: u, user: {token: abc}}],
      contexts: [{name: one, context: {cluster: c, user: u}}], current-context: one}`,
  ]) {
    const braces = join(folder, 'braces');
    await writeFile(braces, text);
    t.match(await loadKubeconfig(braces), { server: 'http://127.0.0.1:8080', bearerToken: 'abc' }, text.slice(0, 12));
  }
  for (const [context, message] of [
    ['three', /plugins are not supported/u],
    ['four', /a key its certificate/u],
    ['five', /cluster "nowhere" does not exist/u],
    ['six', /context "six" does not exist/u],
  ] as const) {
    const error = await loadKubeconfig(file, { context }).catch((error: unknown) => error);
    t.ok(error instanceof KubeconfigError, context);
    t.match(error, { message });
  }
  await t.rejects(loadKubeconfig(join(folder, 'none')), /kubeconfig .*none: ENOENT/u);
});
