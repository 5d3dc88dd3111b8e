import { dirname, basename } from 'node:path';
import type { Disk, DiskFile } from '../../src/disk/disk.ts';

/** Files in memory. */
export class MemoryDisk implements Disk {
  readonly files = new Map<string, Buffer>();

  async makeDirectory(): Promise<void> {}

  async list(path: string): Promise<readonly string[]> {
    return [...this.files.keys()].filter((each) => dirname(each) === path).map((each) => basename(each));
  }

  async create(path: string): Promise<DiskFile> {
    this.files.set(path, Buffer.alloc(0));
    return this.#file(path);
  }

  async open(path: string): Promise<DiskFile> {
    if (!this.files.has(path)) throw new Error(`ENOENT ${path}`);
    return this.#file(path);
  }

  async rename(from: string, to: string): Promise<void> {
    this.files.set(to, this.#bytes(from));
    this.files.delete(from);
  }

  async remove(path: string): Promise<void> {
    this.files.delete(path);
  }

  async syncDirectory(): Promise<void> {}

  async lock(): Promise<AsyncDisposable> {
    return { [Symbol.asyncDispose]: async () => {} };
  }

  #bytes(path: string): Buffer {
    return this.files.get(path) ?? Buffer.alloc(0);
  }

  #file(path: string): DiskFile {
    return {
      size: async () => this.#bytes(path).length,
      read: async (target, position) => this.#bytes(path).subarray(position).copy(target),
      write: async (bytes, position) => {
        const old = this.#bytes(path);
        const grown = Buffer.alloc(Math.max(old.length, position + bytes.length));
        old.copy(grown);
        grown.set(bytes, position);
        this.files.set(path, grown);
      },
      truncate: async (size) => {
        const cut = Buffer.alloc(size);
        this.#bytes(path).copy(cut);
        this.files.set(path, cut);
      },
      datasync: async () => {},
      close: async () => {},
    };
  }
}
