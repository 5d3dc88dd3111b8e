/** An API server in this process on a store of its own, and a plain client for it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseFlags, silentLogger, systemClock } from '@naru/component';
import { eventually, startRealEtcd } from '@naru/testkit';
import { readConfig, type ApiserverConfig } from '../src/config.ts';
import { apiserverFlags } from '../src/flags.ts';
import { ApiServer } from '../src/server.ts';

export type StoreKind = 'etcd' | 'kv-raft';

export interface Store extends AsyncDisposable {
  readonly clientUrl: string;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function startKvRaft(): Promise<Store> {
  const dataDir = await mkdtemp(join(tmpdir(), 'naru-kv-'));
  const [clientUrl, peerUrl] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const main = join(import.meta.dirname, '..', '..', 'kv-raft', 'src', 'main.ts');
  const flags = {
    name: 'a',
    'data-dir': dataDir,
    'listen-client-urls': clientUrl,
    'advertise-client-urls': clientUrl,
    'listen-peer-urls': peerUrl,
    'initial-advertise-peer-urls': peerUrl,
    'initial-cluster': `a=${peerUrl}`,
    'log-level': 'error',
  };
  const child = spawn(process.execPath, [main, ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
    await rm(dataDir, { recursive: true, force: true });
  };
  await eventually(
    async () => {
      if (child.exitCode !== null) throw new Error(`kv-raft ended with ${child.exitCode}`);
      const answer = await fetch(`${clientUrl}/v3/kv/range`, { method: 'POST', body: '{"key":"AA=="}' });
      if (!answer.ok) throw new Error(`kv-raft answers ${answer.status}`);
    },
    { deadlineMs: 60_000 },
  ).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { clientUrl, [Symbol.asyncDispose]: stop };
}

export async function startStore(kind: StoreKind): Promise<Store> {
  return kind === 'kv-raft' ? await startKvRaft() : await startRealEtcd({ ports: { from: 23_700, to: 23_799 } });
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON. */
  readonly body: Body;
}

/** Loosely typed: tests say what they expect. */
export interface Body {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly status?: unknown;
  readonly details?: Record<string, unknown>;
  readonly metadata: Record<string, unknown> & { readonly resourceVersion?: string; readonly name?: string };
  readonly spec?: Record<string, unknown>;
  readonly data?: Record<string, unknown>;
  readonly items?: readonly Body[];
  readonly [field: string]: unknown;
}

export interface RequestOptions {
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string | Buffer;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string;
}

/** One event of a watch. */
export interface Event {
  readonly type: string;
  readonly object: Body;
}

export class ApiFixture implements AsyncDisposable {
  readonly server: ApiServer;
  readonly url: string;

  private constructor(server: ApiServer) {
    this.server = server;
    this.url = `http://127.0.0.1:${server.port}`;
  }

  static async start(store: Store, changes: Partial<ApiserverConfig> = {}): Promise<ApiFixture> {
    const flags = parseFlags(apiserverFlags, [
      `--etcd-servers=${store.clientUrl}`,
      '--secure-port=0',
      '--bind-address=127.0.0.1',
      '--authorization-mode=Node,RBAC',
      '--disable-admission-plugins=ServiceAccount',
    ]);
    const tokens = 'admin,admin,admin,"system:masters"\njoe,joe,joe,""\n';
    const config = { ...(await readConfig(flags)), tokens, ...changes };
    const server = new ApiServer({ config, logger: silentLogger(), clock: systemClock, random: Math.random });
    await server.start();
    return new ApiFixture(server);
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const { body, raw, type = 'application/json', headers = {}, token = 'admin' } = options;
    const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const answer = await fetch(this.url + path, {
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(payload === undefined ? {} : { 'content-type': type }),
        ...headers,
      },
      ...(payload === undefined ? {} : { body: payload }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.startsWith('application/json') === true;
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      body: isJson ? (JSON.parse(text) as Body) : { metadata: {} },
    };
  }

  /** The events of a watch; end the iteration to end it. */
  async *watch(path: string, headers: Readonly<Record<string, string>> = {}): AsyncGenerator<Event, void, undefined> {
    const abort = new AbortController();
    try {
      const answer = await fetch(this.url + path, {
        headers: { authorization: 'Bearer admin', ...headers },
        signal: abort.signal,
      });
      let rest = '';
      const decoder = new TextDecoder();
      for await (const chunk of answer.body ?? []) {
        const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) yield JSON.parse(line) as Event;
      }
    } finally {
      abort.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}
