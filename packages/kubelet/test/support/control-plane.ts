// A store and an API server as processes of their own, and kubelets on them, for tests of the kubelet as it is run.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { RestClient } from '@naru/client';
import { generateKeyPairSync } from 'node:crypto';

const packages = join(import.meta.dirname, '..', '..', '..');

interface Listening {
  readonly child: ChildProcess;
  /** Ports by purpose, in the order in which they were announced. */
  readonly ports: readonly { readonly port: number; readonly purpose?: string }[];
}

/** Starts a component and waits for as many `listening` lines as it is to print. */
async function startComponent(name: string, args: readonly string[], sockets: number): Promise<Listening> {
  const child = spawn(process.execPath, [join(packages, name, 'src', 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ports: { port: number; purpose?: string }[] = [];
  const last: string[] = [];
  return await new Promise<Listening>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${last.join('\n')}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      last.push(line);
      if (last.length > 20) last.shift();
      if (!line.includes('"msg":"listening"')) return;
      ports.push(JSON.parse(line) as { port: number });
      if (ports.length === sockets) resolve({ child, ports });
    });
  });
}

async function stopComponent(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await exited;
}

export interface RunningKubelet {
  /** Of its API. */
  readonly port: number;
  readonly rootDir: string;
  stop(signal: NodeJS.Signals): Promise<void>;
}

export class ControlPlane implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'kubelet-e2e-'));
  readonly #children: ChildProcess[] = [];
  readonly #kubelets: ChildProcess[] = [];
  #client: RestClient | undefined;
  #server = '';

  get client(): RestClient {
    if (this.#client === undefined) throw new Error('not started');
    return this.#client;
  }

  async start(): Promise<void> {
    const { folder } = this;
    const store = await startComponent(
      'kv-raft',
      [
        `--data-dir=${join(folder, 'store')}`,
        '--listen-client-urls=http://127.0.0.1:0',
        '--listen-peer-urls=http://127.0.0.1:0',
      ],
      2,
    );
    this.#children.push(store.child);
    const storePort = store.ports.find(({ purpose }) => purpose === 'client')?.port;
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(folder, 'sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(
      join(folder, 'tokens.csv'),
      'admin-token,admin,1,"system:masters"\nnode-token,system:node:node-1,2,"system:nodes"\n',
    );
    const api = await startComponent(
      'apiserver',
      [
        `--etcd-servers=http://127.0.0.1:${storePort}`,
        '--bind-address=127.0.0.1',
        '--secure-port=0',
        '--service-cluster-ip-range=127.97.0.0/16',
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
        `--service-account-key-file=${join(folder, 'sa.key')}`,
        `--token-auth-file=${join(folder, 'tokens.csv')}`,
        '--authorization-mode=Node,RBAC',
        '--enable-admission-plugins=NodeRestriction',
      ],
      1,
    );
    this.#children.push(api.child);
    this.#server = `http://127.0.0.1:${api.ports[0]?.port}`;
    this.#client = new RestClient({ server: this.#server, bearerToken: 'admin-token' });
    writeFileSync(
      join(folder, 'kubelet.kubeconfig'),
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        clusters: [{ name: 'c', cluster: { server: this.#server } }],
        users: [{ name: 'u', user: { token: 'node-token' } }],
      }),
    );
  }

  async startKubelet(args: readonly string[] = []): Promise<RunningKubelet> {
    const rootDir = join(this.folder, 'node-1');
    const { child, ports } = await startComponent(
      'kubelet',
      [
        `--kubeconfig=${join(this.folder, 'kubelet.kubeconfig')}`,
        '--hostname-override=node-1',
        '--node-ip=127.0.0.1',
        `--root-dir=${rootDir}`,
        '--port=0',
        '--pod-cidr=127.98.0.0/16',
        '--healthz-bind-address=',
        ...args,
      ],
      1,
    );
    this.#kubelets.push(child);
    return {
      port: ports[0]?.port ?? 0,
      rootDir,
      stop: async (signal) => await stopComponent(child, signal),
    };
  }

  /** Ends everything, the pods' processes too. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#kubelets) await stopComponent(child, 'SIGKILL');
    const cleanup = spawn(
      process.execPath,
      [
        join(packages, 'kubelet', 'src', 'main.ts'),
        '--cleanup',
        '--cleanup-grace-period=0s',
        `--root-dir=${join(this.folder, 'node-1')}`,
      ],
      { stdio: 'ignore' },
    );
    await new Promise((resolve) => cleanup.once('exit', resolve));
    await this.#client?.[Symbol.asyncDispose]();
    for (const child of this.#children.toReversed()) await stopComponent(child, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
