import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';

export interface ProjectedFile {
  readonly data: Buffer;
  readonly mode: number;
}

/** Files of a volume by their relative path. */
export type Payload = ReadonlyMap<string, ProjectedFile>;

const DATA_LINK = '..data';

/**
 * Makes a folder hold exactly `payload`, all of it at one moment (upstream's AtomicWriter): the files lie in a folder with
 * a time in its name, `..data` links to it, and each top-level name links into `..data`; a change is a new folder and the
 * renaming of one link. Returns whether anything changed.
 */
export function writeAtomically(folder: string, payload: Payload, now: Date): boolean {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const path of payload.keys()) checkPath(path);
  const dataLink = join(folder, DATA_LINK);
  const oldTarget = lstatSync(dataLink, { throwIfNoEntry: false }) === undefined ? undefined : readlinkSync(dataLink);
  if (oldTarget !== undefined && holds(join(folder, oldTarget), payload)) return false;

  const name = `..${now.toISOString().slice(0, 19).replaceAll(/[-T:]/gu, '_')}.${randomBytes(4).readUInt32BE()}`;
  for (const [path, { data, mode }] of payload) {
    const file = join(folder, name, path);
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    writeFileSync(file, data);
    chmodSync(file, mode);
  }
  mkdirSync(join(folder, name), { recursive: true, mode: 0o755 });
  symlinkSync(name, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), dataLink);

  const visible = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
  for (const each of visible) {
    const link = join(folder, each);
    if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(join(DATA_LINK, each), link);
  }
  for (const each of readdirSync(folder)) {
    if (each === DATA_LINK || each === name) continue;
    if (!visible.has(each)) rmSync(join(folder, each), { recursive: true, force: true });
  }
  return true;
}

/** @throws Error for a path that would leave the folder */
function checkPath(path: string): void {
  if (path === '' || posix.isAbsolute(path) || path.split('/').includes('..') || path.startsWith('..'))
    throw new Error(`invalid path: ${JSON.stringify(path)}`);
}

function holds(folder: string, payload: Payload): boolean {
  if (!existsSync(folder)) return false;
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (files.length !== payload.size) return false;
  for (const [path, { data, mode }] of payload) {
    const file = join(folder, path);
    if (!existsSync(file) || !readFileSync(file).equals(data) || (statSync(file).mode & 0o777) !== mode) return false;
  }
  return true;
}
