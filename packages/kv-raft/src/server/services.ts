import type { Cancel, Clock, Logger } from '@naru/component';
import type { Consensus } from '../consensus.ts';
import type { Version } from '../mvcc/version.ts';
import { WatchHub } from '../watch/watch-hub.ts';
import { AuthGuard } from './auth-guard.ts';
import { AuthServer } from './auth-server.ts';
import { AutoCompactor, type AutoCompaction } from './auto-compactor.ts';
import { ClusterServer } from './cluster-server.ts';
import { Compactor } from './compactor.ts';
import { CorruptionChecker, type CorruptionCheckOptions } from './corruption-checker.ts';
import { every } from './every.ts';
import { KvServer } from './kv-server.ts';
import { LeaseServer } from './lease-server.ts';
import { MaintenanceServer } from './maintenance-server.ts';
import { MemoryReclaimer } from './memory-reclaimer.ts';
import { Metrics } from './metrics.ts';
import { BCRYPT_COST_DEFAULT, Passwords } from './passwords.ts';
import { Proposer } from './proposer.ts';
import { Quota } from './quota.ts';
import type { SignedTokens } from './signed-tokens.ts';
import { KvStateMachine, type CommandResult, type StateMachineEvents } from './state-machine.ts';

/** How long a request may wait beyond two election timeouts, as etcd has it. */
const REQUEST_TIMEOUT_BASE_MS = 5000;
/** Every so often quiet watches that asked for progress are told it, and a quota's alarm may be lifted. */
const HOUSEKEEPING_MS = 5000;

export interface ServicesOptions {
  readonly electionTimeoutMs: number;
  readonly quotaBackendBytes: number;
  readonly requestBytesMax: number;
  readonly txnOpsMax: number;
  readonly autoCompaction?: AutoCompaction | undefined;
  /** Of passwords, as etcd's --bcrypt-cost. Default: 10. */
  readonly bcryptCost?: number | undefined;
  /** JWTs; absent: simple tokens. */
  readonly signedTokens?: SignedTokens | undefined;
  /** Absent: the members' key spaces are not compared. */
  readonly corruptionCheck?: CorruptionCheckOptions | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The state machine and what watches it: needed before consensus can start, as that fills the state machine. */
export class Replica implements StateMachineEvents, Disposable {
  readonly machine: KvStateMachine;
  readonly hub: WatchHub;
  readonly compactor: Compactor;
  readonly reclaimer: MemoryReclaimer;
  onLeadershipChanged: (term: number | undefined) => void = () => {};

  constructor(clock: Clock, options: { readonly authTokenTtlMs?: number | undefined } = {}) {
    const { authTokenTtlMs } = options;
    this.machine = new KvStateMachine({
      now: () => clock.monotonic(),
      events: this,
      ...(authTokenTtlMs === undefined ? {} : { authTokenTtlMs }),
    });
    this.hub = new WatchHub(this.machine.store, (step) => void setImmediate(step));
    this.reclaimer = new MemoryReclaimer({
      clock,
      appliedIndex: () => this.machine.appliedIndex,
      sizeBytes: () => this.machine.store.sizeBytes,
    });
    const freed = (bytes: number): void => this.reclaimer.freed(bytes);
    this.compactor = new Compactor({ store: () => this.machine.store, clock, freed });
  }

  changed(changes: readonly Version[]): void {
    this.hub.changed(changes);
  }

  compacted(): void {
    this.compactor.start();
  }

  restored(): void {
    this.hub.restored(this.machine.store);
    this.compactor.start();
  }

  leadershipChanged(term: number | undefined): void {
    this.onLeadershipChanged(term);
  }

  [Symbol.dispose](): void {
    this.compactor[Symbol.dispose]();
    this.reclaimer[Symbol.dispose]();
  }
}

/** etcd's services on one member, over its replica and its consensus. */
export class Services implements Disposable {
  readonly replica: Replica;
  readonly proposer: Proposer;
  readonly guard: AuthGuard;
  readonly auth: AuthServer;
  readonly cluster: ClusterServer;
  readonly kv: KvServer;
  readonly lease: LeaseServer;
  readonly maintenance: MaintenanceServer;
  readonly metrics: Metrics;
  readonly #autoCompactor: AutoCompactor | undefined;
  readonly #corruptionChecker: CorruptionChecker | undefined;
  readonly #cancelHousekeeping: Cancel;

  constructor(replica: Replica, consensus: Consensus<CommandResult>, options: ServicesOptions) {
    const { machine, hub, compactor } = replica;
    const { clock, logger } = options;
    this.replica = replica;
    const { signedTokens } = options;
    const guard = new AuthGuard({ machine, clock, signedTokens });
    const proposer = new Proposer({
      consensus,
      guard,
      requestTimeoutMs: REQUEST_TIMEOUT_BASE_MS + 2 * options.electionTimeoutMs,
      requestBytesMax: options.requestBytesMax,
      clock,
    });
    const { memberId } = consensus.status();
    const quota = new Quota({ bytesMax: options.quotaBackendBytes, proposer, machine, memberId });
    const kv = new KvServer({
      proposer,
      machine,
      quota,
      guard,
      txnOpsMax: options.txnOpsMax,
      compacted: async () => await compactor.finished(),
    });
    this.proposer = proposer;
    this.cluster = new ClusterServer({ consensus, proposer });
    this.kv = kv;
    this.guard = guard;
    const passwords = new Passwords({ bcryptCost: options.bcryptCost ?? BCRYPT_COST_DEFAULT });
    this.auth = new AuthServer({ proposer, machine, guard, passwords, signedTokens });
    this.lease = new LeaseServer({
      proposer,
      machine,
      guard,
      clock,
      ttlMin: Math.ceil((1.5 * options.electionTimeoutMs) / 1000),
      logger,
    });
    this.maintenance = new MaintenanceServer({ consensus, proposer, machine });
    const { lease, maintenance } = this;
    this.metrics = new Metrics({ consensus, machine, proposer, quota, kv, lease, maintenance, hub });
    const auto = options.autoCompaction;
    if (auto !== undefined) {
      const compact = async (revision: number): Promise<unknown> => await kv.compact({ revision }, 'cluster');
      this.#autoCompactor = new AutoCompactor({ auto, clock, revision: () => machine.store.revision, compact, logger });
    }
    const { corruptionCheck } = options;
    if (corruptionCheck !== undefined)
      this.#corruptionChecker = new CorruptionChecker({
        ...corruptionCheck,
        consensus,
        proposer,
        machine,
        clock,
        logger,
      });
    replica.onLeadershipChanged = (term) => this.#leadershipChanged(term);
    if (consensus.isLeader) this.#leadershipChanged(consensus.status().term);
    this.#cancelHousekeeping = every(clock, HOUSEKEEPING_MS, () => {
      hub.notifyProgress();
      quota.lift().catch((error: unknown) => logger.warn({ err: error }, 'lifting the quota alarm failed'));
    });
  }

  [Symbol.dispose](): void {
    this.#cancelHousekeeping();
    this.lease[Symbol.dispose]();
    this.#autoCompactor?.[Symbol.dispose]();
    this.#corruptionChecker?.[Symbol.dispose]();
    this.replica[Symbol.dispose]();
    this.proposer[Symbol.dispose]();
  }

  #leadershipChanged(term: number | undefined): void {
    this.metrics.leaderChanged();
    this.lease.leadershipChanged(term !== undefined);
    this.#autoCompactor?.leadershipChanged(term !== undefined);
  }
}
