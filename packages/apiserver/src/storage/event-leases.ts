import type { EtcdClient } from '@naru/etcd-client';

/** Objects that share one lease at most, so that its end does not delete too much at once. */
const OBJECTS_PER_LEASE_MAX = 1000;
/** A lease is given to new objects for this long; so it lives longer than the TTL asked for by as much. */
const REUSE_MS = 60_000;

/** Leases for objects that expire, such as Events: one is shared by what is written within a minute. */
export class EventLeases {
  readonly #client: Pick<EtcdClient, 'leaseGrant'>;
  readonly #monotonic: () => number;
  #lease:
    { readonly id: Promise<bigint>; readonly ttlSeconds: number; readonly until: number; objects: number } | undefined;

  constructor(client: Pick<EtcdClient, 'leaseGrant'>, monotonic: () => number) {
    this.#client = client;
    this.#monotonic = monotonic;
  }

  /** A lease that ends in `ttlSeconds` or up to a minute later. */
  async leaseFor(ttlSeconds: number): Promise<bigint> {
    const now = this.#monotonic();
    const lease = this.#lease;
    if (
      lease !== undefined &&
      lease.ttlSeconds === ttlSeconds &&
      now < lease.until &&
      lease.objects < OBJECTS_PER_LEASE_MAX
    ) {
      lease.objects++;
      return await lease.id;
    }
    const id = this.#client.leaseGrant({ ttl: ttlSeconds + REUSE_MS / 1000 }).then((response) => response.id);
    this.#lease = { id, ttlSeconds, until: now + REUSE_MS, objects: 1 };
    try {
      return await id;
    } catch (error) {
      this.#lease = undefined;
      throw error;
    }
  }
}
