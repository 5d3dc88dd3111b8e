import { SeededRandom, SimulatedNetwork, VirtualClock } from '@naru/testkit';
import type { RemoteCluster } from '../../src/driver/join-cluster.ts';
import { Clients, REQUEST_TIMEOUT_MS } from './clients.ts';
import { Faults, faultNames, type FaultName } from './faults.ts';
import { Host } from './host.ts';
import { Oracle } from './oracle.ts';
import { hostNameOf, Reconfigurations } from './reconfigurations.ts';
import type { MemberNetwork } from './simulated-transport.ts';
import { Watcher } from './watchers.ts';
import { WireOracle } from './wire-oracle.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Default: three to five, by the seed. */
  readonly members?: number | undefined;
  /** Virtual time under faults; default 10 s. */
  readonly durationMs?: number | undefined;
  /** Told of everything that happens. */
  readonly trace?: ((line: string) => void) | undefined;
}

export interface SimulationReport {
  readonly seed: number;
  readonly members: number;
  readonly faults: readonly FaultName[];
  readonly acknowledged: number;
  readonly interrupted: number;
  readonly reads: number;
  readonly leases: number;
  readonly events: number;
  readonly revision: number;
  readonly compacted: number;
  readonly terms: number;
  readonly restarts: number;
  /** Of the members. */
  readonly changes: number;
  readonly snapshotsRestored: number;
  readonly refused: number;
  /** Of everything that happened, in order: the same for the same seed and code. */
  readonly digest: string;
}

const RECOVERY_MS = 60_000;
const CLIENTS = 6;
const LEASE_CLIENTS = 2;
const WATCHERS = 4;
const SMALL_QUOTA_BYTES = 60_000;
const CLOCK_RATE = { min: 0.8, max: 1.2 };

/**
 * Whole members (core, driver, log, snapshots, store, leases, watches) in one process on simulated disk, network and clock.
 * The seed decides everything. Throws at the first breach of a promise, with the seed in its message.
 */
export class Simulation {
  readonly #seed: number;
  readonly #durationMs: number;
  readonly #random: SeededRandom;
  /** One turn for each timer: what takes more of them goes on meanwhile. */
  readonly #clock = new VirtualClock(undefined, { settleTurns: 1 });
  readonly #enabled: ReadonlySet<FaultName>;
  readonly #oracle: Oracle;
  readonly #wire: WireOracle;
  #hosts: readonly Host[];
  readonly #makeHost: (name: string, firstNames: readonly string[] | undefined) => Host;
  readonly #faults: Faults;
  readonly #reconfigurations: Reconfigurations;
  readonly #clients: Clients;
  readonly #watchers: readonly Watcher[];
  #restarts = 0;
  #refused = 0;

