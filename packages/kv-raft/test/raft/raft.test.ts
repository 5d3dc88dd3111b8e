import t from 'tap';
import { encodeConfChange } from '../../src/raft/conf-change.ts';
import type { MsgApp } from '../../src/raft/message.ts';
import { Cluster } from './cluster.ts';

await t.test('elections', async (t) => {
  await t.test('a follower that hears of no leader for its timeout campaigns and wins with a majority', async (t) => {
    const cluster = new Cluster(3);
    cluster.tick(1, 14);
    t.equal(cluster.raft(1).status.role, 'follower', 'timeout is drawn from [10, 20): 15 with this chance');
    cluster.tick(1);
    t.match(cluster.raft(1).status, { role: 'leader', term: 1, leaderId: 1n });
    t.match(cluster.raft(2).status, { role: 'follower', term: 1, leaderId: 1n });
    t.match(cluster.raft(3).status, { role: 'follower', term: 1, leaderId: 1n });
  });

  await t.test('a single voter elects itself, after its vote and its entry are on its disk', async (t) => {
    const cluster = new Cluster(1);
    const node = cluster.node(1);
    node.autoPersist = false;
    node.raft.campaign();
    node.turn();
    t.equal(node.raft.status.role, 'candidate', 'the vote is not on disk yet');
    node.persist();
    t.equal(node.raft.isLeader, true);
    node.turn();
    t.equal(node.raft.status.commitIndex, 0, 'the entry is not on disk yet');
    node.persist();
    t.equal(node.raft.status.commitIndex, 1);
  });

  await t.test('a member grants one vote per term, and remembers it over a restart', async (t) => {
    const cluster = new Cluster(3);
    const ask = (from: bigint): void => {
      const request = { type: 'MsgVote', from, to: 3n, term: 1, index: 0, logTerm: 0, transfer: false } as const;
      cluster.raft(3).step(request);
    };
    const answer = () => cluster.node(3).turn().at(-1);
    ask(1n);
    t.match(answer(), { type: 'MsgVoteResp', to: 1n, reject: false });
    cluster.node(3).restart();
    ask(2n);
    t.match(answer(), { type: 'MsgVoteResp', to: 2n, reject: true });
    ask(1n);
    t.match(answer(), { type: 'MsgVoteResp', to: 1n, reject: false }, 'the same candidate may ask again');
  });

  await t.test('a vote is not sent before it is on disk', async (t) => {
    const cluster = new Cluster(3);
    const node = cluster.node(2);
    node.autoPersist = false;
    node.raft.step({ type: 'MsgVote', from: 1n, to: 2n, term: 1, index: 0, logTerm: 0, transfer: false });
    t.strictSame(node.turn(), []);
    t.match(node.persist(), [{ type: 'MsgVoteResp', reject: false }]);
    t.match(node.disk.hardState, { term: 1, vote: 1n });
  });

  await t.test('a candidate whose log is behind is refused', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, 'a');
    cluster.isolate(1);
    cluster.tick(2, 10);
    cluster.raft(3).campaign();
    cluster.settle();
    t.not(cluster.raft(3).status.role, 'leader');
    cluster.raft(2).campaign();
    cluster.settle();
    t.equal(cluster.raft(2).isLeader, true);
    t.strictSame(cluster.node(3).appliedData, ['a']);
  });

  await t.test(
    'pre-vote: a member that was cut off does not raise the term, and does not disturb when it is back',
    async (t) => {
      const cluster = new Cluster(3);
      cluster.elect(1);
      cluster.isolate(3);
      for (let i = 0; i < 100; i++) cluster.tickAll();
      t.equal(cluster.raft(3).status.term, 1);
      t.equal(cluster.raft(3).status.role, 'pre-candidate');
      cluster.isolate();
      cluster.tickAll(30);
      t.match(cluster.raft(3).status, { role: 'follower', term: 1, leaderId: 1n });
      t.match(cluster.raft(1).status, { role: 'leader', term: 1 });
    },
  );

  await t.test('check-quorum: a leader without a majority steps down', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.tick(1, 20);
    t.match(cluster.raft(1).status, { role: 'follower', leaderId: 0n });
  });

  await t.test('members that hear the leader ignore candidates, unless the leader hands over', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    const request = { type: 'MsgVote', from: 3n, to: 2n, term: 9, index: 9, logTerm: 9 } as const;
    cluster.raft(2).step({ ...request, transfer: false });
    t.equal(cluster.raft(2).status.term, 1);
    cluster.raft(2).step({ ...request, transfer: true });
    t.match(cluster.raft(2).status, { term: 9, leaderId: 0n });
  });

  await t.test(
    'a broken connection to the leader brings an election soon, if the leader is not heard from again',
    async (t) => {
      const cluster = new Cluster(3);
      cluster.elect(1);
      cluster.isolate(1);
      for (const id of [2, 3]) cluster.raft(id).reportUnreachable(1n);
      cluster.tick(2, 4);
      t.equal(cluster.raft(2).isLeader, true, 'within 4 ticks instead of 10 to 20');
    },
  );

  await t.test('one member whose connection broke does not disturb a leader that the others hear', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.raft(3).reportUnreachable(1n);
    cluster.tick(3, 4);
    t.match(cluster.raft(3).status, { role: 'pre-candidate', term: 1 });
    cluster.tick(1);
    t.match(cluster.raft(3).status, { role: 'follower', term: 1, leaderId: 1n });
    cluster.raft(3).reportUnreachable(1n);
    cluster.tick(1);
    cluster.tick(3, 9);
    t.equal(cluster.raft(3).status.role, 'follower', 'a heartbeat takes the suspicion back');
  });

  await t.test(
    'a leader tells a member that can be reached again, without waiting for its next heartbeat',
    async (t) => {
      const cluster = new Cluster(3);
      cluster.elect(1);
      cluster.isolate(3);
      cluster.propose(1, 'x');
      cluster.node(3).restart();
      cluster.isolate();
      t.match(cluster.raft(3).status, { leaderId: 0n });
      cluster.raft(1).reportReachable(3n);
      cluster.settle();
      t.match(cluster.raft(3).status, { leaderId: 1n });
      t.equal(cluster.raft(3).commitIndex, cluster.raft(1).commitIndex);
    },
  );

  await t.test('two candidates of one term: at most one wins, and a later election breaks the tie', async (t) => {
    const cluster = new Cluster(4);
    cluster.raft(1).campaign();
    cluster.raft(2).campaign();
    cluster.settle();
    const leaders = [1, 2].filter((id) => cluster.raft(id).isLeader);
    t.ok(leaders.length <= 1);
    cluster.tickAll(40);
    t.equal([1, 2, 3, 4].filter((id) => cluster.raft(id).isLeader).length, 1);
  });

  await t.test(
    'a member whose term ran ahead brings the leader to a new term instead of staying outside',
    async (t) => {
      const cluster = new Cluster(3);
      cluster.elect(1);
      cluster.isolate(3);
      cluster.raft(3).step({ type: 'MsgApp', from: 2n, to: 3n, term: 7, index: 0, logTerm: 0, entries: [], commit: 0 });
      t.equal(cluster.raft(3).status.term, 7);
      cluster.isolate();
      cluster.tickAll(60);
      const leader = [1, 2, 3].find((id) => cluster.raft(id).isLeader);
      t.ok(leader !== undefined);
      t.ok(cluster.raft(3).status.term >= 7);
      for (const id of [1, 2, 3]) t.equal(cluster.raft(id).leaderId, BigInt(leader ?? 0));
    },
  );
});

