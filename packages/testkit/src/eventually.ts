import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 5;

/**
 * Calls `fn` until it neither throws nor returns false, and resolves with what it returned.
 * @throws Error, with the last failure as its cause, when that takes longer than `deadlineMs` (default 60 s: a busy machine is no failure).
 */
export async function eventually<T>(
  fn: () => T | Promise<T>,
  options: { readonly deadlineMs?: number } = {},
): Promise<Exclude<T, false>> {
  const deadlineMs = options.deadlineMs ?? 60_000;
  const startedMs = performance.now();
  for (;;) {
    let failure: unknown = new Error('returned false');
    try {
      const value = await fn();
      if (value !== false) return value as Exclude<T, false>;
    } catch (error) {
      failure = error;
    }
    if (performance.now() - startedMs > deadlineMs) {
      const message = failure instanceof Error ? failure.message : String(failure);
      throw new Error(`not within ${deadlineMs} ms: ${message}`, { cause: failure });
    }
    await delay(POLL_MS);
  }
}
