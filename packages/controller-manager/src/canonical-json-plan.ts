/** JSON with sorted keys and without what is empty: equal for what the API takes as equal. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(prune(value)) ?? 'null';
}

function prune(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(prune);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([, each]) => each !== null && each !== undefined && !isEmptyObject(each))
    .map(([key, each]) => [key, prune(each)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}

/** Empty lists and maps count as missing. An empty object may mean something (`emptyDir: {}`), but so does its absence. */
function isEmptyObject(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
