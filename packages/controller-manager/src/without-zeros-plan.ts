/** The counts that are not zero: a status leaves the others out, as upstream's `omitempty` does. */
export function withoutZeros<T extends Readonly<Record<string, number>>>(counts: T): Partial<T> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0)) as Partial<T>;
}
