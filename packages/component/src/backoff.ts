/** Exponential backoff: `baseMs * factor^failures`, at most `maxMs`, plus up to `jitter` of it at random. */
export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  /** Default 2. */
  readonly factor?: number;
  /** Share of the delay that is added at random, 0..1; default 0. */
  readonly jitter?: number;
  /** Default Math.random. */
  readonly random?: () => number;
}

/** The delay before the next try, after `failures` failures in a row (0 for the first). */
export function backoffMs(failures: number, options: BackoffOptions): number {
  const delay = Math.min(options.maxMs, options.baseMs * (options.factor ?? 2) ** failures);
  return delay + delay * (options.jitter ?? 0) * (options.random ?? Math.random)();
}
