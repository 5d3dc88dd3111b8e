/**
 * One change of one key: what the key became at revision `main`/`sub`. Versions are never changed once made: readers,
 * watchers and snapshots share them.
 */
export interface Version {
  /** The key's bytes as a latin-1 string: one character per byte, so that strings compare as the bytes do. */
  readonly key: string;
  /** The store's revision after the transaction that made it. */
  readonly main: number;
  /** Its place within that transaction, from 0. */
  readonly sub: number;
  /** Revision at which the key came to be; 0 for a tombstone. */
  readonly create: number;
  /** Changes since its creation, from 1; 0: a tombstone, the key was deleted. */
  readonly version: number;
  readonly lease: bigint;
  /**
   * Its bytes, as a latin-1 string, too: in V8's heap, which is compacted, they take half of what a Buffer takes, whose memory
   * is not given back where neighbours live on.
   */
  readonly value: string;
}

/** A key with its uncompacted versions, oldest first, never none. Several generations: a tombstone ends each but the last. */
export interface KeyRecord {
  readonly key: string;
  versions: Version[];
}

/** The index of the last version of `record` at or before revision `main`; -1: there is none. */
export function indexAt(record: KeyRecord, main: number): number {
  const { versions } = record;
  let low = 0;
  let high = versions.length - 1;
  // Nearly all reads are at the newest revision.
  if ((versions[high]?.main ?? 0) <= main) return high;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle]?.main ?? 0) <= main) low = middle + 1;
    else high = middle - 1;
  }
  return high;
}

/** What `record` is at revision `main`: undefined if it does not exist then. */
export function versionAt(record: KeyRecord, main: number): Version | undefined {
  const version = record.versions[indexAt(record, main)];
  return version === undefined || version.version === 0 ? undefined : version;
}