  constructor(options: SimulationOptions) {
    this.#seed = options.seed;
    this.#durationMs = options.durationMs ?? 10_000;
    const random = new SeededRandom(options.seed);
    this.#random = random;
    const share = random.pick([0.2, 0.4, 0.6]);
    const enabled = new Set(faultNames.filter(() => random.chance(share)));
    this.#enabled = enabled;
    this.#oracle = new Oracle({
      now: () => this.#clock.monotonic(),
      clockRateMax: enabled.has('clock-skew') ? CLOCK_RATE.max : 1,
      trace: options.trace,
    });
    this.#wire = new WireOracle(this.#oracle);
    const network: MemberNetwork = new SimulatedNetwork({ clock: this.#clock, random: random.fork() });
    this.#makeHost = this.#hostMaker(network);
    const names = Array.from({ length: options.members ?? random.pick([3, 3, 4, 5]) }, (_, i) => `m${i + 1}`);
    this.#hosts = names.map((name) => this.#makeHost(name, names));
    const hosts = (): readonly Host[] => this.#hosts;
    const shared = { clock: this.#clock, oracle: this.#oracle, hosts };
    this.#faults = new Faults({
      ...shared,
      enabled,
      network,
      random: random.fork(),
      restart: (host) => this.#restart(host),
      note: (text) => this.#oracle.note(text),
    });
    this.#reconfigurations = new Reconfigurations({
      ...shared,
      random: random.fork(),
      join: (name) => this.#join(name),
      drop: (name) => this.#drop(name),
      note: (text) => this.#oracle.note(text),
    });
    this.#clients = new Clients({ ...shared, random: random.fork() });
    this.#watchers = Array.from({ length: WATCHERS }, () => new Watcher({ ...shared, random: random.fork() }));
  }

  #hostMaker(network: MemberNetwork): (name: string, firstNames: readonly string[] | undefined) => Host {
    const random = this.#random;
    const snapshotCount = random.pick([20, 100, 1000]);
    const batchBytesMax = random.pick([100, 500, 1 << 20]);
    const syncMsMax = this.#enabled.has('slow-sync') ? random.pick([10, 100, 400]) : 2;
    const isSkewed = this.#enabled.has('clock-skew');
    return (name, firstNames) =>
      new Host({
        name,
        firstNames,
        fetchCluster: () => this.#cluster(name),
        clock: this.#clock,
        random: random.fork(),
        network,
        oracle: this.#oracle,
        snapshotCount,
        batchBytesMax,
        clockRate: isSkewed ? CLOCK_RATE.min + (CLOCK_RATE.max - CLOCK_RATE.min) * random.next() : 1,
        syncMs: [0, syncMsMax],
        quotaBackendBytes: this.#enabled.has('small-quota') ? SMALL_QUOTA_BYTES : 1 << 30,
        onSend: (host, message) => {
          this.#wire.sent(message);
          this.#faults.sent(host, message);
        },
        onFailure: (host, error) => this.#ended(host, error),
      });
  }

  /** What a member that knows of `name` tells of the cluster. */
  #cluster(name: string): RemoteCluster | undefined {
    for (const { running } of this.#hosts) {
      const status = running?.member.status();
      if (status?.members.some((member) => hostNameOf(member) === name) === true) return status;
    }
    return undefined;
  }

  #join(name: string): void {
    this.#oracle.note(`${name} joins`);
    const host = this.#makeHost(name, undefined);
    this.#hosts = [...this.#hosts, host];
    host.start();
  }

  #drop(name: string): void {
    this.#oracle.note(`${name} is switched off`);
    this.#hosts.find((host) => host.name === name)?.kill();
    this.#hosts = this.#hosts.filter((host) => host.name !== name);
  }

  async run(): Promise<SimulationReport> {
    for (const host of this.#hosts) host.start();
    this.#clients.start({ clients: CLIENTS, leaseClients: LEASE_CLIENTS });
    for (const watcher of this.#watchers) watcher.start();
    const end = this.#clock.monotonic() + this.#durationMs;
    while (this.#clock.monotonic() < end) {
      await this.#advance(this.#random.integer(20, 1000));
      for (const host of this.#hosts) if (this.#random.chance(0.3)) this.#restart(host);
      this.#faults.inject();
      if (this.#enabled.has('membership') && this.#random.chance(0.5))
        void this.#reconfigurations.change({ onlyNeeded: false });
    }
    await this.#recover();
    return this.#report();
  }

  async #advance(ms: number): Promise<void> {
    const end = this.#clock.monotonic() + ms;
    // In short steps: what is wrong is told before it has consequences.
    while (this.#clock.monotonic() < end) {
      await this.#clock.advance(Math.min(50, end - this.#clock.monotonic()));
      const { breach } = this.#oracle;
      if (breach !== undefined) throw new Error(`seed ${this.#seed} ${breach.message}`, { cause: breach });
      for (const { isRotten, running, name } of this.#hosts)
        if (isRotten && running !== undefined) this.#oracle.fail(`${name} serves with a damaged log`);
      for (const { isRefused, name } of this.#hosts) if (isRefused && this.#isRemoved(name)) this.#drop(name);
    }
  }

  /** A process ended by itself: only for a reason that the simulation gave it. */
  #ended(host: Host, error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error));
    this.#oracle.note(`${host.name} ended: ${reason.message}`);
    if (reason.message.includes('simulated fault')) return;
    if (reason.name === 'MemberRemovedError') {
      if (!this.#isRemoved(host.name)) this.#oracle.fail(`${host.name} believes that it was removed`);
      this.#hosts = this.#hosts.filter((each) => each !== host);
      return;
    }
    // The members whom it asks may not know of it yet.
    if (!host.hasServed && /peerURLs|peer urls|local name/u.test(reason.message)) return;
    if (!host.isRotten) this.#oracle.fail(`${host.name} ends: ${reason.stack}`);
    if (reason.name !== 'WalCorruptError')
      this.#oracle.fail(`${host.name} ends, but not for its damaged log: ${reason.stack}`);
    host.isRefused = true;
    this.#refused++;
  }

  /** Somebody who runs knows that it is no member. */
  #isRemoved(name: string): boolean {
    return this.#hosts.some(({ running }) => {
      const members = running?.member.status().members;
      return members !== undefined && members.length > 0 && !members.some((member) => hostNameOf(member) === name);
    });
  }

  #restart(host: Host): void {
    if (host.isUp || host.isRefused || !this.#hosts.includes(host)) return;
    this.#restarts++;
    host.start();
  }

  /** Everything is whole again: the cluster must make progress, all members must become equal, all leases must end. */
  async #recover(): Promise<void> {
    this.#faults.healAll();
    await this.#until('all members serve, and lost ones are replaced', () => this.#isInOrder());
    const { acknowledged } = this.#clients.counts;
    await this.#until('there is progress', () => {
      if (this.#enabled.has('small-quota')) void this.#makeRoom();
      return this.#clients.counts.acknowledged >= acknowledged + 30;
    });
    this.#clients.active = false;
    for (const watcher of this.#watchers) watcher.isCalm = true;
    await this.#advance(REQUEST_TIMEOUT_MS + 1000);
    await this.#until('all leases end', () => this.#oracle.liveLeases.length === 0);
    await this.#until('all members are equal', () => {
      const applied = this.#hosts.map(({ running }) => running?.machine.appliedIndex);
      // A change of the members whose answer nobody waited for may have been made only now.
      return this.#isInOrder() && new Set(applied).size === 1;
    });
    for (const { name, running } of this.#hosts)
      if (running !== undefined) this.#oracle.check(name, running.machine, { now: true });
    const { model } = this.#oracle;
    await this.#until('all watchers are told everything', () =>
      this.#watchers.every(({ next }) => next > model.revision),
    );
  }

  /** Whether nothing is left to do for an operator, who begins what is. */
  #isInOrder(): boolean {
    for (const host of this.#hosts) this.#restart(host);
    void this.#reconfigurations.change({ onlyNeeded: true });
    return this.#reconfigurations.isSettled && this.#hosts.every(({ running }) => running !== undefined);
  }

  /** As an operator would: the history goes. */
  async #makeRoom(): Promise<void> {
    const services = this.#hosts.find(({ running }) => running !== undefined)?.running?.services;
    await services?.kv.compact({ revision: this.#oracle.acknowledgedRevision }).catch(() => undefined);
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    const started = this.#clock.monotonic();
    while (!holds()) {
      if (this.#clock.monotonic() - started > RECOVERY_MS)
        this.#oracle.fail(`not reached after everything was healed: ${what}`);
      await this.#advance(100);
    }
  }

  #report(): SimulationReport {
    const { counts } = this.#clients;
    const { model } = this.#oracle;
    return {
      seed: this.#seed,
      members: this.#hosts.length,
      faults: [...this.#enabled],
      ...counts,
      events: this.#watchers.reduce((sum, watcher) => sum + watcher.counts.events, 0),
      revision: model.revision,
      compacted: model.compacted,
      terms: this.#wire.termCount,
      restarts: this.#restarts,
      changes: this.#reconfigurations.counts.changes,
      snapshotsRestored: this.#oracle.counts.restores,
      refused: this.#refused,
      digest: this.#oracle.digest,
    };
  }
}
