import t from 'tap';
import { isEtcdError, type KeyValue } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import { Members, runMain } from './members.ts';

const bytes = (text: string): Buffer => Buffer.from(text);
const WRITERS = 3;

t.setTimeout(300_000);

/** Creates keys one after the other until it is told to stop; knows which were acknowledged. */
class Writer {
  readonly acknowledged: string[] = [];
  readonly unknown: string[] = [];
  #stop = false;
  readonly #done: Promise<void>;

  constructor(name: string, urls: readonly string[]) {
    this.#done = this.#run(name, urls);
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#done;
  }

  async #run(name: string, urls: readonly string[]): Promise<void> {
    await using client = new EtcdClient({ endpoints: urls });
    for (let i = 0; !this.#stop; i++) {
      const key = `w/${name}/${String(i).padStart(5, '0')}`;
      try {
        const { succeeded } = await client.txn({
          compare: [{ key: bytes(key), target: 'MOD', result: 'EQUAL', modRevision: 0 }],
          success: [{ requestPut: { key: bytes(key), value: bytes(name) } }],
          failure: [{ requestRange: { key: bytes(key) } }],
        });
        if (!succeeded) throw new Error(`${key} was there before it was created`);
        this.acknowledged.push(key);
      } catch (error) {
        if (isEtcdError(error, 'unknownFate')) this.unknown.push(key);
        else if (!isEtcdError(error, 'unavailable') && !isEtcdError(error, 'noLeader')) throw error;
      }
    }
  }
}

/** Follows all keys, going on elsewhere from where it was whenever its stream is lost. */
class Follower {
  readonly events: KeyValue[] = [];
  resumed = 0;
  readonly #client: EtcdClient;
  #next = 2;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(urls: readonly string[], first: number) {
    this.#client = new EtcdClient({ endpoints: urls, random: () => first / urls.length });
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
    await this.#client[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted)
      try {
        const request = { key: bytes('w/'), rangeEnd: bytes('w0'), startRevision: this.#next };
        for await (const response of this.#client.watch(request, { signal })) {
          this.events.push(...response.events.map((each) => each.kv));
          const last = response.events.at(-1)?.kv.modRevision;
          if (last !== undefined) this.#next = last + 1;
        }
      } catch (error) {
        if (!isEtcdError(error, 'unavailable')) throw error;
        this.resumed++;
      }
  }
}

async function hashes(cluster: Members): Promise<Set<string>> {
  const answers = cluster.members.map(async ({ clientUrl }) => {
    const answer = await fetch(`${clientUrl}/v3/maintenance/hash`, { method: 'POST', body: '{}' });
    const { header, hash } = (await answer.json()) as { readonly header: { readonly revision: string }; hash: number };
    return `${header.revision}/${hash}`;
  });
  return new Set(await Promise.all(answers));
}

await t.test('no acknowledged write is lost and no event missed when leaders are killed', async (t) => {
  await using cluster = await Members.start('--snapshot-count', '200');
  const writers = Array.from({ length: WRITERS }, (_, i) => new Writer(`${i}`, cluster.urls));
  // One begins at each member, so that whoever is killed, a watch is lost with it.
  const followers = cluster.urls.map((_url, i) => new Follower(cluster.urls, i));
  const acknowledged = (): number => writers.reduce((sum, each) => sum + each.acknowledged.length, 0);
  const more = async (): Promise<void> => {
    const before = acknowledged();
    await eventually(() => acknowledged() > before + 60, { deadlineMs: 60_000 });
  };
  await more();
  for (let kills = 0; kills < 2; kills++) {
    const victim = await cluster.leader();
    await cluster.stopMember(victim, 'SIGKILL');
    await more();
    cluster.startMember(victim);
    await more();
  }
  const leader = await cluster.leader();
  t.equal(await cluster.stopMember(leader, 'SIGTERM'), 0, 'a leader that is asked to stop does so in order');
  t.match(leader.output, /"msg":"stopped"/u);
  await more();
  cluster.startMember(leader);
  await more();
  for (const writer of writers) await writer.stop();

  await using client = new EtcdClient({ endpoints: cluster.urls });
  const all = await client.range({ key: bytes('w/'), rangeEnd: bytes('w0') });
  const there = new Set(all.kvs.map((kv) => kv.key.toString()));
  const wanted = writers.flatMap((each) => each.acknowledged);
  const maybe = new Set(writers.flatMap((each) => each.unknown));
  t.same(
    wanted.filter((key) => !there.has(key)),
    [],
    `all ${wanted.length} acknowledged writes are there`,
  );
  t.same(
    all.kvs.filter((kv) => kv.version !== 1),
    [],
    'none was done twice',
  );
  const known = new Set(wanted);
  t.same(
    [...there].filter((key) => !known.has(key) && !maybe.has(key)),
    [],
    'and nothing that was refused',
  );

  const inOrder = (kvs: readonly KeyValue[]): string[] => kvs.map((kv) => `${kv.modRevision}/${kv.key.toString()}`);
  const byRevision = inOrder([...all.kvs].sort((a, b) => a.modRevision - b.modRevision));
  for (const follower of followers) {
    await eventually(() => follower.events.length >= all.kvs.length, { deadlineMs: 60_000 });
    await follower.stop();
    t.same(inOrder(follower.events), byRevision, 'the watch told each write once, in order');
  }
  const resumed = followers.reduce((sum, each) => sum + each.resumed, 0);
  t.ok(resumed > 0, `watches were resumed ${resumed} times`);
  await eventually(async () => (await hashes(cluster)).size === 1, { deadlineMs: 60_000 });
});

