import fc from 'fast-check';
import t from 'tap';
import { encodeConfChange, type ConfChangeSingle } from '../../src/raft/conf-change.ts';
import type { Entry } from '../../src/raft/message.ts';
import { Cluster, voters, type Node } from './cluster.ts';

type Action =
  /** The node's election timeout passes, and the lease that the others give to their leader. */
  | { readonly type: 'timeOut'; readonly node: number }
  | { readonly type: 'tick' | 'crash' | 'compact' | 'read' | 'stall' | 'persist'; readonly node: number }
  /** At every node that believes that it leads. */
  | { readonly type: 'propose'; readonly count: number }
  | { readonly type: 'transfer'; readonly to: number }
  | { readonly type: 'conf'; readonly change: 'add-voter' | 'add-learner' | 'remove'; readonly to: number }
  | { readonly type: 'isolate'; readonly nodes: readonly number[] }
  | { readonly type: 'deliver' | 'lose' | 'duplicate'; readonly at: number }
  /** Messages go their way in order, and writes are done, but at the nodes that are stalled. */
  | { readonly type: 'flow'; readonly count: number };

const VOTERS = 3;
const NODES = 4;
const node = fc.integer({ min: 1, max: VOTERS });
const anyNode = fc.integer({ min: 1, max: NODES });
const at = fc.nat({ max: 1000 });

function actions(options: { readonly withConf: boolean }): fc.Arbitrary<Action[]> {
  const weighted = (weight: number, arbitrary: fc.Arbitrary<Action>) => ({ weight, arbitrary });
  const atNode = (type: 'timeOut' | 'tick' | 'crash' | 'compact' | 'read' | 'stall' | 'persist') =>
    fc.record({ type: fc.constant(type), node });
  const change = fc.constantFrom('add-voter' as const, 'add-learner' as const, 'remove' as const);
  const action = fc.oneof(
    weighted(4, atNode('timeOut')),
    weighted(2, atNode('tick')),
    weighted(2, atNode('crash')),
    weighted(1, atNode('compact')),
    weighted(1, atNode('read')),
    weighted(2, atNode('stall')),
    weighted(2, atNode('persist')),
    weighted(6, fc.record({ type: fc.constant('propose' as const), count: fc.integer({ min: 1, max: 3 }) })),
    weighted(1, fc.record({ type: fc.constant('transfer' as const), to: anyNode })),
    weighted(options.withConf ? 2 : 0, fc.record({ type: fc.constant('conf' as const), change, to: anyNode })),
    weighted(3, fc.record({ type: fc.constant('isolate' as const), nodes: fc.uniqueArray(node, { maxLength: 1 }) })),
    weighted(3, fc.record({ type: fc.constant('deliver' as const), at })),
    weighted(1, fc.record({ type: fc.constantFrom('lose' as const, 'duplicate' as const), at })),
    weighted(10, fc.record({ type: fc.constant('flow' as const), count: fc.integer({ min: 1, max: 30 }) })),
  );
  return fc.array(action, { minLength: 100, maxLength: 300, size: 'max' });
}

function keyOf(entry: Entry): string {
  return `${entry.term} ${entry.type} ${Buffer.from(entry.data).toString('hex')}`;
}

/** Watches a cluster for a breach of the safety properties (figure 3.2 of the Raft thesis). */
class Checker {
  readonly #cluster: Cluster;
  readonly #leaders = new Map<number, bigint>();
  /** What any node has applied, by index. */
  readonly #applied = new Map<number, string>();
  readonly #counts = new Map<bigint, number>();
  /** Entries by index and term, with what precedes each: equal ones have equal prefixes. */
  readonly #entries = new Map<string, string>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  get appliedCount(): number {
    return this.#applied.size;
  }

  check(): void {
    for (const each of this.#cluster.nodes.values()) {
      this.#checkApplied(each);
      this.#checkLog(each);
      this.#checkLeader(each);
    }
  }

  #checkApplied(each: Node): void {
    const from = Math.min(this.#counts.get(each.id) ?? 0, each.applied.length);
    for (const entry of each.applied.slice(from)) {
      const known = this.#applied.get(entry.index);
      if (known !== undefined && known !== keyOf(entry))
        throw new Error(`state machine safety: ${each.id} applies another entry at ${entry.index}`);
      this.#applied.set(entry.index, keyOf(entry));
    }
    this.#counts.set(each.id, each.applied.length);
  }

  #checkLog(each: Node): void {
    let previous: string | undefined;
    for (const entry of logOf(each)) {
      const place = `${entry.index}/${entry.term}`;
      const content = `${keyOf(entry)} after ${previous ?? '?'}`;
      const known = this.#entries.get(place);
      if (previous !== undefined && known !== undefined && known !== content)
        throw new Error(`log matching: ${each.id} has another entry, or prefix, at ${place}`);
      if (previous !== undefined) this.#entries.set(place, content);
      previous = place;
    }
  }

  #checkLeader(each: Node): void {
    const { role, term } = each.raft.status;
    if (role !== 'leader') return;
    const known = this.#leaders.get(term);
    if (known === each.id) return;
    if (known !== undefined) throw new Error(`election safety: ${known} and ${each.id} lead term ${term}`);
    this.#leaders.set(term, each.id);
    const log = new Map(logOf(each).map((entry) => [entry.index, keyOf(entry)]));
    for (const [index, key] of this.#applied)
      if (index > each.disk.snapshot.index && log.get(index) !== key)
        throw new Error(`leader completeness: ${each.id} leads term ${term} without entry ${index}`);
  }
}

