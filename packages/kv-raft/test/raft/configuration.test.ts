import t from 'tap';
import {
  changeConfig,
  configOf,
  confStateOf,
  decodeConfChange,
  emptyConfState,
  encodeConfChange,
  type ConfChange,
  type ConfChangeSingle,
} from '../../src/raft/conf-change.ts';
import type { ConfState } from '../../src/raft/message.ts';
import { Cluster, voters } from './cluster.ts';

function change(changes: readonly ConfChangeSingle[], transition: ConfChange['transition'] = 'auto'): ConfChange {
  return { transition, changes, context: new Uint8Array(0) };
}

function proposeChange(cluster: Cluster, id: number, conf: ConfChange): ReturnType<Cluster['propose']> {
  const outcome = cluster.raft(id).propose([{ type: 'conf-change', data: encodeConfChange(conf) }], 0);
  cluster.settle();
  return outcome;
}

await t.test('snapshots', async (t) => {
  await t.test('a member whose entries are compacted gets a snapshot, then the entries after it', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(3);
    for (let i = 0; i < 10; i++) cluster.propose(1, `${i}`);
    cluster.node(1).compact();
    cluster.propose(1, 'after');
    cluster.isolate();
    cluster.tick(1, 3);
    const snapshots = cluster.delivered.filter((message) => message.type === 'MsgSnap');
    t.match(snapshots, [{ to: 3n, snapshot: { index: 11 } }]);
    t.equal(cluster.raft(3).status.appliedIndex, 12);
    t.strictSame(cluster.node(3).appliedData, ['after'], 'the rest came as a snapshot');
  });

  await t.test(
    'a member that does not answer is sent no snapshot, and one that failed is sent later, not at once',
    async (t) => {
      const cluster = new Cluster(3);
      cluster.elect(1);
      cluster.isolate(3);
      cluster.tick(1, 25);
      cluster.propose(1, 'a');
      cluster.node(1).compact();
      cluster.propose(1, 'b');
      let sent = 0;
      cluster.drop = (message) => {
        if (message.type !== 'MsgSnap') return message.to === 3n || message.from === 3n;
        sent++;
        return true;
      };
      cluster.tick(1, 5);
      t.equal(sent, 0, 'nobody is there to get it');
      cluster.drop = (message) => {
        if (message.type !== 'MsgSnap') return false;
        sent++;
        return true;
      };
      cluster.tick(1, 5);
      t.equal(sent, 1);
      cluster.raft(1).reportSnapshot(3n, { ok: false });
      cluster.settle();
      t.equal(sent, 1, 'not at once');
      cluster.drop = () => false;
      cluster.tick(1, 2);
      t.equal(cluster.raft(3).status.appliedIndex, cluster.raft(1).status.appliedIndex);
    },
  );

  await t.test('a snapshot of what is in the log already only moves the commit index', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.propose(1, 'a');
    const { confState } = cluster.raft(1).status;
    const snapshot = { index: 2, term: 1, confState };
    cluster.raft(3).step({ type: 'MsgSnap', from: 1n, to: 3n, term: 1, snapshot });
    cluster.settle();
    t.strictSame(cluster.node(3).appliedData, ['a']);
  });

  await t.test('nothing is applied while a snapshot is being restored', async (t) => {
    const cluster = new Cluster(3);
    const { raft } = cluster.node(3);
    const snapshot = { index: 5, term: 1, confState: voters(3) };
    raft.step({ type: 'MsgSnap', from: 1n, to: 3n, term: 1, snapshot });
    const entry = { index: 6, term: 1, type: 'normal', data: Buffer.from('x') } as const;
    raft.step({ type: 'MsgApp', from: 1n, to: 3n, term: 1, index: 5, logTerm: 1, entries: [entry], commit: 6 });
    const first = raft.ready();
    t.match(first, { snapshot: { index: 5 }, entries: [{ index: 6 }], committedEntries: [] });
    raft.advance({ persisted: first.id });
    t.strictSame(raft.ready().committedEntries, [], 'the snapshot is not restored yet');
    raft.advance({ applied: 5 });
    t.match(raft.ready().committedEntries, [{ index: 6 }]);
  });
});

