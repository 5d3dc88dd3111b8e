import { eventually } from '@naru/testkit';
import t from 'tap';
import { ConsensusError, MemberRemovedError, type MemberInfo, type MembershipChange } from '../../src/consensus.ts';
import { joinCluster, type RemoteCluster } from '../../src/driver/join-cluster.ts';
import { checkReconfiguration, HEALTH_INTERVAL_MS } from '../../src/driver/reconfiguration.ts';
import type { Message } from '../../src/raft/message.ts';
import { LocalCluster } from './local-cluster.ts';

const soon = (): { readonly signal: AbortSignal } => ({ signal: AbortSignal.timeout(15_000) });

/** On a busy machine a leader may be lost at any time: then it is asked for again. */
async function change(cluster: LocalCluster, at: string, change: MembershipChange): Promise<MemberInfo> {
  for (;;)
    try {
      return await cluster.get(at).member.changeMembership(change, soon());
    } catch (error) {
      if (!isLeaderLost(error)) throw error;
    }
}

/** Applies an item once, even if the leader that has it is lost. */
async function put(cluster: LocalCluster, at: string, item: string): Promise<void> {
  const { member, machine } = cluster.get(at);
  // What the next leader does not have when it serves reads is lost for good.
  for (; !machine.items.includes(item); await member.readIndex(soon()))
    try {
      await member.propose(Buffer.from(item), soon());
    } catch (error) {
      if (!isLeaderLost(error)) throw error;
    }
}

function isLeaderLost(error: unknown): boolean {
  return error instanceof ConsensusError && error.code === 'leader-lost';
}

function idOf(cluster: LocalCluster, name: string): bigint {
  return cluster.get(name).member.status().memberId;
}

function memberUrls(cluster: LocalCluster, at: string): string {
  const { members } = cluster.get(at).member.status();
  return members
    .flatMap(({ peerUrls }) => peerUrls)
    .toSorted()
    .join();
}

await t.test('members join, learn, get a vote, move and leave', async (t) => {
  await using cluster = await LocalCluster.start({ snapshotCount: 40 });
  const items: string[] = [];
  const putMore = async (at: string, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const item = `item ${items.length}`;
      items.push(item);
      await put(cluster, at, item);
    }
  };
  await putMore('m1', 120);
  const leader = await cluster.leader();
  const follower = cluster.firstNames.find((each) => each !== leader) ?? '';

  await t.test('a learner is added by way of a follower, and gets a snapshot', async (t) => {
    const added = await change(cluster, follower, {
      type: 'add',
      peerUrls: [cluster.urlOf('m4')],
      isLearner: true,
    });
    t.match(added, { name: '', isLearner: true, peerUrls: [cluster.urlOf('m4')] });
    const again = change(cluster, leader, { type: 'add', peerUrls: [cluster.urlOf('m4')], isLearner: false });
    await t.rejects(again, { code: 'peer-urls-exist' });
    const second = change(cluster, leader, { type: 'add', peerUrls: [cluster.urlOf('m5')], isLearner: true });
    await t.rejects(second, { code: 'too-many-learners' });
    await t.rejects(change(cluster, follower, { type: 'promote', id: added.id }), { code: 'learner-not-ready' });
    await t.rejects(change(cluster, follower, { type: 'promote', id: idOf(cluster, leader) }), { code: 'not-learner' });

    await t.rejects(cluster.open('m4', ['m1', 'm2', 'm4']), { message: /member count is unequal/u });
    await t.rejects(cluster.open('m4', ['m1', 'm2', 'm5', 'm4']), { message: /unmatched member/u });
    const { member } = await cluster.open('m4', ['m1', 'm2', 'm3', 'm4']);
    await cluster.allHave(items);
    t.equal(member.status().memberId, added.id);
    await eventually(() =>
      cluster
        .get(leader)
        .member.status()
        .members.some(({ name }) => name === 'm4'),
    );
    await member.readIndex(soon());
  });

  await t.test('it is promoted, restarts from its data dir, and counts', async (t) => {
    const promoted = await change(cluster, 'm4', { type: 'promote', id: idOf(cluster, 'm4') });
    t.equal(promoted.isLearner, false);
    await cluster.stop('m4');
    await putMore(leader, 5);
    await cluster.open('m4');
    await cluster.allHave(items);
    const [one] = cluster.firstNames.filter((each) => each !== leader);
    await cluster.stop(one ?? '');
    await putMore(leader, 5);
    await cluster.open(one ?? '');
    await cluster.allHave(items);
  });

  await t.test('peer URLs change at once, and a member that moves is found again', async (t) => {
    const id = idOf(cluster, 'm4');
    await t.rejects(change(cluster, 'm1', { type: 'update', id, peerUrls: [cluster.urlOf('m1')] }), {
      code: 'peer-urls-exist',
    });
    await t.rejects(change(cluster, 'm1', { type: 'update', id: 77n, peerUrls: ['http://127.0.0.1:1'] }), {
      code: 'member-not-found',
    });
    await cluster.stop('m4');
    await change(cluster, 'm1', { type: 'update', id, peerUrls: [cluster.urlOf('m6')] });
    await cluster.openAt('m4', cluster.urlOf('m6'));
    await putMore('m4', 5);
    await cluster.allHave(items);
    t.ok(memberUrls(cluster, 'm2').includes(cluster.urlOf('m6')));
  });

  await t.test('the leader is removed by itself: another leads, it stops, and a restart is refused', async (t) => {
    const old = await cluster.leader();
    const { member } = cluster.get(old);
    const id = idOf(cluster, old);
    const removed = await change(cluster, old, { type: 'remove', id });
    t.equal(removed.id, id);
    await t.rejects(member.failed, MemberRemovedError);
    await cluster.stop(old);
    const next = await cluster.leader();
    await putMore(next, 5);
    await cluster.allHave(items);
    await t.rejects(change(cluster, next, { type: 'remove', id }), { code: 'member-not-found' });
    const { term } = cluster.get(next).member.status();
    const back = await cluster.open(old);
    await t.rejects(back.member.failed, MemberRemovedError);
    await cluster.stop(old);
    t.equal(cluster.get(next).member.status().term, term, 'it disturbs nobody');
  });

  await t.test('a member that was away when it was removed is told so when it comes back', async (t) => {
    const leader = await cluster.leader();
    const away = [...cluster.running.keys()].find((each) => each !== leader) ?? '';
    const id = idOf(cluster, away);
    await cluster.stop(away);
    await change(cluster, leader, { type: 'remove', id });
    await putMore(leader, 5);
    const { term } = cluster.get(leader).member.status();
    const moved = away === 'm4' ? cluster.openAt('m4', cluster.urlOf('m6')) : cluster.open(away);
    await t.rejects((await moved).member.failed, MemberRemovedError);
    await cluster.stop(away);
    t.equal(cluster.get(leader).member.status().term, term, 'it disturbs nobody');
  });
});

