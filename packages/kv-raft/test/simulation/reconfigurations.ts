import type { SeededRandom, VirtualClock } from '@naru/testkit';
import { ConsensusError, MembershipError, type MemberInfo, type MembershipChange } from '../../src/consensus.ts';
import type { Host, Running } from './host.ts';

const CHANGE_TIMEOUT_MS = 5000;
const MEMBERS_MAX = 5;
const VOTERS_MIN = 3;

export interface ReconfigurationsOptions {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly hosts: () => readonly Host[];
  /** Makes a host for a member that joins, and starts it. */
  readonly join: (name: string) => void;
  /** Switches a host off for good. */
  readonly drop: (name: string) => void;
  readonly note: (text: string) => void;
}

export function hostNameOf({ peerUrls }: Pick<MemberInfo, 'peerUrls'>): string {
  return (peerUrls[0] ?? '').replace('http://', '');
}

/** The operator who adds, promotes and removes members, and replaces those whose disk is lost. */
export class Reconfigurations {
  readonly #options: ReconfigurationsOptions;
  #names = 0;
  #busy = false;
  readonly counts = { changes: 0 };

  constructor(options: ReconfigurationsOptions) {
    this.#options = options;
  }

  /** Makes one change, unless one is being made. */
  async change(options: { readonly onlyNeeded: boolean }): Promise<void> {
    if (this.#busy) return;
    const { random, hosts, note } = this.#options;
    const { running } = random.pick(hosts());
    if (running === undefined) return;
    this.#startAdded(running);
    if (options.onlyNeeded) this.#dropRemoved(running);
    const change = this.#needed(running) ?? (options.onlyNeeded ? undefined : this.#any(running));
    if (change === undefined) return;
    this.#busy = true;
    try {
      await this.#make(running, change);
    } finally {
      this.#busy = false;
      note(`change ended: ${change.type}`);
    }
  }

  /** Members whose fate is still open: not started, not whole, removed but running. */
  get isSettled(): boolean {
    const hosts = this.#options.hosts();
    const { running } = hosts.find((host) => host.running?.member.isLeader === true) ?? {};
    if (running === undefined || this.#busy) return false;
    const { members } = running.member.status();
    const names = members.map(hostNameOf).sort();
    return (
      names.join() ===
        hosts
          .map(({ name }) => name)
          .sort()
          .join() &&
      members.every(({ name }) => name !== '') &&
      hosts.every(({ isRefused }) => !isRefused)
    );
  }

  /** Whoever was added must be started: the answer to the one who asked may be lost. */
  #startAdded(running: Running): void {
    const { hosts, join } = this.#options;
    for (const member of running.member.status().members) {
      const name = hostNameOf(member);
      if (member.name === '' && !hosts().some((host) => host.name === name)) join(name);
    }
  }

  /** Whoever was removed before it had heard of the others cannot learn of it. */
  #dropRemoved({ member }: Running): void {
    if (!member.isLeader) return;
    const names = new Set(member.status().members.map(hostNameOf));
    for (const { name } of this.#options.hosts()) if (!names.has(name)) this.#options.drop(name);
  }

  /** A member that will never serve again is removed, so that another can take its place. */
  #needed(running: Running): MembershipChange | undefined {
    const { members } = running.member.status();
    const lost = this.#options.hosts().find(({ isRefused }) => isRefused);
    const member = members.find((each) => lost !== undefined && hostNameOf(each) === lost.name);
    if (member !== undefined) return { type: 'remove', id: member.id };
    const learner = members.find(({ isLearner, name }) => isLearner && name !== '');
    if (members.filter(({ isLearner }) => !isLearner).length >= VOTERS_MIN) return undefined;
    return learner === undefined ? this.#addition(members, 0.5) : { type: 'promote', id: learner.id };
  }

  #any(running: Running): MembershipChange | undefined {
    const { random } = this.#options;
    const { members } = running.member.status();
    const learners = members.filter(({ isLearner }) => isLearner);
    if (learners.length > 0 && random.chance(0.6)) return { type: 'promote', id: random.pick(learners).id };
    if (members.length < MEMBERS_MAX && random.chance(0.6)) return this.#addition(members, 0.7);
    const enough = members.length - learners.length > VOTERS_MIN;
    const removable = enough ? members : learners;
    return removable.length > 0 ? { type: 'remove', id: random.pick(removable).id } : this.#addition(members, 0.7);
  }

  #addition(members: readonly MemberInfo[], learnerShare: number): MembershipChange | undefined {
    // One at a time, or a learner that cannot start would hold up all others.
    if (members.some(({ name }) => name === '')) return undefined;
    const name = `j${++this.#names}`;
    return { type: 'add', peerUrls: [`http://${name}`], isLearner: this.#options.random.chance(learnerShare) };
  }

  async #make(running: Running, change: MembershipChange): Promise<void> {
    const { clock, note } = this.#options;
    const timeout = new AbortController();
    const cancelAbort = running.clock.after(CHANGE_TIMEOUT_MS, () => timeout.abort());
    let cancel = (): void => undefined;
    // The process may die, and its answer with it.
    const tooLate = new Promise<void>((resolve) => {
      cancel = clock.after(2 * CHANGE_TIMEOUT_MS, resolve);
    });
    note(`change asked for: ${change.type}`);
    const asked = running.member.changeMembership(change, { signal: timeout.signal }).then((member) => {
      this.counts.changes++;
      note(`change made: ${change.type} ${hostNameOf(member)}`);
    });
    try {
      await Promise.race([asked, tooLate]);
    } catch (error) {
      if (!(error instanceof MembershipError) && !(error instanceof ConsensusError)) throw error;
      note(`change refused: ${error.message}`);
    } finally {
      cancelAbort();
      cancel();
    }
  }
}
