/** Writes while the watch cache lags behind the store. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import t from 'tap';
import { ApiFixture, startStore, type Answer, type Store } from './api-fixture.ts';

/** A store behind a proxy that can hold back what its watches tell. */
class LaggingStore implements Store {
  readonly #watches = new Set<Socket>();
  readonly #server = createServer((client) => this.#join(client));
  readonly #target: URL;
  #isHeld = false;

  constructor(target: Store) {
    this.#target = new URL(target.clientUrl);
  }

  get clientUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  hold(): void {
    this.#isHeld = true;
    for (const each of this.#watches) each.pause();
  }

  release(): void {
    this.#isHeld = false;
    for (const each of this.#watches) each.resume();
  }

  #join(client: Socket): void {
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    client.on('data', (bytes: Buffer) => {
      if (bytes.includes('POST /v3/watch')) this.#watches.add(upstream);
      upstream.write(bytes);
      if (this.#isHeld && this.#watches.has(upstream)) upstream.pause();
    });
    upstream.on('data', (bytes) => client.write(bytes));
    const end = (): void => {
      this.#watches.delete(upstream);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}

await t.test('a change back to what the cache still has is written', async (t) => {
  await using store = await startStore('kv-raft');
  await using lagging = await new LaggingStore(store).listen();
  await using api = await ApiFixture.start(lagging);
  const configMaps = '/api/v1/namespaces/default/configmaps';
  const set = async (value: string, query = ''): Promise<Answer> =>
    await api.request('PATCH', `${configMaps}/a${query}`, {
      type: 'application/merge-patch+json',
      body: { data: { key: value } },
    });
  await api.request('POST', configMaps, { body: { metadata: { name: 'a' }, data: { key: 'old' } } });
  t.match(await api.request('GET', `${configMaps}/a`), { status: 200 }, 'it is in the cache');
  lagging.hold();
  const changed = await set('new');
  const dry = await set('old', '?dryRun=All');
  t.equal(dry.body.metadata.resourceVersion, changed.body.metadata.resourceVersion, 'a dry run is of the newest');
  const back = await set('old');
  t.equal(back.status, 200);
  t.ok(Number(back.body.metadata.resourceVersion) > Number(changed.body.metadata.resourceVersion), 'a new version');
  const same = await set('old');
  t.equal(same.body.metadata.resourceVersion, back.body.metadata.resourceVersion, 'what is the same is not written');
  lagging.release();
  t.match((await api.request('GET', `${configMaps}/a`)).body, { data: { key: 'old' } });
});
