import { Writable } from 'node:stream';
import t from 'tap';
import { silentLogger } from '@naru/component';
import type { KeyValue, WatchEvent, WatchResponse } from '@naru/etcd';
import { EtcdError } from '@naru/etcd';
import { VirtualClock } from '@naru/testkit';
import { CacheWatcher } from '../../src/cache/cache-watcher.ts';
import { StoreFeed, type StoreFeedOptions } from '../../src/cache/store-feed.ts';
import { WatchCache } from '../../src/cache/watch-cache.ts';
import { encodeObject } from '../../src/storage/object-codec.ts';

const header = { clusterId: 1n, memberId: 1n, revision: 0, raftTerm: 1 };
const object = (name: string): Buffer =>
  encodeObject({ kind: 'Pod', apiVersion: 'v1', metadata: { name, namespace: 'a' } });

function put(key: string, modRevision: number): WatchEvent {
  const name = key.slice(key.lastIndexOf('/') + 1);
  const kv: KeyValue = {
    key: Buffer.from(key),
    value: object(name),
    createRevision: modRevision,
    modRevision,
    version: 1,
    lease: 0n,
  };
  return { type: 'PUT', kv };
}

const response = (changes: Partial<WatchResponse>): WatchResponse => ({
  header,
  watchId: 0,
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: '',
  fragment: false,
  events: [],
  ...changes,
});

/** A store whose watches say what the test wants, one after the other. */
class ScriptedStore {
  readonly starts: number[] = [];
  lists = 0;
  readonly #scripts: readonly (readonly (WatchResponse | Error)[])[];
  readonly #listRevision: number;

  constructor(listRevision: number, scripts: readonly (readonly (WatchResponse | Error)[])[]) {
    this.#listRevision = listRevision;
    this.#scripts = scripts;
  }

