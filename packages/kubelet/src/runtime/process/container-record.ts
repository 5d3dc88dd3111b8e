import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerConfig, PodSandboxConfig } from '../runtime-service.ts';
import { parseProcStat, type ProcessIdentity } from './proc-stat.ts';

/** A sandbox on disk: `sandboxes/ID.json`. */
export interface SandboxRecord {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly createdAt: number;
  readonly ip: string;
  readonly stopped: boolean;
}

/** A container on disk: `containers/ID/container.json`. What happens to it later stands in files of its own beside it. */
export interface ContainerRecord {
  readonly id: string;
  readonly podSandboxId: string;
  readonly config: ContainerConfig;
  readonly createdAt: number;
  readonly logPath: string;
  /** The process's environment; `execSync` runs in it too. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly podUid: string;
  /** Set before the shim is started: the boot in which its pid means something. */
  readonly bootId?: string;
  /** Set when it could not be started. */
  readonly failure?: { readonly message: string; readonly at: number };
}

/** Replaces a file by renaming, so that it is never half written. */
export function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.tmp`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** A complete line that the shim has written, and when; undefined before. */
function readLine(path: string): { readonly line: string; readonly timeMs: number } | undefined {
  try {
    const text = readFileSync(path, 'latin1');
    return text.endsWith('\n') ? { line: text.trimEnd(), timeMs: statSync(path).mtimeMs } : undefined;
  } catch {
    return undefined;
  }
}

export function readStarted(folder: string): { readonly identity: ProcessIdentity; readonly at: number } | undefined {
  const read = readLine(join(folder, 'pid'));
  const stat = read === undefined ? undefined : parseProcStat(read.line);
  return read === undefined || stat === undefined
    ? undefined
    : { identity: { pid: stat.pid, startTicks: stat.startTicks }, at: read.timeMs };
}

export function readExit(folder: string): { readonly exitCode: number; readonly at: number } | undefined {
  const read = readLine(join(folder, 'exit'));
  return read === undefined ? undefined : { exitCode: Number(read.line), at: read.timeMs };
}

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/**
 * The script that becomes the container's main process: it says who it is, goes to its folder and replaces itself by the
 * program with exactly its own environment. `env` reads words with `=` as variables until the program's name.
 */
export function runScript(record: Pick<ContainerRecord, 'env' | 'cwd' | 'config'>, argv: readonly string[]): string {
  const env = Object.entries(record.env).map(([key, value]) => quote(`${key}=${value}`));
  return [
    'umask 022',
    'read -r stat </proc/$$/stat',
    String.raw`printf '%s\n' "$stat" >pid`,
    ...(record.config.tty === true ? ['tty >tty', 'stty sane 2>/dev/null'] : []),
    `cd ${quote(record.cwd)} || exit 128`,
    `exec /usr/bin/env -i ${[...env, ...argv.map(quote)].join(' ')}`,
    '',
  ].join('\n');
}
