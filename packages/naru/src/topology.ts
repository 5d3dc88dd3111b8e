/**
 * The shape of a cluster: which processes with which flags, on which addresses and ports. Pure: the options decide
 * everything, so that the same options always describe the same cluster.
 */
import { join } from 'node:path';

export type Role = 'kv' | 'apiserver' | 'controller-manager' | 'scheduler' | 'kubelet' | 'kube-proxy';
export type ContainerRuntime = 'process' | 'hollow';

export interface ClusterOptions {
  /** Absolute. Holds certificates, kubeconfigs, logs, the store's data and the nodes' state. */
  readonly dataDir: string;
  readonly portBase: number;
  /** Members of the store: 1 to 9. */
  readonly kv: number;
  /** API servers; they share one port. */
  readonly apiservers: number;
  readonly nodes: number;
  readonly runtime: ContainerRuntime;
}

export const defaultOptions = { portBase: 6440, kv: 3, apiservers: 2, nodes: 2, runtime: 'process' } as const;

/** One process of the cluster. */
export interface ProcessSpec {
  readonly name: string;
  readonly role: Role;
  /** Name of the node that the process belongs to, for kubelets and kube-proxies. */
  readonly node?: string;
  /** Folder under packages/ whose src/main.ts is run. */
  readonly package: string;
  readonly args: readonly string[];
  /** Answers 200 when the process serves; asked over TLS with the cluster's or the store's certificates. */
  readonly healthUrl: string;
}

export interface Topology {
  readonly options: ClusterOptions;
  readonly apiserverPort: number;
  readonly server: string;
  readonly storeEndpoints: readonly string[];
  readonly nodeAddresses: readonly string[];
  readonly serviceCidr: string;
  readonly podCidr: string;
  /** The `kubernetes` Service: first address of the service range. */
  readonly kubernetesServiceIp: string;
  readonly processes: readonly ProcessSpec[];
}

/** Ports of one cluster, counted from the port base. */
const APISERVER_PORT = 3;
const CONTROLLER_MANAGER_PORT = 4;
const SCHEDULER_PORT = 5;
const KV_PORT = 10;
const KUBELET_PORT = 10_250;
const KUBE_PROXY_HEALTH_PORT = 10_256;
const KUBELET_HEALTH_PORT = 10_248;
/** Clusters whose port bases differ by a multiple of 100 below 6,200 get different blocks of 127.0.0.0/8. */
const PORTS_PER_CLUSTER = 100;
const LOOPBACK_BLOCKS = 62;
/** Hollow pods need many addresses: their nodes share the /15 of the cluster. */
const POD_CIDR_BITS = 15;

/** File names under the data dir. */
export const files = {
  pki: 'pki',
  adminKubeconfig: 'admin.kubeconfig',
  logs: 'logs',
  processes: 'processes.json',
  cluster: 'cluster.json',
} as const;

export const nodeName = (i: number): string => `node-${i}`;

function nodeCidrMaskSize(options: ClusterOptions): number {
  if (options.runtime === 'process') return 24;
  const bits = Math.ceil(Math.log2(Math.max(2, options.nodes)));
  return Math.min(24, Math.max(18, POD_CIDR_BITS + bits));
}

