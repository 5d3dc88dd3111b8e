import { join } from 'node:path';
import { readPieces, type Disk } from '../disk/disk.ts';
import type { SnapshotMark } from '../wal/record.ts';
import { decodeSnapshot, encodeSnapshot, type SnapshotHeader } from './snapshot-file.ts';

const snapshotPattern = /^([0-9a-f]{16})-([0-9a-f]{16})\.snap$/u;
const READ_BYTES = 256 << 10;

function snapshotName(mark: SnapshotMark): string {
  const hex = (value: number): string => value.toString(16).padStart(16, '0');
  return `${hex(mark.term)}-${hex(mark.index)}.snap`;
}

export interface OpenSnapshot {
  readonly header: SnapshotHeader;
  /** Must be read to the end or returned. Throws where the file is damaged. */
  readonly chunks: AsyncGenerator<Uint8Array>;
}

/** The snapshots in a folder. A file has its name only when it is complete and on disk. */
export class SnapshotStore {
  readonly #disk: Disk;
  readonly #directory: string;
  #temporary = 0;

  constructor(options: { readonly disk: Disk; readonly directory: string }) {
    this.#disk = options.disk;
    this.#directory = options.directory;
  }

  /** Makes the folder, and removes what a crash left half-written. */
  async start(): Promise<void> {
    await this.#disk.makeDirectory(this.#directory);
    for (const name of await this.#disk.list(this.#directory))
      if (name.endsWith('.tmp')) await this.#disk.remove(join(this.#directory, name));
  }

  /** The snapshots there are, newest first. */
  async list(): Promise<SnapshotMark[]> {
    const marks: SnapshotMark[] = [];
    for (const name of await this.#disk.list(this.#directory)) {
      const match = snapshotPattern.exec(name);
      if (match === null) continue;
      marks.push({ term: Number.parseInt(match[1] ?? '', 16), index: Number.parseInt(match[2] ?? '', 16) });
    }
    return marks.sort((a, b) => b.index - a.index || b.term - a.term);
  }

  /** Writes a snapshot; it is on disk when this resolves, and leaves nothing when it rejects. `chunks` are ended either way. */
  async save(header: SnapshotHeader, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const path = join(this.#directory, snapshotName(header));
    const temporary = `${path}.${++this.#temporary}.tmp`;
    const file = await this.#disk.create(temporary).catch(async (error: unknown) => {
      // Not begun: whatever the stream holds on to is let go only when it is told so.
      await chunks[Symbol.asyncIterator]().return?.();
      throw error;
    });
    try {
      let position = 0;
      for await (const piece of encodeSnapshot(header, chunks)) {
        await file.write(piece, position);
        position += piece.length;
      }
      await file.datasync();
    } catch (error) {
      await file.close();
      await this.#disk.remove(temporary);
      throw error;
    }
    await file.close();
    await this.#disk.rename(temporary, path);
    await this.#disk.syncDirectory(this.#directory);
  }

  /** The bytes of a snapshot as they are sent to another member. */
  async *readBytes(mark: SnapshotMark): AsyncGenerator<Uint8Array> {
    const file = await this.#disk.open(join(this.#directory, snapshotName(mark)));
    try {
      yield* readPieces(file, READ_BYTES);
    } finally {
      await file.close();
    }
  }

  /** @throws DecodeError when the header is damaged */
  async open(mark: SnapshotMark): Promise<OpenSnapshot> {
    return await decodeSnapshot(this.readBytes(mark));
  }

  /** Removes all but the `keep` newest of `valid`. @returns the oldest that is kept */
  async prune(valid: readonly SnapshotMark[], keep: number): Promise<SnapshotMark | undefined> {
    const names = new Set(valid.map(snapshotName));
    const there = await this.list();
    const kept = there.filter((mark) => names.has(snapshotName(mark))).slice(0, keep);
    const keptNames = new Set(kept.map(snapshotName));
    const newest = kept[0];
    for (const mark of there) {
      // A newer one may have just been received, and not be in the log yet.
      if (keptNames.has(snapshotName(mark)) || (newest !== undefined && mark.index > newest.index)) continue;
      await this.#disk.remove(join(this.#directory, snapshotName(mark)));
    }
    return kept.at(-1);
  }
}
