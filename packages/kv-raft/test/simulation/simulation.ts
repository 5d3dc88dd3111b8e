import { SeededRandom, SimulatedNetwork, VirtualClock } from '@naru/testkit';
import { Clients, REQUEST_TIMEOUT_MS } from './clients.ts';
import { Faults, faultNames, type FaultName } from './faults.ts';
import { Host } from './host.ts';
import { Oracle } from './oracle.ts';
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
  readonly #hosts: readonly Host[];
  readonly #faults: Faults;
  readonly #clients: Clients;
  readonly #watchers: readonly Watcher[];
  #restarts = 0;
  #refused = 0;

  constructor(options: SimulationOptions) {
    this.#seed = options.seed;
    this.#durationMs = options.durationMs ?? 10_000;
    const random = new SeededRandom(options.seed);
    this.#random = random;
    const enabled = new Set(faultNames.filter(() => random.chance(0.4)));
    this.#enabled = enabled;
    this.#oracle = new Oracle({
      now: () => this.#clock.monotonic(),
      clockRateMax: enabled.has('clock-skew') ? CLOCK_RATE.max : 1,
      trace: options.trace,
    });
    this.#wire = new WireOracle(this.#oracle);
    const network: MemberNetwork = new SimulatedNetwork({ clock: this.#clock, random: random.fork() });
    this.#hosts = this.#makeHosts(options.members ?? random.pick([3, 3, 3, 4, 5]), network);
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
    this.#clients = new Clients({ ...shared, random: random.fork() });
    this.#watchers = Array.from({ length: WATCHERS }, () => new Watcher({ ...shared, random: random.fork() }));
  }

  #makeHosts(members: number, network: MemberNetwork): readonly Host[] {
    const random = this.#random;
    const names = Array.from({ length: members }, (_, i) => `m${i + 1}`);
    const snapshotCount = random.pick([20, 100, 1000]);
    return names.map(
      (name) =>
        new Host({
          name,
          names,
          clock: this.#clock,
          random: random.fork(),
          network,
          oracle: this.#oracle,
          snapshotCount,
          clockRate: this.#enabled.has('clock-skew')
            ? CLOCK_RATE.min + (CLOCK_RATE.max - CLOCK_RATE.min) * random.next()
            : 1,
          syncMs: this.#enabled.has('slow-sync') ? [0, random.pick([10, 100, 400])] : [0, 2],
          quotaBackendBytes: this.#enabled.has('small-quota') ? SMALL_QUOTA_BYTES : 1 << 30,
          onSend: (host, message) => {
            this.#wire.sent(message);
            this.#faults.sent(host, message);
          },
          onFailure: (host, error) => this.#ended(host, error),
        }),
    );
  }

  async run(): Promise<SimulationReport> {
    for (const host of this.#hosts) host.start();
    this.#clients.start({ clients: CLIENTS, leaseClients: LEASE_CLIENTS });
    for (const watcher of this.#watchers) watcher.start();
    const end = this.#clock.monotonic() + this.#durationMs;
    while (this.#clock.monotonic() < end) {
      await this.#advance(this.#random.integer(20, 1200));
      for (const host of this.#hosts) if (this.#random.chance(0.3)) this.#restart(host);
      this.#faults.inject();
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
    }
  }

  /** A process ended by itself: only for a reason that the simulation gave it. */
  #ended(host: Host, error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error));
    this.#oracle.note(`${host.name} ended: ${reason.message}`);
    if (reason.message.includes('simulated fault')) return;
    if (host.isRotten) {
      if (reason.name !== 'WalCorruptError')
        this.#oracle.fail(`${host.name} ends, but not for its damaged log: ${reason.stack}`);
      this.#refused++;
      return;
    }
    this.#oracle.fail(`${host.name} ends: ${reason.stack}`);
  }

  #restart(host: Host): void {
    if (host.isUp || (host.isRotten && this.#refused > 0)) return;
    this.#restarts++;
    host.start();
  }

  /** Everything is whole again: the cluster must make progress, all members must become equal, all leases must end. */
  async #recover(): Promise<void> {
    this.#faults.healAll();
    const healthy = this.#hosts.filter(({ isRotten }) => !isRotten);
    await this.#until('all members serve', () => {
      for (const host of healthy) this.#restart(host);
      return healthy.every(({ running }) => running !== undefined);
    });
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
      const applied = healthy.map(({ running }) => running?.machine.appliedIndex);
      return new Set(applied).size === 1;
    });
    for (const { name, running } of healthy)
      if (running !== undefined) this.#oracle.check(name, running.machine, { now: true });
    const { model } = this.#oracle;
    await this.#until('all watchers are told everything', () =>
      this.#watchers.every(({ next }) => next > model.revision),
    );
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
      snapshotsRestored: this.#oracle.counts.restores,
      refused: this.#refused,
      digest: this.#oracle.digest,
    };
  }
}