/** Describes the whole cluster. */
export function describeCluster(options: ClusterOptions): Topology {
  const block = 4 * (1 + (Math.floor(options.portBase / PORTS_PER_CLUSTER) % LOOPBACK_BLOCKS));
  const apiserverPort = options.portBase + APISERVER_PORT;
  const kvNumbers = Array.from({ length: options.kv }, (_, i) => i + 1);
  const clientUrl = (i: number): string => `https://127.0.0.1:${options.portBase + KV_PORT + 2 * (i - 1)}`;
  const peerUrl = (i: number): string => `https://127.0.0.1:${options.portBase + KV_PORT + 2 * (i - 1) + 1}`;
  const base = {
    options,
    apiserverPort,
    server: `https://127.0.0.1:${apiserverPort}`,
    storeEndpoints: kvNumbers.map(clientUrl),
    nodeAddresses: Array.from({ length: options.nodes }, (_, i) => nodeAddress(block, i + 1)),
    serviceCidr: `127.${block + 1}.0.0/16`,
    podCidr: `127.${block + 2}.0.0/${POD_CIDR_BITS}`,
    kubernetesServiceIp: `127.${block + 1}.0.1`,
  };
  const initialCluster = kvNumbers.map((i) => `kv-${i}=${peerUrl(i)}`).join(',');
  return {
    ...base,
    processes: [
      ...kvNumbers.map((i) => kvProcess(options, i, clientUrl(i), peerUrl(i), initialCluster)),
      ...Array.from({ length: options.apiservers }, (_, i) => apiserverProcess(base, i + 1)),
      controllerManagerProcess(base, nodeCidrMaskSize(options)),
      schedulerProcess(base),
      ...base.nodeAddresses.flatMap((address, i) => nodeProcesses(base, i + 1, address)),
    ],
  };
}

function nodeAddress(block: number, i: number): string {
  return `127.${block}.${Math.floor(i / 250)}.${(i % 250) + 1}`;
}

type Base = Omit<Topology, 'processes'>;

function kvProcess(options: ClusterOptions, i: number, client: string, peer: string, cluster: string): ProcessSpec {
  const name = `kv-${i}`;
  const pki = join(options.dataDir, files.pki, 'etcd');
  const flags = {
    name,
    'data-dir': join(options.dataDir, name),
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': cluster,
    // Members on one machine hear of each other at once: a dead leader is replaced sooner than by default.
    'election-timeout': '600',
    'cert-file': join(pki, `${name}.crt`),
    'key-file': join(pki, `${name}.key`),
    'client-cert-auth': 'true',
    'trusted-ca-file': join(pki, 'ca.crt'),
    'peer-cert-file': join(pki, `${name}.crt`),
    'peer-key-file': join(pki, `${name}.key`),
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': join(pki, 'ca.crt'),
  };
  return { name, role: 'kv', package: 'kv-raft', args: toArgs(flags), healthUrl: `${client}/health` };
}

function apiserverProcess(base: Base, i: number): ProcessSpec {
  const pki = join(base.options.dataDir, files.pki);
  const flags = {
    'etcd-servers': base.storeEndpoints.join(','),
    'etcd-cafile': join(pki, 'etcd', 'ca.crt'),
    'etcd-certfile': join(pki, 'apiserver-etcd-client.crt'),
    'etcd-keyfile': join(pki, 'apiserver-etcd-client.key'),
    'bind-address': '127.0.0.1',
    'secure-port': String(base.apiserverPort),
    'tls-cert-file': join(pki, 'apiserver.crt'),
    'tls-private-key-file': join(pki, 'apiserver.key'),
    'client-ca-file': join(pki, 'ca.crt'),
    'kubelet-certificate-authority': join(pki, 'ca.crt'),
    'kubelet-client-certificate': join(pki, 'apiserver-kubelet-client.crt'),
    'kubelet-client-key': join(pki, 'apiserver-kubelet-client.key'),
    // By these, servers that extend the API know who asks.
    'requestheader-client-ca-file': join(pki, 'front-proxy-ca.crt'),
    'requestheader-allowed-names': 'front-proxy-client',
    'requestheader-username-headers': 'X-Remote-User',
    'requestheader-uid-headers': 'X-Remote-Uid',
    'requestheader-group-headers': 'X-Remote-Group',
    'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
    'proxy-client-cert-file': join(pki, 'front-proxy-client.crt'),
    'proxy-client-key-file': join(pki, 'front-proxy-client.key'),
    // Where there is no node here, there is no kube-proxy, and ClusterIPs lead nowhere.
    'enable-aggregator-routing': 'true',
    // The nodes' names are in no DNS.
    'kubelet-preferred-address-types': 'InternalIP,Hostname',
    'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
    'service-account-key-file': join(pki, 'sa.pub'),
    'service-account-signing-key-file': join(pki, 'sa.key'),
    'service-cluster-ip-range': base.serviceCidr,
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'enable-bootstrap-token-auth': 'true',
  };
  return {
    name: `apiserver-${i}`,
    role: 'apiserver',
    package: 'apiserver',
    args: toArgs(flags),
    healthUrl: `${base.server}/readyz`,
  };
}

