/** Upstream's delays of a container that keeps ending: 10 s, doubled each time, at most 5 minutes. */
export const BACKOFF_BASE_MS = 10_000;
export const BACKOFF_MAX_MS = 300_000;

interface Entry {
  readonly backoffMs: number;
  readonly updatedAt: number;
}

/**
 * How long containers (or images) wait before their next start, by key. A container that ran for twice the longest delay
 * begins anew. Pure: the time is an argument.
 */
export class CrashLoopBackoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #entries = new Map<string, Entry>();

  constructor(options: { readonly baseMs?: number; readonly maxMs?: number } = {}) {
    this.#baseMs = options.baseMs ?? BACKOFF_BASE_MS;
    this.#maxMs = options.maxMs ?? BACKOFF_MAX_MS;
  }

  /** The delay in force for what ended at `endedAt`, and when it is over; undefined if it may start now. */
  check(key: string, endedAt: number, now: number): { readonly backoffMs: number; readonly until: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#isExpired(entry, endedAt)) return undefined;
    const until = endedAt + entry.backoffMs;
    return now < until ? { backoffMs: entry.backoffMs, until } : undefined;
  }

  /** A start after an end at `endedAt`: the next delay is twice as long. */
  next(key: string, endedAt: number, now: number): void {
    const entry = this.#entries.get(key);
    const backoffMs =
      entry === undefined || this.#isExpired(entry, endedAt)
        ? this.#baseMs
        : Math.min(this.#maxMs, entry.backoffMs * 2);
    this.#entries.set(key, { backoffMs, updatedAt: now });
  }

  /** Forgets all keys of a pod: those that begin with its uid. */
  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key);
  }

  #isExpired(entry: Entry, at: number): boolean {
    return at - entry.updatedAt > this.#maxMs * 2;
  }
}

/** A delay as Go prints a duration of whole seconds: `10s`, `1m20s`, `5m0s`. */
export function formatSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
