import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { isGone } from '@naru/api';
import { CacheWatcher } from '../../src/cache/cache-watcher.ts';
import { WatchCache, type WatchCacheOptions } from '../../src/cache/watch-cache.ts';
import type { CachedObject } from '../../src/cache/cached-object.ts';
import type { WatchScope } from '../../src/cache/watcher-index.ts';
import { encodeObject } from '../../src/storage/object-codec.ts';

const prefix = '/registry/pods/';

function pod(namespace: string, name: string, fields: { labels?: Record<string, string>; node?: string } = {}): Buffer {
  const { labels, node } = fields;
  return encodeObject({
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { name, namespace, ...(labels === undefined ? {} : { labels }) },
    spec: node === undefined ? {} : { nodeName: node },
  });
}

function newCache(options: Partial<WatchCacheOptions> = {}): WatchCache {
  return new WatchCache({
    prefix,
    selectableFields: { 'spec.nodeName': (object) => (object['spec'] as { nodeName?: string }).nodeName ?? '' },
    triggerFields: ['spec.nodeName'],
    ...options,
  });
}

interface Seen {
  readonly type: string;
  readonly name: string | undefined;
  readonly revision: string | undefined;
}

/** A watch whose client reads at once. */
class Client {
  readonly output = new PassThrough({ highWaterMark: 1 << 20 });
  readonly watcher: CacheWatcher;

  constructor(
    cache: WatchCache,
    from: number,
    options: { matches?: (object: CachedObject) => boolean; scope?: WatchScope; bookmarks?: boolean } = {},
  ) {
    this.watcher = new CacheWatcher({
      output: this.output,
      matches: options.matches,
      bookmark:
        options.bookmarks === true
          ? (revision) =>
              Buffer.from(`{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"${revision}"}}}\n`)
          : undefined,
    });
    cache.watch(this.watcher, options.scope ?? { namespace: '' }, from);
  }

  async begin(initial?: Iterable<CachedObject>): Promise<void> {
    await this.watcher.start(initial, { endBookmark: false });
  }

  seen(): Seen[] {
    const text = ((this.output.read() as Buffer | null) ?? Buffer.alloc(0)).toString();
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const { type, object } = JSON.parse(line) as {
          type: string;
          object: { metadata: { name?: string; resourceVersion?: string } };
        };
        return { type, name: object.metadata.name, revision: object.metadata.resourceVersion };
      });
  }
}

await t.test('objects are kept as bytes with their resourceVersion, and found by key', (t) => {
  const cache = newCache();
  cache.replace([{ key: `${prefix}a/x`, value: pod('a', 'x', { labels: { app: 'web' } }), modRevision: 7 }], 9);
  const object = cache.get(`${prefix}a/x`);
  t.equal(object?.revision, 7);
  t.strictSame(object?.labels, { app: 'web' });
  t.strictSame(object?.fields, { 'metadata.name': 'x', 'metadata.namespace': 'a', 'spec.nodeName': '' });
  t.equal(
    object?.bytes.toString(),
    '{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"x","namespace":"a","labels":{"app":"web"}},"spec":{}}',
  );
  t.equal(cache.changedRevision, 9);
  t.end();
});

await t.test('pages go through a namespace or all of them in the order of keys', (t) => {
  const cache = newCache();
  const items = ['a/x', 'a-b/y', 'b/z', 'a/w'].map((path, i) => {
    const [namespace = '', name = ''] = path.split('/');
    return { key: prefix + path, value: pod(namespace, name), modRevision: i + 1 };
  });
  cache.replace(items, 10);
  const names = (objects: readonly CachedObject[]): string[] => objects.map((each) => `${each.namespace}/${each.name}`);
  t.strictSame(names(cache.page({ namespace: '', limit: 0 }).objects), ['a-b/y', 'a/w', 'a/x', 'b/z']);
  t.strictSame(names(cache.page({ namespace: 'a', limit: 0 }).objects), ['a/w', 'a/x']);
  const first = cache.page({ namespace: '', limit: 3 });
  t.strictSame(names(first.objects), ['a-b/y', 'a/w', 'a/x']);
  t.equal(first.remaining, 1);
  cache.keepSnapshot(10);
  cache.delete(`${prefix}b/z`, 11);
  cache.put(`${prefix}b/new`, pod('b', 'new'), 12);
  const next = { namespace: '', limit: 3, startKey: first.nextKey };
  t.strictSame(names(cache.snapshotPage(10, next)?.objects ?? []), ['b/z'], 'the next page is of the same snapshot');
  t.strictSame(names(cache.page({ namespace: 'b', limit: 0 }).objects), ['b/new']);
  t.equal(cache.snapshotPage(9, next), undefined);
  t.end();
});

