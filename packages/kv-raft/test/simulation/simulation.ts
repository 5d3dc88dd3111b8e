import { SeededRandom, SimulatedNetwork, VirtualClock } from '@naru/testkit';
import type { CommandEntry } from '../../src/consensus.ts';
import { ConsensusError } from '../../src/consensus.ts';
import { Host } from './host.ts';
import type { MemberNetwork } from './simulated-transport.ts';

/** What a seed may do to its cluster; each seed leaves some out, so that the others are seen undisturbed. */
const faultNames = [
  'loss',
  'duplicates',
  'reorder',
  'delay',
  'partition',
  'one-way-partition',
  'kill',
  'crash',
  'slow-sync',
  'disk-fault',
  'pause',
  'clock-skew',
  'transfer',
] as const;
type Fault = (typeof faultNames)[number];

export interface SimulationOptions {
  readonly seed: number;
  readonly members?: number;
  /** Virtual time under faults; default 30 s. */
  readonly durationMs?: number;
}

export interface SimulationReport {
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly acknowledged: number;
  readonly unknown: number;
  readonly reads: number;
  readonly terms: number;
  readonly restarts: number;
  readonly snapshotsRestored: number;
  /** Of everything that was applied, in order: the same for the same seed and code. */
  readonly digest: string;
}

const REQUEST_TIMEOUT_MS = 3000;
const RECOVERY_MS = 60_000;
const CLIENTS = 10;

/**
 * Real members (core, driver, log, snapshots) in one process on simulated disk, network and clock. The seed decides
 * everything. Throws at the first breach of a promise, with the seed in its message.
 */
export class Simulation {
  readonly #options: Required<SimulationOptions>;
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #network: MemberNetwork;
  readonly #hosts: readonly Host[];
  readonly #faults: ReadonlySet<Fault>;
  /** What any member has applied, by index. */
  readonly #applied = new Map<number, string>();
  readonly #leaders = new Map<number, string>();
  readonly #acknowledged: string[] = [];
  /** The highest count that any acknowledgement has named. */
  #highestCount = 0;
  #breach: Error | undefined;
  #active = true;
  #next = 0;
  #counts = { unknown: 0, reads: 0, restarts: 0 };

  constructor(options: SimulationOptions) {
    this.#options = { members: 3, durationMs: 30_000, ...options };
    this.#random = new SeededRandom(options.seed);
    const random = this.#random;
    this.#network = new SimulatedNetwork({ clock: this.#clock, random: random.fork() });
    this.#faults = new Set(faultNames.filter(() => random.chance(0.5)));
    const names = Array.from({ length: this.#options.members }, (_, i) => `m${i + 1}`);
    const snapshotCount = random.pick([20, 100, 1000]);
    this.#hosts = names.map(
      (name) =>
        new Host({
          name,
          names,
          clock: this.#clock,
          random: random.fork(),
          network: this.#network,
          snapshotCount,
          clockRate: this.#faults.has('clock-skew') ? 0.8 + 0.4 * random.next() : 1,
          syncMs: this.#faults.has('slow-sync') ? [0, random.pick([10, 100, 400])] : [0, 2],
          onApply: (entry) => this.#noteApplied(entry),
          onLeadership: (term) => this.#noteLeader(name, term),
        }),
    );
  }

  async run(): Promise<SimulationReport> {
    this.#setNetworkFaults();
    for (const host of this.#hosts) host.start();
    for (let client = 0; client < CLIENTS; client++) this.#client(this.#random.fork());
    const end = this.#clock.monotonic() + this.#options.durationMs;
    while (this.#clock.monotonic() < end) {
      await this.#advance(this.#random.integer(20, 1200));
      this.#injectFault();
    }
    await this.#recover();
    return this.#report();
  }

  async #advance(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    if (this.#breach !== undefined) throw this.#breach;
  }

  #fail(reason: string): void {
    this.#breach ??= new Error(`seed ${this.#options.seed} at ${this.#clock.monotonic()} ms: ${reason}`);
  }

