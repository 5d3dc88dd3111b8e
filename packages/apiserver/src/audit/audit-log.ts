/** The audit log: one event a line, to a file that is rotated, or to stdout. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { Clock, Logger } from '@naru/component';

export interface AuditLogOptions {
  /** `-`: stdout. */
  readonly path: string;
  /** Days that old files are kept; 0: for ever. */
  readonly maxAgeDays: number;
  /** Old files that are kept; 0: all. */
  readonly maxBackups: number;
  /** Size of a file in megabytes before it is rotated; 0: 100. */
  readonly maxSizeMegabytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const DAY_MS = 86_400_000;
const MEGABYTE = 1024 * 1024;
const DEFAULT_MEGABYTES = 100;
/** Bytes that wait to be written; what comes beyond is dropped, and the log says so. */
const PENDING_BYTES_MAX = 64 * MEGABYTE;

export class AuditLog implements AsyncDisposable {
  readonly #options: AuditLogOptions;
  readonly #maxBytes: number;
  #stream: WriteStream | undefined;
  #size = 0;
  #pending: string[] = [];
  #pendingBytes = 0;
  #dropped = 0;
  #writing: Promise<void> | undefined;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#maxBytes = (options.maxSizeMegabytes || DEFAULT_MEGABYTES) * MEGABYTE;
  }

  write(event: object): void {
    const line = `${JSON.stringify(event)}\n`;
    if (this.#options.path === '-') {
      process.stdout.write(line);
      return;
    }
    if (this.#pendingBytes > PENDING_BYTES_MAX) {
      this.#dropped++;
      return;
    }
    this.#pending.push(line);
    this.#pendingBytes += line.length;
    this.#writing ??= this.#work().finally(() => (this.#writing = undefined));
  }

  async #work(): Promise<void> {
    const { logger } = this.#options;
    while (this.#pending.length > 0) {
      const lines = this.#pending;
      this.#pending = [];
      this.#pendingBytes = 0;
      try {
        for (const line of lines) await this.#append(line);
      } catch (error) {
        logger.error({ err: error, events: lines.length }, 'audit events are lost');
        this.#stream = undefined;
      }
      if (this.#dropped > 0) logger.error({ events: this.#dropped }, 'audit events were dropped');
      this.#dropped = 0;
    }
  }

  async #append(line: string): Promise<void> {
    const { path } = this.#options;
    if (this.#stream === undefined) {
      this.#size = await stat(path).then(
        ({ size }) => size,
        () => 0,
      );
      this.#open(path);
    }
    const bytes = Buffer.byteLength(line);
    if (this.#size > 0 && this.#size + bytes > this.#maxBytes) await this.#rotate();
    this.#size += bytes;
    await new Promise<void>((resolve, reject) => {
      this.#stream?.write(line, (error) => (error ? reject(error) : resolve()));
    });
  }

  #open(path: string): void {
    this.#stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
    // A write that fails tells of it.
    this.#stream.on('error', () => undefined);
  }

  /** `audit.log` becomes `audit-2026-01-02T03-04-05.678.log`, as upstream names it. */
  async #rotate(): Promise<void> {
    const { path, clock } = this.#options;
    await this.#close();
    const time = new Date(clock.now()).toISOString().replaceAll(':', '-').replace('Z', '');
    await rename(path, join(dirname(path), `${this.#stem()}-${time}${extname(path)}`));
    this.#open(path);
    this.#size = 0;
    await this.#removeOld();
  }

  #stem(): string {
    return basename(this.#options.path, extname(this.#options.path));
  }

  async #removeOld(): Promise<void> {
    const { path, clock, maxAgeDays, maxBackups } = this.#options;
    const prefix = `${this.#stem()}-`;
    const names = (await readdir(dirname(path)))
      .filter((name) => name.startsWith(prefix) && name.endsWith(extname(path)))
      .toSorted()
      .toReversed();
    const oldest = clock.now() - maxAgeDays * DAY_MS;
    const timeOf = (name: string): number => {
      const [date = '', time = ''] = name.slice(prefix.length, name.length - extname(path).length).split('T');
      return Date.parse(`${date}T${time.replaceAll('-', ':')}Z`);
    };
    for (const [i, name] of names.entries()) {
      const isOne = Number.isFinite(timeOf(name));
      const isTooMany = maxBackups > 0 && i >= maxBackups;
      const isTooOld = maxAgeDays > 0 && timeOf(name) < oldest;
      if (isOne && (isTooMany || isTooOld)) await unlink(join(dirname(path), name));
    }
  }

  async #close(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined) await new Promise<void>((resolve) => stream.end(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    await this.#close();
  }
}
