import type { Clock } from '@naru/component';
import { EtcdError, type ResponseHeader, type ServerErrorCode } from '@naru/etcd';
import {
  ConsensusError,
  type Consensus,
  type ConsensusErrorCode,
  type MemberInfo,
  type MembershipChange,
} from '../consensus.ts';
import { CommandEncoder, type Command, type Origin } from '../mvcc/command.ts';
import type { AuthGuard, Credentials } from './auth-guard.ts';
import { Deadlines } from './deadlines.ts';
import type { CommandResult } from './state-machine.ts';

const serverCodes = {
  'no-leader': 'noLeader',
  'leader-lost': 'leaderChanged',
  timeout: 'timeout',
  'too-many-requests': 'tooManyRequests',
  stopped: 'stopped',
  storage: 'stopped',
} as const satisfies Record<ConsensusErrorCode, ServerErrorCode>;

/** How often a request that found no leader tries again, until its deadline. */
const NO_LEADER_RETRY_MS = 20;

export interface ProposerOptions {
  readonly consensus: Consensus<CommandResult>;
  /** How long a request may wait for consensus. */
  readonly requestTimeoutMs: number;
  /** Larger commands are refused. */
  readonly requestBytesMax: number;
  readonly guard: AuthGuard;
  readonly clock: Clock;
}

export type Applied = Exclude<CommandResult, { readonly type: 'error' }>;

/** Everything that goes through consensus: proposals and linearizable reads, with deadlines and etcd's errors. */
export class Proposer implements Disposable {
  readonly #consensus: Consensus<CommandResult>;
  readonly #deadlines: Deadlines;
  readonly #encoder = new CommandEncoder();
  readonly #requestBytesMax: number;
  readonly #guard: AuthGuard;
  readonly #clock: Clock;
  pending = 0;
  failed = 0;
  readIndexesFailed = 0;

  constructor(options: ProposerOptions) {
    this.#consensus = options.consensus;
    this.#requestBytesMax = options.requestBytesMax;
    this.#guard = options.guard;
    this.#clock = options.clock;
    this.#deadlines = new Deadlines({
      clock: options.clock,
      timeoutMs: options.requestTimeoutMs,
      reason: () => new ConsensusError('timeout'),
    });
  }

  /**
   * Proposes `command` on behalf of who shows `credentials`, or of the members themselves, and resolves with what it answered
   * when applied here.
   * @throws EtcdError when it was refused, or could not be replicated
   */
  async propose<T extends Applied['type']>(
    command: Command,
    credentials?: Credentials | 'cluster',
  ): Promise<Extract<Applied, { readonly type: T }>> {
    this.pending++;
    try {
      for (let revision = -1; ;) {
        const origin = await this.#originOf(credentials);
        const result = await this.#proposeOnce(command, origin);
        if (result.type !== 'error') return result as Extract<Applied, { readonly type: T }>;
        // Rights were changed between the question who it is and the application, which changed nothing: it is asked again.
        const outdated = result.code === 'authOldRevision' && typeof origin === 'object' && origin.revision > revision;
        if (!outdated) throw new EtcdError(result.code);
        revision = origin.revision;
      }
    } catch (error) {
      this.failed++;
      throw error;
    } finally {
      this.pending--;
    }
  }

  async #originOf(credentials: Credentials | 'cluster' | undefined): Promise<Origin> {
    if (credentials === 'cluster') return 'cluster';
    if (!this.#guard.enabled) return 'anonymous';
    return (await this.#guard.infoOf(credentials)) ?? 'anonymous';
  }

  async #proposeOnce(command: Command, origin: Origin): Promise<CommandResult> {
    const data = this.#encoder.encode(command, origin);
    if (data.length > this.#requestBytesMax) throw new EtcdError('requestTooLarge');
    return await this.#withLeader(async (signal) => await this.#consensus.propose(data, { signal }));
  }

  /** Resolves when this member knows all that was committed when it was called. */
  async linearize(): Promise<void> {
    try {
      await this.#withLeader(async (signal) => await this.#consensus.readIndex({ signal }));
    } catch (error) {
      this.readIndexesFailed++;
      throw error;
    }
  }

  /** Changes the members. @throws MembershipError when it is refused, EtcdError when it could not be replicated */
  async changeMembership(change: MembershipChange): Promise<MemberInfo> {
    return await this.#withLeader(async (signal) => await this.#consensus.changeMembership(change, { signal }));
  }

  /** The header of a response that was applied, or read, at `revision`. */
  header(revision: number): ResponseHeader {
    const { clusterId, memberId, term } = this.#consensus.status();
    return { clusterId, memberId, revision, raftTerm: term };
  }

  [Symbol.dispose](): void {
    this.#deadlines[Symbol.dispose]();
  }

  /** What found no leader was not begun, hence may be tried again; everything else is final. */
  async #withLeader<T>(attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = this.#deadlines.signal();
    for (;;) {
      try {
        return await attempt(signal);
      } catch (error) {
        if (!(error instanceof ConsensusError)) throw error;
        if (error.code !== 'no-leader' || signal.aborted)
          throw new EtcdError(serverCodes[error.code], { cause: error });
        await this.#clock.sleep(NO_LEADER_RETRY_MS);
        if (signal.aborted) throw new EtcdError('noLeader', { cause: error });
      }
    }
  }
}