await t.test('a watch gets each change once, in order, encoded once for all', async (t) => {
  const cache = newCache();
  cache.replace([], 1);
  const clients = [new Client(cache, 1), new Client(cache, 1)];
  for (const client of clients) await client.begin();
  cache.put(`${prefix}a/x`, pod('a', 'x'), 2);
  cache.put(`${prefix}a/x`, pod('a', 'x', { node: 'n' }), 3);
  cache.delete(`${prefix}a/x`, 4);
  cache.flush();
  for (const client of clients)
    t.strictSame(client.seen(), [
      { type: 'ADDED', name: 'x', revision: '2' },
      { type: 'MODIFIED', name: 'x', revision: '3' },
      { type: 'DELETED', name: 'x', revision: '4' },
    ]);
});

await t.test('two changes of one revision both arrive', async (t) => {
  const cache = newCache();
  cache.replace([], 1);
  const client = new Client(cache, 1);
  await client.begin();
  cache.put(`${prefix}a/x`, pod('a', 'x'), 2);
  cache.put(`${prefix}a/y`, pod('a', 'y'), 2);
  cache.flush();
  t.strictSame(
    client.seen().map((each) => each.name),
    ['x', 'y'],
  );
});

await t.test('a watch resumes from the window, and is told when the window no longer reaches back', async (t) => {
  const cache = newCache({ historyEventsMax: 3 });
  cache.replace([], 1);
  for (let revision = 2; revision <= 6; revision++)
    cache.put(`${prefix}a/p${revision}`, pod('a', `p${revision}`), revision);
  const client = new Client(cache, 4);
  await client.begin();
  t.strictSame(
    client.seen().map((each) => each.name),
    ['p5', 'p6'],
  );
  const oldest = new Client(cache, 3);
  await oldest.begin();
  t.equal(oldest.seen().length, 3);
  t.throws(() => new Client(cache, 2), { message: 'too old resource version: 2 (3)' });
  try {
    const late = new Client(cache, 1);
    t.fail(`a watch from revision 1 began: ${late.seen().length}`);
  } catch (error) {
    t.equal(isGone(error), true);
  }
});

await t.test('the window is bounded by bytes too', (t) => {
  const cache = newCache({ historyBytesMax: 1000 });
  cache.replace([], 1);
  for (let revision = 2; revision <= 20; revision++)
    cache.put(`${prefix}a/x`, pod('a', 'x', { node: 'n'.repeat(200) }), revision);
  t.throws(() => new Client(cache, 15), /too old resource version/u);
  t.doesNotThrow(() => new Client(cache, 18));
  t.end();
});

await t.test('an object that starts or stops matching is ADDED or DELETED', async (t) => {
  const cache = newCache();
  cache.replace([], 1);
  const client = new Client(cache, 1, { matches: (object) => object.labels['app'] === 'web' });
  await client.begin();
  cache.put(`${prefix}a/x`, pod('a', 'x'), 2);
  cache.put(`${prefix}a/x`, pod('a', 'x', { labels: { app: 'web' } }), 3);
  cache.put(`${prefix}a/x`, pod('a', 'x', { labels: { app: 'web', more: '1' } }), 4);
  cache.put(`${prefix}a/x`, pod('a', 'x', { labels: { app: 'db' } }), 5);
  cache.delete(`${prefix}a/x`, 6);
  cache.flush();
  t.strictSame(client.seen(), [
    { type: 'ADDED', name: 'x', revision: '3' },
    { type: 'MODIFIED', name: 'x', revision: '4' },
    { type: 'DELETED', name: 'x', revision: '5' },
  ]);
});

await t.test('a watch of one node sees pods come and go, and no other pods', async (t) => {
  const cache = newCache();
  cache.replace([], 1);
  const client = new Client(cache, 1, {
    scope: { namespace: '', trigger: { field: 'spec.nodeName', value: 'n1' } },
    matches: (object) => object.fields['spec.nodeName'] === 'n1',
  });
  await client.begin();
  cache.put(`${prefix}a/x`, pod('a', 'x'), 2);
  cache.put(`${prefix}a/x`, pod('a', 'x', { node: 'n1' }), 3);
  cache.put(`${prefix}a/y`, pod('a', 'y', { node: 'n2' }), 4);
  cache.put(`${prefix}a/x`, pod('a', 'x', { node: 'n2' }), 5);
  cache.flush();
  t.strictSame(client.seen(), [
    { type: 'ADDED', name: 'x', revision: '3' },
    { type: 'DELETED', name: 'x', revision: '5' },
  ]);
});

