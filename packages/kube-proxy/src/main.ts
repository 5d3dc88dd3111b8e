import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { loadKubeconfig } from '@naru/client';
import { runMain, UsageError, type FlagTable } from '@naru/component';
import { parseNodePortAddresses } from './node-addresses.ts';
import { startProxy } from './server.ts';

const flags = {
  kubeconfig: { type: 'string', description: 'Kubeconfig with the API server and the credentials.' },
  master: { type: 'string', description: "URL of the API server; overrides the kubeconfig's." },
  'hostname-override': { type: 'string', description: "The Node's name; default: the host's name." },
  'node-ip': { type: 'string', description: "The node's address; default: the InternalIPs of its Node object." },
  'bind-address': {
    type: 'string',
    default: '0.0.0.0',
    description: "The node's address, if it is not 0.0.0.0 or :: and --node-ip is not given.",
  },
  'nodeport-addresses': {
    type: 'list',
    default: ['primary'],
    description: "CIDRs: NodePorts are served on the machine's addresses in them; primary: on the node's own.",
  },
  'proxy-mode': {
    type: 'string',
    default: 'userspace',
    values: ['userspace'],
    description: 'How traffic is passed on.',
  },
  'cluster-cidr': { type: 'string', description: "The pods' addresses; of no use to the userspace mode." },
  'healthz-bind-address': {
    type: 'string',
    default: '0.0.0.0:10256',
    description: 'HOST:PORT of /healthz, /livez, /readyz and /metrics; empty: none.',
  },
} as const satisfies FlagTable;

/** Host and port of `HOST:PORT`, with an IPv6 host in brackets. */
function parseAddress(flag: string, text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d+)$/u.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new UsageError(`invalid argument ${JSON.stringify(text)} for "--${flag}" flag: must be HOST:PORT`);
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '0.0.0.0' : match[2]), port };
}

function parseIP(flag: string, text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  if (isIP(text) === 0)
    throw new UsageError(`invalid argument ${JSON.stringify(text)} for "--${flag}" flag: must be an IP address`);
  return text;
}

await runMain({
  name: 'kube-proxy',
  description: 'Makes the Services of the cluster reachable on this node.',
  flags,
  async start(values, { logger, signal }) {
    if (values.kubeconfig === undefined && values.master === undefined)
      throw new UsageError('required flag: --kubeconfig');
    const bindAddress = parseIP('bind-address', values['bind-address']);
    const ownAddress = bindAddress === '0.0.0.0' || bindAddress === '::' ? undefined : bindAddress;
    const nodeIP = parseIP('node-ip', values['node-ip']) ?? ownAddress;
    const nodePortAddresses = parseNodePortAddresses(values['nodeport-addresses']);
    const address = values['healthz-bind-address'];
    const healthz = address === '' ? undefined : parseAddress('healthz-bind-address', address);
    const loaded = values.kubeconfig === undefined ? undefined : await loadKubeconfig(values.kubeconfig);
    const api = { ...loaded, server: values.master ?? loaded?.server ?? '' };
    const nodeName = (values['hostname-override'] ?? hostname()).trim().toLowerCase();
    return await startProxy({ api, nodeName, nodeIP, nodePortAddresses, healthz, logger }, signal);
  },
});
