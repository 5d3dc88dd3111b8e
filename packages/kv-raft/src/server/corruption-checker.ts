import type { Cancel, Clock, Logger } from '@naru/component';
import { isEtcdError } from '@naru/etcd';
import type { Consensus, MemberInfo } from '../consensus.ts';
import { every } from './every.ts';
import { hashKeySpace, type KeySpaceHash } from './key-space-hash.ts';
import type { Proposer } from './proposer.ts';
import type { CommandResult, KvStateMachine } from './state-machine.ts';

/** Time for the others to apply what this member has applied, before they are asked for their hash of it; and between tries. */
const SETTLE_MS = 500;
/** How often one is asked that is still behind. */
const ATTEMPTS_MAX = 10;
/** How often a member that starts looks whether it has caught up. */
const CAUGHT_UP_POLL_MS = 1000;

export interface CorruptionCheckOptions {
  /** Upstream's `--experimental-initial-corrupt-check`. */
  readonly initial: boolean;
  /** Upstream's `--experimental-compact-hash-check-time`; undefined: not enabled. */
  readonly compactHashCheckMs: number | undefined;
  /** Upstream's `--experimental-corrupt-check-time`; 0: never. */
  readonly intervalMs: number;
  /** Asks another member for its hash. @throws Error when it does not answer, or cannot */
  readonly peerHash: (peer: MemberInfo, revision: number) => Promise<KeySpaceHash>;
}

export interface CorruptionCheckerOptions extends CorruptionCheckOptions {
  readonly consensus: Consensus<CommandResult>;
  readonly proposer: Proposer;
  readonly machine: KvStateMachine;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface MemberHash extends KeySpaceHash {
  readonly id: bigint;
}

/**
 * The members whose key space differs from what a majority of `memberCount` has; 0n when there is a difference, but no
 * majority. Hashes of another compact revision than the first's say nothing.
 */
export function differingMembers(hashes: readonly MemberHash[], memberCount: number): readonly bigint[] {
  const compactRevision = hashes[0]?.compactRevision;
  const comparable = hashes.filter((each) => each.compactRevision === compactRevision);
  const byHash = Map.groupBy(comparable, ({ hash }) => hash);
  if (byHash.size <= 1) return [];
  const quorum = Math.floor(memberCount / 2) + 1;
  const right = [...byHash.values()].find((each) => each.length >= quorum);
  return right === undefined ? [0n] : comparable.filter((each) => !right.includes(each)).map(({ id }) => id);
}

/**
 * Compares the key space with the other members': this member's when it starts, all members' while it leads, after
 * compactions and by time. Where one differs, the CORRUPT alarm is raised for it, and no member takes writes any more.
 */
export class CorruptionChecker implements Disposable {
  readonly #options: CorruptionCheckerOptions;
  readonly #stop = new AbortController();
  readonly #timers: Cancel[] = [];
  #checkedCompactRevision: number;
  #running = false;

  constructor(options: CorruptionCheckerOptions) {
    this.#options = options;
    const { machine, consensus, clock, initial, compactHashCheckMs, intervalMs } = options;
    this.#checkedCompactRevision = machine.store.compactRevision;
    if (initial) void this.#checkInitially();
    if (compactHashCheckMs !== undefined)
      this.#timers.push(
        every(clock, compactHashCheckMs, () => {
          const { compactRevision } = machine.store;
          if (!consensus.isLeader || compactRevision === this.#checkedCompactRevision) return;
          void this.check().then((done) => {
            if (done) this.#checkedCompactRevision = compactRevision;
          });
        }),
      );
    if (intervalMs > 0)
      this.#timers.push(every(clock, intervalMs, () => void (consensus.isLeader ? this.check() : undefined)));
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    for (const cancel of this.#timers) cancel();
  }

  /** Compares the members' key spaces now. Resolves with whether that could be done. Never rejects. */
  async check(): Promise<boolean> {
    if (this.#running) return false;
    this.#running = true;
    const { logger } = this.#options;
    try {
      const hashes = await this.#hashes();
      const { members } = this.#options.consensus.status();
      for (const id of differingMembers(hashes, members.length)) await this.#alarm(id, hashes);
      return true;
    } catch (error) {
      if (!this.#stop.signal.aborted) logger.warn({ err: error }, 'key spaces could not be compared');
      return false;
    } finally {
      this.#running = false;
    }
  }

  async #checkInitially(): Promise<void> {
    const { proposer, clock } = this.#options;
    const { signal } = this.#stop;
    for (;;) {
      try {
        await clock.sleep(CAUGHT_UP_POLL_MS, { signal });
        // What was written before must be applied, or there is nothing to compare.
        await proposer.linearize();
        if (signal.aborted || (await this.check())) return;
      } catch {
        if (signal.aborted) return;
      }
    }
  }

  async #hashes(): Promise<readonly MemberHash[]> {
    const { consensus, machine } = this.#options;
    const { memberId, members } = consensus.status();
    const own = await hashKeySpace(machine.store, 0);
    const others = members.filter(({ id, name }) => id !== memberId && name !== '');
    const hashes = await Promise.all(others.map(async (each) => await this.#hashOf(each, own)));
    return [{ id: memberId, ...own }, ...hashes.filter((each) => each !== undefined)];
  }

  /** Undefined: the member is down, behind for too long, or has compacted beyond `own` already. */
  async #hashOf(peer: MemberInfo, own: KeySpaceHash): Promise<MemberHash | undefined> {
    const { peerHash, clock, logger } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      await clock.sleep(SETTLE_MS, { signal: this.#stop.signal });
      try {
        const answer = await peerHash(peer, own.revision);
        // It has the revision, but not yet the compaction that this member has.
        if (answer.compactRevision < own.compactRevision) continue;
        return { id: peer.id, ...answer };
      } catch (error) {
        if (isEtcdError(error, 'futureRevision')) continue;
        logger.debug({ err: error, peer: peer.id.toString(16) }, 'no hash of the member');
        return undefined;
      }
    }
    return undefined;
  }

  async #alarm(memberId: bigint, hashes: readonly MemberHash[]): Promise<void> {
    const { machine, proposer, logger } = this.#options;
    const told = hashes.map(({ id, hash, revision }) => ({ member: id.toString(16), hash, revision }));
    logger.error({ member: memberId.toString(16), hashes: told }, 'the key space of a member differs: it is corrupt');
    if (machine.alarms.some((each) => each.alarm === 'CORRUPT' && each.memberId === memberId)) return;
    await proposer.propose({ type: 'alarm', activate: true, memberId, alarm: 'CORRUPT' }, 'cluster');
  }
}
