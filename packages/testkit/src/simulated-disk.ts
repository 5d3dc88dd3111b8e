import { dirname } from 'node:path';
import type { Clock } from '@naru/component';
import type { SeededRandom } from './seeded-random.ts';

const SECTOR_BYTES = 512;

type FileChange =
  | { readonly type: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly size: number };

/** A file apart from its names: what the disk has, and what is only in the cache. */
class Inode {
  /** Survives a crash. */
  durable: Buffer = Buffer.alloc(0);
  /** What reads see. */
  cached: Buffer = Buffer.alloc(0);
  /** Made since the last sync. */
  changes: FileChange[] = [];

  change(change: FileChange): void {
    this.changes.push(change);
    this.cached = applied(this.cached, change);
  }

  sync(): void {
    for (const change of this.changes.splice(0)) this.durable = applied(this.durable, change);
  }

  /** Of what was not synced, each sector may have reached the disk or not, in any order. */
  crash(random: SeededRandom): void {
    for (const change of this.changes.splice(0)) {
      if (change.type === 'truncate') {
        if (random.chance(0.5)) this.durable = applied(this.durable, change);
        continue;
      }
      for (const sector of sectorsOf(change)) if (random.chance(0.5)) this.durable = applied(this.durable, sector);
    }
    this.cached = Buffer.from(this.durable);
  }
}

function applied(bytes: Buffer, change: FileChange): Buffer {
  const size = change.type === 'truncate' ? change.size : Math.max(bytes.length, change.position + change.bytes.length);
  const result = size === bytes.length ? Buffer.from(bytes) : Buffer.alloc(size);
  if (size !== bytes.length) bytes.copy(result, 0, 0, Math.min(size, bytes.length));
  if (change.type === 'write') change.bytes.copy(result, change.position);
  return result;
}

function* sectorsOf(write: FileChange & { readonly type: 'write' }): Generator<FileChange> {
  for (let at = 0; at < write.bytes.length;) {
    const position = write.position + at;
    const end = Math.min(write.bytes.length, at + SECTOR_BYTES - (position % SECTOR_BYTES));
    yield { type: 'write', position, bytes: write.bytes.subarray(at, end) };
    at = end;
  }
}

interface NameChange {
  readonly directory: string;
  readonly apply: (names: Map<string, Inode>) => void;
}

export type DiskFault = 'write' | 'sync' | 'full';

export interface SimulatedDiskOptions {
  readonly clock: Clock;
  readonly random: SeededRandom;
  /** Bounds of a sync's duration; default [0, 0]. */
  readonly syncMs?: readonly [number, number];
}

/**
 * A disk for one simulated machine. A crash loses what was not synced: sectors of files, and names whose folder was not
 * synced. After a crash the handles and calls of the former life never come back.
 */
export class SimulatedDisk {
  readonly #options: SimulatedDiskOptions;
  #durableNames = new Map<string, Inode>();
  #names = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  readonly #directories = new Set<string>();
  readonly #locks = new Set<string>();
  #life = 0;
  /** What fails now; undefined: nothing. */
  fault: DiskFault | undefined;
  /** Counts of syncs and of bytes written, for what a test wants to know. */
  readonly counts = { syncs: 0, bytes: 0 };

  constructor(options: SimulatedDiskOptions) {
    this.#options = options;
  }

