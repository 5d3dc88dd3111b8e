import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { startRealEtcd } from '@naru/testkit';
import type { AuthOperation } from '../../src/auth/auth-operation.ts';
import { KeySet } from '../../src/auth/permission.ts';
import { CommandEncoder, type Command, type Origin } from '../../src/mvcc/command.ts';
import { contains } from '../../src/mvcc/operation.ts';
import { SignedTokens } from '../../src/server/signed-tokens.ts';
import { KvStateMachine } from '../../src/server/state-machine.ts';
import { authCorpus, type AuthStep } from './auth-corpus.ts';
import { startTestServer, type TestServer } from './test-server.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Asks one server, and keeps the tokens it gives out. */
class Asker {
  readonly #url: string;
  readonly #tokens = new Map<string, string>();

  constructor(url: string) {
    this.#url = url;
  }

  async ask(step: AuthStep): Promise<Answer> {
    const token = step.as === undefined ? undefined : (this.#tokens.get(step.as) ?? step.as);
    const answer = await fetch(`${this.#url}${step.path}`, {
      method: 'POST',
      body: JSON.stringify(step.body),
      headers: token === undefined ? {} : { authorization: token },
    });
    const body = await answer.text();
    const given = /"token":"([^"]+)"/u.exec(body)?.[1];
    const { name } = step.body as { readonly name?: string };
    if (given !== undefined && name !== undefined) this.#tokens.set(name, given);
    return {
      status: answer.status,
      body: body
        .replaceAll(/"(cluster_id|member_id)":"\d+"/gu, '"$1":"ID"')
        .replaceAll(/"raft_term":"\d+"/gu, '"raft_term":"TERM"')
        .replaceAll(/"token":"[^"]+"/gu, '"token":"TOKEN"'),
    };
  }
}

