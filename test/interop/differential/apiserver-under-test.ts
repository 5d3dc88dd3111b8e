import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, startRealEtcd } from '@naru/testkit';
import { Agent, request as send } from 'undici';
import { Members } from '../../../packages/kv-raft/test/cluster/members.ts';
import { CertificateAuthority } from '../../../packages/naru/src/pki/certificate-authority.ts';
import { apiserverFlags } from '../apiserver-flags.ts';
import { upstreamProgram } from '../upstream-programs.ts';
import { bodyText, Memory, type Answer, type CorpusRequest } from './request.ts';

export type Side = 'ours' | 'upstream';

const DEADLINE_MS = 60_000;
const UNTIL_MS = 10_000;
const WATCH_DEADLINE_MS = 30_000;
const oursMain = join(import.meta.dirname, '..', '..', '..', 'packages', 'apiserver', 'src', 'main.ts');

const tokens = [
  'secret,admin,admin,system:masters',
  'joe,joe,joe,developers',
  'eve,eve,eve',
  'ann,ann,ann,"auditors,developers"',
].join('\n');

interface Ports {
  readonly from: number;
  readonly to: number;
}

interface Store extends AsyncDisposable {
  readonly url: string;
}

async function startStore(side: Side, ports: Ports): Promise<Store> {
  if (side === 'ours') {
    const members = await Members.startWith({ size: 1, ports, flags: ['--log-level=error'] });
    return {
      url: members.urls[0] ?? '',
      [Symbol.asyncDispose]: async () => await members[Symbol.asyncDispose](),
    };
  }
  const etcd = await startRealEtcd({ ports });
  return { url: etcd.clientUrl, [Symbol.asyncDispose]: async () => await etcd[Symbol.asyncDispose]() };
}

async function writeFiles(folder: string): Promise<void> {
  const authority = await CertificateAuthority.create('corpus');
  const { cert, key } = await authority.issue({
    commonName: 'kube-apiserver',
    hosts: ['127.0.0.1', '10.0.0.1'],
    usages: ['server'],
  });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const files = {
    'ca.crt': authority.pem.cert,
    'apiserver.crt': cert,
    'apiserver.key': key,
    'sa.key': privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
    'tokens.csv': `${tokens}\n`,
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
}

/** One API server on a store of one member, with the same flags on both sides, and what its requests have kept. */
export class ApiserverUnderTest implements AsyncDisposable {
  readonly #folder: string;
  readonly #store: Store;
  readonly #child: ChildProcess;
  readonly #url: string;
  readonly #agent = new Agent({ allowH2: false, connect: { rejectUnauthorized: false }, bodyTimeout: 0 });
  readonly #memory = new Memory();
  #output = '';

  private constructor(parts: { folder: string; store: Store; child: ChildProcess; port: number }) {
    this.#folder = parts.folder;
    this.#store = parts.store;
    this.#child = parts.child;
    this.#url = `https://127.0.0.1:${parts.port}`;
    const note = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-4000);
    };
    parts.child.stdout?.on('data', note);
    parts.child.stderr?.on('data', note);
  }

  static async start(side: Side, ports: Ports): Promise<ApiserverUnderTest> {
    const folder = await mkdtemp(join(tmpdir(), 'naru-differential-'));
    await writeFiles(folder);
    const store = await startStore(side, { from: ports.from + 1, to: ports.to });
    const [program, ...first] =
      side === 'ours'
        ? [process.execPath, oursMain]
        : // What 1.21 has without being asked.
          [upstreamProgram('kube-apiserver'), '--feature-gates=BoundServiceAccountTokenVolume=true'];
    const flags = [
      ...apiserverFlags({ port: ports.from, etcdServers: store.url, authorizationMode: 'RBAC' }),
      '--allow-privileged',
    ];
    const child = spawn(program, [...first, ...flags], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    process.once('exit', () => child.kill('SIGKILL'));
    const server = new ApiserverUnderTest({ folder, store, child, port: ports.from });
    try {
      await server.#ready();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw new Error(`${side}: ${server.#output}`, { cause: error });
    }
  }

  async #ready(): Promise<void> {
    const ended = once(this.#child, 'exit').then(() => {
      throw new Error('the process ended');
    });
    const ready = eventually(
      async () => (await this.#once({ name: '', method: 'GET', path: '/readyz' })).status === 200,
      { deadlineMs: DEADLINE_MS },
    );
    await Promise.race([ready, ended]);
    ended.catch(() => undefined);
  }

  async ask(request: CorpusRequest): Promise<Answer> {
    const answer = await (
      request.until === undefined ? this.#once(request) : this.#until(request, request.until)
    ).catch(closedConnection);
    if (request.keep !== undefined) this.#memory.keep(request.keep, answer.body);
    return answer;
  }

  async #until(request: CorpusRequest, done: (answer: Answer) => boolean): Promise<Answer> {
    let answer: Answer | undefined;
    const isDone = async (): Promise<boolean> => {
      answer = await this.#once(request);
      return done(answer);
    };
    // What never comes is a difference like any other.
    await eventually(isDone, { deadlineMs: UNTIL_MS }).catch((error: unknown) => {
      if (answer === undefined) throw error;
    });
    return answer ?? (await this.#once(request));
  }

  async #once(request: CorpusRequest): Promise<Answer> {
    const { token = 'secret', type = 'application/json' } = request;
    const body = bodyText(request, this.#memory);
    const watch = request.events === undefined ? {} : { signal: AbortSignal.timeout(WATCH_DEADLINE_MS) };
    const answer = await send(this.#url + this.#memory.fill(request.path), {
      method: request.method,
      dispatcher: this.#agent,
      headers: {
        // The first word is the field manager.
        'user-agent': 'corpus/1',
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': type }),
        ...request.headers,
      },
      ...watch,
      ...(body === undefined ? {} : { body }),
    });
    const headers = Object.fromEntries(
      Object.entries(answer.headers).map(([name, value]) => [name, [value].flat().join('; ')]),
    );
    const { statusCode: status } = answer;
    if (request.events !== undefined && status === 200)
      return { status, headers, body: await readEvents(answer.body, request.events) };
    const text = await answer.body.text();
    return { status, headers, body: parse(text, headers['content-type'] ?? '') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await exited;
    }
    await this.#store[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** What a server that panics answers. @throws what is nothing else */
function closedConnection(error: unknown): Answer {
  if ((error as { code?: string }).code !== 'UND_ERR_SOCKET') throw error;
  return { status: 0, headers: {}, body: 'the connection was closed' };
}

function parse(text: string, contentType: string): unknown {
  if (!contentType.startsWith('application/json')) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

interface Event {
  readonly type: string;
  readonly object: { readonly metadata?: { readonly name?: string } };
}

function isDeletionOf(event: Event, name: string): boolean {
  return event.type === 'DELETED' && event.object.metadata?.name === name;
}

/** The events of a watch until enough have come or the server ends it. */
async function readEvents(
  stream: AsyncIterable<Buffer>,
  enough: NonNullable<CorpusRequest['events']>,
): Promise<unknown[]> {
  const events: unknown[] = [];
  let rest = '';
  try {
    for await (const chunk of stream) {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const event = JSON.parse(line) as Event;
        events.push(event);
        if (typeof enough === 'number' ? events.length === enough : isDeletionOf(event, enough.deleted)) return events;
      }
    }
  } catch (error) {
    // Fewer events than expected are a difference like any other.
    events.push(`the watch ended: ${error instanceof Error ? error.name : String(error)}`);
  }
  return events;
}
