// The real kube-apiserver 1.20 keeps its objects in a cluster of kv-raft.
import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '@naru/testkit';
import { Members } from '../../packages/kv-raft/test/cluster/members.ts';
import { missingPrograms, upstreamProgram } from './upstream-programs.ts';

t.setTimeout(600_000);

const program = upstreamProgram('kube-apiserver');
const skip = missingPrograms('kube-apiserver');
const DEADLINE_MS = 120_000;
const PORT = 22_100;

/** kube-apiserver with a token for an admin, and kubectl on it. */
class KubeApiserver implements AsyncDisposable {
  readonly #folder: string;
  readonly #child: ChildProcess;
  output = '';

  private constructor(folder: string, child: ChildProcess) {
    this.#folder = folder;
    this.#child = child;
    const note = (chunk: Buffer): void => {
      this.output = (this.output + chunk.toString()).slice(-4000);
    };
    child.stdout?.on('data', note);
    child.stderr?.on('data', note);
  }

  static async start(etcdServers: readonly string[]): Promise<KubeApiserver> {
    const folder = await mkdtemp(join(tmpdir(), 'naru-kube-apiserver-'));
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(join(folder, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
    await writeFile(join(folder, 'tokens.csv'), 'secret,admin,admin,system:masters\n');
    const child = spawn(
      program,
      [
        `--etcd-servers=${etcdServers.join()}`,
        `--secure-port=${PORT}`,
        '--bind-address=127.0.0.1',
        '--cert-dir=certs',
        '--service-account-issuer=https://kubernetes.default.svc',
        '--service-account-signing-key-file=sa.key',
        '--service-account-key-file=sa.key',
        '--token-auth-file=tokens.csv',
        '--authorization-mode=RBAC',
        '--service-cluster-ip-range=10.0.0.0/16',
      ],
      { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    process.once('exit', () => child.kill('SIGKILL'));
    return new KubeApiserver(folder, child);
  }

  /** What kubectl prints. @throws Error with its complaint */
  async kubectl(argv: readonly string[]): Promise<string> {
    const child = this.spawnKubectl(argv);
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stdin?.end();
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`kubectl ${argv.join(' ')}: ${output}\n${this.output.slice(-2000)}`);
    return output;
  }

  spawnKubectl(argv: readonly string[]): ChildProcess {
    const access = [`--server=https://127.0.0.1:${PORT}`, '--token=secret', '--insecure-skip-tls-verify'];
    return spawn('kubectl', [...access, ...argv], { env: { ...process.env, KUBECONFIG: '/dev/null' } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await exited;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

await t.test(
  'kube-apiserver serves kubectl from three members and survives the death of their leader',
  { skip },
  async (t) => {
    await using members = await Members.startWith({ ports: { from: 22_101, to: 22_139 } });
    await using apiserver = await KubeApiserver.start(members.urls);
    const kubectl = async (...argv: string[]): Promise<string> => await apiserver.kubectl(argv);
    // The roles take longest and nothing here needs them.
    const ready = '/readyz?exclude=poststarthook/rbac/bootstrap-roles';
    await eventually(async () => await kubectl('get', '--raw', ready), { deadlineMs: DEADLINE_MS });
    t.match(await kubectl('get', 'namespaces'), /kube-system +Active/u);
    await eventually(async () => await kubectl('get', 'service', 'kubernetes'), { deadlineMs: DEADLINE_MS });
    t.match(await kubectl('get', 'services'), /^kubernetes .*10\.0\.0\.1/mu);

    const watching = apiserver.spawnKubectl(['get', 'configmaps', '--watch', '-o=name']);
    const stopped = once(watching, 'close');
    t.teardown(() => watching.kill('SIGKILL'));
    let watched = '';
    watching.stdout?.on('data', (chunk: Buffer) => (watched += chunk.toString()));
    const sees = async (name: string): Promise<void> =>
      await eventually(
        () => {
          if (!watched.includes(`configmap/${name}\n`)) throw new Error(`${name} is not seen: ${watched}`);
        },
        { deadlineMs: DEADLINE_MS },
      );

    await kubectl('create', 'configmap', 'first', '--from-literal=a=1');
    await sees('first');
    t.equal(await kubectl('get', 'configmap', 'first', '-o=jsonpath={.data.a}'), '1');
    await kubectl('create', 'deployment', 'web', '--image=nginx');
    t.match(await kubectl('get', 'deployments'), /^web/mu);

    const leader = await members.leader();
    await members.stopMember(leader, 'SIGKILL');
    // What is sent while nobody leads may be refused: kubectl is asked again, as its users do.
    await eventually(async () => await kubectl('create', 'configmap', 'second', '--from-literal=a=2'), {
      deadlineMs: DEADLINE_MS,
    }).catch((error: unknown) => {
      // It was refused after it was done.
      if (!String(error).includes('AlreadyExists')) throw error;
    });
    await sees('second');
    t.equal(await kubectl('get', 'configmap', 'first', '-o=jsonpath={.data.a}'), '1', 'nothing is lost');
    await kubectl('patch', 'configmap', 'first', '-p', '{"data":{"a":"3"}}');
    t.equal(await kubectl('get', 'configmap', 'first', '-o=jsonpath={.data.a}'), '3');

    members.startMember(leader);
    await kubectl('delete', 'deployment', 'web');
    await kubectl('delete', 'configmap', 'first', 'second');
    t.notMatch(await kubectl('get', 'configmaps', '-o=name'), /first|second/u);
    t.match(await kubectl('get', 'deployments'), /No resources found/u);
    watching.kill('SIGTERM');
    await stopped;
  },
);

t.end();
