import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request, type Dispatcher } from 'undici';
import { eventually } from '@naru/testkit';
import { CertificateAuthority } from '../../packages/naru/src/pki/certificate-authority.ts';
import { componentCommand, componentEnvironment } from '../../packages/naru/src/supervisor/component-command.ts';
import { apiserverFlags } from '../../test/interop/apiserver-flags.ts';
import { upstreamProgram } from '../../test/interop/upstream-programs.ts';
import type { Side } from '../compare.ts';
import { freePorts, StoreCluster } from '../kv/store-cluster.ts';
import { cpuSecondsOf, residentMiBOf } from '../process-figures.ts';
import { NAMESPACE } from './objects.ts';

const REPOSITORY = join(import.meta.dirname, '..', '..');
const READY_DEADLINE_MS = 120_000;
const READY_POLL_MS = 10;
const STOP_DEADLINE_MS = 10_000;
const OUTPUT_CHARACTERS_KEPT = 4000;

/** Of a user in system:masters. */
export const TOKEN = 'bench-of-apiservers';

interface Apiserver {
  readonly url: string;
  readonly child: ChildProcess;
}

/** One member of a store, and apiservers on it: ours on kv-raft, or kube-apiserver 1.20 on etcd, with the same flags. */
export class ApiSystem implements AsyncDisposable {
  readonly side: Side;
  readonly folder: string;
  readonly #store: StoreCluster;
  readonly #agent = new Agent({ connect: { rejectUnauthorized: false }, connections: 32, bodyTimeout: 0 });
  readonly #apiservers: Apiserver[] = [];

  private constructor(side: Side, folder: string, store: StoreCluster) {
    this.side = side;
    this.folder = folder;
    this.#store = store;
  }

  /** The store and certificates; no apiserver yet. */
  static async prepare(side: Side): Promise<ApiSystem> {
    const folder = await mkdtemp(join(tmpdir(), 'naru-bench-apiserver-'));
    await writeCertificates(folder);
    const store = await StoreCluster.start(side === 'ours' ? 'kv-raft' : 'etcd', ['a']);
    return new ApiSystem(side, folder, store);
  }

  /** With one apiserver, and the ServiceAccount that Pods need. */
  static async start(side: Side): Promise<ApiSystem> {
    const system = await ApiSystem.prepare(side);
    try {
      await system.startApiserver();
      await system.createServiceAccount();
      return system;
    } catch (error) {
      await system[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** URLs of the apiservers, the first one first. */
  get urls(): readonly string[] {
    return this.#apiservers.map((each) => each.url);
  }

  get url(): string {
    return this.urls[0] ?? '';
  }

  /** Starts one more apiserver; resolves when /readyz says ok. @returns how long that took, in milliseconds */
  async startApiserver(): Promise<number> {
    const [port = 0] = await freePorts(1);
    const { clientUrl } = await this.#store.leader();
    const [program, ...first] =
      this.side === 'ours'
        ? (await componentCommand(REPOSITORY, console.error))('apiserver')
        : [upstreamProgram('kube-apiserver'), '--feature-gates=BoundServiceAccountTokenVolume=true'];
    const started = performance.now();
    const child = spawn(program ?? '', [...first, ...flagsOf(port, clientUrl)], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: componentEnvironment(REPOSITORY, process.env),
    });
    let output = '';
    const note = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-OUTPUT_CHARACTERS_KEPT);
    };
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    const endWithParent = (): boolean => child.kill('SIGKILL');
    process.once('exit', endWithParent);
    child.once('exit', () => process.off('exit', endWithParent));
    const url = `https://127.0.0.1:${port}`;
    this.#apiservers.push({ url, child });
    while (!(await this.#isReady(url))) {
      if (child.exitCode !== null) throw new Error(`apiserver (${this.side}) ended: ${output}`);
      if (performance.now() - started > READY_DEADLINE_MS)
        throw new Error(`apiserver (${this.side}) is not ready: ${output}`);
      await delay(READY_POLL_MS);
    }
    return performance.now() - started;
  }

  async #isReady(url: string): Promise<boolean> {
    return await this.call('GET', '/readyz', undefined, url).then(
      () => true,
      () => false,
    );
  }

  /** Ends the newest apiserver. */
  async stopApiserver(): Promise<void> {
    const apiserver = this.#apiservers.pop();
    if (apiserver !== undefined) await end(apiserver.child);
  }

  /** One request. @returns the answer's body @throws Error when it is not a success */
  async call(method: Dispatcher.HttpMethod, path: string, body?: object, url = this.url): Promise<string> {
    const answer = await request(`${url}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: {
        authorization: `Bearer ${TOKEN}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 500)}`);
    return text;
  }

  /** What no controller makes here: Pods are refused without it. */
  async createServiceAccount(): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } };
    // Ready is not yet having the namespace.
    await eventually(async () => await this.call('POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, body), {
      deadlineMs: READY_DEADLINE_MS,
    });
  }

  /** CPU seconds that the apiservers have used so far. */
  async cpuSeconds(): Promise<number> {
    const each = await Promise.all(this.#apiservers.map(async ({ child }) => await cpuSecondsOf(child.pid)));
    return each.reduce((sum, seconds) => sum + seconds, 0);
  }

  async storeCpuSeconds(): Promise<number> {
    return await this.#store.cpuSeconds();
  }

  /** Of the first apiserver. */
  async residentMiB(): Promise<number> {
    return await residentMiBOf(this.#apiservers[0]?.child.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#apiservers.map(async ({ child }) => await end(child)));
    await this.#agent.destroy();
    await this.#store[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  // In good order: what ours has compiled it then writes down for its next start.
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
  await exited;
  clearTimeout(late);
}

async function writeCertificates(folder: string): Promise<void> {
  const authority = await CertificateAuthority.create('bench');
  const hosts = ['127.0.0.1', '10.0.0.1', 'localhost', 'kubernetes.default.svc'];
  const pairs = {
    ca: authority.pem,
    apiserver: await authority.issue({ commonName: 'kube-apiserver', hosts, usages: ['server'] }),
    kubelet: await authority.issue({ commonName: 'admin', organizations: ['system:masters'], usages: ['client'] }),
  };
  for (const [name, { cert, key }] of Object.entries(pairs)) {
    await writeFile(join(folder, `${name}.crt`), cert);
    await writeFile(join(folder, `${name}.key`), key);
  }
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(join(folder, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
  await writeFile(join(folder, 'tokens.csv'), `${TOKEN},bench,bench,system:masters\n`);
}

function flagsOf(port: number, etcdServers: string): readonly string[] {
  return [
    ...apiserverFlags({ port, etcdServers, authorizationMode: 'Node,RBAC' }),
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged',
    '--kubelet-client-certificate=kubelet.crt',
    '--kubelet-client-key=kubelet.key',
    '--max-requests-inflight=4000',
    '--max-mutating-requests-inflight=2000',
  ];
}
