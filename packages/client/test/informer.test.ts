import t from 'tap';
import { configMaps, namespaces, type ConfigMap } from '@naru/api';
import { silentLogger } from '@naru/component';
import { eventually, FakeApiServer, VirtualClock } from '@naru/testkit';
import { RestClient, SharedInformerFactory } from '@naru/client';

function configMap(name: string, value: string): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data: { value } };
}

const namespace = 'default';

await t.test('an informer', async (t) => {
  await using server = new FakeApiServer();
  await using client = new RestClient({ server: await server.start() });
  const clock = new VirtualClock();
  await using factory = new SharedInformerFactory({ client, clock, logger: silentLogger(), random: () => 0 });
  const informer = factory.informer(configMaps, { indexers: { value: ({ data }) => [data?.['value'] ?? ''] } });
  const events: string[] = [];
  informer.addHandlers({
    added: ({ metadata, data }) => events.push(`added ${metadata.name} ${data?.['value']}`),
    updated: ({ metadata, data }, old) =>
      events.push(`updated ${metadata.name} ${old.data?.['value']}->${data?.['value']}`),
    deleted: ({ metadata }) =>
      events.push(`deleted ${metadata.name} ${informer.get(namespace, metadata.name ?? '') === undefined}`),
  });
  const seen = async (...expected: readonly string[]): Promise<void> => {
    await eventually(() => events.length >= expected.length);
    t.same(events.splice(0), expected);
  };
  const requests = (kind: 'list' | 'watch'): number =>
    server.requests.filter(({ method, query }) => method === 'GET' && query.has('watch') === (kind === 'watch')).length;
  const stop = new AbortController();

  await t.test('fills its cache from a list', async (t) => {
    await client.create(configMaps, configMap('a', '1'));
    await client.create(configMaps, configMap('b', '1'));
    t.notOk(informer.hasSynced);
    factory.start(stop.signal);
    await factory.synced();
    t.ok(informer.hasSynced);
    await seen('added a 1', 'added b 1');
    t.equal(server.requests.find(({ method }) => method === 'GET')?.query.get('resourceVersion'), '0');
  });

  await t.test('follows changes and keeps its indexes', async (t) => {
    await client.patch(configMaps, 'a', 'merge', { data: { value: '2' } }, { namespace });
    await client.create(configMaps, configMap('c', '2'));
    await client.delete(configMaps, 'b', { namespace });
    await seen('updated a 1->2', 'added c 2', 'deleted b true');
    t.same(
      informer.byIndex('value', '2').map(({ metadata }) => metadata.name),
      ['a', 'c'],
    );
    t.same(informer.byIndex('value', '1'), []);
    t.equal(informer.list('default').length, 2);
    t.equal(informer.list('other').length, 0);
    t.throws(() => informer.byIndex('nonsense', ''), /no index is called nonsense/u);
  });

  await t.test('calls late handlers with what is cached', (t) => {
    const late: string[] = [];
    informer.addHandlers({ added: ({ metadata }) => late.push(metadata.name ?? '') });
    t.same(late, ['a', 'c']);
    t.end();
  });

  await t.test('resumes an ended watch from the last event or bookmark, without a new list', async (t) => {
    const lists = requests('list');
    await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'elsewhere' } });
    server.bookmark();
    const { revision } = server;
    await eventually(
      () => (informer as unknown as { lastSyncResourceVersion: string }).lastSyncResourceVersion === String(revision),
    );
    const watches = requests('watch');
    server.endWatches();
    await eventually(() => requests('watch') === watches + 1);
    t.equal(server.requests.at(-1)?.query.get('resourceVersion'), String(revision));
    t.equal(server.requests.at(-1)?.query.get('allowWatchBookmarks'), 'true');
    t.equal(requests('list'), lists);
  });

  await t.test('lists again after 410 and delivers what it missed, deletions too', async (t) => {
    const lists = requests('list');
    server.reactor = (request, response) => {
      if (!request.query.has('watch')) return false;
      response.destroy();
      return true;
    };
    server.breakConnections();
    await eventually(() => clock.pending > 0);
    await client.delete(configMaps, 'c', { namespace });
    await client.create(configMaps, configMap('d', '4'));
    await client.patch(configMaps, 'a', 'merge', { data: { value: '3' } }, { namespace });
    t.same(events, []);
    server.compact();
    server.reactor = undefined;
    await clock.advance(60_000);
    await seen('updated a 2->3', 'added d 4', 'deleted c true');
    t.equal(requests('list'), lists + 1);
  });

  await t.test('backs off while the server fails, and does not list again for that', async (t) => {
    // A watch that ends at once would be a failure of its own.
    await eventually(() => server.watchers === 1);
    await clock.advance(1000);
    const lists = requests('list');
    let refused = 0;
    server.reactor = (request, response) => {
      if (!request.query.has('watch')) return false;
      refused++;
      response.writeHead(500).end('{}');
      return true;
    };
    server.endWatches();
    // Delays without jitter: 100 ms, 200 ms, 400 ms.
    await eventually(() => refused === 1 && clock.pending === 1);
    await clock.advance(99);
    t.equal(refused, 1);
    await clock.advance(1);
    await eventually(() => refused === 2 && clock.pending === 1);
    await clock.advance(199);
    t.equal(refused, 2);
    await clock.advance(1);
    await eventually(() => refused === 3 && clock.pending === 1);
    server.reactor = undefined;
    await clock.advance(400);
    await client.create(configMaps, configMap('e', '5'));
    await seen('added e 5');
    t.equal(requests('list'), lists);
  });

  await t.test('is shared, and ends with its signal', async (t) => {
    t.equal(factory.informer(configMaps), informer);
    t.not(factory.informer(configMaps, { namespace }), informer);
    await eventually(() => server.watchers === 1);
    stop.abort(new Error('stop'));
    await eventually(() => server.watchers === 0);
  });
});