await t.test('a cluster of one grows to two, and shrinks to one again, whoever goes', async (t) => {
  for (const gone of ['m1', 'm2']) {
    await using cluster = await LocalCluster.start({ size: 1 });
    const m1 = idOf(cluster, 'm1');
    await t.rejects(change(cluster, 'm1', { type: 'remove', id: m1 }), { code: 'not-enough-started' });
    const { id } = await change(cluster, 'm1', { type: 'add', peerUrls: [cluster.urlOf('m2')], isLearner: false });
    await cluster.open('m2', ['m1', 'm2']);
    await put(cluster, 'm2', 'two');
    await change(cluster, gone, { type: 'remove', id: gone === 'm1' ? m1 : id });
    const left = gone === 'm1' ? 'm2' : 'm1';
    await put(cluster, left, 'one');
    t.strictSame(cluster.get(left).machine.items, ['two', 'one']);
  }
});

await t.test('a change that had to wait for another is checked by what that made of the members', async (t) => {
  await using cluster = await LocalCluster.start({ size: 1, strictReconfigCheck: true });
  await eventually(() => cluster.get('m1').member.status().members[0]?.name === 'm1');
  const add = (name: string): Promise<MemberInfo> =>
    change(cluster, 'm1', { type: 'add', peerUrls: [cluster.urlOf(name)], isLearner: false });
  const [first, second] = await Promise.allSettled([add('m2'), add('m3')]);
  t.match(first, { status: 'fulfilled' });
  t.match(second, { status: 'rejected', reason: { code: 'not-enough-started' } });
  await cluster.open('m2', ['m1', 'm2']);
});

await t.test('a name that was lost on its way to the leader is told again', async (t) => {
  const lost = new Set<bigint>();
  const loses = ({ type, from }: Message): boolean => {
    if (type !== 'MsgProp' || lost.has(from)) return false;
    lost.add(from);
    return true;
  };
  await using cluster = await LocalCluster.start({ loses });
  const leader = await cluster.leader();
  await eventually(() => lost.size >= 2, { deadlineMs: 15_000 });
  await eventually(
    () =>
      cluster
        .get(leader)
        .member.status()
        .members.every(({ name }) => name !== ''),
    { deadlineMs: 30_000 },
  );
  t.pass('all names are known');
});

