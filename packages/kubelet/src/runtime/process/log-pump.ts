import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeLogEntries, type LogStream } from '../../log/cri-log.ts';

/** Bytes moved per call at most, so that a container that writes without end does not keep the kubelet from its work. */
const PUMP_BYTES_MAX = 256 * 1024;
const READ_BYTES = 64 * 1024;
/** The progress record has one size, so that it is replaced by one write and never torn by a kill. */
const RECORD_BYTES = 128;

interface Position {
  segment: number;
  offset: number;
}

export interface LogPumpOptions {
  /** The container's folder, in which the shim leaves `stdout.N` and `stderr.N`. */
  readonly folder: string;
  readonly logPath: string;
}

/**
 * Moves what a container wrote from the shim's segments to its CRI log. Entries are stamped with the time of the
 * segment's last write: the time they were written, to within one call of `pump`, also after the kubelet was away.
 *
 * Invariant: an entry is in the log exactly once, whenever the kubelet is killed: the record says how long the log was when
 * it was written, and what the log holds beyond that is cut and moved again.
 */
export class LogPump {
  readonly #folder: string;
  readonly #logPath: string;
  readonly #positions: Record<LogStream, Position> = {
    stdout: { segment: 0, offset: 0 },
    stderr: { segment: 0, offset: 0 },
  };
  #recordFd: number | undefined;
  #logFd: number | undefined;
  #logBytes = 0;
  #lastTimeMs = 0;

  constructor(options: LogPumpOptions) {
    this.#folder = options.folder;
    this.#logPath = options.logPath;
  }

  /** Moves what is there. Returns `more` if it stopped at its limit, `idle` if it waits for output, `ended` after all of it. */
  pump(): 'more' | 'idle' | 'ended' {
    this.#open();
    // Asked before reading: what is read after the end was seen is all there is.
    const drained = existsSync(join(this.#folder, 'drained'));
    const state = { bytes: 0 };
    const entries: Buffer[] = [];
    const finished: string[] = [];
    const out = this.#pumpStream('stdout', { drained, state, entries, finished });
    const err = this.#pumpStream('stderr', { drained, state, entries, finished });
    if (state.bytes > 0 || finished.length > 0) {
      this.#append(entries);
      this.#writeRecord();
      for (const path of finished) rmSync(path, { force: true });
    }
    if (out === 'more' || err === 'more') return 'more';
    return drained ? 'ended' : 'idle';
  }

  /** The log has been renamed: goes on in a new file. */
  reopen(): void {
    if (this.#logFd !== undefined) closeSync(this.#logFd);
    this.#logFd = undefined;
    this.#openLog();
    this.#writeRecord();
  }

  close(): void {
    if (this.#logFd !== undefined) closeSync(this.#logFd);
    if (this.#recordFd !== undefined) closeSync(this.#recordFd);
    this.#logFd = undefined;
    this.#recordFd = undefined;
  }

  #pumpStream(
    stream: LogStream,
    call: { drained: boolean; state: { bytes: number }; entries: Buffer[]; finished: string[] },
  ): 'more' | 'idle' {
    const position = this.#positions[stream];
    for (;;) {
      if (call.state.bytes >= PUMP_BYTES_MAX) return 'more';
      const path = join(this.#folder, `${stream}.${position.segment}`);
      const continued = isFilled(join(this.#folder, `${stream}.${position.segment + 1}`));
      const chunk = readChunk(path, position.offset);
      if (chunk === undefined) return 'idle';
      const atEnd = chunk.bytes.length < READ_BYTES;
      this.#lastTimeMs = Math.max(this.#lastTimeMs, chunk.timeMs);
      const ending = !atEnd ? 'open' : continued ? 'continued' : call.drained ? 'closed' : 'open';
      const { entries, used } = encodeLogEntries(chunk.bytes, { timeMs: this.#lastTimeMs, stream, ending });
      for (const entry of entries) call.entries.push(entry);
      position.offset += used;
      call.state.bytes += used;
      if (!atEnd) continue;
      if (!continued) return 'idle';
      call.finished.push(path);
      position.segment++;
      position.offset = 0;
    }
  }

  #append(entries: readonly Buffer[]): void {
    if (entries.length === 0) return;
    const fd = this.#logFd;
    if (fd === undefined) throw new Error('log pump: not open');
    // One vector is at most IOV_MAX (1024) buffers; a short write is completed by the rest as one buffer.
    for (let i = 0; i < entries.length; i += 1024) {
      const vector = entries.slice(i, i + 1024);
      const length = vector.reduce((sum, each) => sum + each.length, 0);
      let written = writevSync(fd, vector);
      if (written < length) {
        const rest = Buffer.concat(vector);
        while (written < length) written += writeSync(fd, rest, written);
      }
      this.#logBytes += length;
    }
  }

  #open(): void {
    if (this.#recordFd !== undefined) return;
    const path = join(this.#folder, 'progress');
    const text = existsSync(path) ? readFileSync(path, 'latin1') : '';
    let recorded = 0;
    const match = /^(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) *\n$/u.exec(text);
    if (match !== null) {
      const [outSegment = 0, outOffset = 0, errSegment = 0, errOffset = 0, logBytes = 0, timeMs = 0] = match
        .slice(1)
        .map(Number);
      this.#positions.stdout = { segment: outSegment, offset: outOffset };
      this.#positions.stderr = { segment: errSegment, offset: errOffset };
      recorded = logBytes;
      this.#lastTimeMs = timeMs;
    }
    this.#recordFd = openSync(path, existsSync(path) ? 'r+' : 'w+', 0o600);
    this.#openLog();
    // Longer than recorded: a kill came between the log's write and the record's. Shorter: it was rotated since.
    if (this.#logBytes > recorded && this.#logFd !== undefined) {
      ftruncateSync(this.#logFd, recorded);
      this.#logBytes = recorded;
    }
  }

  #openLog(): void {
    mkdirSync(dirname(this.#logPath), { recursive: true });
    this.#logFd = openSync(this.#logPath, 'a', 0o640);
    this.#logBytes = fstatSync(this.#logFd).size;
  }

  #writeRecord(): void {
    if (this.#recordFd === undefined) return;
    const { stdout, stderr } = this.#positions;
    const numbers = [stdout.segment, stdout.offset, stderr.segment, stderr.offset, this.#logBytes];
    const text = `${numbers.join(' ')} ${Math.floor(this.#lastTimeMs)}`;
    writeSync(this.#recordFd, `${text.padEnd(RECORD_BYTES - 1)}\n`, 0);
  }
}

/** The shim begins a segment before it knows whether there is anything for it: an empty one is none yet. */
function isFilled(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function readChunk(path: string, offset: number): { readonly bytes: Buffer; readonly timeMs: number } | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    // The shim has not begun this segment.
    return undefined;
  }
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const length = readSync(fd, buffer, 0, READ_BYTES, offset);
    return { bytes: buffer.subarray(0, length), timeMs: fstatSync(fd).mtimeMs };
  } finally {
    closeSync(fd);
  }
}
