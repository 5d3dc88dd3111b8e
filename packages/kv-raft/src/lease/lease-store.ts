/** A lease as all members know it. When it expires is the leader's business (LeaseClock). */
export interface Lease {
  readonly id: bigint;
  /** Seconds that were granted. */
  readonly ttl: number;
  /** Index of the command that granted or last renewed it. */
  renewedIndex: number;
  /** Keys bound to it. Invariant: each is alive in the store and its newest version names this lease. */
  readonly keys: Set<string>;
}

/** The replicated part of leases: which there are and which keys hang on them. */
export class LeaseStore {
  readonly #leases = new Map<bigint, Lease>();

  get size(): number {
    return this.#leases.size;
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  values(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  grant(id: bigint, ttl: number, index: number): Lease {
    const lease: Lease = { id, ttl, renewedIndex: index, keys: new Set() };
    this.#leases.set(id, lease);
    return lease;
  }

  remove(id: bigint): void {
    this.#leases.delete(id);
  }

  /** Moves `key` from lease `from` to lease `to`; 0n is no lease. */
  move(key: string, from: bigint, to: bigint): void {
    if (from === to) return;
    if (from !== 0n) this.#leases.get(from)?.keys.delete(key);
    if (to !== 0n) this.#leases.get(to)?.keys.add(key);
  }
}
