import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { prefixRangeEnd, type WatchResponse } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import { eventually, VirtualClock } from '@naru/testkit';
import type { ConsensusErrorCode } from '../../src/consensus.ts';
import { CommandEncoder, type Command } from '../../src/mvcc/command.ts';
import { Replica } from '../../src/server/services.ts';
import type { KvStateMachine } from '../../src/server/state-machine.ts';
import { startTestServer, type TestServer } from './test-server.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

async function post(server: TestServer, path: string, body: string): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${server.url}${path}`, { method: 'POST', body });
  return { status: answer.status, body: await answer.json() };
}

/** Writes `count` keys, a revision each. */
async function fill(client: EtcdClient, count: number, bytesEach: number): Promise<void> {
  const keys = Array.from({ length: count }, (_, i) => bytes(`fill/${String(i).padStart(6, '0')}`));
  for (let i = 0; i < count; i += 50)
    await Promise.all(
      keys.slice(i, i + 50).map(async (key, j) => await client.put({ key, value: Buffer.alloc(bytesEach, j) })),
    );
}

t.setTimeout(120_000);

await t.test('leases expire on the leader only, and a new leader gives them their whole time again', async (t) => {
  const clock = new VirtualClock();
  await using server = await startTestServer({ clock });
  await using client = new EtcdClient({ endpoints: [server.url] });
  const { id } = await client.leaseGrant({ ttl: 10 });
  await client.put({ key: bytes('a'), value: bytes('x'), lease: id });
  const before = await client.put({ key: bytes('b'), value: bytes('x'), lease: id });
  await clock.advance(8000);
  t.match(await client.leaseTimeToLive({ id, keys: true }), { ttl: 2, grantedTtl: 10, keys: [bytes('a'), bytes('b')] });
  await client.leaseKeepAlive(id);
  await clock.advance(8000);
  t.equal((await client.range({ key: bytes('a') })).count, 1, 'renewed');
  server.machine.leadershipChanged(undefined);
  await clock.advance(60_000);
  t.equal((await client.range({ key: bytes('a') })).count, 1, 'no leader, no expiry');
  server.machine.leadershipChanged(3);
  await clock.advance(9000);
  t.equal((await client.range({ key: bytes('a') })).count, 1, 'extended');
  await clock.advance(2000);
  const after = await client.range({ key: bytes('\0'), rangeEnd: bytes('\0') });
  t.equal(after.count, 0, 'expired');
  t.equal(after.header.revision, before.header.revision + 1, 'all its keys in one revision');
  t.equal((await client.leaseTimeToLive({ id })).ttl, -1);
});

await t.test('a late decision that a lease has expired does not end one that was renewed', async (t) => {
  const machine = new Replica(new VirtualClock()).machine;
  const other = new Replica(new VirtualClock()).machine;
  const encoder = new CommandEncoder();
  let index = 0;
  const apply = (to: KvStateMachine, command: Command): unknown =>
    to.apply([{ index: ++index, term: 1, data: encoder.encode(command) }])[0];
  apply(machine, { type: 'leaseGrant', id: 7n, ttl: 10 });
  apply(machine, { type: 'leaseKeepAlive', id: 7n });
  await other.restore(machine.snapshot().chunks);
  for (const each of [machine, other]) {
    index = 2;
    apply(each, { type: 'leaseExpire', id: 7n, renewedIndex: 1 });
    t.ok(each.store.leases.has(7n), 'renewed at 2');
    apply(each, { type: 'leaseExpire', id: 7n, renewedIndex: 2 });
    t.notOk(each.store.leases.has(7n));
    t.match(apply(each, { type: 'leaseExpire', id: 7n, renewedIndex: 2 }), { code: 'leaseNotFound' });
  }
});

await t.test('what consensus cannot do becomes an error of etcd', async (t) => {
  const expected: Readonly<Record<Exclude<ConsensusErrorCode, 'no-leader'>, { message: string; status: number }>> = {
    'leader-lost': { message: 'etcdserver: leader changed', status: 503 },
    timeout: { message: 'etcdserver: request timed out', status: 503 },
    'too-many-requests': { message: 'etcdserver: too many requests', status: 429 },
    stopped: { message: 'etcdserver: server stopped', status: 503 },
    storage: { message: 'etcdserver: server stopped', status: 503 },
  };
  const clock = new VirtualClock();
  await using server = await startTestServer({ clock });
  for (const [code, { message, status }] of Object.entries(expected)) {
    server.consensus.failWith = code as ConsensusErrorCode;
    for (const [path, body] of [
      ['/v3/kv/put', '{"key":"YQ=="}'],
      ['/v3/kv/range', '{"key":"YQ=="}'],
    ] as const)
      t.match(await post(server, path, body), { status, body: { error: message } }, `${code} ${path}`);
  }
  t.match(await post(server, '/v3/kv/range', '{"key":"YQ==","serializable":true}'), { status: 200 });
});

await t.test('a request waits for a leader, but not for ever', async (t) => {
  const clock = new VirtualClock();
  await using server = await startTestServer({ clock });
  server.consensus.failWith = 'no-leader';
  const waiting = post(server, '/v3/kv/put', '{"key":"YQ=="}');
  await eventually(() => clock.pending > 3);
  server.consensus.failWith = undefined;
  await eventually(async () => {
    await clock.advance(20);
    return server.machine.store.revision === 2;
  });
  t.match(await waiting, { status: 200 });
  server.consensus.failWith = 'no-leader';
  let answered = false;
  const hopeless = post(server, '/v3/kv/put', '{"key":"YQ=="}').finally(() => (answered = true));
  await eventually(async () => {
    await clock.advance(500);
    return answered;
  });
  t.match(await hopeless, { status: 503, body: { error: 'etcdserver: no leader', code: 14 } });
});

await t.test('requests over the limits are refused', async (t) => {
  await using server = await startTestServer({ requestBytesMax: 1000 });
  const put = (length: number): string =>
    JSON.stringify({ key: 'YQ==', value: Buffer.alloc(length).toString('base64') });
  t.match(await post(server, '/v3/kv/put', put(900)), { status: 200 });
  const refused = { status: 400, body: { error: 'etcdserver: request is too large', code: 3 } };
  t.match(await post(server, '/v3/kv/put', put(1001)), refused);
  t.match(await post(server, '/v3/kv/put', put(100_000)), refused);
  const deep = '{"success":[{"request_txn":'.repeat(200) + '{}' + '}]}'.repeat(200);
  t.match(await post(server, '/v3/kv/txn', deep), { status: 400, body: { code: 3 } });
});

await t.test('a full store refuses what grows it, and recovers by deletes and compaction', async (t) => {
  const clock = new VirtualClock();
  await using server = await startTestServer({ clock, quotaBackendBytes: 100_000 });
  await using client = new EtcdClient({ endpoints: [server.url] });
  await t.rejects(fill(client, 1000, 1000), { code: 'noSpace' });
  await t.rejects(client.put({ key: bytes('tiny') }), { code: 'noSpace' }, 'even if it would fit');
  await t.rejects(client.txn({ success: [{ requestPut: { key: bytes('tiny') } }] }), { code: 'noSpace' });
  t.match((await client.status()).errors, [/alarm:NOSPACE/u]);
  t.match(await post(server, '/v3/maintenance/alarm', '{}'), { body: { alarms: [{ alarm: 'NOSPACE' }] } });
  t.equal((await fetch(`${server.url}/health`)).status, 503);
  t.ok((await client.range({ key: bytes('fill/000000') })).count === 1, 'reads work');
  const { header } = await client.deleteRange({ key: bytes('fill/'), rangeEnd: prefixRangeEnd(bytes('fill/')) });
  await client.compact({ revision: header.revision, physical: true });
  await clock.advance(5000);
  await client.put({ key: bytes('tiny') });
  t.same((await client.status()).errors, []);
  t.equal((await fetch(`${server.url}/health`)).status, 200);
});

await t.test('a client that does not read costs bounded memory and gets everything in the end', async (t) => {
  await using server = await startTestServer();
  await using client = new EtcdClient({ endpoints: [server.url] });
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(socket, 'connect');
  const request = '{"create_request":{"key":"ZmlsbC8=","range_end":"ZmlsbDA="}}';
  socket.write(`POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: ${request.length}\r\n\r\n${request}`);
  await once(socket, 'data');
  socket.pause();
  await fill(client, 79, 200_000);
  await client.put({ key: bytes('fill/end') });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  t.match(metrics, /etcd_debugging_mvcc_slow_watcher_total 1\n/u);
  const last = bytes('fill/end').toString('base64');
  let tail = '';
  let total = 0;
  for await (const chunk of socket) {
    total += (chunk as Buffer).length;
    const text = tail + (chunk as Buffer).toString('latin1');
    if (text.includes(last)) break;
    tail = text.slice(-100);
  }
  t.ok(total > (79 * 200_000 * 4) / 3, `${total} bytes`);
  const quick: WatchResponse[] = [];
  for await (const response of client.watch({ key: bytes('fill/'), rangeEnd: bytes('fill0'), startRevision: 2 })) {
    quick.push(response);
    if (response.events.at(-1)?.kv.key.toString() === 'fill/end') break;
  }
  t.equal(quick.flatMap((each) => each.events).length, 80);
  t.ok(
    quick.every((each) => each.events.length < 20),
    'caught up in bounded responses',
  );
});

await t.test('progress is told after the events before it, on request and after a catch-up', async (t) => {
  await using server = await startTestServer();
  await using client = new EtcdClient({ endpoints: [server.url] });
  for (let i = 0; i < 30; i++) {
    const puts = Array.from({ length: 100 }, (_, j) => ({ requestPut: { key: bytes(`fill/${i}/${j}`) } }));
    await client.txn({ success: puts });
  }
  const stream = client.watch({ key: bytes('fill/'), rangeEnd: bytes('fill0'), startRevision: 2 });
  stream.requestProgress();
  let events = 0;
  for await (const response of stream) {
    events += response.events.length;
    if (response.watchId !== -1) continue;
    t.equal(response.header.revision, 31);
    t.equal(events, 3000);
    break;
  }
});

await t.test('watches may ask for fragments', async (t) => {
  await using server = await startTestServer({ requestBytesMax: 10_000 });
  await using client = new EtcdClient({ endpoints: [server.url] });
  const stream = client.watch({ key: bytes('f/'), rangeEnd: bytes('f0'), fragment: true });
  const seen: WatchResponse[] = [];
  for await (const response of stream) {
    if (response.created) {
      const puts = Array.from({ length: 9 }, (_, i) => ({
        requestPut: { key: bytes(`f/${i}`), value: Buffer.alloc(1000) },
      }));
      await client.txn({ success: puts });
      continue;
    }
    seen.push(response);
    if (!response.fragment) break;
  }
  t.ok(seen.length > 1);
  t.equal(seen.flatMap((each) => each.events).length, 9);
  t.same(
    seen.map((each) => each.fragment),
    [...seen.slice(1).map(() => true), false],
  );
});

await t.test('refuses watches that cannot be, and says why', async (t) => {
  await using server = await startTestServer();
  await using client = new EtcdClient({ endpoints: [server.url] });
  const stream = client.watch({ key: bytes('a'), watchId: 5 });
  stream.create({ key: bytes('b'), watchId: 5 });
  const seen: WatchResponse[] = [];
  for await (const response of stream) if (seen.push(response) === 2) break;
  t.match(seen[1], { watchId: -1, canceled: true, cancelReason: /duplicate watch ID/u });
  for (const body of ['nonsense', '{"create_request":{"key":5}}', '{"create_request":', '[]']) {
    const answer = await fetch(`${server.url}/v3/watch`, { method: 'POST', body });
    t.equal(answer.status, 400, body);
    t.match(await answer.json(), { error: { grpc_code: 3 } });
  }
});

await t.test('compacts by itself, by time or by revisions, while it leads', async (t) => {
  const clock = new VirtualClock();
  await using server = await startTestServer({ clock, autoCompaction: { mode: 'periodic', retentionMs: 60_000 } });
  await using client = new EtcdClient({ endpoints: [server.url] });
  await fill(client, 10, 1);
  await clock.advance(60_000);
  await fill(client, 10, 1);
  t.equal(server.machine.store.compactRevision, 1, 'what was there a minute ago');
  await clock.advance(60_000);
  t.equal(server.machine.store.compactRevision, 11);
  server.machine.leadershipChanged(undefined);
  await clock.advance(600_000);
  t.equal(server.machine.store.compactRevision, 11);

  await using byRevision = await startTestServer({ clock, autoCompaction: { mode: 'revision', retention: 5 } });
  await using other = new EtcdClient({ endpoints: [byRevision.url] });
  await fill(other, 10, 1);
  await clock.advance(300_000);
  t.equal(byRevision.machine.store.compactRevision, 6);
});

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

await t.test('a snapshot restores another member to the same hash; a damaged one changes nothing', async (t) => {
  await using server = await startTestServer();
  await using client = new EtcdClient({ endpoints: [server.url] });
  await fill(client, 50, 50_000);
  await client.leaseGrant({ ttl: 100, id: 9n });
  await client.put({ key: bytes('leased'), lease: 9n });
  await client.deleteRange({ key: bytes('fill/000003') });
  await client.compact({ revision: 20 });
  const chunks: Uint8Array[] = [];
  const snapshot = server.machine.snapshot();
  for await (const chunk of snapshot.chunks) chunks.push(Buffer.from(chunk));
  t.equal(snapshot.index, server.machine.appliedIndex);
  t.ok(chunks.every((chunk) => chunk.length <= 1024 * 1024));

  await using copy = await startTestServer();
  await using reader = new EtcdClient({ endpoints: [copy.url] });
  await reader.put({ key: bytes('old'), value: bytes('state') });
  const whole = Buffer.concat(chunks);
  for (const at of [0, 10, Math.floor(whole.length / 2), whole.length - 1]) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await t.rejects(copy.machine.restore(chunksOf([damaged])), RangeError, `bit flipped at ${at}`);
    await t.rejects(copy.machine.restore(chunksOf([whole.subarray(0, at)])), RangeError, `cut at ${at}`);
  }
  t.equal((await reader.range({ key: bytes('old') })).count, 1);

  const watching = reader.watch({ key: bytes('leased'), startRevision: 1000 });
  await copy.machine.restore(chunksOf([whole.subarray(0, 9), whole.subarray(9)]));
  t.equal(copy.machine.appliedIndex, snapshot.index);
  const hash = async (of: TestServer): Promise<unknown> =>
    ((await post(of, '/v3/maintenance/hash', '{}')).body as { readonly hash: number }).hash;
  t.equal(await hash(copy), await hash(server));
  t.same((await reader.leaseTimeToLive({ id: 9n, keys: true })).keys, [bytes('leased')]);
  await t.rejects(reader.range({ key: bytes('a'), revision: 19 }), { code: 'compacted' });
  t.equal((await reader.range({ key: bytes('fill/000003'), revision: 50 })).count, 1, 'history came along');
  watching.close();
});

await t.test('tells its version, its health and etcd’s metrics', async (t) => {
  await using server = await startTestServer();
  t.match(await (await fetch(`${server.url}/version`)).json(), { etcdserver: /^3\.4\./u, etcdcluster: '3.4.0' });
  t.equal(await (await fetch(`${server.url}/health`)).text(), '{"health":"true"}');
  await post(server, '/v3/kv/put', '{"key":"YQ=="}');
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  t.match(metrics, /^etcd_server_has_leader 1$/mu);
  t.match(metrics, /^etcd_mvcc_put_total 1$/mu);
  t.match(metrics, /^etcd_debugging_mvcc_keys_total 1$/mu);
});

await t.test('a member that stops answers what it has begun and ends its watches', async (t) => {
  await using server = await startTestServer();
  await using client = new EtcdClient({ endpoints: [server.url] });
  const held = Promise.withResolvers<void>();
  server.consensus.hold = held.promise;
  const watching = client.watch({ key: bytes('a') })[Symbol.asyncIterator]();
  t.match((await watching.next()).value, { created: true });
  const pending = client.put({ key: bytes('a'), value: bytes('x') });
  await eventually(async () =>
    /^etcd_server_proposals_pending 1$/mu.test(await (await fetch(`${server.url}/metrics`)).text()),
  );
  const stopped = server[Symbol.asyncDispose]();
  await t.rejects(watching.next(), { code: 'unavailable' });
  held.resolve();
  t.equal((await pending).header.revision, 2);
  await stopped;
  await t.rejects(client.put({ key: bytes('a') }), { code: 'unavailable' });
});
