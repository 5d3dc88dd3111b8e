import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, RuntimeError } from '../../errors.ts';
import type { ExecProcess, TerminalSize } from '../runtime-service.ts';
import { killLeftovers, readProcStat } from './proc-stat.ts';

/** How long a size waits for the terminal to be there. */
const TERMINAL_TRIES_MAX = 250;
const TERMINAL_RETRY_MS = 20;
/** Killed by a signal: 128 and its number, as shells have it. */
const SIGKILL_EXIT_CODE = 137;

/** Says which terminal it has got, and becomes the program. */
const TERMINAL_SCRIPT = 'tty >"$0"; stty sane; exec "$@"';

export interface ExecOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Path of script(1) of util-linux: the program gets a terminal of its own. */
  readonly terminal: string | undefined;
  /** For what a terminal leaves on disk. */
  readonly folder: string;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * Runs a program beside a container's main process, in a session of its own. Without a native module there is no pty in
 * Node: script(1) makes one and copies between it and our pipes. Rejects with a RuntimeError if it does not start.
 */
export async function startExec(file: string, args: readonly string[], options: ExecOptions): Promise<ExecProcess> {
  const id = randomBytes(8).toString('hex');
  const ttyFile = join(options.folder, `tty-${id}`);
  const env: Record<string, string> = { ...options.env, NARU_EXEC: id };
  const { terminal, cwd } = options;
  let child: ChildProcess;
  if (terminal === undefined) child = spawn(file, args, { cwd, env, detached: true });
  else {
    env['TERM'] ??= 'xterm';
    const line = ['exec', '/bin/sh', '-c', TERMINAL_SCRIPT, ttyFile, file, ...args].map(quote).join(' ');
    // script(1) runs its line with $SHELL.
    const shell = env['SHELL'] ?? '/bin/sh';
    child = spawn(terminal, ['-q', '-e', '-f', '-c', line.replace("'exec'", 'exec'), '/dev/null'], {
      cwd,
      env: { ...env, SHELL: shell },
      detached: true,
    });
  }
  return await started(child, { id, ttyFile, hasTerminal: terminal !== undefined });
}

async function started(
  child: ChildProcess,
  options: { readonly id: string; readonly ttyFile: string; readonly hasTerminal: boolean },
): Promise<ExecProcess> {
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(new RuntimeError('start-failed', messageOf(error), { cause: error })));
  });
  const { stdin, stdout, stderr, pid } = child;
  if (stdin === null || stdout === null || stderr === null || pid === undefined)
    throw new RuntimeError('internal', 'the process has no pipes');
  const identity = readProcStat(pid) ?? { pid, startTicks: 0 };
  // It may end before it has read all.
  stdin.on('error', () => undefined);
  const exited = new Promise<number>((resolve) => {
    child.once('close', (code, signal) => {
      rmSync(options.ttyFile, { force: true });
      resolve(code ?? (signal === null ? 1 : SIGKILL_EXIT_CODE));
    });
  });
  let size: TerminalSize | undefined;
  let resizing: Promise<void> | undefined;
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    stdin,
    stdout,
    stderr,
    exited,
    resize(wanted) {
      if (!options.hasTerminal) return;
      size = wanted;
      resizing ??= applySize(
        options.ttyFile,
        () => {
          const last = size;
          size = undefined;
          return last;
        },
        isOver,
      ).finally(() => {
        resizing = undefined;
      });
    },
    kill() {
      killLeftovers(identity, `NARU_EXEC=${options.id}`);
      for (const stream of [stdin, stdout, stderr]) stream.destroy();
    },
  };
}

/** Sets the newest size; waits for the terminal, which is made after the process has begun. */
async function applySize(
  ttyFile: string,
  takeSize: () => TerminalSize | undefined,
  isOver: () => boolean,
): Promise<void> {
  let path = '';
  for (let tries = 0; tries < TERMINAL_TRIES_MAX && !path.startsWith('/dev/') && !isOver(); tries++) {
    if (tries > 0) await delay(TERMINAL_RETRY_MS);
    try {
      path = readFileSync(ttyFile, 'utf8').trim();
    } catch {
      // Not there yet.
    }
  }
  for (let size = takeSize(); path.startsWith('/dev/') && size !== undefined && !isOver(); size = takeSize()) {
    const args = ['-F', path, 'rows', String(size.height), 'cols', String(size.width)];
    // A terminal that is gone by now needs no size.
    await new Promise<void>((resolve) => execFile('stty', args, () => resolve()));
  }
}
