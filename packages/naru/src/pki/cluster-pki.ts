/** The certificates of a cluster, laid out as kubeadm lays them out, and the kubeconfigs that use them. */
import { generateKeyPairSync } from 'node:crypto';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse, stringify } from 'yaml';
import { CertificateAuthority, type CertificateRequest, type KeyPairPem } from './certificate-authority.ts';

/** What the certificates must cover. Adding nodes or members later issues what is missing. */
export interface ClusterPkiOptions {
  /** Folder of the certificates. */
  readonly dir: string;
  /** Folder of the kubeconfigs. */
  readonly kubeconfigDir: string;
  /** URL of the API server in kubeconfigs. */
  readonly server: string;
  /** The same for the admin, who may be outside; default `server`. */
  readonly adminServer?: string;
  readonly apiserverHosts: readonly string[];
  readonly storeMembers: readonly { readonly name: string; readonly hosts: readonly string[] }[];
  readonly nodes: readonly { readonly name: string; readonly number: number; readonly hosts: readonly string[] }[];
}

const PRIVATE = 0o600;

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function write(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, text, { mode });
}

async function writePair(path: string, pair: KeyPairPem): Promise<void> {
  await write(`${path}.key`, pair.key, PRIVATE);
  await write(`${path}.crt`, pair.cert);
}

async function authority(path: string, commonName: string): Promise<CertificateAuthority> {
  if (await exists(`${path}.crt`)) {
    const [cert, key] = await Promise.all([readFile(`${path}.crt`, 'utf8'), readFile(`${path}.key`, 'utf8')]);
    return await CertificateAuthority.load({ cert, key });
  }
  const created = await CertificateAuthority.create(commonName);
  await writePair(path, created.pem);
  return created;
}

async function issueOnce(path: string, ca: CertificateAuthority, request: CertificateRequest): Promise<void> {
  if (!(await exists(`${path}.crt`))) await writePair(path, await ca.issue(request));
}

async function serviceAccountKeys(dir: string): Promise<void> {
  if (await exists(join(dir, 'sa.pub'))) return;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await write(join(dir, 'sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), PRIVATE);
  await write(join(dir, 'sa.pub'), publicKey.export({ type: 'spki', format: 'pem' }).toString());
}

/** The server of a kubeconfig that was written before; undefined if there is none. */
async function serverOf(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  return (parse(text) as { readonly clusters: [{ readonly cluster: { readonly server: string } }] }).clusters[0].cluster
    .server;
}

/** A kubeconfig with embedded certificates. */
function kubeconfigOf(server: string, user: string, ca: string, pair: KeyPairPem): object {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const name = 'naru';
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': base64(ca) } }],
    users: [
      { name: user, user: { 'client-certificate-data': base64(pair.cert), 'client-key-data': base64(pair.key) } },
    ],
    contexts: [{ name, context: { cluster: name, user } }],
    'current-context': name,
  };
}

/** Makes what is missing; what is there stays as it is, but for kubeconfigs of another server. */
export async function ensureClusterPki(options: ClusterPkiOptions): Promise<void> {
  const { dir } = options;
  const [ca, etcdCa, frontProxyCa] = await Promise.all([
    authority(join(dir, 'ca'), 'naru-ca'),
    authority(join(dir, 'etcd', 'ca'), 'naru-etcd-ca'),
    authority(join(dir, 'front-proxy-ca'), 'naru-front-proxy-ca'),
  ]);
  const kubeconfig = async (
    file: string,
    commonName: string,
    organizations: readonly string[],
    server = options.server,
  ): Promise<void> => {
    const path = join(options.kubeconfigDir, `${file}.kubeconfig`);
    if ((await serverOf(path)) === server) return;
    const pair = await ca.issue({ commonName, organizations, usages: ['client'] });
    const config = kubeconfigOf(server, commonName, ca.pem.cert, pair);
    // People read the admin's. The components' are JSON, which is YAML too and needs no YAML parser to be loaded.
    await write(path, file === 'admin' ? stringify(config) : `${JSON.stringify(config, undefined, 2)}\n`, PRIVATE);
  };
  const masters = ['system:masters'];
  await Promise.all([
    serviceAccountKeys(dir),
    issueOnce(join(dir, 'apiserver'), ca, {
      commonName: 'kube-apiserver',
      hosts: options.apiserverHosts,
      usages: ['server'],
    }),
    issueOnce(join(dir, 'apiserver-kubelet-client'), ca, {
      commonName: 'kube-apiserver-kubelet-client',
      organizations: masters,
      usages: ['client'],
    }),
    issueOnce(join(dir, 'front-proxy-client'), frontProxyCa, {
      commonName: 'front-proxy-client',
      usages: ['client'],
    }),
    issueOnce(join(dir, 'apiserver-etcd-client'), etcdCa, {
      commonName: 'kube-apiserver-etcd-client',
      usages: ['client'],
    }),
    ...options.storeMembers.map(({ name, hosts }) =>
      issueOnce(join(dir, 'etcd', name), etcdCa, { commonName: name, hosts, usages: ['server', 'client'] }),
    ),
    ...options.nodes.map(({ name, number, hosts }) =>
      issueOnce(join(dir, `kubelet-${number}`), ca, {
        commonName: `system:node:${name}`,
        organizations: ['system:nodes'],
        hosts: [name, ...hosts],
        usages: ['server'],
      }),
    ),
    ...options.nodes.map(({ name, number }) =>
      kubeconfig(`kubelet-${number}`, `system:node:${name}`, ['system:nodes']),
    ),
    kubeconfig('admin', 'admin', masters, options.adminServer),
    kubeconfig('controller-manager', 'system:kube-controller-manager', []),
    kubeconfig('scheduler', 'system:kube-scheduler', []),
    kubeconfig('kube-proxy', 'system:kube-proxy', []),
  ]);
}