await t.test('a member that lost its data dir may not begin anew', async (t) => {
  await using cluster = await LocalCluster.start();
  await eventually(() => {
    const { members } = cluster.get('m1').member.status();
    return members.filter(({ name }) => name !== '').length === 3;
  });
  await cluster.stop('m3');
  await cluster.forget('m3');
  await t.rejects(cluster.open('m3'), { message: /has already been bootstrapped/u });
});

const view = (names: Readonly<Record<string, number | undefined>>, learners: readonly string[] = []) => ({
  self: 1n,
  members: Object.keys(names).map((name, i) => ({
    id: BigInt(i + 1),
    name: name.startsWith('new') ? '' : name,
    peerUrls: [`http://${name}`],
    clientUrls: [],
    isLearner: learners.includes(name),
  })),
  activeSince: (id: bigint) => Object.values(names)[Number(id) - 1],
  now: 100_000,
});
const long = 100_000 - HEALTH_INTERVAL_MS - 1;
const short = 100_000 - HEALTH_INTERVAL_MS;
const add = { type: 'add', peerUrls: ['http://x'], isLearner: false } as const;
const addLearner = { ...add, isLearner: true } as const;
const remove = (id: bigint): MembershipChange => ({ type: 'remove', id });

await t.test('changes that endanger the quorum are refused as etcd does', (t) => {
  const three = { a: undefined, b: long, c: long };
  const cases: readonly (readonly [string, MembershipChange, ReturnType<typeof view>, string | undefined])[] = [
    ['all are well', add, view(three), undefined],
    ['one has just connected', add, view({ ...three, c: short }), 'unhealthy'],
    ['one is down', addLearner, view({ ...three, c: undefined }), 'unhealthy'],
    ['a cluster of one', add, view({ a: undefined }), undefined],
    ['two of which one never started', add, view({ a: undefined, newb: long }), 'not-enough-started'],
    ['two of which one never started', addLearner, view({ a: undefined, newb: long }), undefined],
    ['three of which one never started', add, view({ a: undefined, b: long, newc: long }), 'not-enough-started'],
    ['a learner that never started is no obstacle', add, view({ a: undefined, newb: undefined }, ['newb']), undefined],
    ['the only one', remove(1n), view({ a: undefined }), 'not-enough-started'],
    ['one of two', remove(2n), view({ a: undefined, b: long }), undefined],
    ['the one of two that started', remove(1n), view({ a: undefined, newb: long }), 'not-enough-started'],
    ['one of three while another is down', remove(3n), view({ ...three, b: undefined }), 'unhealthy'],
    ['the one that is down', remove(2n), view({ ...three, b: undefined }), undefined],
    ['a learner, whatever is down', remove(4n), view({ ...three, b: undefined, l: long }, ['l']), undefined],
    ['all are well', remove(3n), view(three), undefined],
    ['a learner', { type: 'promote', id: 2n }, view({ a: undefined, b: long }, ['b']), undefined],
    [
      'while half never started',
      { type: 'promote', id: 4n },
      view({ a: 1, newb: 1, newc: 1, l: 1 }, ['l']),
      'not-enough-started',
    ],
    ['anything goes', { type: 'update', id: 9n, peerUrls: [] }, view({ a: undefined, newb: undefined }), undefined],
  ];
  for (const [name, change, state, expected] of cases)
    t.equal(checkReconfiguration(change, state), expected, `${change.type}: ${name}`);
  t.end();
});

await t.test('who joins must be told of, and must tell all members', (t) => {
  const members = [
    { id: 1n, name: 'a', peerUrls: ['http://a'], clientUrls: [], isLearner: false },
    { id: 2n, name: '', peerUrls: ['http://b2', 'http://b1'], clientUrls: [], isLearner: true },
  ];
  const remote: RemoteCluster = { clusterId: 9n, members };
  const initial = [
    { name: 'a', peerUrls: ['http://a'] },
    { name: 'b', peerUrls: ['http://b1', 'http://b2'] },
  ];
  t.strictSame(joinCluster(initial, 'b', remote), { memberId: 2n, clusterId: 9n });
  t.throws(() => joinCluster(initial, 'a', remote), { message: /has already been bootstrapped/u });
  t.throws(() => joinCluster(initial.slice(1), 'b', remote), { message: /member count is unequal/u });
  t.end();
});
