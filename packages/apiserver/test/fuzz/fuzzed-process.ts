/** An API server in a process of its own on a store, and what can be seen of it from outside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Store } from '../api-fixture.ts';

/** What leaks ends the process for lack of memory before a machine is short of it. */
const HEAP_MEGABYTES = 192;

export class FuzzedProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly port: number;
  /** Lines of the log that say that something unexpected happened. */
  readonly unexpected: string[];

  private constructor(child: ChildProcess, folder: string, port: number, unexpected: string[]) {
    this.#child = child;
    this.#folder = folder;
    this.port = port;
    this.unexpected = unexpected;
  }

  static async start(store: Store, flags: readonly string[] = []): Promise<FuzzedProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'naru-fuzz-'));
    const tokens = join(folder, 'tokens.csv');
    await writeFile(tokens, 'admin,admin,admin,"system:masters"\njoe,joe,joe,""\n');
    const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts');
    const child = spawn(
      process.execPath,
      [
        `--max-old-space-size=${HEAP_MEGABYTES}`,
        main,
        `--etcd-servers=${store.clientUrl}`,
        '--bind-address=127.0.0.1',
        '--secure-port=0',
        `--token-auth-file=${tokens}`,
        '--authorization-mode=Node,RBAC',
        '--disable-admission-plugins=ServiceAccount',
        ...flags,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const unexpected: string[] = [];
    const listening = Promise.withResolvers<number>();
    const ready = Promise.withResolvers<void>();
    child.once('exit', (code, signal) => {
      const error = new Error(`the API server ended with ${code ?? signal}`);
      listening.reject(error);
      ready.reject(error);
    });
    if (child.stdout === null) throw new Error('no stdout');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { msg, port } = parse(line);
      if (msg === 'listening') listening.resolve(Number(port));
      if (msg === 'ready') ready.resolve();
      if (msg === 'request failed unexpectedly' || msg === 'process failed') unexpected.push(line);
    });
    const port = await listening.promise;
    await ready.promise;
    return new FuzzedProcess(child, folder, port, unexpected);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/mu.exec(status)?.[1]) * 1024;
  }

  async openFiles(): Promise<number> {
    return (await readdir(`/proc/${this.pid}/fd`)).length;
  }

  /** Asks it to stop; resolves with its exit status. */
  async stop(): Promise<number | null> {
    if (this.ended) return this.#child.exitCode;
    this.#child.kill('SIGTERM');
    const [code] = (await once(this.#child, 'exit')) as [number | null];
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ended) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function parse(line: string): { readonly msg?: unknown; readonly port?: unknown } {
  try {
    return JSON.parse(line) as object;
  } catch {
    return {};
  }
}