  /** The machine loses power: its process is gone, and the disk has what it has. */
  crash(): void {
    this.#life++;
    this.#locks.clear();
    const { random } = this.#options;
    // A journal keeps the order of names: some of the last changes are missing.
    const kept = random.integer(0, this.#nameChanges.length);
    for (const change of this.#nameChanges.slice(0, kept)) change.apply(this.#durableNames);
    this.#nameChanges = [];
    this.#names = new Map(this.#durableNames);
    for (const inode of new Set(this.#names.values())) inode.crash(random);
  }

  /** The process is gone, but not the machine: the cache stays. */
  kill(): void {
    this.#life++;
    this.#locks.clear();
  }

  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** Flips one bit of a file, as a failing disk does. */
  rot(path: string, offset: number): void {
    const inode = this.#inode(path);
    for (const bytes of [inode.durable, inode.cached])
      if (offset < bytes.length) bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  }

  contents(path: string): Buffer {
    return Buffer.from(this.#inode(path).cached);
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw systemError('ENOENT', path);
    return inode;
  }

  #changeNames(directory: string, apply: (names: Map<string, Inode>) => void): void {
    apply(this.#names);
    this.#nameChanges.push({ directory, apply });
  }

  /** Every call takes a moment, and never ends when the process dies meanwhile. */
  async #call<T>(fn: () => T, ms = 0): Promise<T> {
    const life = this.#life;
    await this.#options.clock.sleep(ms);
    if (life !== this.#life) return await new Promise<never>(() => undefined);
    return fn();
  }

  makeDirectory(path: string): Promise<void> {
    return this.#call(() => {
      for (let at = path; !this.#directories.has(at); at = dirname(at)) this.#directories.add(at);
    });
  }

  list(path: string): Promise<readonly string[]> {
    return this.#call(() => {
      const prefix = `${path}/`;
      return this.paths()
        .filter((each) => each.startsWith(prefix) && !each.slice(prefix.length).includes('/'))
        .map((each) => each.slice(prefix.length));
    });
  }

  create(path: string): Promise<SimulatedFile> {
    return this.#call(() => {
      if (this.fault === 'write') throw systemError('EIO', path);
      if (this.fault === 'full') throw systemError('ENOSPC', path);
      const inode = new Inode();
      this.#changeNames(dirname(path), (names) => names.set(path, inode));
      return this.#file(path, inode);
    });
  }

  open(path: string): Promise<SimulatedFile> {
    return this.#call(() => this.#file(path, this.#inode(path)));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call(() => {
      const inode = this.#inode(from);
      this.#changeNames(dirname(to), (names) => {
        names.delete(from);
        names.set(to, inode);
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.#call(() => this.#changeNames(dirname(path), (names) => names.delete(path)));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#call(() => {
      if (this.fault === 'sync') throw systemError('EIO', path);
      for (const change of this.#nameChanges) if (change.directory === path) change.apply(this.#durableNames);
      this.#nameChanges = this.#nameChanges.filter((change) => change.directory !== path);
    });
  }

  lock(path: string): Promise<AsyncDisposable> {
    return this.#call(() => {
      if (this.#locks.has(path)) throw new Error(`data directory ${path} is in use by another process`);
      this.#locks.add(path);
      const life = this.#life;
      return {
        [Symbol.asyncDispose]: async () => {
          if (life === this.#life) this.#locks.delete(path);
          await Promise.resolve();
        },
      };
    });
  }

  #file(path: string, inode: Inode): SimulatedFile {
    const [min, max] = this.#options.syncMs ?? [0, 0];
    return {
      size: () => this.#call(() => inode.cached.length),
      read: (target, position) =>
        this.#call(() => {
          const part = inode.cached.subarray(position, position + target.length);
          target.set(part);
          return part.length;
        }),
      write: (bytes, position) => {
        // The caller may use its buffer again once this is done, not before; a copy keeps the simulation honest.
        const copy = Buffer.from(bytes);
        return this.#call(() => {
          if (this.fault === 'write') throw systemError('EIO', path);
          if (this.fault === 'full') {
            // A full disk takes a part of it.
            inode.change({ type: 'write', position, bytes: copy.subarray(0, copy.length >> 1) });
            throw systemError('ENOSPC', path);
          }
          this.counts.bytes += copy.length;
          inode.change({ type: 'write', position, bytes: copy });
        });
      },
      truncate: (size) => this.#call(() => inode.change({ type: 'truncate', size })),
      datasync: () =>
        this.#call(
          () => {
            if (this.fault === 'sync') {
              // As Linux does it: what could not be written is forgotten, and the next sync succeeds.
              inode.changes = [];
              throw systemError('EIO', path);
            }
            this.counts.syncs++;
            inode.sync();
          },
          this.#options.random.integer(min, max),
        ),
      close: () => this.#call(() => undefined),
    };
  }
}

/** A handle of a SimulatedDisk. */
export interface SimulatedFile {
  size(): Promise<number>;
  read(target: Uint8Array, position: number): Promise<number>;
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(size: number): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

function systemError(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated fault, '${path}'`), { code });
}
