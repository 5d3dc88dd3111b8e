import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Disk, DiskFile } from './disk.ts';

/** The machine's file system. */
export const nodeDisk: Disk = {
  async makeDirectory(path) {
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    // Every folder that is new must be found again after a crash: its parent holds its name.
    for (let at = resolve(path); at.length >= resolve(first).length; at = dirname(at)) await syncDirectory(dirname(at));
  },
  list: (path) => readdir(path),
  create: async (path) => new NodeFile(await openFile(path, 'w')),
  open: async (path) => new NodeFile(await openFile(path, 'r+')),
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { force: true }),
  syncDirectory,
  lock: lockDirectory,
};

function openFile(path: string, flags: string): Promise<number> {
  return new Promise((done, fail) => {
    fs.open(path, flags, 0o600, (error, fd) => (error === null ? done(fd) : fail(error)));
  });
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Callbacks instead of FileHandle: a write and a sync are on the way of every proposal. */
class NodeFile implements DiskFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  size(): Promise<number> {
    return new Promise((done, fail) => {
      fs.fstat(this.#fd, (error, stats) => (error === null ? done(stats.size) : fail(error)));
    });
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let total = 0;
    while (total < target.length) {
      const count = await new Promise<number>((done, fail) => {
        fs.read(this.#fd, target, total, target.length - total, position + total, (error, bytesRead) =>
          error === null ? done(bytesRead) : fail(error),
        );
      });
      if (count === 0) break;
      total += count;
    }
    return total;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    for (let total = 0; total < bytes.length;) {
      total += await new Promise<number>((done, fail) => {
        fs.write(this.#fd, bytes, total, bytes.length - total, position + total, (error, written) =>
          error === null ? done(written) : fail(error),
        );
      });
    }
  }

  truncate(size: number): Promise<void> {
    return new Promise((done, fail) => {
      fs.ftruncate(this.#fd, size, (error) => (error === null ? done() : fail(error)));
    });
  }

  datasync(): Promise<void> {
    return new Promise((done, fail) => {
      fs.fdatasync(this.#fd, (error) => (error === null ? done() : fail(error)));
    });
  }

  close(): Promise<void> {
    return new Promise((done, fail) => {
      fs.close(this.#fd, (error) => (error === null || error === undefined ? done() : fail(error)));
    });
  }
}

/**
 * Node has no flock, so the lock is a listening socket that is named after the folder's device and inode: the kernel gives
 * the name to one process, and takes it back when that process ends, however it ends.
 */
async function lockDirectory(path: string): Promise<AsyncDisposable> {
  const { dev, ino } = await stat(path);
  const name = `naru-kv-raft-${createHash('sha256').update(`${dev}:${ino}`).digest('hex').slice(0, 16)}`;
  // Only Linux has names that live outside the file system; elsewhere a dead process leaves its file behind.
  const address = process.platform === 'linux' ? `\0${name}` : join(tmpdir(), `${name}.sock`);
  const server = net.createServer((socket) => socket.destroy());
  try {
    await listen(server, address);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    if (process.platform === 'linux' || (await answers(address)))
      throw new Error(`data directory ${path} is in use by another process`, { cause });
    await rm(address, { force: true });
    await listen(server, address);
  }
  server.unref();
  return {
    async [Symbol.asyncDispose]() {
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

function listen(server: net.Server, address: string): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(address, () => done());
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = net.connect(address, () => {
      socket.destroy();
      done(true);
    });
    socket.on('error', () => done(false));
  });
}
