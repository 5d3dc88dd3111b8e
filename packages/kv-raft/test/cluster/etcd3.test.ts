import t from 'tap';
import { Etcd3, type IOptions, type Lease } from 'etcd3';
import { eventually } from '@naru/testkit';
import { Members } from './members.ts';

// The npm client, whose users expect that nothing but the address changes.

t.setTimeout(240_000);
const DEADLINE_MS = 40_000;

const members = await Members.startWith({ ports: { from: 22_200, to: 22_239 }, flags: ['--bcrypt-cost=4'] });
const clients: Etcd3[] = [];
t.teardown(async () => {
  for (const client of clients) client.close();
  await members[Symbol.asyncDispose]();
});

function connect(options: Partial<IOptions> = {}): Etcd3 {
  const client = new Etcd3({ hosts: [...members.urls], ...options });
  clients.push(client);
  return client;
}

await t.test('values, ranges and deletes', async (t) => {
  const client = connect();
  await client.put('a/1').value('one');
  await client.put('a/2').value('two');
  await client.put('b').value('three');
  t.equal(await client.get('a/1').string(), 'one');
  t.equal(await client.get('missing').string(), null);
  t.same(await client.getAll().prefix('a/').strings(), { 'a/1': 'one', 'a/2': 'two' });
  t.same(await client.getAll().prefix('a/').sort('Key', 'Descend').keys(), ['a/2', 'a/1']);
  t.equal(await client.getAll().prefix('a/').count(), 2);
  t.same(await client.getAll().all().limit(1).keys(), ['a/1']);
  t.same(await client.namespace('a/').getAll().strings(), { '1': 'one', '2': 'two' });
  const { deleted } = await client.delete().prefix('a/');
  t.equal(deleted, '2');
});

await t.test('transactions, also those that are tried again', async (t) => {
  const client = connect();
  await client.put('n').value('1');
  const won = await client
    .if('n', 'Value', '==', '1')
    .then(client.put('n').value('2'), client.get('n'))
    .else(client.get('n'))
    .commit();
  t.equal(won.succeeded, true);
  const lost = await client.if('n', 'Value', '==', '1').then(client.put('n').value('3')).else(client.get('n')).commit();
  t.equal(lost.succeeded, false);
  t.equal(lost.responses[0]?.response_range?.kvs[0]?.value.toString(), '2');
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      await client.stm({ retries: 50 }).transact(async (tx) => {
        await tx.put('n').value(Number(await tx.get('n').string()) + 1);
      });
    }),
  );
  t.equal(await client.get('n').number(), 7, 'no increment is lost');
});

await t.test('leases, locks and elections', async (t) => {
  const client = connect();
  const lease: Lease = client.lease(60);
  await lease.put('leased').value('x');
  t.equal(await client.get('leased').string(), 'x');
  await lease.keepaliveOnce();
  await lease.revoke();
  t.equal(await client.get('leased').string(), null);

  const lock = await client.lock('mutex').acquire();
  await t.rejects(client.lock('mutex').acquire(), /Failed to acquire a lock/u);
  await lock.release();
  t.equal(await client.lock('mutex').do(() => 'done'), 'done');

  const first = client.election('race', 60).campaign('first');
  await new Promise<void>((resolve, reject) => first.once('elected', resolve).once('error', reject));
  t.equal(await client.election('race').leader(), 'first');
  const second = connect().election('race', 60).campaign('second');
  const elected = new Promise<void>((resolve, reject) => second.once('elected', resolve).once('error', reject));
  await first.resign();
  await elected;
  t.equal(await client.election('race').leader(), 'second');
  await second.resign();
});

await t.test('a watch goes on after the member it was on is killed', async () => {
  const client = connect();
  const watcher = await client.watch().prefix('w/').create();
  const seen: string[] = [];
  watcher.on('put', (kv) => seen.push(`${kv.key.toString()}=${kv.value.toString()}`));
  watcher.on('delete', (kv) => seen.push(`${kv.key.toString()} deleted`));
  const sees = async (expected: readonly string[]): Promise<void> =>
    await eventually(
      () => {
        if (seen.join() !== expected.join()) throw new Error(`${seen.join()} instead of ${expected.join()}`);
      },
      { deadlineMs: DEADLINE_MS },
    );
  const writer = connect();
  await writer.put('w/1').value('1');
  await writer.delete().key('w/1');
  await sees(['w/1=1', 'w/1 deleted']);
  const expected = ['w/1=1', 'w/1 deleted'];
  for (const member of members.members) {
    await members.stopMember(member, 'SIGKILL');
    await members.leader();
    // The fate of a put that was under way is unknown, so the same is put until it is known to be there.
    const key = `w/${member.name}`;
    await eventually(
      async () => {
        if ((await writer.get(key).string()) === null) await writer.put(key).value('x');
      },
      { deadlineMs: DEADLINE_MS },
    );
    members.startMember(member);
    await members.leader();
    expected.push(`${key}=x`);
  }
  await sees(expected);
  await watcher.cancel();
});

await t.test('users, roles and passwords', async (t) => {
  const client = connect();
  const root = client.user('root');
  await root.create('rootpw');
  await client.role('root').create();
  await root.addRole('root');
  const readers = client.role('readers');
  await readers.create();
  await readers.grant({ permission: 'Read', range: client.range({ prefix: 'pub/' }) });
  const alice = client.user('alice');
  await alice.create('alicepw');
  await alice.addRole('readers');
  await client.put('pub/1').value('1');
  await client.auth.authEnable();

  await t.rejects(client.get('pub/1').string(), /user name is empty/u);
  const asAlice = connect({ auth: { username: 'alice', password: 'alicepw' } });
  t.equal(await asAlice.get('pub/1').string(), '1');
  await t.rejects(asAlice.put('pub/1').value('2').exec(), /permission denied/u);
  await t.rejects(asAlice.get('other').string(), /permission denied/u);
  const asRoot = connect({ auth: { username: 'root', password: 'rootpw' } });
  t.same((await asRoot.getRoles()).map(({ name }) => name).toSorted(), ['readers', 'root']);
  t.equal((await asRoot.role('readers').permissions())[0]?.permission, 'Read');
  await asRoot.user('alice').removeRole('readers');
  await t.rejects(asAlice.get('pub/1').string(), /permission denied/u);
  await t.rejects(
    connect({ auth: { username: 'root', password: 'wrong' } })
      .get('pub/1')
      .string(),
    /authentication failed/u,
  );
  await asRoot.auth.authDisable();
  t.equal(await client.get('pub/1').string(), '1');
});

t.end();
