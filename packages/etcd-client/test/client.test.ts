import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import t from 'tap';
import { isEtcdError, prefixRangeEnd, type WatchResponse } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import { startRealEtcd } from '@naru/testkit';

const bytes = (text: string): Buffer => Buffer.from(text);

const etcd = await startRealEtcd({ ports: { from: 23802, to: 23849 } });
const client = new EtcdClient({ endpoints: [etcd.clientUrl] });

t.teardown(async () => {
  await client[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

await t.test('puts, ranges, deletes and compacts', async (t) => {
  const put = await client.put({ key: bytes('kv/a'), value: bytes('1') });
  const again = await client.put({ key: bytes('kv/a'), value: bytes('2'), prevKv: true });
  t.equal(again.prevKv?.value.toString(), '1');
  t.equal(again.header.revision, put.header.revision + 1);
  await client.put({ key: bytes('kv/b'), value: Buffer.from([0, 255, 1]) });

  const range = await client.range({ key: bytes('kv/'), rangeEnd: prefixRangeEnd(bytes('kv/')), limit: 1 });
  t.match(range, { count: 2, more: true, kvs: [{ version: 2, createRevision: put.header.revision, lease: 0n }] });
  const old = await client.range({ key: bytes('kv/a'), revision: put.header.revision });
  t.equal(old.kvs[0]?.value.toString(), '1');
  const sorted = await client.range({
    key: bytes('kv/'),
    rangeEnd: prefixRangeEnd(bytes('kv/')),
    sortOrder: 'DESCEND',
    sortTarget: 'MOD',
    keysOnly: true,
  });
  t.same(
    sorted.kvs.map((kv) => [kv.key.toString(), kv.value.length]),
    [
      ['kv/b', 0],
      ['kv/a', 0],
    ],
  );

  const deleted = await client.deleteRange({ key: bytes('kv/b'), prevKv: true });
  t.same(deleted.prevKvs[0]?.value, Buffer.from([0, 255, 1]));
  t.equal(deleted.deleted, 1);
  await client.compact({ revision: deleted.header.revision, physical: true });
  await t.rejects(client.range({ key: bytes('kv/a'), revision: put.header.revision }), { code: 'compacted' });
  await t.rejects(client.put({ key: bytes('') }), { code: 'emptyKey', grpcCode: 'InvalidArgument' });
});

await t.test('runs transactions of every shape', async (t) => {
  const key = bytes('txn/a');
  const create = {
    compare: [{ key, target: 'MOD', result: 'EQUAL', modRevision: 0 }],
    success: [{ requestPut: { key, value: bytes('x') } }],
    failure: [{ requestRange: { key } }],
  } as const;
  const first = await client.txn(create);
  t.match(first, { succeeded: true, responses: [{ responsePut: { header: { revision: first.header.revision } } }] });
  const second = await client.txn(create);
  t.match(second, { succeeded: false, responses: [{ responseRange: { count: 1 } }] });
  const nested = await client.txn({
    compare: [
      { key, target: 'VERSION', result: 'GREATER', version: 0 },
      { key, target: 'CREATE', result: 'LESS', createRevision: 1_000_000 },
      { key, target: 'VALUE', result: 'NOT_EQUAL', value: bytes('y') },
      { key, target: 'LEASE', result: 'EQUAL', lease: 0n },
      { key: bytes('txn/'), rangeEnd: bytes('txn0'), target: 'VERSION', result: 'EQUAL', version: 1 },
    ],
    success: [
      { requestTxn: { success: [{ requestDeleteRange: { key, prevKv: true } }] } },
      { requestRange: { key, serializable: true } },
    ],
  });
  t.match(nested, {
    succeeded: true,
    responses: [
      { responseTxn: { succeeded: true, responses: [{ responseDeleteRange: { deleted: 1 } }] } },
      { responseRange: { count: 0, kvs: [] } },
    ],
  });
});

await t.test('grants, renews, describes and revokes leases', async (t) => {
  const granted = await client.leaseGrant({ ttl: 60, id: 77n });
  t.match(granted, { id: 77n, ttl: 60 });
  await client.put({ key: bytes('lease/a'), lease: 77n });
  t.match(await client.leaseKeepAlive(77n), { id: 77n, ttl: 60 });
  t.same((await client.leaseTimeToLive({ id: 77n, keys: true })).keys, [bytes('lease/a')]);
  t.same((await client.leaseLeases()).leases, [77n]);
  await client.leaseRevoke(77n);
  t.equal((await client.range({ key: bytes('lease/a') })).count, 0);
  t.equal((await client.leaseKeepAlive(77n)).ttl, 0);
  t.equal((await client.leaseTimeToLive({ id: 77n })).ttl, -1);
  await t.rejects(client.leaseRevoke(77n), { code: 'leaseNotFound' });
});

await t.test('tells status and members', async (t) => {
  const status = await client.status();
  t.match(status, { version: /^3\.4/u, isLearner: false, leader: status.header.memberId });
  t.match(await client.memberList(), { members: [{ id: status.header.memberId, name: 'real' }] });
});

await t.test('watches over one stream, both ways at once', async (t) => {
  const stream = client.watch({ key: bytes('w/'), rangeEnd: bytes('w0'), prevKv: true, watchId: 3 });
  const seen: WatchResponse[] = [];
  for await (const response of stream) {
    seen.push(response);
    if (response.created && response.watchId === 3) {
      await client.put({ key: bytes('w/a'), value: bytes('1') });
      await client.txn({
        success: [
          { requestPut: { key: bytes('w/b'), value: bytes('2') } },
          { requestDeleteRange: { key: bytes('w/a') } },
        ],
      });
    } else if (response.events.length === 2) {
      stream.create({ key: bytes('x'), watchId: 4, progressNotify: true, filters: ['NODELETE'] });
    } else if (response.created) {
      stream.requestProgress();
    } else if (response.watchId === -1) {
      stream.cancel(4);
    } else if (response.canceled) {
      break;
    }
  }
  t.match(seen, [
    { created: true, watchId: 3 },
    { watchId: 3, events: [{ type: 'PUT', kv: { key: bytes('w/a'), value: bytes('1') } }] },
    {
      watchId: 3,
      events: [
        { type: 'PUT', kv: { key: bytes('w/b') } },
        { type: 'DELETE', kv: { key: bytes('w/a') }, prevKv: { value: bytes('1') } },
      ],
    },
    { created: true, watchId: 4 },
    { watchId: -1, header: { revision: seen[2]?.header.revision } },
    { canceled: true, watchId: 4 },
  ]);
});

await t.test('ends a watch with its signal, and tells a compacted start', async (t) => {
  const stop = new AbortController();
  const stream = client.watch({ key: bytes('z') }, { signal: stop.signal });
  for await (const response of stream) if (response.created) stop.abort();
  const compacted: WatchResponse[] = [];
  for await (const response of client.watch({ key: bytes('z'), startRevision: 1 })) {
    compacted.push(response);
    if (response.canceled) break;
  }
  t.ok((compacted[1]?.compactRevision ?? 0) > 1);
});

await t.test('goes on with the next endpoint when one refuses', async (t) => {
  const closed = createServer();
  const refusing = await listen(closed);
  await new Promise((resolve) => closed.close(resolve));
  await using failover = new EtcdClient({ endpoints: [refusing, etcd.clientUrl], random: () => 0 });
  await failover.put({ key: bytes('failover'), value: bytes('x') });
  t.equal((await failover.range({ key: bytes('failover') })).count, 1);
  await using watching = new EtcdClient({ endpoints: [refusing, etcd.clientUrl], random: () => 0 });
  for await (const response of watching.watch({ key: bytes('failover') })) {
    t.equal(response.created, true);
    break;
  }
  await using lonely = new EtcdClient({ endpoints: [refusing] });
  await t.rejects(lonely.put({ key: bytes('a') }), { code: 'unavailable' });
  await t.rejects(
    (async () => {
      for await (const response of lonely.watch({ key: bytes('a') })) t.fail(`answered ${response.watchId}`);
    })(),
    { code: 'unavailable' },
  );
});

await t.test('never sends a write twice when its answer is lost, but does so with a read', async (t) => {
  let requests = 0;
  const dropping = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      requests++;
      socket.destroy();
    });
  });
  const lossy = await listen(dropping);
  t.teardown(() => dropping.close());
  await using unlucky = new EtcdClient({ endpoints: [lossy, etcd.clientUrl], random: () => 0 });
  const error = await unlucky.txn({ success: [{ requestPut: { key: bytes('lost') } }] }).then(
    () => undefined,
    (error: unknown) => error,
  );
  t.ok(isEtcdError(error, 'unknownFate'));
  t.equal(requests, 1);
  t.equal((await client.range({ key: bytes('lost') })).count, 0);
  await using reader = new EtcdClient({ endpoints: [lossy, etcd.clientUrl], random: () => 0 });
  t.equal((await reader.range({ key: bytes('lost') })).count, 0);
  t.equal(requests, 2);
});

await t.test('gives up a silent server by signal or by timeout', async (t) => {
  const sockets = new Set<{ destroy(): void }>();
  const silent = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.resume();
  });
  const url = await listen(silent);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  await using patient = new EtcdClient({ endpoints: [url], requestTimeoutMs: 50 });
  const stop = new AbortController();
  const pending = patient.put({ key: bytes('a') }, { signal: stop.signal });
  stop.abort(new Error('enough'));
  await t.rejects(pending, { message: 'enough' });
  await t.rejects(patient.put({ key: bytes('a') }), { code: 'unknownFate' });
  await t.rejects(
    (async () => {
      for await (const response of patient.watch({ key: bytes('a') }, { keepAliveMs: 50 }))
        t.fail(`answered ${response.watchId}`);
    })(),
    { code: 'unavailable' },
  );
});

t.end();
