import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Taint } from '@naru/api';
import { loadKubeconfig, RestClient } from '@naru/client';
import {
  HealthServer,
  readTlsFiles,
  runMain,
  systemClock,
  UsageError,
  type Component,
  type FlagTable,
  type FlagValues,
} from '@naru/component';
import { cleanUp } from './clean-up.ts';
import { Kubelet } from './kubelet.ts';
import { parseCIDR } from './node/ipv4.ts';
import { runtimeNames, type RuntimeName } from './runtime/open-runtime.ts';

const flags = {
  kubeconfig: { type: 'string', description: 'Kubeconfig with the API server and the credentials.' },
  'hostname-override': { type: 'string', description: "The Node's name; default: the host's name." },
  'node-ip': { type: 'string', default: '127.0.0.1', description: "The node's InternalIP." },
  'node-labels': { type: 'list', description: 'Labels of the Node: key=value.' },
  'register-with-taints': { type: 'list', description: 'Taints that the Node is registered with: key=value:effect.' },
  'root-dir': { type: 'string', default: '/var/lib/kubelet', description: 'Folder of pods, volumes, logs and state.' },
  address: { type: 'string', description: 'Address of the kubelet API; default: --node-ip.' },
  port: {
    type: 'integer',
    default: 10_250,
    min: 0,
    max: 65_535,
    description: 'Port of the kubelet API; 0: a free one.',
  },
  'max-pods': { type: 'integer', default: 110, min: 0, description: 'Pods that may run on this node.' },
  'pod-cidr': { type: 'string', description: "Addresses of pods; default: the Node's spec.podCIDR." },
  'container-runtime': {
    type: 'string',
    default: 'process',
    values: runtimeNames,
    description: 'process: containers are processes of the host; hollow: they are only said to run.',
  },
  'tls-cert-file': { type: 'string', description: 'Serving certificate; default: a self-signed one.' },
  'tls-private-key-file': { type: 'string', description: 'Its private key.' },
  'client-ca-file': {
    type: 'string',
    description: 'CA of the certificates that callers of the kubelet API must have.',
  },
  'authorization-mode': {
    type: 'string',
    default: 'AlwaysAllow',
    values: ['AlwaysAllow', 'Webhook'],
    description: 'Webhook: the API server is asked what a caller of the kubelet API may do.',
  },
  'node-status-update-frequency': {
    type: 'duration',
    default: 10_000,
    description: 'How often the node is looked at.',
  },
  'cluster-dns': { type: 'list', description: 'Accepted; the runtimes have no DNS settings of their own.' },
  'cluster-domain': { type: 'string', description: 'Accepted, as --cluster-dns.' },
  'healthz-bind-address': {
    type: 'string',
    default: '127.0.0.1',
    description: 'HOST or HOST:PORT of /healthz and /metrics over plain HTTP; empty: none.',
  },
  'healthz-port': {
    type: 'integer',
    default: 10_248,
    min: 0,
    max: 65_535,
    description: 'Its port, where not given there.',
  },
  cleanup: { type: 'boolean', default: false, description: 'End what pods left running on this node, and exit.' },
  'cleanup-grace-period': {
    type: 'duration',
    description: "With --cleanup: how long containers have to end; default: each pod's own.",
  },
} as const satisfies FlagTable;

type Values = FlagValues<typeof flags>;

function invalid(flag: string, value: string, why: string): UsageError {
  return new UsageError(`invalid argument ${JSON.stringify(value)} for "--${flag}" flag: ${why}`);
}

function parseIP(flag: string, value: string): string {
  if (isIP(value) === 0) throw invalid(flag, value, 'must be an IP address');
  return value;
}

function parseLabels(values: readonly string[] | undefined): Record<string, string> {
  return Object.fromEntries(
    (values ?? []).map((each) => {
      const [, key, value] = /^([^=]+)=(.*)$/u.exec(each) ?? [];
      if (key === undefined || value === undefined) throw invalid('node-labels', each, 'must be key=value');
      return [key, value];
    }),
  );
}