await t.test('replication', async (t) => {
  await t.test('a proposal is committed by a majority and applied by all, in order', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    for (const data of ['a', 'b', 'c']) t.match(cluster.propose(1, data), { outcome: 'appended' });
    for (const id of [1, 2, 3]) t.strictSame(cluster.node(id).appliedData, ['a', 'b', 'c']);
  });

  await t.test('proposals of one turn are one message per member', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    for (const data of ['a', 'b', 'c']) cluster.raft(1).propose([{ type: 'normal', data: Buffer.from(data) }], 0);
    const appends = cluster
      .node(1)
      .turn()
      .filter((message) => message.type === 'MsgApp');
    t.equal(appends.length, 2);
    t.equal((appends[0] as MsgApp).entries.length, 3);
  });

  await t.test('a minority is enough of a loss to go on, a majority is not', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, 'a');
    t.strictSame(cluster.node(1).appliedData, ['a']);
    cluster.isolate(1);
    cluster.propose(1, 'b');
    t.strictSame(cluster.node(1).appliedData, ['a']);
  });

  await t.test('the leader sends while it writes, and counts itself only after its own write', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    const leader = cluster.node(1);
    leader.autoPersist = false;
    cluster.isolate(3);
    cluster.propose(1, 'a');
    t.equal(cluster.raft(2).status.lastIndex, 2, 'the follower has it');
    t.equal(leader.raft.status.commitIndex, 1, 'one acknowledgement of three');
    cluster.queue.push(...leader.persist());
    cluster.settle();
    t.equal(leader.raft.status.commitIndex, 2);
  });

  await t.test('an entry committed by others is applied only when it is on the own disk', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    const leader = cluster.node(1);
    leader.autoPersist = false;
    cluster.propose(1, 'a');
    t.equal(leader.raft.status.commitIndex, 2);
    t.strictSame(leader.appliedData, []);
    leader.persist();
    cluster.settle();
    t.strictSame(leader.appliedData, ['a']);
  });

  await t.test('a follower acknowledges entries only when they are on its disk', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.node(2).autoPersist = false;
    cluster.propose(1, 'a');
    t.equal(cluster.raft(1).status.commitIndex, 1);
    cluster.queue.push(...cluster.node(2).persist());
    cluster.settle();
    t.equal(cluster.raft(1).status.commitIndex, 2);
  });

  await t.test('a rewritten entry is not acknowledged by the write of the one it replaced', async (t) => {
    const cluster = new Cluster(3);
    const node = cluster.node(3);
    node.autoPersist = false;
    const entry = (index: number, term: number) => ({ index, term, type: 'normal', data: Buffer.from('x') }) as const;
    const append = { type: 'MsgApp', to: 3n, index: 0, logTerm: 0, commit: 0 } as const;
    node.raft.step({ ...append, from: 1n, term: 1, entries: [entry(1, 1)] });
    node.turn();
    node.raft.step({ ...append, from: 2n, term: 2, entries: [entry(1, 2)] });
    node.turn();
    node.raft.step({ ...append, from: 1n, term: 3, entries: [entry(1, 1)], commit: 1 });
    const writes = node.unpersisted.splice(0);
    for (const ready of writes) node.raft.advance({ persisted: ready.id });
    t.equal(node.raft.ready().committedEntries.length, 0, 'the third write is not on disk');
  });

  await t.test('only entries of the own term are committed by counting (figure 8 of the paper)', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.propose(1, 'old');
    cluster.node(1).restart();
    cluster.isolate();
    cluster.tick(2, 10);
    // Whoever answers now has the old entry, but not yet the one with which the new leader opens its term.
    cluster.drop = (message) => message.type === 'MsgApp';
    cluster.elect(1);
    const { raft } = cluster.node(1);
    const answer = { type: 'MsgAppResp', from: 2n, to: 1n, term: 2, reject: false, rejectHint: 0, logTerm: 0 } as const;
    raft.step({ ...answer, index: 2 });
    t.equal(raft.commitIndex, 1, 'a majority has the old entry, and yet it may be replaced');
    raft.step({ ...answer, index: 3 });
    t.equal(raft.commitIndex, 3);
  });

  await t.test('a leader counts of its own log what is on disk, not what is on its way there', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(3);
    const leader = cluster.node(1);
    leader.autoPersist = false;
    cluster.propose(1, 'a');
    cluster.propose(1, 'b');
    const [first] = leader.unpersisted;
    leader.raft.advance({ persisted: first?.id ?? 0 });
    t.equal(leader.raft.commitIndex, 2);
    leader.persist();
    t.equal(leader.raft.commitIndex, 3);
  });

  await t.test('a follower commits only what is known to match, whatever else is in its log', async (t) => {
    const { raft } = new Cluster(3).node(3);
    const entry = (index: number) => ({ index, term: 1, type: 'normal', data: Buffer.from('x') }) as const;
    const append = { type: 'MsgApp', to: 3n, logTerm: 0, index: 0, commit: 0 } as const;
    raft.step({ ...append, from: 1n, term: 1, entries: [entry(1), entry(2), entry(3)] });
    raft.step({ ...append, from: 2n, term: 2, index: 1, logTerm: 1, entries: [], commit: 3 });
    t.equal(raft.commitIndex, 1);
  });

  await t.test('a member with a committed but unapplied configuration does not campaign', async (t) => {
    const { raft } = new Cluster(3).node(3);
    const data = encodeConfChange({
      transition: 'auto',
      changes: [{ type: 'remove', id: 1n }],
      context: Buffer.alloc(0),
    });
    const entries = [{ index: 1, term: 1, type: 'conf-change', data } as const];
    raft.step({ type: 'MsgApp', from: 1n, to: 3n, term: 1, index: 0, logTerm: 0, entries, commit: 1 });
    raft.campaign();
    t.equal(raft.status.role, 'follower');
  });

  await t.test('diverged logs are brought back with one probe per term of the divergence, not per entry', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.propose(1, 'base');
    cluster.isolate(1);
    for (let i = 0; i < 50; i++) cluster.propose(1, `lost ${i}`);
    cluster.tick(2, 10);
    cluster.tick(3, 10);
    cluster.elect(2);
    for (let i = 0; i < 50; i++) cluster.propose(2, `kept ${i}`);
    cluster.raft(2).transferLeader(3n);
    cluster.settle();
    t.equal(cluster.raft(3).isLeader, true, 'a leader that begins to probe at the end of a long log');
    cluster.tick(1, 20);
    cluster.isolate();
    cluster.delivered.length = 0;
    cluster.tickAll(3);
    const kept = ['base', ...Array.from({ length: 50 }, (_, i) => `kept ${i}`)];
    for (const id of [1, 2, 3]) t.strictSame(cluster.node(id).appliedData, kept);
    const rejections = cluster.delivered.filter((message) => message.type === 'MsgAppResp' && message.reject);
    t.ok(rejections.length > 0 && rejections.length <= 3, `${rejections.length} rejections`);
  });

  await t.test('messages to a member are bounded in number and bytes until it answers', async (t) => {
    const cluster = new Cluster(3, { inflight: { messagesMax: 4, bytesMax: 1 << 20 } });
    cluster.elect(1);
    cluster.isolate(3);
    let appends = 0;
    cluster.drop = (message) => {
      if (message.to !== 3n) return message.from === 3n;
      if (message.type === 'MsgApp' && message.entries.length > 0) appends++;
      return true;
    };
    for (let i = 0; i < 20; i++) cluster.propose(1, `${i}`);
    t.equal(appends, 4);
    t.equal(cluster.node(2).appliedData.length, 20, 'the others are not held up');
    cluster.isolate();
    cluster.tickAll(3);
    t.equal(cluster.node(3).appliedData.length, 20);
  });

  await t.test('a lost append is found by the next heartbeat', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.drop = (message) => message.type === 'MsgApp' && message.to === 3n;
    cluster.propose(1, 'a');
    cluster.drop = () => false;
    t.strictSame(cluster.node(3).appliedData, []);
    cluster.tick(1, 2);
    t.strictSame(cluster.node(3).appliedData, ['a']);
  });

  await t.test('a follower forwards proposals; without a leader they are dropped', async (t) => {
    const cluster = new Cluster(3);
    t.match(cluster.propose(2, 'x'), { outcome: 'dropped', reason: 'no-leader' });
    cluster.elect(1);
    t.match(cluster.propose(2, 'a'), { outcome: 'forwarded' });
    for (const id of [1, 2, 3]) t.strictSame(cluster.node(id).appliedData, ['a']);
  });

  await t.test('a member that does not lead refuses forwarded proposals and says which', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.raft(3).step({ type: 'MsgProp', from: 2n, to: 3n, term: 0, proposals: [], context: 42 });
    cluster.settle();
    t.strictSame(cluster.node(2).rejected, [42]);
  });

  await t.test(
    'proposals beyond the bound of uncommitted bytes are dropped, and taken again after a commit',
    async (t) => {
      const cluster = new Cluster(3, { uncommittedBytesMax: 1000 });
      cluster.elect(1);
      cluster.isolate(1);
      t.match(cluster.propose(1, 'x'.repeat(600)), { outcome: 'appended' });
      t.match(cluster.propose(1, 'x'.repeat(600)), { outcome: 'dropped', reason: 'too-many-requests' });
      cluster.isolate();
      cluster.tick(1, 2);
      t.match(cluster.propose(1, 'x'.repeat(600)), { outcome: 'appended' });
    },
  );

  await t.test('a restarted member has its log and learns the commit index from the leader', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.propose(1, 'a');
    cluster.node(3).restart();
    cluster.settle();
    cluster.propose(1, 'b');
    t.strictSame(cluster.node(3).appliedData, ['a', 'b']);
  });
});
