import { eventually } from '@naru/testkit';
import t from 'tap';
import { LocalCluster } from './local-cluster.ts';

const soon = (): { readonly signal: AbortSignal } => ({ signal: AbortSignal.timeout(10_000) });

await t.test('three members on localhost', async (t) => {
  await using cluster = await LocalCluster.start();
  const expected: string[] = [];
  const put = async (name: string, item: string): Promise<void> => {
    expected.push(item);
    t.equal(await cluster.get(name).member.propose(Buffer.from(item), soon()), expected.length);
  };

  await t.test('a proposal at any member is applied by all', async () => {
    for (const name of ['m1', 'm2', 'm3']) await put(name, `from ${name}`);
    await cluster.allHave(expected);
  });

  await t.test('a read at any member sees what was acknowledged before it', async (t) => {
    for (const name of ['m1', 'm2', 'm3']) {
      await put('m1', `before the read of ${name}`);
      const { member, machine } = cluster.get(name);
      await member.readIndex(soon());
      t.equal(machine.items.length, expected.length);
    }
  });

  await t.test('members know each other by name and client URL', async (t) => {
    const named = (name: string): string[] => {
      const { members } = cluster.get(name).member.status();
      return members.map((member) => `${member.name} ${member.clientUrls.join()}`).sort();
    };
    for (const name of ['m1', 'm2', 'm3'])
      await eventually(() => named(name).join() === 'm1 http://client.m1,m2 http://client.m2,m3 http://client.m3');
    t.equal(new Set(['m1', 'm2', 'm3'].map((name) => cluster.get(name).member.status().clusterId)).size, 1);
  });

  await t.test('many proposals at once keep their order and get their own results', async (t) => {
    const leader = await cluster.leader();
    const { member } = cluster.get(leader);
    const items = Array.from({ length: 500 }, (_, i) => `bulk ${i}`);
    const results = await Promise.all(items.map((item) => member.propose(Buffer.from(item), soon())));
    const first = expected.length + 1;
    t.strictSame(
      results,
      items.map((_, i) => first + i),
    );
    expected.push(...items);
    await cluster.allHave(expected);
  });

  await t.test('the leader stops: it hands over, the others go on, and it catches up when it is back', async (t) => {
    const old = await cluster.leader();
    await cluster.stop(old);
    const next = await cluster.leader();
    t.not(next, old);
    await put(next, 'while one is away');
    await cluster.open(old);
    await cluster.allHave(expected);
  });

  await t.test('all stop and start: everything is there', async () => {
    for (const name of ['m1', 'm2', 'm3']) await cluster.stop(name);
    await Promise.all(['m1', 'm2', 'm3'].map((name) => cluster.open(name)));
    await put('m2', 'after the restart');
    await cluster.allHave(expected);
  });

  await t.test('a data dir that is in use is refused', async (t) => {
    await t.rejects(cluster.open('m1'), { message: /in use/u });
  });
});

await t.test('a member that lags behind the log gets a snapshot, and starts from one', async (t) => {
  await using cluster = await LocalCluster.start({ snapshotCount: 50 });
  const leader = await cluster.leader();
  const { member } = cluster.get(leader);
  const away = ['m1', 'm2', 'm3'].find((name) => name !== leader) ?? '';
  await cluster.stop(away);
  const items = Array.from({ length: 300 }, (_, i) => `item ${i}`);
  for (let at = 0; at < items.length; at += 20)
    await Promise.all(items.slice(at, at + 20).map((item) => member.propose(Buffer.from(item), soon())));
  await cluster.open(away);
  await cluster.allHave(items);
  await cluster.stop(away);
  await cluster.open(away);
  await cluster.allHave(items);
  t.ok(cluster.get(away).member.status().appliedIndex > 300);
});
