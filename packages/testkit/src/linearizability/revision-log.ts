import { inRange, type KvEvent, type KvRecord } from './kv-history.ts';

/** The whole history of a store: its changes by revision, without a gap. */
export class RevisionLog {
  readonly #events = new Map<number, readonly KvEvent[]>();
  /** By key: all its versions in order; a tombstone has version 0. */
  readonly #versions = new Map<string, KvRecord[]>();
  readonly #firstRevision: number;
  #lastRevision: number;

  /** `initialRevision`: the store's when it was empty. */
  constructor(initialRevision = 1) {
    this.#firstRevision = initialRevision + 1;
    this.#lastRevision = initialRevision;
  }

  get lastRevision(): number {
    return this.#lastRevision;
  }

  /**
   * Adds the changes of the next revision.
   * @throws Error if a key's version or creation does not follow from what was before, or revisions are left out
   */
  append(revision: number, events: readonly KvEvent[]): void {
    if (revision !== this.#lastRevision + 1) throw new Error(`revision ${revision} follows ${this.#lastRevision}`);
    if (events.length === 0) throw new Error(`revision ${revision} has no events`);
    this.#lastRevision = revision;
    this.#events.set(revision, events);
    for (const event of events) this.#add(revision, event);
  }

  #add(revision: number, { type, kv }: KvEvent): void {
    const versions = this.#versions.get(kv.key) ?? [];
    this.#versions.set(kv.key, versions);
    const last = versions.at(-1);
    const before = last === undefined || last.version === 0 ? undefined : last;
    const wrong = (reason: string): Error => new Error(`revision ${revision}, key ${kv.key}: ${reason}`);
    if (kv.modRevision !== revision) throw wrong(`mod revision ${kv.modRevision}`);
    if (last?.modRevision === revision) throw wrong('changed twice');
    if (type === 'DELETE') {
      if (before === undefined) throw wrong('deleted, but it was not there');
      versions.push({ ...kv, value: '', createRevision: 0, version: 0, lease: '' });
      return;
    }
    const createRevision = before?.createRevision ?? revision;
    const version = (before?.version ?? 0) + 1;
    if (kv.createRevision !== createRevision || kv.version !== version)
      throw wrong(`created ${kv.createRevision}, version ${kv.version}; expected ${createRevision}, ${version}`);
    versions.push(kv);
  }

  eventsAt(revision: number): readonly KvEvent[] {
    return this.#events.get(revision) ?? [];
  }

  /** All revisions with their events, in order. */
  *entries(from = this.#firstRevision): Generator<readonly [number, readonly KvEvent[]]> {
    for (let revision = Math.max(from, this.#firstRevision); revision <= this.#lastRevision; revision++)
      yield [revision, this.eventsAt(revision)];
  }

  /** The key as it was at a revision. */
  get(key: string, revision: number): KvRecord | undefined {
    const versions = this.#versions.get(key) ?? [];
    let low = 0;
    let high = versions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((versions[middle]?.modRevision ?? Infinity) <= revision) low = middle + 1;
      else high = middle;
    }
    const found = versions[low - 1];
    return found === undefined || found.version === 0 ? undefined : found;
  }

  range(range: { readonly key: string; readonly rangeEnd?: string | undefined }, revision: number): KvRecord[] {
    const keys =
      range.rangeEnd === undefined ? [range.key] : [...this.#versions.keys()].filter((key) => inRange(key, range));
    return keys.toSorted((a, b) => (a < b ? -1 : 1)).flatMap((key) => this.get(key, revision) ?? []);
  }
}

/**
 * Puts the log together out of what watchers of all keys were told. A revision that none was told of, or two were told
 * differently, is a problem.
 */
export function mergeRevisionLog(
  tellings: Iterable<readonly [number, readonly KvEvent[]]>,
  options: { readonly initialRevision?: number; readonly lastRevision: number },
): { readonly log: RevisionLog; readonly problems: readonly string[] } {
  const problems: string[] = [];
  const byRevision = new Map<number, readonly KvEvent[]>();
  for (const [revision, events] of tellings) {
    const other = byRevision.get(revision);
    if (other === undefined || other.length < events.length) byRevision.set(revision, events);
    if (other !== undefined && JSON.stringify(other) !== JSON.stringify(events))
      problems.push(`revision ${revision} was told as ${JSON.stringify(other)} and as ${JSON.stringify(events)}`);
  }
  const initialRevision = options.initialRevision ?? 1;
  const log = new RevisionLog(initialRevision);
  try {
    for (let revision = initialRevision + 1; revision <= options.lastRevision; revision++) {
      const events = byRevision.get(revision);
      if (events === undefined) throw new Error(`no watcher was told of revision ${revision}`);
      log.append(revision, events);
    }
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
  return { log, problems };
}
