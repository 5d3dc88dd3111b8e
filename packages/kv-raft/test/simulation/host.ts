import { silentLogger } from '@naru/component';
import { SimulatedDisk, type SeededRandom, type VirtualClock } from '@naru/testkit';
import type { CommandEntry, StateMachine } from '../../src/consensus.ts';
import type { Member } from '../../src/driver/member.ts';
import type { RemoteCluster } from '../../src/driver/join-cluster.ts';
import { openMember, type OpenMemberOptions } from '../../src/driver/open-member.ts';
import type { Message } from '../../src/raft/message.ts';
import { Replica, Services } from '../../src/server/services.ts';
import type { CommandResult, KvStateMachine } from '../../src/server/state-machine.ts';
import { inspect, isDeepStrictEqual } from 'node:util';
import { resultInModelWords } from './model-words.ts';
import type { Oracle } from './oracle.ts';
import { hostNameOf } from './reconfigurations.ts';
import { MachineClock, ProcessClock } from './process-clock.ts';
import { SimulatedTransport, type MemberNetwork } from './simulated-transport.ts';

const ELECTION_TIMEOUT_MS = 1000;

/** A member's state machine, under the eyes of the oracle. */
class WatchedMachine implements StateMachine<CommandResult> {
  readonly #name: string;
  readonly #machine: KvStateMachine;
  readonly #oracle: Oracle;

  constructor(name: string, machine: KvStateMachine, oracle: Oracle) {
    this.#name = name;
    this.#machine = machine;
    this.#oracle = oracle;
  }

  get appliedIndex(): number {
    return this.#machine.appliedIndex;
  }

  apply(entries: readonly CommandEntry[]): readonly CommandResult[] {
    let previous = this.#machine.appliedIndex;
    const applied = entries.map((entry) => {
      const known = this.#oracle.apply(this.#name, previous, entry);
      previous = entry.index;
      return known;
    });
    const results = this.#machine.apply(entries);
    for (const [i, result] of results.entries()) {
      const { index, expected } = applied[i] ?? {};
      const found = resultInModelWords(result);
      if (expected !== undefined && !isDeepStrictEqual(found, expected))
        this.#oracle.fail(`${this.#name} answers ${index} by ${inspect(found)}, not ${inspect(expected)}`);
    }
    this.#oracle.check(this.#name, this.#machine, { now: false });
    return results;
  }

  snapshot(): ReturnType<StateMachine<CommandResult>['snapshot']> {
    return this.#machine.snapshot();
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#machine.restore(chunks);
    this.#oracle.counts.restores++;
    this.#oracle.check(this.#name, this.#machine, { now: true });
  }

  leadershipChanged(term: number | undefined): void {
    this.#machine.leadershipChanged(term);
  }
}

export interface HostOptions {
  readonly name: string;
  /** Of the cluster that is being made; undefined: the member was added to one that is there. */
  readonly firstNames: readonly string[] | undefined;
  /** The cluster as a member that runs tells it. */
  readonly fetchCluster: () => RemoteCluster | undefined;
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly network: MemberNetwork;
  readonly oracle: Oracle;
  readonly snapshotCount: number;
  readonly batchBytesMax: number;
  readonly clockRate: number;
  readonly syncMs: readonly [number, number];
  readonly quotaBackendBytes: number;
  readonly onSend: (host: Host, message: Message) => void;
  /** A life of the process ended by itself. */
  readonly onFailure: (host: Host, error: unknown) => void;
}

/** What runs on a host while its process serves. */
export interface Running {
  readonly life: number;
  readonly member: Member<CommandResult>;
  readonly machine: KvStateMachine;
  readonly replica: Replica;
  readonly services: Services;
  readonly clock: ProcessClock;
}

