import { refuse, type RangeOperation, type RangeResult, type Refusal } from './operation.ts';
import type { MvccStore } from './store.ts';
import type { Version } from './version.ts';

/** Reads a range as etcd does: `count` knows no limit or filter, and a sort needs all keys before the limit is applied. */
export function executeRange(store: MvccStore, operation: RangeOperation): RangeResult | Refusal {
  const current = store.readRevision;
  if (operation.revision > current) return refuse('futureRevision');
  const revision = operation.revision <= 0 ? current : operation.revision;
  if (revision < store.compactRevision) return refuse('compacted');

  const { limit } = operation;
  const filtered = hasFilter(operation);
  const fetchMax = limit > 0 && operation.sortOrder === 'NONE' && !filtered ? limit + 1 : Number.MAX_SAFE_INTEGER;
  let versions: Version[] = [];
  let count = 0;
  const keep = !operation.countOnly;
  store.visit(operation, revision, (version) => {
    count++;
    if (keep && versions.length < fetchMax && (!filtered || passes(operation, version))) versions.push(version);
  });
  sort(versions, operation);
  const more = limit > 0 && versions.length > limit;
  if (more) versions = versions.slice(0, limit);
  return { type: 'range', revision: current, versions, keysOnly: operation.keysOnly, more, count };
}

function hasFilter(operation: RangeOperation): boolean {
  return (
    operation.minModRevision !== 0 ||
    operation.maxModRevision !== 0 ||
    operation.minCreateRevision !== 0 ||
    operation.maxCreateRevision !== 0
  );
}

function passes(operation: RangeOperation, version: Version): boolean {
  return !(
    (operation.maxModRevision !== 0 && version.main > operation.maxModRevision) ||
    (operation.minModRevision !== 0 && version.main < operation.minModRevision) ||
    (operation.maxCreateRevision !== 0 && version.create > operation.maxCreateRevision) ||
    (operation.minCreateRevision !== 0 && version.create < operation.minCreateRevision)
  );
}

const comparators = {
  KEY: (a: Version, b: Version) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  VERSION: (a: Version, b: Version) => a.version - b.version,
  CREATE: (a: Version, b: Version) => a.create - b.create,
  MOD: (a: Version, b: Version) => a.main - b.main,
  VALUE: (a: Version, b: Version) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0),
} as const;

function sort(versions: Version[], operation: RangeOperation): void {
  const { sortOrder, sortTarget } = operation;
  // They come in ascending order of the keys.
  if (sortTarget === 'KEY' && sortOrder !== 'DESCEND') return;
  const compare = comparators[sortTarget];
  versions.sort(sortOrder === 'DESCEND' ? (a, b) => compare(b, a) : compare);
}
