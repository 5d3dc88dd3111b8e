import { watch } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { parseLogEntry, type LogEntry, type LogStream } from './cri-log.ts';

/** Parameters of GET /containerLogs, as `kubectl logs` has them. */
export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  /** The last lines only; undefined for all. */
  readonly tailLines?: number | undefined;
  readonly sinceMs?: number | undefined;
  readonly limitBytes?: number | undefined;
  /** One of the streams alone. */
  readonly stream?: LogStream | undefined;
  /** Whether the container may still write: following ends when it does not and all is read. */
  readonly isRunning: () => Promise<boolean>;
  /** Called when it is settled where the log is read from: what is written from now on is told. */
  readonly onOpen?: () => void;
  readonly signal: AbortSignal;
}

const READ_BYTES = 64 * 1024;
/** A follower looks again after this, should the file system not tell it of a change. */
const FOLLOW_POLL_MS = 1000;
const LF = 0x0a;

/** What a container wrote, from its CRI log, as it is asked for: chunks of whole lines. */
export async function* readLog(path: string, options: LogOptions): AsyncGenerator<Buffer> {
  let left = options.limitBytes ?? Infinity;
  let file = await open(path, 'r');
  let next: FileHandle | undefined;
  try {
    let offset = options.tailLines === undefined ? 0 : await tailOffset(file, options.tailLines);
    options.onOpen?.();
    for (;;) {
      // Asked before reading, so that nothing written before the end is missed.
      const mayGrow = options.follow && (await options.isRunning());
      for await (const { entries, end } of readEntries(file, offset)) {
        offset = end;
        const text = format(entries, options);
        if (text.length > 0) yield text.length > left ? text.subarray(0, left) : text;
        left -= text.length;
        if (left <= 0 || options.signal.aborted) return;
      }
      if (next !== undefined) {
        await file.close();
        file = next;
        next = undefined;
        offset = 0;
        continue;
      }
      if (!mayGrow || options.signal.aborted) return;
      next = await rotated(path, file);
      // Renamed away: once more what came into it before that, then on to the next.
      if (next === undefined) await changed(path, options.signal);
    }
  } finally {
    await file.close();
    await next?.close();
  }
}

function format(entries: readonly LogEntry[], options: LogOptions): Buffer {
  const parts: Buffer[] = [];
  for (const { timestamp, timeMs, content, partial, stream } of entries) {
    if (options.stream !== undefined && options.stream !== stream) continue;
    if (options.sinceMs !== undefined && timeMs < options.sinceMs) continue;
    if (options.timestamps) parts.push(Buffer.from(`${timestamp} `));
    parts.push(content);
    if (!partial) parts.push(Buffer.of(LF));
  }
  return Buffer.concat(parts);
}

async function* readEntries(
  file: FileHandle,
  from: number,
): AsyncGenerator<{ readonly entries: readonly LogEntry[]; readonly end: number }> {
  let rest = Buffer.alloc(0);
  let position = from;
  let end = from;
  for (;;) {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    const data = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    const entries: LogEntry[] = [];
    let start = 0;
    for (let at = data.indexOf(LF, start); at !== -1; at = data.indexOf(LF, start)) {
      const entry = parseLogEntry(data.subarray(start, at));
      if (entry !== undefined) entries.push(entry);
      start = at + 1;
    }
    rest = data.subarray(start);
    end += start;
    yield { entries, end };
  }
}

/** Where the last `lines` lines begin; lines in several entries count by entry, as upstream. */
async function tailOffset(file: FileHandle, lines: number): Promise<number> {
  const { size } = await file.stat();
  if (lines === 0) return size;
  let found = 0;
  let position = size;
  while (position > 0) {
    const length = Math.min(READ_BYTES, position);
    position -= length;
    const buffer = Buffer.allocUnsafe(length);
    await file.read(buffer, 0, length, position);
    for (let i = length - 1; i >= 0; i--) {
      // The line feed at the very end closes the last line.
      if (buffer[i] !== LF || position + i === size - 1) continue;
      if (++found === lines) return position + i + 1;
    }
  }
  return 0;
}

/** The file that now has the path, if the one being read was renamed away. */
async function rotated(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const now = await stat(path).catch(() => undefined);
  if (now === undefined || now.ino === (await file.stat()).ino) return undefined;
  return await open(path, 'r');
}

async function changed(path: string, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      watcher?.close();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, FOLLOW_POLL_MS);
    let watcher: ReturnType<typeof watch> | undefined;
    try {
      watcher = watch(path, { persistent: false }, finish);
      watcher.on('error', finish);
    } catch {
      // Renamed this very moment: the timer looks again.
    }
    signal.addEventListener('abort', finish, { once: true });
  });
}
