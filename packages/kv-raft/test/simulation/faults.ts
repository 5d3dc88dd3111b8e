import { join } from 'node:path';
import type { SeededRandom, VirtualClock } from '@naru/testkit';
import type { Message } from '../../src/raft/message.ts';
import { recordAt } from '../../src/wal/record.ts';
import type { Host } from './host.ts';
import type { MemberNetwork } from './simulated-transport.ts';

/** What a seed may do to its cluster; each seed leaves some out, so that the others are seen undisturbed. */
export const faultNames = [
  'loss',
  'duplicates',
  'reorder',
  'delay',
  'late-messages',
  'partition',
  'one-way-partition',
  'kill',
  'crash',
  'power-loss',
  'crash-at-promise',
  'slow-sync',
  'disk-fault',
  'bit-rot',
  'pause',
  'clock-skew',
  'transfer',
  'membership',
  'small-quota',
] as const;
export type FaultName = (typeof faultNames)[number];

/** Those that happen at a moment; the others are in force all the time. */
const moments = [
  'partition',
  'one-way-partition',
  'kill',
  'crash',
  'power-loss',
  'disk-fault',
  'bit-rot',
  'pause',
  'transfer',
] as const satisfies readonly FaultName[];

export interface FaultsOptions {
  readonly enabled: ReadonlySet<FaultName>;
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly network: MemberNetwork;
  readonly hosts: () => readonly Host[];
  /** Starts a host's process again, if that is allowed. */
  readonly restart: (host: Host) => void;
  readonly note: (text: string) => void;
}

/** Does what a seed's faults say, at moments that its random numbers choose. */
export class Faults {
  readonly #options: FaultsOptions;
  readonly #moments: readonly (typeof moments)[number][];
  #active = true;

  constructor(options: FaultsOptions) {
    this.#options = options;
    this.#moments = moments.filter((name) => options.enabled.has(name));
    const { random, network, enabled } = options;
    const { faults } = network;
    if (enabled.has('loss')) faults.lossRate = random.pick([0.01, 0.05, 0.2]);
    if (enabled.has('duplicates')) faults.duplicateRate = random.pick([0.01, 0.1, 0.3]);
    if (enabled.has('reorder')) faults.reorder = true;
    if (enabled.has('late-messages'))
      Object.assign(faults, { lateRate: random.pick([0.01, 0.05]), lateMs: [200, 3000] });
    faults.delayMs = enabled.has('delay') ? [0, random.pick([10, 50, 300])] : [0, 2];
  }

  inject(): void {
    const { random, hosts, note } = this.#options;
    if (this.#moments.length === 0) return;
    const host = this.#victim();
    const fault = random.pick(this.#moments);
    note(`${fault} ${host.name}`);
    switch (fault) {
      case 'partition':
      case 'one-way-partition':
        return this.#partition(fault);
      case 'kill':
        return this.#end(host, 'kill', random.integer(0, 4000));
      case 'crash':
        return this.#end(host, 'crash', random.integer(0, 4000));
      case 'power-loss':
        for (const each of hosts()) this.#end(each, 'crash', random.integer(0, 500));
        return undefined;
      case 'disk-fault':
        return this.#diskFault(host);
      case 'bit-rot':
        return this.#rot(host);
      case 'pause':
        return host.pause(random.integer(10, 5000));
      case 'transfer':
        for (const { running } of hosts()) void running?.member.handOver();
        return undefined;
      default:
        return fault satisfies never;
    }
  }

  /** Often the leader: there is more to break. */
  #victim(): Host {
    const { random, hosts } = this.#options;
    const leader = hosts().find(({ running }) => running?.member.isLeader === true);
    return leader !== undefined && random.chance(0.4) ? leader : random.pick(hosts());
  }

  /** Some members end just when they have given their word, and come back at once. */
  sent(host: Host, message: Message): void {
    const { enabled, random, clock } = this.#options;
    if (!this.#active || !enabled.has('crash-at-promise')) return;
    const isVote = message.type === 'MsgVote' || (message.type === 'MsgVoteResp' && !message.reject);
    const isAcknowledgement = message.type === 'MsgAppResp' && !message.reject;
    if (!random.chance(isVote ? 0.3 : isAcknowledgement ? 0.003 : 0)) return;
    const { life } = host;
    const [how, downMs] = [random.pick(['kill', 'crash'] as const), random.integer(0, 100)];
    clock.after(0, () => {
      if (life === host.life && this.#active) this.#end(host, how, downMs);
    });
  }

  /** Everything is whole again, for good. */
  healAll(): void {
    this.#active = false;
    const { network, hosts } = this.#options;
    network.heal();
    Object.assign(network.faults, { lossRate: 0, duplicateRate: 0, delayMs: [0, 2], reorder: false, lateRate: 0 });
    for (const host of hosts()) {
      host.disk.fault = undefined;
      host.resume();
    }
  }

  #end(host: Host, how: 'kill' | 'crash', downMs: number): void {
    this.#options.note(`${how} of ${host.name} for ${downMs}`);
    host[how]();
    this.#options.clock.after(downMs, () => this.#options.restart(host));
  }

  #partition(kind: 'partition' | 'one-way-partition'): void {
    const { random, network, hosts } = this.#options;
    network.heal();
    if (random.chance(0.4)) return;
    const names = hosts().map(({ name }) => name);
    const alone = this.#victim().name;
    const others = names.filter((name) => name !== alone);
    if (kind === 'one-way-partition') {
      if (random.chance(0.5)) for (const other of others) network.cut(alone, other);
      else network.cut(random.pick(others), alone);
      return;
    }
    const second = random.pick(others);
    const size = names.length > 3 && random.chance(0.5) ? 2 : 1;
    const some = size === 2 ? [alone, second] : [alone];
    network.partition(
      some,
      names.filter((name) => !some.includes(name)),
    );
  }

  #diskFault(host: Host): void {
    const { random, clock } = this.#options;
    host.disk.fault = random.pick(['write', 'sync', 'full'] as const);
    clock.after(random.integer(0, 2000), () => {
      host.disk.fault = undefined;
    });
  }

  /** Flips a bit of the log, but not of its last record, which is taken for torn; of a minority, or data must be lost. */
  #rot(host: Host): void {
    const { random, hosts, enabled } = this.#options;
    const rotten = hosts().filter(({ isRotten }) => isRotten).length;
    // Where members come and go, two lost disks may be two of three votes.
    const most = enabled.has('membership') ? 1 : (hosts().length - 1) / 2;
    if (host.isRotten || host.running === undefined || rotten + 1 > most) return;
    if (host.running.member.status().members.filter(({ isLearner }) => !isLearner).length < 3) return;
    const place = random.pick(recordsOf(host, random));
    if (place === undefined) return;
    this.#end(host, 'kill', random.integer(0, 500));
    host.isRotten = true;
    host.disk.rot(place.path, place.offset);
  }
}

function recordsOf(
  host: Host,
  random: SeededRandom,
): ({ readonly path: string; readonly offset: number } | undefined)[] {
  const folder = join(`/${host.name}`, 'member', 'wal');
  const places: { readonly path: string; readonly offset: number }[] = [];
  for (const path of host.disk.paths().filter((each) => each.startsWith(folder) && each.endsWith('.wal'))) {
    const segment = host.disk.contents(path);
    for (let offset = 0; offset < segment.length;) {
      const record = recordAt(segment, offset);
      if (record === undefined) break;
      places.push({ path, offset: random.integer(offset, record.end - 1) });
      offset = record.end;
    }
  }
  const known = places.slice(0, -1);
  return known.length > 0 ? known : [undefined];
}
