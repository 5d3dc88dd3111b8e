import { silentLogger, type Cancel, type Clock } from '@naru/component';
import { SimulatedDisk, type SeededRandom, type VirtualClock } from '@naru/testkit';
import type { CommandEntry } from '../../src/consensus.ts';
import type { Member } from '../../src/driver/member.ts';
import { openMember } from '../../src/driver/open-member.ts';
import { ListMachine } from '../driver/list-machine.ts';
import { SimulatedTransport, type MemberNetwork } from './simulated-transport.ts';

/** The clock of one process: stops with it, may run fast or slow, and stands still while the process is paused. */
class ProcessClock implements Clock {
  readonly #clock: Clock;
  readonly #rate: number;
  readonly #started: number;
  #pausedUntil = 0;
  #dead = false;

  constructor(clock: Clock, rate: number) {
    this.#clock = clock;
    this.#rate = rate;
    this.#started = clock.monotonic();
  }

  kill(): void {
    this.#dead = true;
  }

  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.monotonic() + ms);
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return (this.#clock.monotonic() - this.#started) * this.#rate;
  }

  after(ms: number, fn: () => void): Cancel {
    let cancel = (): void => undefined;
    const fire = (): void => {
      if (this.#dead) return;
      const wait = this.#pausedUntil - this.#clock.monotonic();
      if (wait > 0) cancel = this.#clock.after(wait, fire);
      else fn();
    };
    cancel = this.#clock.after(ms / this.#rate, fire);
    return () => cancel();
  }

  async sleep(ms: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#clock.sleep(ms / this.#rate, options);
    if (this.#dead) await new Promise<never>(() => undefined);
  }
}

/** A ListMachine that tells what it applies. */
class WatchedMachine extends ListMachine {
  readonly #options: Pick<HostOptions, 'onApply' | 'onLeadership'>;

  constructor(options: Pick<HostOptions, 'onApply' | 'onLeadership'>) {
    super();
    this.#options = options;
  }

  override apply(entries: readonly CommandEntry[]): readonly number[] {
    for (const entry of entries) this.#options.onApply(entry);
    return super.apply(entries);
  }

  override leadershipChanged(term: number | undefined): void {
    this.#options.onLeadership(term);
  }
}

export interface HostOptions {
  readonly name: string;
  readonly names: readonly string[];
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly network: MemberNetwork;
  readonly snapshotCount: number;
  readonly clockRate: number;
  readonly syncMs: readonly [number, number];
  readonly onApply: (entry: CommandEntry) => void;
  readonly onLeadership: (term: number | undefined) => void;
}

/** A machine with a disk, on which a member runs, or does not. */
export class Host {
  readonly name: string;
  readonly disk: SimulatedDisk;
  readonly #options: HostOptions;
  #clock: ProcessClock;
  member: Member<number> | undefined;
  machine: ListMachine;
  /** Counts the lives of the process. */
  life = 0;
  /** Why the last life ended by itself. */
  failure: unknown;
  /** The same, kept for the report. */
  lastFailure: unknown;

  constructor(options: HostOptions) {
    this.name = options.name;
    this.#options = options;
    this.disk = new SimulatedDisk({ clock: options.clock, random: options.random.fork(), syncMs: options.syncMs });
    this.#clock = new ProcessClock(options.clock, 1);
    this.machine = new ListMachine();
  }

  /** Starts the process; it may take a while until there is a member. */
  start(): void {
    const { name, names, clock, random, network, snapshotCount, clockRate } = this.#options;
    const life = ++this.life;
    this.failure = undefined;
    this.#clock = new ProcessClock(clock, clockRate);
    this.machine = new WatchedMachine(this.#options);
    const { machine } = this;
    const processClock = this.#clock;
    const opened = openMember<number>({
      name,
      dataDir: `/${name}`,
      initialCluster: names.map((each) => ({ name: each, peerUrls: [`http://${each}`] })),
      advertiseClientUrls: [`http://client.${name}`],
      snapshotCount,
      snapshotCatchUpEntries: snapshotCount >> 2,
      walSegmentBytes: 5000,
      stateMachine: machine,
      transport: () => new SimulatedTransport({ name, network, clock: processClock }),
      logger: silentLogger(),
      disk: this.disk,
      ports: { clock: processClock, random: random.fork().next, defer: (fn) => void processClock.after(0, fn) },
    });
    opened.then(
      (member) => {
        if (life !== this.life) return;
        this.member = member;
        member.failed.catch((error: unknown) => this.#ended(life, error));
      },
      (error: unknown) => this.#ended(life, error),
    );
  }

  /** A member that fails ends its process. */
  #ended(life: number, error: unknown): void {
    if (life !== this.life) return;
    this.failure = error;
    this.lastFailure = error;
    this.#stop();
    this.disk.kill();
  }

  #stop(): void {
    this.life++;
    this.#clock.kill();
    this.#options.network.detach(this.name);
    this.member = undefined;
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

  pause(ms: number): void {
    this.#clock.pause(ms);
  }

  get isRunning(): boolean {
    return this.member !== undefined;
  }
}
