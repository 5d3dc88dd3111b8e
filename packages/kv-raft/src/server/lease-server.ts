import { randomBytes } from 'node:crypto';
import {
  EtcdError,
  isEtcdError,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseRevokeResponse,
  type LeaseTimeToLiveResponse,
} from '@naru/etcd';
import type { Cancel, Clock, Logger } from '@naru/component';
import { refuseLeaseKeys } from '../auth/access.ts';
import type { AuthGuard, Credentials } from './auth-guard.ts';
import { every } from './every.ts';
import type { Proposer } from './proposer.ts';
import type { KvStateMachine } from './state-machine.ts';

/** Seconds; about 285 years, etcd's limit. */
const TTL_MAX = 9_000_000_000;
const EXPIRY_CHECK_MS = 500;
/** Expired leases that are revoked at one check. */
const EXPIRY_BATCH = 500;

/** etcd's Lease service on one member, and the expiry of leases while this member is the leader. */
export class LeaseServer implements Disposable {
  readonly counters = { granted: 0, revoked: 0, renewed: 0, expired: 0 };
  readonly #proposer: Proposer;
  readonly #machine: KvStateMachine;
  readonly #guard: AuthGuard;
  readonly #clock: Clock;
  readonly #ttlMin: number;
  readonly #logger: Logger;
  #cancel: Cancel | undefined;
  #revoking = false;

  constructor(options: {
    readonly proposer: Proposer;
    readonly machine: KvStateMachine;
    readonly guard: AuthGuard;
    readonly clock: Clock;
    /** Seconds: a lease must outlive an election. */
    readonly ttlMin: number;
    readonly logger: Logger;
  }) {
    this.#proposer = options.proposer;
    this.#machine = options.machine;
    this.#guard = options.guard;
    this.#clock = options.clock;
    this.#ttlMin = options.ttlMin;
    this.#logger = options.logger;
  }

  async grant(request: LeaseGrantRequest, credentials?: Credentials): Promise<LeaseGrantResponse> {
    if (request.ttl > TTL_MAX) throw new EtcdError('leaseTtlTooLarge');
    const id = request.id === undefined || request.id === 0n ? newLeaseId() : request.id;
    const ttl = Math.max(request.ttl, this.#ttlMin);
    const result = await this.#proposer.propose<'done'>({ type: 'leaseGrant', id, ttl }, credentials);
    this.counters.granted++;
    return { header: this.#proposer.header(result.revision), id, ttl };
  }

  async revoke(id: bigint, credentials?: Credentials): Promise<LeaseRevokeResponse> {
    const result = await this.#proposer.propose<'done'>({ type: 'leaseRevoke', id }, credentials);
    this.counters.revoked++;
    return { header: this.#proposer.header(result.revision) };
  }

  /** Renewals are replicated: an acknowledged one holds whoever leads next. */
  async keepAlive(id: bigint): Promise<LeaseKeepAliveResponse> {
    const result = await this.#proposer.propose<'renewed'>({ type: 'leaseKeepAlive', id });
    if (result.ttl > 0) this.counters.renewed++;
    return { header: this.#proposer.header(result.revision), id, ttl: result.ttl };
  }

  async timeToLive(
    request: { readonly id: bigint; readonly keys: boolean },
    credentials?: Credentials,
  ): Promise<LeaseTimeToLiveResponse> {
    await this.#proposer.linearize();
    if (request.keys)
      await this.#guard.check(credentials, (context, info) => refuseLeaseKeys(context, info, request.id));
    const { store, leaseClock } = this.#machine;
    const { id } = request;
    const header = this.#proposer.header(store.revision);
    const lease = store.leases.get(id);
    if (lease === undefined) return { header, id, ttl: -1, grantedTtl: 0, keys: [] };
    const keys = request.keys ? Array.from(lease.keys).toSorted() : [];
    return {
      header,
      id,
      ttl: Math.floor((leaseClock.remainingMs(id, this.#clock.monotonic()) ?? 0) / 1000),
      grantedTtl: lease.ttl,
      keys: keys.map((key) => Buffer.from(key, 'latin1')),
    };
  }

  async leases(): Promise<LeaseLeasesResponse> {
    await this.#proposer.linearize();
    const { store } = this.#machine;
    return { header: this.#proposer.header(store.revision), leases: Array.from(store.leases.values(), ({ id }) => id) };
  }

  /** Expiry runs on the leader only. */
  leadershipChanged(leading: boolean): void {
    this.#cancel?.();
    this.#cancel = leading ? every(this.#clock, EXPIRY_CHECK_MS, () => void this.#expire()) : undefined;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  async #expire(): Promise<void> {
    if (this.#revoking) return;
    this.#revoking = true;
    try {
      const ids = this.#machine.leaseClock.expired(this.#clock.monotonic(), EXPIRY_BATCH);
      await Promise.all(
        ids.map(async (id) => {
          try {
            // Late, or by a leader that is none any more, this must not end a lease that was renewed meanwhile.
            const renewedIndex = this.#machine.store.leases.get(id)?.renewedIndex ?? 0;
            await this.#proposer.propose({ type: 'leaseExpire', id, renewedIndex }, 'cluster');
            this.counters.expired++;
          } catch (error) {
            if (isEtcdError(error, 'leaseNotFound')) this.#machine.leaseClock.remove(id);
            else throw error;
          }
        }),
      );
    } catch (error) {
      // The next check, or the next leader, tries again.
      this.#logger.warn({ err: error }, 'revoking expired leases failed');
    } finally {
      this.#revoking = false;
    }
  }
}

function newLeaseId(): bigint {
  return randomBytes(8).readBigUInt64BE() & (2n ** 63n - 1n) || 1n;
}
