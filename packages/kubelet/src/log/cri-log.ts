/**
 * The CRI log format (kubernetes/design-proposals, kubelet-cri-logging):
 *
 *   entry     = timestamp SP stream SP tags SP content LF
 *   timestamp = RFC 3339 with nanoseconds
 *   stream    = "stdout" | "stderr"
 *   tags      = tag *( ":" tag )      the first one is "F" (full line) or "P" (the line goes on in the stream's next entry)
 */

export type LogStream = 'stdout' | 'stderr';

export interface LogEntry {
  /** As written: RFC 3339 with nanoseconds. */
  readonly timestamp: string;
  readonly timeMs: number;
  readonly stream: LogStream;
  readonly partial: boolean;
  /** Without the line feed. */
  readonly content: Buffer;
}

/** A line of a container longer than this is written as several entries, as containerd does by default. */
export const LOG_LINE_BYTES_MAX = 16 * 1024;

const LF = 0x0a;
const SPACE = 0x20;

/** RFC 3339 with nanoseconds, always nine digits, so that entries sort as text. */
export function formatLogTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '000000Z');
}

/**
 * Turns what a container wrote into entries. `used` counts the bytes of `chunk` that are in them: all complete lines, and
 * what follows the last line feed if it is longer than an entry may be or `ending` says that it will not go on here:
 * `continued` (in another chunk, so it is partial) or `closed` (the stream is at its end).
 */
export function encodeLogEntries(
  chunk: Buffer,
  options: { readonly timeMs: number; readonly stream: LogStream; readonly ending: 'open' | 'continued' | 'closed' },
): { readonly entries: readonly Buffer[]; readonly used: number } {
  const head = `${formatLogTime(options.timeMs)} ${options.stream} `;
  const full = Buffer.from(`${head}F `);
  const partial = Buffer.from(`${head}P `);
  const lineFeed = Buffer.of(LF);
  const entries: Buffer[] = [];
  let used = 0;
  while (used < chunk.length) {
    const end = chunk.indexOf(LF, used);
    const lineEnd = end === -1 ? chunk.length : end;
    if (lineEnd - used > LOG_LINE_BYTES_MAX) {
      entries.push(partial, chunk.subarray(used, used + LOG_LINE_BYTES_MAX), lineFeed);
      used += LOG_LINE_BYTES_MAX;
    } else if (end !== -1) {
      entries.push(full, chunk.subarray(used, end + 1));
      used = end + 1;
    } else {
      if (options.ending === 'open') break;
      entries.push(options.ending === 'closed' ? full : partial, chunk.subarray(used), lineFeed);
      used = chunk.length;
    }
  }
  return { entries, used };
}

/** Parses one line, without its line feed; undefined if it is not an entry. */
export function parseLogEntry(line: Buffer): LogEntry | undefined {
  const afterTime = line.indexOf(SPACE);
  const afterStream = line.indexOf(SPACE, afterTime + 1);
  if (afterTime === -1 || afterStream === -1) return undefined;
  const afterTags = line.indexOf(SPACE, afterStream + 1);
  const tagsEnd = afterTags === -1 ? line.length : afterTags;
  const timestamp = line.toString('latin1', 0, afterTime);
  const stream = line.toString('latin1', afterTime + 1, afterStream);
  const tag = line.toString('latin1', afterStream + 1, tagsEnd).split(':')[0];
  const timeMs = Date.parse(timestamp);
  if ((stream !== 'stdout' && stream !== 'stderr') || (tag !== 'F' && tag !== 'P') || Number.isNaN(timeMs))
    return undefined;
  return { timestamp, timeMs, stream, partial: tag === 'P', content: line.subarray(tagsEnd + 1) };
}