/** What a node has of the log, on disk and on its way there. */
function logOf(each: Node): readonly Entry[] {
  let { snapshot, entries } = each.disk;
  entries = [...entries];
  for (const ready of each.unpersisted) {
    if (ready.snapshot !== undefined) [snapshot, entries] = [ready.snapshot, []];
    const first = ready.entries[0];
    if (first !== undefined) entries.splice(first.index - snapshot.index - 1, entries.length, ...ready.entries);
  }
  return entries;
}

function act(cluster: Cluster, action: Action, count: number): void {
  switch (action.type) {
    case 'timeOut':
      for (const [id, { raft }] of cluster.nodes)
        for (let i = 0; i < 10; i++) if (id !== BigInt(action.node)) raft.tick();
      for (let i = 0; i < 20; i++) cluster.raft(action.node).tick();
      return;
    case 'tick':
      cluster.raft(action.node).tick();
      return;
    case 'propose':
      for (const [id, { raft }] of cluster.nodes)
        for (let i = 0; raft.isLeader && i < action.count; i++)
          raft.propose([{ type: 'normal', data: Buffer.from(`${count} ${id} ${i}`) }], count);
      return;
    case 'conf': {
      const change: ConfChangeSingle = { type: action.change, id: BigInt(action.to) };
      const data = encodeConfChange({ transition: 'auto', changes: [change], context: new Uint8Array(0) });
      for (const { raft } of cluster.nodes.values())
        if (raft.isLeader) raft.propose([{ type: 'conf-change', data }], count);
      return;
    }
    case 'transfer':
      for (const { raft } of cluster.nodes.values()) if (raft.isLeader) raft.transferLeader(BigInt(action.to));
      return;
    case 'read':
      cluster.raft(action.node).readIndex(count);
      return;
    case 'stall':
      cluster.node(action.node).isStalled = !cluster.node(action.node).isStalled;
      return;
    case 'persist':
      cluster.queue.push(...cluster.node(action.node).persist());
      return;
    case 'crash':
      cluster.node(action.node).restart();
      return;
    case 'compact':
      cluster.node(action.node).compactIfPersisted();
      return;
    case 'isolate':
      cluster.isolate(...action.nodes);
      return;
    default:
      pass(cluster, action);
  }
}

function pass(cluster: Cluster, action: Extract<Action, { type: 'flow' | 'deliver' | 'lose' | 'duplicate' }>): void {
  const { queue } = cluster;
  if (action.type === 'flow') {
    for (let i = 0; i < action.count; i++) {
      for (const each of cluster.nodes.values()) if (!each.isStalled) queue.push(...each.persist());
      deliver(cluster, 0);
    }
    return;
  }
  const at = action.at % Math.max(1, queue.length);
  const message = queue[at];
  if (action.type === 'deliver') deliver(cluster, at);
  else if (action.type === 'lose') deliver(cluster, at, { lost: true });
  // The transport never delivers a proposal twice.
  else if (message !== undefined && message.type !== 'MsgProp') queue.push(message);
}

function deliver(cluster: Cluster, index: number, options = { lost: false }): void {
  const [message] = cluster.queue.splice(index, 1);
  if (message === undefined) return;
  const lost = options.lost || cluster.drop(message);
  if (!lost) cluster.nodes.get(message.to)?.raft.step(message);
  // The sender of a snapshot always learns what became of it.
  if (message.type === 'MsgSnap') cluster.nodes.get(message.from)?.raft.reportSnapshot(message.to, { ok: !lost });
  cluster.collect();
}

/** A cluster after a schedule, checked after every step. */
function runSchedule(schedule: readonly Action[]): { readonly cluster: Cluster; readonly checker: Checker } {
  const bounds = { inflight: { messagesMax: 4, bytesMax: 1000 }, messageBytesMax: 100 };
  const cluster = new Cluster(NODES, bounds, voters(VOTERS));
  for (const each of cluster.nodes.values()) each.autoPersist = false;
  const checker = new Checker(cluster);
  for (const [count, each] of schedule.entries()) {
    act(cluster, each, count);
    cluster.collect();
    checker.check();
  }
  return { cluster, checker };
}

const numRuns = Number(process.env['PROPERTY_RUNS'] ?? 150);

await t.test('no schedule of messages, timeouts, writes and crashes breaks a safety property', async (t) => {
  let applied = 0;
  const property = fc.property(actions({ withConf: true }), (schedule) => {
    applied = Math.max(applied, runSchedule(schedule).checker.appliedCount);
  });
  fc.assert(property, { numRuns });
  t.ok(applied > 20, `at most ${applied} entries applied in one run`);
});

await t.test('after any schedule, once messages arrive again, there is a leader and all are equal', async (t) => {
  // A change of the configuration may leave too few that are alive to it; that is another property.
  const property = fc.property(actions({ withConf: false }), (schedule) => {
    const { cluster } = runSchedule(schedule);
    cluster.isolate();
    for (const each of cluster.nodes.values()) {
      each.autoPersist = true;
      cluster.queue.push(...each.persist());
    }
    cluster.settle();
    cluster.tickAll(100);
    const leader = [...cluster.nodes.values()].find((each) => each.raft.isLeader);
    if (leader === undefined) throw new Error('no leader');
    cluster.propose(Number(leader.id), 'the last');
    cluster.tickAll(3);
    for (let id = 1; id <= VOTERS; id++) {
      const { lastIndex, appliedIndex } = cluster.raft(id).status;
      if (lastIndex !== leader.raft.status.lastIndex || appliedIndex !== lastIndex) throw new Error(`${id} is behind`);
    }
  });
  fc.assert(property, { numRuns });
  t.pass();
});