await t.test('leadership transfer', async (t) => {
  await t.test('the transferee campaigns at once, without a pre-vote and in spite of the lease', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.raft(1).transferLeader(2n);
    cluster.settle();
    t.match(cluster.raft(2).status, { role: 'leader', term: 2 });
    t.match(cluster.raft(1).status, { role: 'follower', leaderId: 2n });
    t.equal(
      cluster.delivered.filter((message) => message.type === 'MsgPreVote').length,
      2,
      'of the first election only',
    );
  });

  await t.test('one that lags catches up first, and no proposal is taken meanwhile', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(2);
    cluster.propose(1, 'a');
    cluster.raft(1).transferLeader(2n);
    cluster.settle();
    t.match(cluster.propose(1, 'b'), { outcome: 'dropped', reason: 'transferring' });
    cluster.isolate();
    cluster.tick(1, 2);
    t.equal(cluster.raft(2).isLeader, true);
    t.strictSame(cluster.node(2).appliedData, ['a']);
  });

  await t.test('is given up after an election timeout, and proposals are taken again', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.isolate(2);
    cluster.raft(1).transferLeader(2n);
    cluster.settle();
    t.match(cluster.propose(1, 'a'), { outcome: 'dropped', reason: 'transferring' });
    cluster.tick(1, 9);
    t.match(cluster.propose(1, 'a'), { outcome: 'dropped', reason: 'transferring' });
    cluster.tick(1);
    t.match(cluster.propose(1, 'a'), { outcome: 'appended' });
  });

  await t.test('a follower passes the wish on; to oneself, to a learner or a stranger it is none', async (t) => {
    const confState: ConfState = { ...voters(3), learners: [4n] };
    const cluster = new Cluster(4, {}, confState);
    cluster.elect(1);
    for (const id of [1n, 4n, 9n]) cluster.raft(1).transferLeader(id);
    cluster.settle();
    t.equal(cluster.raft(1).isLeader, true);
    cluster.raft(3).transferLeader(2n);
    cluster.settle();
    t.equal(cluster.raft(2).isLeader, true);
  });

  await t.test('the best transferee is the voter that lacks the least', async (t) => {
    const cluster = new Cluster(3);
    t.equal(cluster.raft(1).bestTransferee, undefined, 'it does not lead');
    cluster.elect(1);
    cluster.isolate(2);
    cluster.propose(1, 'a');
    t.equal(cluster.raft(1).bestTransferee, 3n);
  });
});

await t.test('reads', async (t) => {
  const read = (cluster: Cluster, id: number, context: number): void => {
    cluster.raft(id).readIndex(context);
    cluster.settle();
  };

  await t.test('a leader answers with its commit index once a majority has confirmed it', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.propose(1, 'a');
    read(cluster, 1, 7);
    t.strictSame(cluster.node(1).readStates, [{ context: 7, index: 2 }]);
    cluster.isolate(1);
    read(cluster, 1, 8);
    t.equal(cluster.node(1).readStates.length, 1, 'a leader that may be deposed answers nothing');
  });

  await t.test('a follower asks the leader', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.propose(1, 'a');
    read(cluster, 3, 9);
    t.strictSame(cluster.node(3).readStates, [{ context: 9, index: 2 }]);
  });

  await t.test('reads of one turn share one round of heartbeats', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    for (const context of [1, 2, 3, 4]) cluster.raft(1).readIndex(context);
    cluster.delivered.length = 0;
    cluster.settle();
    t.equal(cluster.delivered.filter((message) => message.type === 'MsgHeartbeat').length, 2);
    t.equal(cluster.node(1).readStates.length, 4);
  });

  await t.test('a new leader answers only after it has committed in its term', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    cluster.propose(1, 'a');
    cluster.tick(2, 10);
    cluster.tick(3, 10);
    cluster.drop = (message) => message.type === 'MsgApp' || message.type === 'MsgAppResp';
    cluster.raft(2).campaign();
    cluster.settle();
    t.equal(cluster.raft(2).isLeader, true);
    read(cluster, 2, 1);
    t.strictSame(cluster.node(2).readStates, []);
    cluster.drop = () => false;
    cluster.tick(2, 2);
    t.strictSame(cluster.node(2).readStates, [{ context: 1, index: 3 }]);
  });

  await t.test('answers to an older round do not confirm a newer read', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    read(cluster, 1, 1);
    const { raft } = cluster.node(1);
    cluster.isolate(1);
    raft.readIndex(2);
    cluster.settle();
    raft.step({ type: 'MsgHeartbeatResp', from: 2n, to: 1n, term: 1, round: 1 });
    cluster.settle();
    t.equal(cluster.node(1).readStates.length, 1);
    raft.step({ type: 'MsgHeartbeatResp', from: 2n, to: 1n, term: 1, round: 2 });
    cluster.settle();
    t.equal(cluster.node(1).readStates.length, 2);
  });
});

