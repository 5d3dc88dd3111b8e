import type { Lease } from './lease-store.ts';

/**
 * When leases run out, in milliseconds of a clock that the caller passes in. Each member keeps one, so that it can tell the
 * time left, but only the leader acts on it: it proposes to revoke what has expired. A new leader gives every lease its
 * whole time again, as it cannot know when the old one renewed it.
 */
export class LeaseClock {
  readonly #deadlines = new Map<bigint, number>();

  /** Starts a lease's time, or starts it again. */
  renew(lease: Lease, nowMs: number): void {
    this.#deadlines.set(lease.id, nowMs + lease.ttl * 1000);
  }

  remove(id: bigint): void {
    this.#deadlines.delete(id);
  }

  /** Gives all leases their whole time, and forgets those that are no more. */
  extendAll(leases: Iterable<Lease>, nowMs: number): void {
    this.#deadlines.clear();
    for (const lease of leases) this.renew(lease, nowMs);
  }

  /** Milliseconds left, never less than 0; undefined for an unknown lease. */
  remainingMs(id: bigint, nowMs: number): number | undefined {
    const deadline = this.#deadlines.get(id);
    return deadline === undefined ? undefined : Math.max(0, deadline - nowMs);
  }

  /** Leases whose time is up, at most `limit`. They stay until they are removed. */
  expired(nowMs: number, limit: number): bigint[] {
    const ids: bigint[] = [];
    for (const [id, deadline] of this.#deadlines) {
      if (deadline > nowMs) continue;
      ids.push(id);
      if (ids.length === limit) break;
    }
    return ids;
  }
}