  #setNetworkFaults(): void {
    const { faults } = this.#network;
    const random = this.#random;
    if (this.#faults.has('loss')) faults.lossRate = random.pick([0.01, 0.05, 0.2]);
    if (this.#faults.has('duplicates')) faults.duplicateRate = random.pick([0.01, 0.1]);
    if (this.#faults.has('reorder')) faults.reorder = true;
    faults.delayMs = this.#faults.has('delay') ? [0, random.pick([10, 50, 300])] : [0, 2];
  }

  #injectFault(): void {
    const random = this.#random;
    if (this.#faults.size === 0) return;
    const fault = random.pick([...this.#faults]);
    const host = random.pick(this.#hosts);
    for (const each of this.#hosts) if (each.failure !== undefined && random.chance(0.3)) this.#restart(each);
    switch (fault) {
      case 'partition':
      case 'one-way-partition':
        this.#partition(fault);
        return;
      case 'kill':
      case 'crash':
        if (fault === 'kill') host.kill();
        else host.crash();
        this.#clock.after(random.integer(0, 4000), () => this.#restart(host));
        return;
      case 'disk-fault':
        host.disk.fault = random.pick(['write', 'sync', 'full'] as const);
        this.#clock.after(random.integer(0, 2000), () => {
          host.disk.fault = undefined;
        });
        return;
      case 'pause':
        host.pause(random.integer(10, 5000));
        return;
      case 'transfer':
        void host.member?.handOver();
        return;
      default:
      // The others are in force all the time.
    }
  }

  #partition(kind: 'partition' | 'one-way-partition'): void {
    const random = this.#random;
    this.#network.heal();
    if (random.chance(0.4)) return;
    const names = this.#hosts.map(({ name }) => name);
    const alone = random.pick(names);
    const others = names.filter((name) => name !== alone);
    if (kind === 'partition') this.#network.partition([alone], others);
    else if (random.chance(0.5)) for (const other of others) this.#network.cut(alone, other);
    else this.#network.cut(random.pick(others), alone);
  }

  #restart(host: Host): void {
    if (!this.#active || host.isRunning) return;
    this.#counts.restarts++;
    host.kill();
    host.start();
  }

  /** Proposes and reads, one after the other, at any member. */
  #client(random: SeededRandom): void {
    const again = (): void => {
      if (this.#active) this.#clock.after(random.integer(1, 60), () => this.#client(random));
    };
    const host = random.pick(this.#hosts);
    const { member, life } = host;
    if (member === undefined) {
      again();
      return;
    }
    const timeout = new AbortController();
    let finished = false;
    const done = (): void => {
      if (finished) return;
      finished = true;
      cancel();
      again();
    };
    // The process may die, and with it the answer: then the client gives up at its own timeout.
    const cancel = this.#clock.after(REQUEST_TIMEOUT_MS, () => {
      if (life === host.life) timeout.abort();
      else done();
    });
    const work = async (): Promise<void> => {
      if (random.chance(0.7)) await this.#put(member, timeout.signal);
      else await this.#read(host, timeout.signal);
      done();
    };
    void work();
  }

  async #put(member: NonNullable<Host['member']>, signal: AbortSignal): Promise<void> {
    const item = `item ${this.#next++}`;
    try {
      const count = await member.propose(Buffer.from(item), { signal });
      this.#acknowledged.push(item);
      this.#highestCount = Math.max(this.#highestCount, count);
    } catch (error) {
      if (!(error instanceof ConsensusError)) throw error;
      this.#counts.unknown++;
    }
  }

  /** A read must see everything that was acknowledged before it was asked for. */
  async #read(host: Host, signal: AbortSignal): Promise<void> {
    const { member, machine } = host;
    const atLeast = this.#highestCount;
    try {
      await member?.readIndex({ signal });
    } catch (error) {
      if (!(error instanceof ConsensusError)) throw error;
      return;
    }
    this.#counts.reads++;
    if (machine.items.length < atLeast) this.#fail(`stale read at ${host.name}: ${machine.items.length} of ${atLeast}`);
  }

  #noteApplied({ index, term, data }: CommandEntry): void {
    const content = `${term} ${Buffer.from(data).toString()}`;
    const known = this.#applied.get(index);
    if (known !== undefined && known !== content) this.#fail(`index ${index} applied as ${known} and as ${content}`);
    this.#applied.set(index, content);
  }

  #noteLeader(name: string, term: number | undefined): void {
    if (term === undefined) return;
    const known = this.#leaders.get(term);
    if (known !== undefined && known !== name) this.#fail(`${known} and ${name} lead term ${term}`);
    this.#leaders.set(term, name);
  }

  /** Everything is whole again: the cluster must make progress, and have every acknowledged item once, in one order. */
  async #recover(): Promise<void> {
    this.#network.heal();
    Object.assign(this.#network.faults, { lossRate: 0, duplicateRate: 0, delayMs: [0, 2], reorder: false });
    const healed = this.#clock.monotonic();
    const late = (): boolean => this.#clock.monotonic() - healed > RECOVERY_MS;
    for (const host of this.#hosts) host.disk.fault = undefined;
    while (!this.#hosts.every((host) => host.isRunning)) {
      for (const host of this.#hosts) if (host.failure !== undefined) this.#restart(host);
      if (late()) this.#fail(`does not start: ${this.#hosts.map((host) => String(host.lastFailure)).join('; ')}`);
      await this.#advance(100);
    }
    const acknowledged = this.#acknowledged.length;
    while (this.#acknowledged.length < acknowledged + 20) {
      if (late()) this.#fail('no progress after everything was healed');
      await this.#advance(100);
    }
    this.#active = false;
    await this.#advance(REQUEST_TIMEOUT_MS + 1000);
    while (new Set(this.#hosts.map(({ machine }) => machine.items.join())).size > 1) {
      if (late()) this.#fail('the members do not become equal');
      await this.#advance(100);
    }
    const [first] = this.#hosts;
    const items = first?.machine.items ?? [];
    const there = new Set(items);
    if (there.size !== items.length) this.#fail('an item was applied twice');
    for (const item of this.#acknowledged) if (!there.has(item)) this.#fail(`acknowledged ${item} is lost`);
    if (this.#breach !== undefined) throw this.#breach;
  }

  #report(): SimulationReport {
    const contents = [...this.#applied].sort(([a], [b]) => a - b).map(([index, content]) => `${index} ${content}`);
    let digest = 0;
    for (const byte of Buffer.from(contents.join('\n'))) digest = (Math.imul(digest, 31) + byte) >>> 0;
    return {
      seed: this.#options.seed,
      faults: [...this.#faults],
      acknowledged: this.#acknowledged.length,
      unknown: this.#counts.unknown,
      reads: this.#counts.reads,
      terms: this.#leaders.size,
      restarts: this.#counts.restarts,
      snapshotsRestored: this.#hosts.reduce((sum, { machine }) => sum + machine.restores, 0),
      digest: digest.toString(16),
    };
  }
}
