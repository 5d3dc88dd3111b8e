/**
 * What log and snapshots need of a file system, so that a simulated one can take its place. Every method rejects with the
 * system's error. What is written is durable only after `datasync`; a created or renamed name only after `syncDirectory`.
 */
export interface Disk {
  /** Creates the folder and its parents, durably. */
  makeDirectory(path: string): Promise<void>;
  /** Names in a folder, in no order. */
  list(path: string): Promise<readonly string[]>;
  /** Creates a file, or empties it, for writing. */
  create(path: string): Promise<DiskFile>;
  /** Opens an existing file for reading and writing. */
  open(path: string): Promise<DiskFile>;
  /** Gives a file another name, replacing one that has it. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Takes the folder for this process alone. @throws Error when another has it; a dead process holds nothing */
  lock(path: string): Promise<AsyncDisposable>;
}

export interface DiskFile {
  size(): Promise<number>;
  /** Fills `target` from `position` on. @returns the count of bytes read, fewer only at the end of the file */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes all of `bytes` at `position`. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(size: number): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** Reads a whole file. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path);
  try {
    const bytes = Buffer.allocUnsafeSlow(await file.size());
    const count = await file.read(bytes, 0);
    return bytes.subarray(0, count);
  } finally {
    await file.close();
  }
}

/** Reads on their way while a piece is dealt with: with one alone, whoever is fast waits for the system. */
const READS_AHEAD = 2;

/** A file's bytes from its beginning, in pieces of at most `size`; while one is dealt with the next are being read. */
export async function* readPieces(file: DiskFile, size: number): AsyncGenerator<Buffer> {
  const ahead: Promise<Buffer>[] = [];
  let position = 0;
  const readNext = (): void => {
    const piece = Buffer.allocUnsafeSlow(size);
    const reading = file.read(piece, position).then((count) => piece.subarray(0, count));
    // Whoever comes for the piece is told; nobody may.
    reading.catch(() => undefined);
    ahead.push(reading);
    position += size;
  };
  for (let i = 0; i < READS_AHEAD; i++) readNext();
  try {
    for (let piece = await ahead.shift(); piece !== undefined && piece.length > 0; piece = await ahead.shift()) {
      readNext();
      yield piece;
    }
  } finally {
    await Promise.allSettled(ahead);
  }
}