  options(clock: VirtualClock): StoreFeedOptions {
    const client = {
      watch: (
        { startRevision = 0 }: { startRevision?: number | undefined },
        { signal }: { signal?: AbortSignal | undefined } = {},
      ) => {
        this.starts.push(startRevision);
        return this.#play(this.#scripts[this.starts.length - 1] ?? [], signal);
      },
    } as unknown as StoreFeedOptions['client'];
    const store: StoreFeedOptions['store'] = {
      range: async (_start, _end, { revision }) => {
        this.lists++;
        // Two pages, the second of which must be read at the first one's revision.
        const isFirst = revision === 0;
        if (!isFirst) t.equal(revision, this.#listRevision);
        const name = isFirst ? 'x' : 'y';
        return Promise.resolve({
          items: [{ key: `/registry/pods/a/${name}`, value: object(name), modRevision: 1 }],
          more: isFirst,
          count: 2,
          revision: isFirst ? this.#listRevision : this.#listRevision + 50,
        });
      },
    };
    return { client, store, clock, logger: silentLogger() };
  }

  async *#play(
    script: readonly (WatchResponse | Error)[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<WatchResponse, void, undefined> {
    for (const each of script) {
      if (each instanceof Error) throw each;
      yield each;
    }
    if (signal?.aborted !== true)
      await new Promise((resolve) => signal?.addEventListener('abort', resolve, { once: true }));
  }
}

async function runFeed(
  store: ScriptedStore,
  check: (feed: StoreFeed, cache: WatchCache, clock: VirtualClock) => Promise<void>,
): Promise<void> {
  const clock = new VirtualClock();
  const feed = new StoreFeed(store.options(clock));
  const cache = new WatchCache({ prefix: '/registry/pods/' });
  feed.add(cache);
  const stop = new AbortController();
  const running = feed.run(stop.signal);
  try {
    await check(feed, cache, clock);
  } finally {
    stop.abort();
    await clock.advance(10_000);
    await running;
  }
}

await t.test('it lists at one revision and watches from the next', async (t) => {
  const store = new ScriptedStore(10, [[response({ created: true, header: { ...header, revision: 99 } })]]);
  await runFeed(store, async (feed, cache, clock) => {
    await feed.waitFor(10);
    await clock.advance(1);
    t.equal(feed.revision, 10, 'the revision of a created watch says nothing');
    t.equal(cache.size, 2);
    t.strictSame(store.starts, [11]);
  });
});

await t.test('every event counts for the revision, whatever its key', async (t) => {
  const store = new ScriptedStore(10, [
    [
      response({ events: [put('/registry/pods/a/z', 11), put('/registry/leases/a/l', 12)] }),
      response({ events: [put('compact_rev_key', 13)] }),
    ],
  ]);
  await runFeed(store, async (feed, cache) => {
    await feed.waitFor(13);
    t.equal(cache.size, 3);
    t.equal(cache.changedRevision, 11);
  });
});

await t.test('a lost watch goes on where it was, and events that come twice count once', async (t) => {
  const changes: string[] = [];
  const store = new ScriptedStore(10, [
    [response({ events: [put('/registry/pods/a/z', 11)] }), new EtcdError('unavailable')],
    [response({ events: [put('/registry/pods/a/z', 11), put('/registry/pods/a/w', 12)] })],
  ]);
  const clock = new VirtualClock();
  const feed = new StoreFeed(store.options(clock));
  const cache = new WatchCache({
    prefix: '/registry/pods/',
    onChange: (type, each) => changes.push(`${type} ${each.metadata.name ?? ''}`),
  });
  feed.add(cache);
  const stop = new AbortController();
  const running = feed.run(stop.signal);
  await feed.waitFor(11);
  await clock.advance(100);
  await feed.waitFor(12);
  t.strictSame(store.starts, [11, 12]);
  t.equal(store.lists, 2, 'it does not list again');
  t.strictSame(changes, ['ADDED x', 'ADDED y', 'ADDED z', 'ADDED w']);
  stop.abort();
  await clock.advance(10_000);
  await running;
});

await t.test('fragments of a revision are applied as one', async (t) => {
  const store = new ScriptedStore(10, [
    [
      response({ fragment: true, events: [put('/registry/pods/a/p', 11)] }),
      response({ events: [put('/registry/pods/a/q', 11)] }),
    ],
  ]);
  await runFeed(store, async (feed, cache) => {
    await feed.waitFor(11);
    t.equal(cache.size, 4);
  });
});

await t.test('many watchers get in one write what came while the last one was sent', async (t) => {
  const store = new ScriptedStore(10, [[]]);
  await runFeed(store, async (feed, cache, clock) => {
    await feed.waitFor(10);
    const clients = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const writes: Buffer[] = [];
        const output = new Writable({
          write: (chunk: Buffer, _encoding, done) => {
            writes.push(chunk);
            done();
          },
        });
        const watcher = new CacheWatcher({ output });
        cache.watch(watcher, { namespace: '' }, 10);
        await watcher.start(undefined, { endBookmark: false });
        return writes;
      }),
    );
    const names = (writes: readonly Buffer[]): unknown[] =>
      writes.map((each) => Array.from(each.toString().matchAll(/"name":"(\w+)"/gu), ([, name]) => name));
    const first = [['one']];
    feed.apply([put('/registry/pods/a/one', 11)]);
    t.ok(
      clients.every((each) => JSON.stringify(names(each)) === JSON.stringify(first)),
      'the first at once',
    );
    feed.apply([put('/registry/pods/a/two', 12)]);
    feed.apply([put('/registry/pods/a/three', 13)]);
    t.equal(feed.revision, 13, 'reads do not wait for that');
    t.ok(clients.every((each) => each.length === 1));
    await clock.advance(1);
    for (const each of clients) t.strictSame(names(each), [['one'], ['two', 'three']]);
    t.equal(new Set(clients.map((each) => each[1])).size, 1, 'and all of them the same bytes');
    await clock.advance(1);
    feed.apply([put('/registry/pods/a/four', 14)]);
    t.ok(
      clients.every((each) => each.length === 3),
      'after a quiet time at once again',
    );
  });
});

await t.test('a watch that was compacted away lists anew', async (t) => {
  const store = new ScriptedStore(10, [
    [response({ canceled: true, compactRevision: 20, cancelReason: 'compacted' })],
    [],
  ]);
  await runFeed(store, async (feed, _cache, clock) => {
    await feed.waitFor(10);
    await clock.advance(100);
    t.equal(store.lists, 4);
    t.strictSame(store.starts, [11, 11]);
  });
});

await t.test('a read that waits too long is told how far the caches are', async (t) => {
  const store = new ScriptedStore(10, [[]]);
  await runFeed(store, async (feed, _cache, clock) => {
    await feed.waitFor(10);
    const late = t.rejects(feed.waitFor(11), { message: 'Timeout: Too large resource version: 11, current: 10' });
    await clock.advance(3000);
    await late;
  });
});
