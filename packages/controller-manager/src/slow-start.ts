/**
 * Calls `fn` `count` times in batches of 1, 2, 4…: when the server refuses (a quota, a bad template) it is asked a few
 * times, not `count` times. Stops after a batch in which a call failed. Resolves with the number of calls that succeeded,
 * the number that were not made, and the first failure.
 */
export async function slowStartBatch(
  count: number,
  fn: () => Promise<void>,
): Promise<{ readonly succeeded: number; readonly skipped: number; readonly error: unknown }> {
  let succeeded = 0;
  let called = 0;
  for (let size = Math.min(1, count); size > 0; size = Math.min(size * 2, count - called)) {
    const results = await Promise.allSettled(Array.from({ length: size }, fn));
    called += size;
    const failures = results.filter((result) => result.status === 'rejected');
    succeeded += size - failures.length;
    const [first] = failures;
    if (first !== undefined) return { succeeded, skipped: count - called, error: first.reason };
  }
  return { succeeded, skipped: 0, error: undefined };
}
