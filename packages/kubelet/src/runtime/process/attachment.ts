import { spawn } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { LogStream } from '../../log/cri-log.ts';
import type { TerminalSize } from '../runtime-service.ts';

const READ_BYTES = 64 * 1024;
/** The shim's holder of the input pipe (`shim.sh`). */
const holderCommand = ['sleep', '2147483647', ''].join('\0');

export interface AttachmentOptions {
  /** The container's folder. */
  readonly folder: string;
  /** The first one who leaves ends the input. */
  readonly stdinOnce: boolean;
  /** Resolves at the next change of the folder, or soon. */
  readonly changed: () => Promise<void>;
  readonly isRunning: () => boolean;
}

/** The container's input; undefined: it has none, or does not read it any more. */
export function openInput({ folder, stdinOnce }: AttachmentOptions): Writable | undefined {
  let fd: number;
  try {
    // Fails where nobody reads, rather than waiting for that.
    fd = openSync(join(folder, 'stdin.pipe'), constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  const input = new Socket({ fd, readable: false, writable: true });
  // The program may end before it has read all.
  input.on('error', () => input.destroy());
  if (stdinOnce) input.once('close', () => endInput(folder));
  input.once('finish', () => input.destroy());
  return input;
}

/** Lets go of the pipe, so that the program reads its end. */
export function endInput(folder: string): void {
  try {
    const pid = Number(readFileSync(join(folder, 'holder'), 'latin1'));
    if (readFileSync(`/proc/${pid}/cmdline`, 'latin1') === holderCommand) process.kill(pid, 'SIGKILL');
  } catch {
    // It has gone with the container.
  }
}

/** What a container writes from now on, as it writes it: prompts have no line ends. */
export async function* readOutput(
  stream: LogStream,
  signal: AbortSignal,
  { folder, changed, isRunning }: AttachmentOptions,
): AsyncGenerator<Buffer> {
  let segment = segments(folder, stream).at(-1) ?? 0;
  const pathOf = (n: number): string => join(folder, `${stream}.${n}`);
  let fd = openSegment(pathOf(segment));
  let offset = fd === undefined ? 0 : (statSync(pathOf(segment), { throwIfNoEntry: false })?.size ?? 0);
  try {
    while (!signal.aborted) {
      // Asked before reading: what is read after the end was seen is all there is.
      const isOver = existsSync(join(folder, 'drained')) || !isRunning();
      fd ??= openSegment(pathOf(segment));
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const length = fd === undefined ? 0 : readSync(fd, buffer, 0, READ_BYTES, offset);
      if (length > 0) {
        offset += length;
        yield buffer.subarray(0, length);
        continue;
      }
      // Whoever reads more slowly than the log is moved misses what is gone by then.
      const next = segments(folder, stream).find((each) => each > segment);
      if (next !== undefined) {
        if (fd !== undefined) closeSync(fd);
        fd = undefined;
        segment = next;
        offset = 0;
        continue;
      }
      if (isOver) return;
      await changed();
    }
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function openSegment(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}

/** The numbers of the files in which the shim keeps output, in order; those with something in them, and the first. */
function segments(folder: string, stream: LogStream): number[] {
  const numbers = readdirSync(folder).flatMap((name) => {
    const match = /^(stdout|stderr)\.(\d+)$/u.exec(name);
    if (match?.[1] !== stream) return [];
    const size = statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
    return size > 0 ? [Number(match[2])] : [];
  });
  return numbers.sort((a, b) => a - b);
}

/** Sets the size of the container's terminal, which has said its name. */
export function resizeTerminal(folder: string, { width, height }: TerminalSize): void {
  let path: string;
  try {
    path = readFileSync(join(folder, 'tty'), 'utf8').trim();
  } catch {
    return;
  }
  if (!path.startsWith('/dev/')) return;
  // A terminal that is gone by now needs no size.
  spawn('stty', ['-F', path, 'rows', String(height), 'cols', String(width)], { stdio: 'ignore' }).on('error', () => {});
}
