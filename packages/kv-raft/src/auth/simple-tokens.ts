/** A token lives this long after its last use, as in etcd. */
export const AUTH_TOKEN_TTL_MS_DEFAULT = 300_000;
/** How many tokens one purge looks at most at; each new token purges some old ones. */
const PURGE_MAX = 16;

interface Holder {
  readonly user: string;
  readonly deadlineMs: number;
}

/**
 * etcd's simple tokens: every member notes each when its Authenticate is applied, and forgets it after a time without use,
 * or when it starts again. Not replicated beyond that, hence not in snapshots. Times are of a clock that the caller passes in.
 */
export class SimpleTokens {
  readonly #ttlMs: number;
  /** Least recently used first. */
  readonly #holders = new Map<string, Holder>();

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  get size(): number {
    return this.#holders.size;
  }

  assign(token: string, user: string, nowMs: number): void {
    this.#purge(nowMs);
    this.#holders.set(token, { user, deadlineMs: nowMs + this.#ttlMs });
  }

  /** Whose token it is; its time starts again. */
  use(token: string, nowMs: number): string | undefined {
    const holder = this.#holders.get(token);
    if (holder === undefined) return undefined;
    this.#holders.delete(token);
    if (holder.deadlineMs <= nowMs) return undefined;
    this.#holders.set(token, { user: holder.user, deadlineMs: nowMs + this.#ttlMs });
    return holder.user;
  }

  /** All tokens of a user are void. */
  revoke(user: string): void {
    for (const [token, holder] of this.#holders) if (holder.user === user) this.#holders.delete(token);
  }

  clear(): void {
    this.#holders.clear();
  }

  #purge(nowMs: number): void {
    let seen = 0;
    for (const [token, holder] of this.#holders) {
      if (holder.deadlineMs > nowMs || ++seen > PURGE_MAX) return;
      this.#holders.delete(token);
    }
  }
}