/** A machine with a disk, on which a member's process runs, or does not. */
export class Host {
  readonly name: string;
  readonly disk: SimulatedDisk;
  readonly #options: HostOptions;
  readonly #machineClock: MachineClock;
  #clock: ProcessClock;
  running: Running | undefined;
  /** Counts the lives of the process. */
  life = 0;
  /** The process was started and has not ended, though it may not serve yet. */
  isUp = false;
  /** A bit of its disk was flipped. */
  isRotten = false;
  /** It will not serve again, for the damage of its disk. */
  isRefused = false;
  /** It has served before. */
  hasServed = false;

  constructor(options: HostOptions) {
    this.name = options.name;
    this.#options = options;
    this.#machineClock = new MachineClock(options.clock);
    const random = options.random.fork();
    this.disk = new SimulatedDisk({ clock: this.#machineClock, random, syncMs: options.syncMs });
    this.#clock = new ProcessClock(this.#machineClock, 1);
  }

  /** Starts the process; it may take a while until it serves. */
  start(): void {
    const { name, random, oracle, snapshotCount, batchBytesMax, clockRate } = this.#options;
    const life = ++this.life;
    this.isUp = true;
    const clock = new ProcessClock(this.#machineClock, clockRate);
    this.#clock = clock;
    const replica = new Replica(clock);
    const machine = new WatchedMachine(name, replica.machine, oracle);
    const opened = openMember<CommandResult>({
      name,
      dataDir: `/${name}`,
      ...this.#initialCluster(),
      advertiseClientUrls: [`http://client.${name}`],
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      snapshotCount,
      snapshotCatchUpEntries: snapshotCount >> 2,
      walSegmentBytes: 10_000,
      batchBytesMax,
      stateMachine: machine,
      transport: () =>
        new SimulatedTransport({
          name,
          network: this.#options.network,
          clock,
          onSend: (message) => this.#options.onSend(this, message),
        }),
      logger: silentLogger(),
      disk: this.disk,
      ports: { clock, random: random.fork().next, defer: (fn) => void clock.after(0, fn) },
    });
    opened.then(
      (member) => {
        if (life !== this.life) return;
        this.hasServed = true;
        this.running = {
          life,
          member,
          replica,
          machine: replica.machine,
          services: this.#serve(replica, member),
          clock,
        };
        member.failed.catch((error: unknown) => this.#ended(life, error));
      },
      (error: unknown) => this.#ended(life, error),
    );
  }

  #initialCluster(): Pick<OpenMemberOptions<CommandResult>, 'initialCluster' | 'initialClusterState' | 'fetchCluster'> {
    const { firstNames, fetchCluster } = this.#options;
    if (firstNames !== undefined)
      return { initialCluster: firstNames.map((each) => ({ name: each, peerUrls: [`http://${each}`] })) };
    const remote = fetchCluster();
    const members = (remote?.members ?? []).map(({ peerUrls }) => ({ name: hostNameOf({ peerUrls }), peerUrls }));
    return { initialCluster: members, initialClusterState: 'existing', fetchCluster: async () => remote };
  }

  #serve(replica: Replica, member: Member<CommandResult>): Services {
    return new Services(replica, member, {
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      quotaBackendBytes: this.#options.quotaBackendBytes,
      requestBytesMax: 1 << 20,
      txnOpsMax: 128,
      clock: this.#clock,
      logger: silentLogger(),
    });
  }

  /** A member that fails ends its process. */
  #ended(life: number, error: unknown): void {
    if (life !== this.life) return;
    this.kill();
    this.#options.onFailure(this, error);
  }

  #stop(): void {
    this.life++;
    this.isUp = false;
    this.#clock.kill();
    this.#options.network.detach(this.name);
    this.running = undefined;
    this.#machineClock.resume();
  }

  /** kill -9: what was given to the operating system is kept. */
  kill(): void {
    this.#stop();
    this.disk.kill();
  }

  /** Power loss: what was not synced may be gone. */
  crash(): void {
    this.#stop();
    this.disk.crash();
  }

  /** The machine stands still for a while. */
  pause(ms: number): void {
    this.#machineClock.pause(ms);
  }

  resume(): void {
    this.#machineClock.resume();
  }
}