await t.test('users, roles and rights are answered as etcd answers them', async (t) => {
  await using etcd = await startRealEtcd({ ports: { from: 22000, to: 22039 }, args: ['--bcrypt-cost=4'] });
  await using ours = await startTestServer({ bcryptCost: 4 });
  const [expected, actual] = [new Asker(etcd.clientUrl), new Asker(ours.url)];
  for (const [i, step] of authCorpus.entries())
    t.same(
      await actual.ask(step),
      await expected.ask(step),
      `${i} ${step.path} ${JSON.stringify(step.body)} as ${step.as}`,
    );
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function post(server: TestServer, path: string, body: object, token?: string): Promise<Reply> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
  const answer = await fetch(`${server.url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body), headers });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

async function signIn(server: TestServer, name: string, password: string): Promise<string> {
  return String((await post(server, 'auth/authenticate', { name, password })).body['token']);
}

/** root, and alice who may read and write what begins with `a/`; returns root's token. */
async function setUp(server: TestServer): Promise<string> {
  await post(server, 'auth/user/add', { name: 'root', password: 'r' });
  await post(server, 'auth/user/grant', { user: 'root', role: 'root' });
  await post(server, 'auth/user/add', { name: 'alice', password: 'a' });
  await post(server, 'auth/role/add', { name: 'team' });
  const perm = { permType: 'READWRITE', key: base64('a/'), range_end: base64('a0') };
  await post(server, 'auth/role/grant', { name: 'team', perm });
  await post(server, 'auth/user/grant', { user: 'alice', role: 'team' });
  await post(server, 'auth/enable', {});
  return await signIn(server, 'root', 'r');
}

await t.test('a permission must be given', async (t) => {
  // etcd 3.4 ends with a nil pointer here, 3.5 answers so.
  await using server = await startTestServer({ bcryptCost: 4 });
  await post(server, 'auth/role/add', { name: 'team' });
  t.match(await post(server, 'auth/role/grant', { name: 'team' }), {
    status: 400,
    body: { error: /permission not given/u },
  });
});

await t.test('what reads or ends leases, watches and the cluster asks who it is', async (t) => {
  await using server = await startTestServer({ bcryptCost: 4 });
  const root = await setUp(server);
  const alice = await signIn(server, 'alice', 'a');
  await post(server, 'lease/grant', { ID: '1', TTL: '1000' }, root);
  await post(server, 'kv/put', { key: base64('b'), lease: '1' }, root);
  const denied = { status: 403, body: { error: 'etcdserver: permission denied' } };
  const nobody = { status: 400, body: { error: 'etcdserver: user name is empty' } };
  t.match(await post(server, 'lease/revoke', { ID: '1' }, alice), denied);
  t.match(await post(server, 'lease/timetolive', { ID: '1', keys: true }, alice), denied);
  t.match(await post(server, 'lease/timetolive', { ID: '1', keys: true }), nobody);
  t.match(await post(server, 'lease/timetolive', { ID: '1' }, alice), { status: 200 });
  t.match(await post(server, 'lease/grant', { TTL: '10' }), nobody);
  t.match(await post(server, 'kv/compaction', { revision: '1' }), nobody);
  for (const path of ['maintenance/hash', 'maintenance/defragment', 'maintenance/transfer-leadership']) {
    t.match(await post(server, path, {}), nobody, path);
    t.match(await post(server, path, {}, alice), denied, path);
  }
  t.match(
    await post(server, 'maintenance/alarm', { action: 'ACTIVATE', alarm: 'NOSPACE', memberID: '1' }, alice),
    denied,
  );
  t.equal((await post(server, 'maintenance/hash', {}, root)).status, 200);
  t.equal((await post(server, 'maintenance/status', {})).status, 200);
  t.equal((await post(server, 'lease/revoke', { ID: '1' }, root)).status, 200);

  const watch = async (body: object, token?: string): Promise<string> => {
    const abort = new AbortController();
    const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
    const signal = abort.signal;
    const answer = await fetch(`${server.url}/v3/watch`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers,
      signal,
    });
    const first = await answer.body?.getReader().read();
    abort.abort();
    return Buffer.from(first?.value ?? []).toString();
  };
  const refused =
    /"created":true,"canceled":true,"cancel_reason":"rpc error: code = PermissionDenied desc = etcdserver: permission denied"/u;
  t.match(await watch({ create_request: { key: base64('b') } }, alice), refused);
  t.match(await watch({ create_request: { key: base64('a/') } }), refused);
  t.match(await watch({ create_request: { key: base64('a/'), range_end: base64('a0') } }, alice), /"created":true\}/u);
});

await t.test('a nested txn, or a previous value, opens no way around', async (t) => {
  await using server = await startTestServer({ bcryptCost: 4 });
  const root = await setUp(server);
  const alice = await signIn(server, 'alice', 'a');
  await post(server, 'kv/put', { key: base64('b'), value: base64('secret') }, root);
  const txn = (op: object): object => ({ success: [{ request_txn: { failure: [op] } }] });
  for (const op of [
    { request_range: { key: base64('b') } },
    { request_put: { key: base64('b') } },
    { request_delete_range: { key: base64('b') } },
  ])
    t.equal((await post(server, 'kv/txn', txn(op), alice)).status, 403, JSON.stringify(op));
  const compare = { target: 'VALUE', key: base64('b'), value: base64('secret') };
  t.equal((await post(server, 'kv/txn', { success: [{ request_txn: { compare: [compare] } }] }, alice)).status, 403);
});

await t.test('a right that was taken away while a write was on its way is gone when it is applied', async (t) => {
  const machine = new KvStateMachine({
    now: () => 0,
    events: { changed() {}, compacted() {}, restored() {}, leadershipChanged() {} },
  });
  const encoder = new CommandEncoder();
  let index = 0;
  const apply = (command: Command, origin: Origin): string => {
    const [result] = machine.apply([{ index: ++index, term: 1, data: encoder.encode(command, origin) }]);
    return result?.type === 'error' ? result.code : (result?.type ?? '');
  };
  const change = (operation: AuthOperation): string => apply({ type: 'auth', operation }, 'cluster');
  const put: Command = {
    type: 'put',
    key: 'a',
    value: Buffer.from('v'),
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  };
  for (const name of ['root', 'alice']) t.equal(change({ action: 'userAdd', name, passwordHash: 'x' }), 'done');
  change({ action: 'userGrantRole', name: 'root', role: 'root' });
  change({ action: 'roleAdd', role: 'r' });
  change({ action: 'roleGrantPermission', role: 'r', permission: { permission: 'WRITE', key: 'a', end: '' } });
  change({ action: 'userGrantRole', name: 'alice', role: 'r' });
  change({ action: 'enable' });
  const alice = { user: 'alice', revision: machine.auth.revision };
  t.equal(apply(put, alice), 'put');
  t.equal(apply(put, 'anonymous'), 'userEmpty');
  change({ action: 'userRevokeRole', name: 'alice', role: 'r' });
  t.equal(apply(put, alice), 'authOldRevision', 'it was let in before');
  t.equal(apply(put, { ...alice, revision: machine.auth.revision }), 'permissionDenied');
  t.equal(apply(put, 'cluster'), 'put', 'the members themselves may');

  const token = apply(
    { type: 'auth', operation: { action: 'authenticate', name: 'alice', tokenPrefix: 'p' } },
    'cluster',
  );
  t.equal(token, 'authenticated');
  t.equal(machine.tokens.use(`p.${index}`, 1), 'alice');
  t.equal(machine.tokens.use(`p.${index}`, 300_001), undefined, 'not used for its time');

  const copy = new KvStateMachine({
    now: () => 0,
    events: { changed() {}, compacted() {}, restored() {}, leadershipChanged() {} },
  });
  await copy.restore(machine.snapshot().chunks);
  t.ok(copy.auth.encode().equals(machine.auth.encode()), 'a snapshot has users and rights');
  t.equal(copy.auth.enabled, true);
});

await t.test('the ranges of a user count together: checked against single keys', async () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 0, maxLength: 2 });
  const ranges = fc.record({ key: letters, end: fc.oneof(letters, fc.constant('\0')) });
  // Keys of up to three letters stand for all: no bound is longer than two.
  const keys: string[] = [''];
  for (const each of keys) if (each.length < 3) keys.push(...['\0', 'a', 'b', 'c', 'd'].map((letter) => each + letter));
  fc.assert(
    fc.property(fc.array(ranges, { maxLength: 4 }), ranges, (held, asked) => {
      const set = new KeySet(held);
      const inAsked = keys.filter((key) => contains(asked, key));
      const all = inAsked.every((key) => held.some((range) => contains(range, key)));
      if (inAsked.length === 0) return true;
      return set.holds(asked) === (all && (asked.end !== '\0' || held.some((range) => range.end === '\0')));
    }),
    { numRuns: 2000 },
  );
});

await t.test('a JWT tells who holds it, until it expires, rights change, or it was tampered with', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  let now = 1000;
  const signedTokens = new SignedTokens({
    method: 'RS256',
    publicKey: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
    privateKey: Buffer.from(privateKey.export({ type: 'pkcs1', format: 'pem' })),
    ttlSeconds: 60,
    nowSeconds: () => now,
  });
  await using server = await startTestServer({ bcryptCost: 4, signedTokens });
  const root = await setUp(server);
  const alice = await signIn(server, 'alice', 'a');
  const put = async (token: string): Promise<number> =>
    (await post(server, 'kv/put', { key: base64('a/1') }, token)).status;
  t.equal(await put(alice), 200);
  t.equal(await put(`${alice.slice(0, -4)}AAAA`), 401);
  t.equal(await put([alice.split('.')[0], root.split('.')[1], alice.split('.')[2]].join('.')), 401);
  now += 61;
  t.equal(await put(alice), 401);
  const again = await signIn(server, 'root', 'r');
  t.equal((await post(server, 'auth/role/add', { name: 'more' }, again)).status, 200);
  t.match(await post(server, 'kv/put', { key: base64('a/1') }, again), {
    status: 400,
    body: { error: /revision of auth store is old/u },
  });
  t.throws(
    () =>
      new SignedTokens({
        method: 'ES256',
        publicKey: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
        ttlSeconds: 60,
        nowSeconds: () => now,
      }),
    /rsa does not fit/u,
  );
});

t.end();
