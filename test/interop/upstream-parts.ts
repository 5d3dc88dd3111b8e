/** A control plane whose parts are Kubernetes 1.20's own or ours, and kubemark's hollow nodes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { closeSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, runProgram, startRealEtcd, type RealEtcd } from '@naru/testkit';
import { apiserverFlags } from './apiserver-flags.ts';
import { missingPrograms, upstreamProgram } from './upstream-programs.ts';
import { CertificateAuthority } from '../../packages/naru/src/pki/certificate-authority.ts';

const root = join(import.meta.dirname, '..', '..');
const components = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubemark'] as const;
const oursOf = {
  'kube-apiserver': 'apiserver',
  'kube-controller-manager': 'controller-manager',
  'kube-scheduler': 'scheduler',
} as const;
type ControlPlanePart = keyof typeof oursOf;

/** Why these tests cannot run here; false: they can. */
export function missingUpstream(): string | false {
  const missing = missingPrograms(...components);
  if (missing !== false) return missing;
  return process.getuid?.() === 0 ? false : 'hollow nodes need root';
}

export class UpstreamParts implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly #etcd: RealEtcd;
  readonly #children: ChildProcess[] = [];

  private constructor(folder: string, etcd: RealEtcd, port: number) {
    this.folder = folder;
    this.#etcd = etcd;
    this.port = port;
  }

  /** etcd, certificates and a kubeconfig; no component yet. */
  static async prepare(ports: { readonly from: number; readonly to: number }): Promise<UpstreamParts> {
    const folder = await mkdtemp(join(tmpdir(), 'naru-upstream-'));
    const etcd = await startRealEtcd({ ports: { from: ports.from + 1, to: ports.to } });
    const parts = new UpstreamParts(folder, etcd, ports.from);
    await parts.#writeCertificates();
    return parts;
  }

  async #writeCertificates(): Promise<void> {
    const authority = await CertificateAuthority.create('reference');
    const hosts = ['127.0.0.1', '10.0.0.1', 'localhost', 'kubernetes.default.svc'];
    const pairs = {
      ca: authority.pem,
      apiserver: await authority.issue({ commonName: 'kube-apiserver', hosts, usages: ['server'] }),
      admin: await authority.issue({ commonName: 'admin', organizations: ['system:masters'], usages: ['client'] }),
      'front-proxy': await authority.issue({ commonName: 'front-proxy', usages: ['client'] }),
    };
    for (const [name, { cert, key }] of Object.entries(pairs)) {
      await writeFile(join(this.folder, `${name}.crt`), cert);
      await writeFile(join(this.folder, `${name}.key`), key);
    }
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(join(this.folder, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
    await writeFile(join(this.folder, 'tokens.csv'), 'secret,bench,bench,system:masters\n');
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'c',
          cluster: {
            server: `https://127.0.0.1:${this.port}`,
            'certificate-authority-data': base64(pairs.ca.cert),
          },
        },
      ],
      users: [
        {
          name: 'u',
          user: {
            'client-certificate-data': base64(pairs.admin.cert),
            'client-key-data': base64(pairs.admin.key),
          },
        },
      ],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    await writeFile(this.kubeconfig, JSON.stringify(kubeconfig));
  }

  get kubeconfig(): string {
    return join(this.folder, 'admin.kubeconfig');
  }

  start(part: ControlPlanePart | 'kubemark', by: 'upstream' | 'ours', flags: readonly string[]): void {
    const log = openSync(join(this.folder, `${part}.log`), 'a');
    const [command, ...first] =
      by === 'upstream' || part === 'kubemark'
        ? [upstreamProgram(part)]
        : [process.execPath, join(root, 'packages', oursOf[part], 'src', 'main.ts')];
    const child = spawn(command, [...first, ...flags], { cwd: this.folder, stdio: ['ignore', log, log] });
    closeSync(log);
    process.once('exit', () => child.kill('SIGKILL'));
    this.#children.push(child);
  }

  async startApiserver(by: 'upstream' | 'ours'): Promise<void> {
    this.start('kube-apiserver', by, [
      ...apiserverFlags({ port: this.port, etcdServers: this.#etcd.clientUrl, authorizationMode: 'Node,RBAC' }),
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged',
      '--requestheader-client-ca-file=ca.crt',
      '--requestheader-username-headers=X-Remote-User',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      '--requestheader-allowed-names=front-proxy',
      '--proxy-client-cert-file=front-proxy.crt',
      '--proxy-client-key-file=front-proxy.key',
      '--kubelet-client-certificate=admin.crt',
      '--kubelet-client-key=admin.key',
      '--max-requests-inflight=4000',
      '--max-mutating-requests-inflight=2000',
      // Without it, 1.20 wants controllers to make token Secrets, which nobody does any more.
      ...(by === 'upstream' ? ['--feature-gates=BoundServiceAccountTokenVolume=true'] : []),
    ]);
    await eventually(async () => await this.kubectl('get', '--raw', '/readyz'), { deadlineMs: 60_000 });
  }

  /** `kubelet` of kubemark: it runs no containers. */
  startHollowNode(name: string, ports: { readonly kubelet: number; readonly readOnly: number }): void {
    this.start('kubemark', 'upstream', [
      '--morph=kubelet',
      `--name=${name}`,
      `--kubeconfig=${this.kubeconfig}`,
      `--kubelet-port=${ports.kubelet}`,
      `--kubelet-read-only-port=${ports.readOnly}`,
      '--alsologtostderr=false',
    ]);
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    return (await runProgram('kubectl', [`--kubeconfig=${this.kubeconfig}`, ...args])).stdout;
  }

  /** The ends of the components' logs, for whoever looks into a failure. */
  async logs(): Promise<string> {
    const texts = await Promise.all(
      [...components].map(async (name) => {
        const text = await readFile(join(this.folder, `${name}.log`), 'utf8').catch(() => '');
        return `--- ${name}\n${text.slice(-2000)}`;
      }),
    );
    return texts.join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exits = this.#children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    });
    await Promise.all(exits);
    await this.#etcd[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}