await t.test('a watch of a namespace or a name sees that one only', async (t) => {
  const cache = newCache();
  cache.replace([], 1);
  const inA = new Client(cache, 1, { scope: { namespace: 'a' } });
  const named = new Client(cache, 1, { scope: { namespace: '', name: 'y' }, matches: (object) => object.name === 'y' });
  await inA.begin();
  await named.begin();
  cache.put(`${prefix}a/x`, pod('a', 'x'), 2);
  cache.put(`${prefix}b/y`, pod('b', 'y'), 3);
  cache.put(`${prefix}a/y`, pod('a', 'y'), 4);
  cache.flush();
  t.strictSame(
    inA.seen().map((each) => each.name),
    ['x', 'y'],
  );
  t.strictSame(
    named.seen().map((each) => each.revision),
    ['3', '4'],
  );
});

await t.test('events that come while the initial objects are written follow them', async (t) => {
  const cache = newCache();
  const items = Array.from({ length: 500 }, (_, i) => ({
    key: `${prefix}a/p${i}`,
    value: pod('a', `p${i}`, { node: 'n'.repeat(500) }),
    modRevision: i + 1,
  }));
  cache.replace(items, 500);
  const output = new PassThrough({ highWaterMark: 1024 });
  const watcher = new CacheWatcher({ output });
  const { objects } = cache.page({ namespace: '', limit: 0 });
  cache.watch(watcher, { namespace: '' }, 500);
  const started = watcher.start(objects, { endBookmark: false });
  cache.put(`${prefix}a/late`, pod('a', 'late'), 501);
  cache.flush();
  const lines: string[] = [];
  let rest = '';
  const read = (async () => {
    for await (const chunk of output) {
      const parts = (rest + String(chunk)).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
    }
  })();
  await started;
  watcher.end();
  await read;
  t.equal(lines.length, 501);
  t.match(lines.at(-1), /"name":"late"/u);
});

await t.test('a client that does not read is dropped with a 410, and the others get everything', async (t) => {
  const cache = newCache();
  cache.replace([], 1);
  const slow = new PassThrough({ highWaterMark: 1 });
  let ended = 0;
  const watcher = new CacheWatcher({ output: slow, queueEventsMax: 10, onEnd: () => ended++ });
  const remove = cache.watch(watcher, { namespace: '' }, 1);
  await watcher.start(undefined, { endBookmark: false });
  const fast = new Client(cache, 1);
  await fast.begin();
  for (let revision = 2; revision < 40; revision++) {
    cache.put(`${prefix}a/x`, pod('a', 'x'), revision);
    cache.flush();
  }
  t.equal(watcher.ended, true);
  t.equal(ended, 1);
  remove();
  t.equal(cache.watcherCount, 1);
  t.equal(fast.seen().length, 38);
  let text = '';
  for await (const chunk of slow) text += String(chunk);
  const last = JSON.parse(text.trim().split('\n').at(-1) ?? '') as { type: string; object: { code: number } };
  t.equal(last.type, 'ERROR');
  t.equal(last.object.code, 410);
});

await t.test('bookmarks tell how far a quiet watch is; those who did not ask get none', async (t) => {
  const cache = newCache();
  cache.replace([], 1);
  const asks = new Client(cache, 1, { bookmarks: true });
  const doesNot = new Client(cache, 1);
  await asks.begin();
  await doesNot.begin();
  cache.bookmark(42);
  t.strictSame(asks.seen(), [{ type: 'BOOKMARK', name: undefined, revision: '42' }]);
  t.strictSame(doesNot.seen(), []);
});

await t.test('a new list ends the watches and tells the observer of what changed meanwhile', async (t) => {
  const changes: string[] = [];
  const cache = newCache({ onChange: (type, object) => changes.push(`${type} ${object.metadata.name ?? ''}`) });
  cache.replace(
    [
      { key: `${prefix}a/x`, value: pod('a', 'x'), modRevision: 1 },
      { key: `${prefix}a/y`, value: pod('a', 'y'), modRevision: 2 },
    ],
    2,
  );
  const client = new Client(cache, 2);
  await client.begin();
  cache.put(`${prefix}a/z`, pod('a', 'z'), 3);
  cache.replace([{ key: `${prefix}a/x`, value: pod('a', 'x'), modRevision: 8 }], 9);
  await turn();
  t.strictSame(changes, ['ADDED x', 'ADDED y', 'ADDED z', 'MODIFIED x', 'DELETED y', 'DELETED z']);
  t.equal(client.watcher.ended, true);
  t.throws(() => new Client(cache, 8), /too old resource version/u);
});
