import assert from 'node:assert/strict';
import { decodeConfChange, emptyConfState } from '../../src/raft/conf-change.ts';
import type { ConfState, Entry, HardState, Message, SnapshotMetadata } from '../../src/raft/message.ts';
import { Raft, type RaftStart, type Ready } from '../../src/raft/raft.ts';
import type { RaftOptions, ReadState } from '../../src/raft/state.ts';

/** What survives a crash of a node. */
export interface NodeDisk {
  hardState: HardState;
  snapshot: SnapshotMetadata;
  entries: Entry[];
}

/** A core with a disk that keeps what it is told, and a list of what was applied. */
export class Node {
  readonly id: bigint;
  raft: Raft;
  disk: NodeDisk;
  applied: Entry[] = [];
  readStates: ReadState[] = [];
  rejected: number[] = [];
  /** Readies taken and not yet persisted. */
  unpersisted: Ready[] = [];
  /** When off, writes wait for `persist()`. */
  autoPersist = true;
  /** For a schedule: its disk hangs. */
  isStalled = false;
  readonly #options: Partial<RaftOptions>;

  constructor(id: bigint, disk: NodeDisk, options: Partial<RaftOptions> = {}) {
    this.id = id;
    this.disk = disk;
    this.#options = options;
    this.raft = this.#boot();
  }

  #boot(): Raft {
    const start: RaftStart = {
      hardState: this.disk.hardState,
      snapshot: this.disk.snapshot,
      entries: this.disk.entries,
    };
    const options: RaftOptions = {
      id: this.id,
      electionTicks: 10,
      heartbeatTicks: 1,
      messageBytesMax: 1024,
      inflight: { messagesMax: 256, bytesMax: 1 << 20 },
      uncommittedBytesMax: 1 << 20,
      applyBytesMax: 1 << 20,
      // Timeouts of 15, 17, 19, 11, 13, … ticks: no two nodes campaign for ever at the same time.
      random: () => (0.5 + 0.2 * (Number(this.id) - 1)) % 1,
      ...this.#options,
    };
    return new Raft(options, start);
  }

  /** Loses everything that is not on disk. */
  restart(): void {
    this.unpersisted = [];
    this.applied = this.applied.filter((entry) => entry.index <= this.disk.snapshot.index);
    this.raft = this.#boot();
  }

  /** Takes one Ready; returns what is to be sent now. */
  turn(): Message[] {
    const ready = this.raft.ready();
    const out = [...ready.messages];
    this.readStates.push(...ready.readStates);
    this.rejected.push(...ready.rejectedProposals.map(({ context }) => context));
    this.unpersisted.push(ready);
    // Snapshots carry no content here: what was applied before is taken as known.
    if (ready.snapshot !== undefined) this.raft.advance({ applied: ready.snapshot.index });
    for (const entry of ready.committedEntries) {
      if (entry.type === 'conf-change') this.raft.applyConfChange(decodeConfChange(entry.data));
      this.applied.push(entry);
    }
    const last = ready.committedEntries.at(-1);
    if (last !== undefined) this.raft.advance({ applied: last.index });
    if (this.autoPersist) out.push(...this.persist());
    return out;
  }

  /** Writes everything that waits; returns what may be sent after that. */
  persist(): Message[] {
    const out: Message[] = [];
    for (const ready of this.unpersisted.splice(0)) {
      if (ready.snapshot !== undefined) this.disk = { ...this.disk, snapshot: ready.snapshot, entries: [] };
      const first = ready.entries[0];
      if (first !== undefined) {
        this.disk.entries.splice(first.index - this.disk.snapshot.index - 1);
        this.disk.entries.push(...ready.entries);
      }
      if (ready.hardState !== undefined) this.disk.hardState = ready.hardState;
      out.push(...ready.messagesAfterPersist);
      this.raft.advance({ persisted: ready.id });
    }
    return out;
  }

  /** Makes a snapshot of what is applied and forgets the log before it. */
  compact(): void {
    const { appliedIndex, confState } = this.raft.status;
    const term = this.applied.at(-1)?.term ?? 0;
    const snapshot = { index: appliedIndex, term, confState };
    this.raft.snapshotMade(snapshot);
    this.raft.compact(appliedIndex);
    this.disk.entries.splice(0, appliedIndex - this.disk.snapshot.index);
    this.disk.snapshot = snapshot;
  }

  /** The same where writes are not immediate: a snapshot is made only of what is on disk. */
  compactIfPersisted(): void {
    if (this.unpersisted.length === 0 && this.raft.appliedIndex > this.disk.snapshot.index) this.compact();
  }

  get appliedData(): string[] {
    return this.applied
      .filter((entry) => entry.type === 'normal' && entry.data.length > 0)
      .map((entry) => Buffer.from(entry.data).toString());
  }
}

export function voters(count: number): ConfState {
  return { ...emptyConfState, voters: Array.from({ length: count }, (_, i) => BigInt(i + 1)) };
}

/** Cores joined by a network that keeps order and loses only what a test drops. */
export class Cluster {
  readonly nodes = new Map<bigint, Node>();
  readonly queue: Message[] = [];
  /** Drops a message when it says so. */
  drop: (message: Message) => boolean = () => false;
  /** Every message that was delivered. */
  readonly delivered: Message[] = [];

  constructor(count: number, options: Partial<RaftOptions> = {}, confState: ConfState = voters(count)) {
    for (let i = 1; i <= count; i++) {
      const disk: NodeDisk = {
        hardState: { term: 0, vote: 0n, commit: 0 },
        snapshot: { index: 0, term: 0, confState },
        entries: [],
      };
      this.nodes.set(BigInt(i), new Node(BigInt(i), disk, options));
    }
  }

  node(id: number): Node {
    const node = this.nodes.get(BigInt(id));
    assert(node !== undefined, `node ${id}`);
    return node;
  }

  raft(id: number): Raft {
    return this.node(id).raft;
  }

  /** Lets every node do what is ready, and queues what they send. */
  collect(): void {
    for (const node of this.nodes.values()) while (node.raft.hasReady) this.queue.push(...node.turn());
  }

  /** Delivers until nothing happens any more. */
  settle(): void {
    this.collect();
    for (let steps = 0; this.queue.length > 0; steps++) {
      assert(steps < 100_000, 'the cluster settles');
      const message = this.queue.shift();
      if (message === undefined || this.drop(message)) continue;
      this.delivered.push(message);
      this.nodes.get(message.to)?.raft.step(message);
      this.collect();
    }
  }

  tick(id: number, count = 1): void {
    for (let i = 0; i < count; i++) {
      this.raft(id).tick();
      this.settle();
    }
  }

  tickAll(count = 1): void {
    for (let i = 0; i < count; i++) {
      for (const node of this.nodes.values()) node.raft.tick();
      this.settle();
    }
  }

  elect(id: number): void {
    this.raft(id).campaign();
    this.settle();
    assert(this.raft(id).isLeader, `${id} is elected`);
  }

  propose(id: number, data: string): ReturnType<Raft['propose']> {
    const outcome = this.raft(id).propose([{ type: 'normal', data: Buffer.from(data) }], 0);
    this.settle();
    return outcome;
  }

  /** Cuts these nodes off from the others; without any, heals. */
  isolate(...ids: number[]): void {
    const cut = new Set(ids.map(BigInt));
    this.drop = (message) => cut.has(message.from) !== cut.has(message.to);
  }
}