const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

function parseTaints(values: readonly string[] | undefined): Taint[] {
  return (values ?? []).map((each) => {
    const [, key, value, effect] = /^([^=:]+)(?:=([^:]*))?:(\w+)$/u.exec(each) ?? [];
    if (key === undefined || effect === undefined || !taintEffects.includes(effect))
      throw invalid(
        'register-with-taints',
        each,
        `must be key=value:effect, the effect one of ${taintEffects.join(', ')}`,
      );
    return { key, effect, ...(value === undefined ? {} : { value }) };
  });
}

async function readServingCertificate(values: Values): Promise<{ cert: string; key: string } | undefined> {
  const { cert, key } = await readTlsFiles({ cert: values['tls-cert-file'], key: values['tls-private-key-file'] });
  if ((cert === undefined) !== (key === undefined))
    throw new UsageError('required flags: --tls-cert-file and --tls-private-key-file go together');
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

function healthAddress(values: Values): { readonly host: string; readonly port: number } | undefined {
  const text = values['healthz-bind-address'];
  if (text === '') return undefined;
  const match = /^([\d.]+)(?::(\d+))?$/u.exec(text);
  if (match === null) throw invalid('healthz-bind-address', text, 'must be HOST or HOST:PORT');
  return { host: match[1] ?? '127.0.0.1', port: match[2] === undefined ? values['healthz-port'] : Number(match[2]) };
}

function nodeOptions(values: Values) {
  const nodeIP = parseIP('node-ip', values['node-ip']);
  const podCIDR = values['pod-cidr'] === '' ? undefined : values['pod-cidr'];
  if (podCIDR !== undefined && parseCIDR(podCIDR) === undefined)
    throw invalid('pod-cidr', podCIDR, 'must be an IPv4 CIDR');
  return {
    nodeName: (values['hostname-override'] ?? hostname()).toLowerCase(),
    nodeIP,
    labels: parseLabels(values['node-labels']),
    taints: parseTaints(values['register-with-taints']),
    rootDir: resolve(values['root-dir']),
    address: values.address === undefined ? nodeIP : parseIP('address', values.address),
    port: values.port,
    maxPods: values['max-pods'],
    podCIDR,
    runtime: values['container-runtime'] as RuntimeName,
    statusUpdateMs: values['node-status-update-frequency'],
    path: process.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  };
}

await runMain({
  name: 'kubelet',
  description: 'Runs the pods of this node.',
  flags,
  async start(values, { logger }): Promise<Component> {
    const options = nodeOptions(values);
    if (values.cleanup) {
      const grace = values['cleanup-grace-period'];
      const graceSeconds = grace === undefined ? undefined : grace / 1000;
      await cleanUp({ ...options, runtimeVersion: '', clock: systemClock, logger, graceSeconds });
      process.exit(0);
    }
    if (values.kubeconfig === undefined) throw new UsageError('required flag: --kubeconfig');
    const health = healthAddress(values);
    const tls = await readServingCertificate(values);
    const { ca: clientCA } = await readTlsFiles({ ca: values['client-ca-file'] });
    const authorizeByWebhook = values['authorization-mode'] === 'Webhook';
    const client = new RestClient({ ...(await loadKubeconfig(values.kubeconfig)), userAgent: 'kubelet' });
    const kubelet = new Kubelet({ ...options, client, tls, clientCA, authorizeByWebhook, logger });
    const healthServer =
      health === undefined ? undefined : new HealthServer({ ...health, registry: kubelet.registry, logger });
    await healthServer?.start();
    await kubelet.start();
    return {
      async [Symbol.asyncDispose]() {
        await kubelet[Symbol.asyncDispose]();
        await healthServer?.[Symbol.asyncDispose]();
        await client[Symbol.asyncDispose]();
      },
    };
  },
});