function controllerManagerProcess(base: Base, maskSize: number): ProcessSpec {
  const { dataDir, portBase } = base.options;
  const health = `127.0.0.1:${portBase + CONTROLLER_MANAGER_PORT}`;
  const flags = {
    kubeconfig: join(dataDir, 'controller-manager.kubeconfig'),
    'allocate-node-cidrs': 'true',
    'cluster-cidr': base.podCidr,
    'node-cidr-mask-size': String(maskSize),
    controllers: '*,bootstrapsigner,tokencleaner',
    'root-ca-file': join(dataDir, files.pki, 'ca.crt'),
    'cluster-signing-cert-file': join(dataDir, files.pki, 'ca.crt'),
    'cluster-signing-key-file': join(dataDir, files.pki, 'ca.key'),
    'service-account-private-key-file': join(dataDir, files.pki, 'sa.key'),
    'healthz-bind-address': health,
    // Test suites of before 1.24 wait for it, and hollow clusters are for test suites.
    ...(base.options.runtime === 'hollow'
      ? { 'feature-gates': 'LegacyServiceAccountTokenNoAutoGeneration=false' }
      : {}),
  };
  const name = 'controller-manager';
  return { name, role: name, package: name, args: toArgs(flags), healthUrl: `http://${health}/healthz` };
}

function schedulerProcess(base: Base): ProcessSpec {
  const health = `127.0.0.1:${base.options.portBase + SCHEDULER_PORT}`;
  const flags = { kubeconfig: join(base.options.dataDir, 'scheduler.kubeconfig'), 'healthz-bind-address': health };
  return {
    name: 'scheduler',
    role: 'scheduler',
    package: 'scheduler',
    args: toArgs(flags),
    healthUrl: `http://${health}/healthz`,
  };
}

function nodeProcesses(base: Base, i: number, address: string): ProcessSpec[] {
  const { dataDir, runtime } = base.options;
  const node = nodeName(i);
  const kubelet = {
    kubeconfig: join(dataDir, `kubelet-${i}.kubeconfig`),
    'hostname-override': node,
    'node-ip': address,
    'node-labels': `topology.kubernetes.io/region=local,topology.kubernetes.io/zone=zone-${((i - 1) % 3) + 1}`,
    'root-dir': join(dataDir, node),
    'container-runtime': runtime,
    address,
    port: String(KUBELET_PORT),
    'tls-cert-file': join(dataDir, files.pki, `kubelet-${i}.crt`),
    'tls-private-key-file': join(dataDir, files.pki, `kubelet-${i}.key`),
    'client-ca-file': join(dataDir, files.pki, 'ca.crt'),
    'authorization-mode': 'Webhook',
    'healthz-bind-address': `${address}:${KUBELET_HEALTH_PORT}`,
    ...(runtime === 'hollow' ? { 'max-pods': '5000' } : {}),
  };
  const proxy = {
    kubeconfig: join(dataDir, 'kube-proxy.kubeconfig'),
    'hostname-override': node,
    'node-ip': address,
    // The first node answers for the machine itself, so that localhost:NODEPORT works.
    'nodeport-addresses': i === 1 ? `${address}/32,127.0.0.1/32` : `${address}/32`,
    'healthz-bind-address': `${address}:${KUBE_PROXY_HEALTH_PORT}`,
  };
  return [
    {
      name: `kubelet-${i}`,
      role: 'kubelet',
      node,
      package: 'kubelet',
      args: toArgs(kubelet),
      healthUrl: `http://${address}:${KUBELET_HEALTH_PORT}/healthz`,
    },
    {
      name: `kube-proxy-${i}`,
      role: 'kube-proxy',
      node,
      package: 'kube-proxy',
      args: toArgs(proxy),
      healthUrl: `http://${address}:${KUBE_PROXY_HEALTH_PORT}/healthz`,
    },
  ];
}

function toArgs(flags: Readonly<Record<string, string>>): string[] {
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
}