await t.test('configuration', async (t) => {
  await t.test('a learner gets the log, but neither votes nor counts, until it is promoted', async (t) => {
    const cluster = new Cluster(4, {}, { ...emptyConfState, voters: [1n, 2n], learners: [3n, 4n] });
    cluster.elect(1);
    cluster.propose(1, 'a');
    t.strictSame(cluster.node(3).appliedData, ['a']);
    cluster.tick(3, 100);
    t.equal(cluster.raft(3).status.role, 'follower', 'never campaigns');
    cluster.isolate(2);
    cluster.propose(1, 'b');
    t.strictSame(cluster.node(1).appliedData, ['a'], 'learners make no majority');
    cluster.isolate();
    cluster.tick(1, 2);
    proposeChange(cluster, 1, change([{ type: 'add-voter', id: 3n }]));
    t.strictSame(cluster.raft(3).status.confState.voters, [1n, 2n, 3n]);
    cluster.isolate(2);
    cluster.propose(1, 'c');
    t.strictSame(cluster.node(1).appliedData, ['a', 'b', 'c'], 'two of three voters');
  });

  await t.test('one change at a time: the next waits until the last is applied', async (t) => {
    const cluster = new Cluster(5, {}, voters(3));
    cluster.elect(1);
    cluster.isolate(1);
    t.match(proposeChange(cluster, 1, change([{ type: 'add-voter', id: 4n }])), { outcome: 'appended' });
    t.match(proposeChange(cluster, 1, change([{ type: 'add-voter', id: 5n }])), {
      outcome: 'dropped',
      reason: 'conf-change-pending',
    });
    cluster.isolate();
    cluster.tick(1, 3);
    t.match(proposeChange(cluster, 1, change([{ type: 'add-voter', id: 5n }])), { outcome: 'appended' });
    t.strictSame(cluster.raft(1).status.confState.voters, [1n, 2n, 3n, 4n, 5n]);
  });

  await t.test('a leader that is removed commits its removal by the others, and steps down', async (t) => {
    const cluster = new Cluster(3);
    cluster.elect(1);
    proposeChange(cluster, 1, change([{ type: 'remove', id: 1n }]));
    t.match(cluster.raft(1).status, { role: 'follower' });
    cluster.tick(1, 100);
    t.equal(cluster.raft(1).status.role, 'follower', 'it has no vote any more');
    cluster.tickAll(40);
    const leader = [2, 3].find((id) => cluster.raft(id).isLeader) ?? 0;
    cluster.propose(leader, 'a');
    for (const id of [2, 3]) t.strictSame(cluster.node(id).appliedData, ['a']);
  });

  await t.test('a removed member that does not know it cannot disturb', async (t) => {
    const cluster = new Cluster(4);
    cluster.elect(1);
    cluster.isolate(4);
    proposeChange(cluster, 1, change([{ type: 'remove', id: 4n }]));
    cluster.isolate();
    for (let i = 0; i < 60; i++) cluster.tickAll();
    t.match(cluster.raft(1).status, { role: 'leader', term: 1 });
    t.equal(cluster.raft(4).status.term, 1);
  });

  const swap: readonly ConfChangeSingle[] = [
    { type: 'add-voter', id: 4n },
    { type: 'add-voter', id: 5n },
    { type: 'add-voter', id: 6n },
    { type: 'remove', id: 2n },
    { type: 'remove', id: 3n },
  ];

  await t.test('a joint configuration needs both majorities, until it is left', async (t) => {
    const cluster = new Cluster(6, {}, voters(3));
    cluster.elect(1);
    proposeChange(cluster, 1, change(swap, 'joint-explicit'));
    t.strictSame(cluster.raft(6).status.confState, {
      voters: [1n, 4n, 5n, 6n],
      votersOutgoing: [1n, 2n, 3n],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    });
    const without = (...ids: bigint[]): void => {
      cluster.drop = ({ from, to }) => ids.includes(from) || ids.includes(to);
    };
    without(4n, 5n, 6n);
    cluster.propose(1, 'a');
    t.strictSame(cluster.node(1).appliedData, [], 'the old majority alone does not commit');
    without();
    cluster.tick(1, 3);
    without(2n, 3n);
    cluster.propose(1, 'b');
    t.strictSame(cluster.node(1).appliedData, ['a'], 'nor does the new one');
    without();
    cluster.tick(1, 3);
    t.match(proposeChange(cluster, 1, change([{ type: 'add-voter', id: 2n }])), { outcome: 'dropped' });
    t.match(proposeChange(cluster, 1, change([])), { outcome: 'appended' });
    without(2n, 3n);
    cluster.propose(1, 'c');
    t.strictSame(cluster.node(6).appliedData, ['a', 'b', 'c']);
    t.strictSame(cluster.raft(1).status.confState, { ...emptyConfState, voters: [1n, 4n, 5n, 6n] });
  });

  await t.test('an election in a joint configuration needs both majorities', async (t) => {
    const cluster = new Cluster(6, {}, voters(3));
    cluster.elect(1);
    proposeChange(cluster, 1, change(swap, 'joint-explicit'));
    // Who has just started knows of no leader, whose lease would hold up its vote.
    for (const id of [3, 4, 5, 6]) cluster.node(id).restart();
    cluster.settle();
    cluster.isolate(1, 2);
    cluster.raft(4).campaign();
    cluster.settle();
    t.notOk(cluster.raft(4).isLeader, 'three of the four new voters, but one of the three old ones');
    cluster.isolate(1);
    cluster.node(2).restart();
    cluster.elect(4);
  });

  await t.test(
    'a leader leaves a joint configuration that it entered by itself as soon as it is applied',
    async (t) => {
      const cluster = new Cluster(6, {}, voters(3));
      cluster.elect(1);
      proposeChange(cluster, 1, change(swap));
      for (const id of [1, 4, 5, 6])
        t.strictSame(cluster.raft(id).status.confState, { ...emptyConfState, voters: [1n, 4n, 5n, 6n] });
    },
  );

  await t.test('changes as data: every member computes the same configuration', async (t) => {
    const cases: [ConfState, ConfChange, Partial<ConfState> | string][] = [
      [voters(1), change([{ type: 'add-learner', id: 2n }]), { voters: [1n], learners: [2n] }],
      [{ ...voters(1), learners: [2n] }, change([{ type: 'add-voter', id: 2n }]), { voters: [1n, 2n], learners: [] }],
      [voters(2), change([{ type: 'add-learner', id: 2n }]), { voters: [1n], learners: [2n] }],
      [voters(1), change([{ type: 'remove', id: 1n }]), 'the last voter cannot be removed'],
      [voters(1), change([]), 'the configuration is not joint'],
      [{ ...voters(1), votersOutgoing: [2n] }, change([{ type: 'remove', id: 2n }]), 'the configuration is joint'],
      [
        voters(2),
        change([{ type: 'add-learner', id: 2n }], 'joint-explicit'),
        { voters: [1n], votersOutgoing: [1n, 2n], learners: [], learnersNext: [2n], autoLeave: false },
      ],
      [
        { voters: [1n], votersOutgoing: [1n, 2n], learners: [], learnersNext: [2n], autoLeave: false },
        change([]),
        { voters: [1n], votersOutgoing: [], learners: [2n], learnersNext: [] },
      ],
    ];
    for (const [before, conf, expected] of cases) {
      const outcome = changeConfig(configOf(before), decodeConfChange(encodeConfChange(conf)));
      if (typeof expected === 'string') t.strictSame(outcome, { ok: false, reason: expected });
      else t.match(outcome.ok ? confStateOf(outcome.config) : outcome, expected);
    }
  });
});