await t.test('every member serves every request, and a cluster comes back with everything it had', async (t) => {
  await using cluster = await Members.start();
  for (const [i, url] of cluster.urls.entries()) {
    await using client = new EtcdClient({ endpoints: [url] });
    const { header } = await client.put({ key: bytes(`k/${i}`), value: bytes('x') });
    for (const other of cluster.urls) {
      await using reader = new EtcdClient({ endpoints: [other] });
      const { kvs } = await reader.range({ key: bytes(`k/${i}`) });
      t.equal(kvs[0]?.modRevision, header.revision, `written at ${url}, read at ${other}`);
    }
    const { id } = await client.leaseGrant({ ttl: 1000, id: BigInt(i + 1) });
    t.equal((await client.leaseKeepAlive(id)).ttl, 1000);
    t.equal((await client.memberList()).members.length, 3);
  }
  await using client = new EtcdClient({ endpoints: cluster.urls });
  await client.put({ key: bytes('leased'), lease: 2n });
  await client.compact({ revision: 3 });
  const codes = await Promise.all(cluster.members.map(async (each) => await cluster.stopMember(each, 'SIGTERM')));
  t.same(codes, [0, 0, 0]);
  for (const member of cluster.members) cluster.startMember(member);
  await cluster.leader();
  t.equal((await client.range({ key: bytes('k/'), rangeEnd: bytes('k0') })).count, 3);
  t.same((await client.leaseTimeToLive({ id: 2n, keys: true })).keys, [bytes('leased')]);
  await t.rejects(client.range({ key: bytes('k/0'), revision: 2 }), { code: 'compacted' });
});

await t.test('two members of three go on, one does not', async (t) => {
  await using cluster = await Members.start();
  const leader = await cluster.leader();
  const [first, second] = cluster.members.filter((each) => each !== leader);
  if (first === undefined || second === undefined) throw new Error('no followers');
  await cluster.stopMember(first, 'SIGKILL');
  await using client = new EtcdClient({ endpoints: [leader.clientUrl] });
  await client.put({ key: bytes('a') });
  await cluster.stopMember(second, 'SIGKILL');
  const refused = await client.put({ key: bytes('b') }).then(
    () => undefined,
    (error: unknown) => error,
  );
  t.ok(isEtcdError(refused), 'nothing is acknowledged without a majority');
  t.equal((await client.range({ key: bytes('a'), serializable: true })).count, 1, 'stale reads work');
  t.equal((await fetch(`${leader.clientUrl}/health`)).status, 503);
  cluster.startMember(second);
  await eventually(async () => await client.put({ key: bytes('c') }), { deadlineMs: 60_000 });
});

await t.test('bad flags end it with status 2 and the flag’s name', async (t) => {
  const { code, output } = await runMain('--no-such-flag');
  t.equal(code, 2);
  t.match(output, /--no-such-flag/u);
  const state = await runMain('--initial-cluster-state=else');
  t.equal(state.code, 2);
  t.match(state.output, /--initial-cluster-state/u);
});