await t.test('synced rejects with the signal of the informer that never synced', async (t) => {
  await using server = new FakeApiServer();
  server.reactor = (_request, response) => {
    response.writeHead(500).end('{}');
    return true;
  };
  await using client = new RestClient({ server: await server.start() });
  await using factory = new SharedInformerFactory({ client, clock: new VirtualClock(), logger: silentLogger() });
  const informer = factory.informer(configMaps);
  const stop = new AbortController();
  informer.start(stop.signal);
  const patience = new AbortController();
  const waiting = informer.synced({ signal: patience.signal });
  patience.abort(new Error('impatient'));
  await t.rejects(waiting, /impatient/u);
  const forever = informer.synced();
  stop.abort(new Error('stopped'));
  await t.rejects(forever, /stopped/u);
});

await t.test('a resource that the server does not know has no objects, until it does', async (t) => {
  await using server = new FakeApiServer();
  let asked = 0;
  server.reactor = (_request, response) => {
    asked++;
    response.writeHead(404, { 'content-type': 'application/json' });
    const message = 'the server could not find the requested resource';
    response.end(JSON.stringify({ kind: 'Status', reason: 'NotFound', code: 404, message, details: {} }));
    return true;
  };
  await using client = new RestClient({ server: await server.start() });
  const clock = new VirtualClock();
  await using factory = new SharedInformerFactory({ client, clock, logger: silentLogger(), random: () => 0 });
  const informer = factory.informer(configMaps);
  const stop = new AbortController();
  informer.start(stop.signal);
  await informer.synced();
  t.strictSame(informer.list(), []);
  await eventually(() => clock.pending === 1);
  await clock.advance(29_999);
  t.equal(asked, 1);
  server.reactor = undefined;
  await client.create(configMaps, configMap('a', '1'));
  await clock.advance(1);
  await eventually(() => informer.list().length === 1);
  stop.abort(new Error('stop'));
});
