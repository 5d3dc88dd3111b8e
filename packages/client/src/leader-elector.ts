import { formatMicroTime, isNotFound, leases, type Lease } from '@naru/api';
import { systemClock, type Clock, type Logger } from '@naru/component';
import type { Client } from './client.ts';

export interface LeaderElectorOptions {
  readonly client: Client;
  readonly namespace: string;
  readonly name: string;
  /** Who this candidate is: unique among all candidates. */
  readonly identity: string;
  /** How long others wait after the last renewal that they saw; default 15 s. */
  readonly leaseDurationMs?: number;
  /** How long the leader tries to renew before it gives up; less than the lease's duration; default 10 s. */
  readonly renewDeadlineMs?: number;
  /** Time between two tries; default 2 s. */
  readonly retryPeriodMs?: number;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Candidates spread their tries by up to this share of the retry period: upstream's. */
const JITTER = 1.2;

/**
 * Leader election by a Lease, as client-go's: who holds the Lease leads as long as it renews. Clocks need not agree: a
 * candidate counts the lease's duration from when it saw the Lease change, on its own monotonic clock.
 */
export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #clock: Clock;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  #observed: Lease | undefined;
  #observedMs = 0;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2000;
    if (this.#leaseDurationMs <= this.#renewDeadlineMs)
      throw new RangeError('the lease duration must be greater than the renew deadline');
    if (this.#renewDeadlineMs <= this.#retryPeriodMs * JITTER)
      throw new RangeError('the renew deadline must be greater than 1.2 times the retry period');
  }

  /** Who held the Lease when it was last seen; '' when nobody is known to. */
  get leader(): string {
    return this.#observed?.spec?.holderIdentity ?? '';
  }

  get isLeader(): boolean {
    return this.leader === this.#options.identity && !this.#isExpired();
  }

  /**
   * Waits to become the leader, then runs `lead`; its signal aborts when leadership is lost or `signal` aborts.
   * Resolves when it is over: with 'lost' when another may lead by now (the process should end, as upstream's do), with
   * 'stopped' after `signal` aborted and `lead` has returned; the Lease is then given back.
   */
  async run(lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<'lost' | 'stopped'> {
    const { logger, identity, name } = this.#options;
    if (!(await this.#acquire(signal))) return 'stopped';
    logger.info({ identity, lease: name }, 'became leader');
    const term = new AbortController();
    const leading = lead(AbortSignal.any([signal, term.signal]));
    // The term ends when it is lost, when it is to stop, or when what it leads fails.
    const renewing = this.#renew(AbortSignal.any([signal, term.signal]));
    const ended = await Promise.race([
      renewing,
      leading.then(
        () => 'returned' as const,
        (error: unknown) => ({ error }),
      ),
    ]);
    if (ended === 'lost') logger.error({ identity, lease: name }, 'leadership lost');
    term.abort(new Error('leadership ended'));
    await renewing;
    if (ended === 'lost') {
      await leading.catch(() => {});
      return 'lost';
    }
    try {
      await leading;
    } finally {
      await this.#release();
    }
    return 'stopped';
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    const random = this.#options.random ?? Math.random;
    while (!signal.aborted) {
      if (await this.#tryAcquireOrRenew(signal)) return true;
      await this.#clock.sleep(this.#retryPeriodMs * (1 + (JITTER - 1) * random()), { signal }).catch(() => {});
    }
    return false;
  }

  /** Renews until it cannot ('lost') or need not ('stopped'). */
  async #renew(signal: AbortSignal): Promise<'lost' | 'stopped'> {
    let renewedMs = this.#clock.monotonic();
    for (;;) {
      await this.#clock.sleep(this.#retryPeriodMs, { signal }).catch(() => {});
      if (signal.aborted) return 'stopped';
      const leftMs = this.#renewDeadlineMs - (this.#clock.monotonic() - renewedMs);
      if (leftMs <= 0) return 'lost';
      const deadline = new AbortController();
      const cancel = this.#clock.after(leftMs, () => deadline.abort(new Error('renew deadline exceeded')));
      const startedMs = this.#clock.monotonic();
      const renewed = await this.#tryAcquireOrRenew(AbortSignal.any([signal, deadline.signal]));
      cancel();
      if (renewed) renewedMs = startedMs;
      else if (!signal.aborted && this.leader !== '' && this.leader !== this.#options.identity) return 'lost';
    }
  }

  async #tryAcquireOrRenew(signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#tryOnce(signal);
    } catch (error) {
      if (!signal.aborted)
        this.#options.logger.debug({ err: error, lease: this.#options.name }, 'cannot take or renew the lease');
      return false;
    }
  }

  async #tryOnce(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity } = this.#options;
    const now = formatMicroTime(this.#clock.now());
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    };
    // The leader renews what it wrote last without reading first; the revision says whether that still stands.
    if (this.isLeader && this.#observed?.spec !== undefined) {
      const { acquireTime, leaseTransitions } = this.#observed.spec;
      const renewed = { ...this.#observed, spec: { ...spec, ...defined({ acquireTime, leaseTransitions }) } };
      try {
        this.#observe(await client.update(leases, renewed, { namespace, signal }));
        return true;
      } catch {
        // Someone else wrote it, or the server was not reached: read it, then decide.
      }
    }
    let stored: Lease;
    try {
      stored = await client.get(leases, name, { namespace, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const metadata = { name, namespace };
      const lease: Lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
      this.#observe(await client.create(leases, lease, { namespace, signal }));
      return true;
    }
    if (stored.metadata.resourceVersion !== this.#observed?.metadata.resourceVersion) this.#observe(stored);
    const held = this.leader === identity;
    if (!held && this.leader !== '' && !this.#isExpired()) return false;
    const transitions = stored.spec?.leaseTransitions ?? 0;
    const taken = {
      ...stored,
      spec: {
        ...spec,
        ...(held ? defined({ acquireTime: stored.spec?.acquireTime }) : {}),
        leaseTransitions: held ? transitions : transitions + 1,
      },
    };
    this.#observe(await client.update(leases, taken, { namespace, signal }));
    return true;
  }

  /** Gives the Lease back, so that another need not wait for its end. */
  async #release(): Promise<void> {
    const { client, namespace, logger } = this.#options;
    if (!this.isLeader || this.#observed === undefined) return;
    const now = formatMicroTime(this.#clock.now());
    const spec = {
      holderIdentity: '',
      leaseDurationSeconds: 1,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: this.#observed.spec?.leaseTransitions ?? 0,
    };
    const deadline = new AbortController();
    const cancel = this.#clock.after(this.#renewDeadlineMs, () => deadline.abort(new Error('deadline exceeded')));
    try {
      this.#observe(await client.update(leases, { ...this.#observed, spec }, { namespace, signal: deadline.signal }));
    } catch (error) {
      logger.warn({ err: error, lease: this.#options.name }, 'cannot give the lease back');
    } finally {
      cancel();
    }
  }

  #observe(lease: Lease): void {
    this.#observed = lease;
    this.#observedMs = this.#clock.monotonic();
  }

  /** Whether the holder has not renewed for as long as it promised to; a foreign holder's promise counts. */
  #isExpired(): boolean {
    const seconds = this.#observed?.spec?.leaseDurationSeconds;
    const durationMs = seconds === undefined ? this.#leaseDurationMs : seconds * 1000;
    return this.#clock.monotonic() - this.#observedMs >= durationMs;
  }
}

/** Without the fields that are undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
