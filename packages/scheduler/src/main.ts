import { readFile } from 'node:fs/promises';
import { loadKubeconfig } from '@naru/client';
import { runMain, UsageError, type FlagTable } from '@naru/component';
import { defaultConfig, parseConfig, type SchedulerConfig } from './config/config.ts';
import { startScheduler } from './server.ts';

const flags = {
  config: { type: 'string', description: 'File with a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1).' },
  kubeconfig: { type: 'string', description: 'Kubeconfig with the API server and the credentials.' },
  master: { type: 'string', description: "URL of the API server; overrides the kubeconfig's." },
  'healthz-bind-address': {
    type: 'string',
    default: '127.0.0.1:10259',
    description: 'HOST:PORT of /healthz, /livez, /readyz and /metrics; empty: none.',
  },
  // Without defaults of their own: what is not given here is taken from the configuration file, then upstream's default.
  'leader-elect': { type: 'boolean', description: 'Place pods only while holding the Lease (default true).' },
  'leader-elect-lease-duration': {
    type: 'duration',
    description: 'How long others wait for a leader that is silent (default 15s).',
  },
  'leader-elect-renew-deadline': { type: 'duration', description: 'How long the leader tries to renew (default 10s).' },
  'leader-elect-retry-period': { type: 'duration', description: 'Time between two tries (default 2s).' },
  'leader-elect-resource-name': { type: 'string', description: "The Lease's name (default kube-scheduler)." },
  'leader-elect-resource-namespace': { type: 'string', description: "The Lease's namespace (default kube-system)." },
} as const satisfies FlagTable;

/** Host and port of `HOST:PORT`, with an IPv6 host in brackets. */
function parseAddress(flag: string, text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d+)$/u.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new UsageError(`invalid argument ${JSON.stringify(text)} for "--${flag}" flag: must be HOST:PORT`);
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '0.0.0.0' : match[2]), port };
}

async function readConfig(path: string | undefined): Promise<SchedulerConfig | undefined> {
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--config: ${error instanceof Error ? error.message : String(error)}`);
  }
  return parseConfig(text);
}

await runMain({
  name: 'kube-scheduler',
  description: 'Watches for pods without a node, and finds one for each.',
  flags,
  async start(values, { logger, signal }) {
    const fromFile = (await readConfig(values.config)) ?? defaultConfig();
    const config: SchedulerConfig = {
      ...fromFile,
      leaderElection: {
        leaderElect: values['leader-elect'] ?? fromFile.leaderElection.leaderElect,
        leaseDurationMs: values['leader-elect-lease-duration'] ?? fromFile.leaderElection.leaseDurationMs,
        renewDeadlineMs: values['leader-elect-renew-deadline'] ?? fromFile.leaderElection.renewDeadlineMs,
        retryPeriodMs: values['leader-elect-retry-period'] ?? fromFile.leaderElection.retryPeriodMs,
        resourceName: values['leader-elect-resource-name'] ?? fromFile.leaderElection.resourceName,
        resourceNamespace: values['leader-elect-resource-namespace'] ?? fromFile.leaderElection.resourceNamespace,
      },
    };
    const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = config.leaderElection;
    if (leaseDurationMs <= renewDeadlineMs)
      throw new UsageError('--leader-elect-lease-duration: must be greater than the renew deadline');
    if (renewDeadlineMs <= retryPeriodMs * 1.2)
      throw new UsageError('--leader-elect-renew-deadline: must be greater than 1.2 times the retry period');
    const path = values.kubeconfig ?? config.kubeconfig;
    if (path === undefined && values.master === undefined) throw new UsageError('required flag: --kubeconfig');
    const loaded = path === undefined ? undefined : await loadKubeconfig(path);
    const api = { ...loaded, server: values.master ?? loaded?.server ?? '' };
    const address = values['healthz-bind-address'];
    const healthz = address === '' ? undefined : parseAddress('healthz-bind-address', address);
    return await startScheduler({ api, config, healthz, logger }, signal);
  },
});
