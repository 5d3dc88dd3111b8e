interface Entry {
  readonly manager?: string;
  readonly operation?: string;
  readonly apiVersion?: string;
  readonly time?: string;
  readonly fieldsType?: string;
  readonly fieldsV1?: Fields;
}

interface Fields {
  readonly [element: string]: Fields;
}

function union(a: Fields | undefined, b: Fields): Fields {
  if (a === undefined) return b;
  const both: Record<string, Fields> = { ...withSelf(a) };
  for (const [element, below] of Object.entries(withSelf(b))) both[element] = union(both[element], below);
  return both;
}

function withSelf(fields: Fields): Fields {
  return Object.keys(fields).length === 0 ? { '.': {} } : fields;
}

/** Every field that is in the set, marked as such, so that sets differ where their members do. */
function marked(fields: Fields): unknown {
  const entries = Object.entries(withSelf(fields));
  return Object.fromEntries(entries.map(([element, below]) => [element, element === '.' ? 'owned' : marked(below)]));
}

/**
 * Entries by who writes what in which version. 1.20 knows no subresources: what a manager owns by several of them is one
 * entry; its order is that of times, which are not compared.
 */
export function maskManagedFields(entries: unknown): unknown {
  if (!Array.isArray(entries)) return entries;
  const masked: Record<string, { fieldsType: unknown; time: unknown; fields: Fields }> = {};
  for (const { manager, operation, apiVersion, time, fieldsType, fieldsV1 = {} } of entries as readonly Entry[]) {
    const name = `${manager} ${operation} ${apiVersion}`;
    masked[name] = { fieldsType, time: typeof time, fields: union(masked[name]?.fields, fieldsV1) };
  }
  return Object.fromEntries(
    Object.entries(masked).map(([name, { fields, ...rest }]) => [name, { ...rest, fields: marked(fields) }]),
  );
}
