import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createLogger, parseFlags, type FlagTable, type FlagValues } from '@naru/component';
import { resolveOptions, saveOptions } from '../cluster-file.ts';
import { componentCommand, componentEnvironment } from '../supervisor/component-command.ts';
import { ControlClient } from '../supervisor/control-client.ts';
import { ControlServer } from '../supervisor/control-server.ts';
import { Supervisor, type ClusterStatus } from '../supervisor/supervisor.ts';
import { describeCluster, files, nodeName, type ClusterOptions, type Topology } from '../topology.ts';
import { dataDirFlag, type Command, type CommandContext } from './command.ts';

const upFlags = {
  ...dataDirFlag,
  detach: { type: 'boolean', default: false, description: 'Go on in the background once everything is ready.' },
  nodes: { type: 'integer', min: 0, max: 500, description: 'Nodes, each a kubelet and a kube-proxy (default 2).' },
  kv: { type: 'integer', min: 1, max: 9, description: 'Members of the store (default 3).' },
  apiservers: { type: 'integer', min: 1, max: 16, description: 'API servers, on one port (default 2).' },
  'port-base': { type: 'integer', min: 1024, max: 65_000, description: 'First port; the API is at +3 (default 6440).' },
  runtime: { type: 'string', values: ['process', 'hollow'], description: 'How pods run (default process).' },
  timeout: { type: 'duration', default: 120_000, description: 'How long to wait until everything is ready.' },
} as const satisfies FlagTable;

type UpFlags = FlagValues<typeof upFlags>;

const PROGRESS_POLL_MS = 50;
const root = join(import.meta.dirname, '..', '..', '..', '..');

async function ensurePki(topology: Topology): Promise<void> {
  const { options } = topology;
  // Loaded only here: the X.509 library is large, and the other commands do not need it.
  const { ensureClusterPki } = await import('../pki/cluster-pki.ts');
  const service = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ];
  const local = ['localhost', '127.0.0.1', '::1'];
  await ensureClusterPki({
    dir: join(options.dataDir, files.pki),
    kubeconfigDir: options.dataDir,
    server: topology.server,
    apiserverHosts: [...local, hostname(), ...service, topology.kubernetesServiceIp],
    storeMembers: topology.storeEndpoints.map((_, i) => ({ name: `kv-${i + 1}`, hosts: [...local, `kv-${i + 1}`] })),
    nodes: topology.nodeAddresses.map((address, i) => ({ name: nodeName(i + 1), number: i + 1, hosts: [address] })),
  });
}

/** Prints a line for each process that became ready, until all are. @returns whether they did in time */
async function showProgress(
  status: () => Promise<ClusterStatus>,
  values: UpFlags,
  { print, signal }: CommandContext,
): Promise<boolean> {
  const shown = new Set<string>();
  const started = performance.now();
  const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  while (performance.now() - started < values.timeout && !signal.aborted) {
    const now = await status();
    for (const { name, state } of now.processes) {
      if (state !== 'running' || shown.has(name)) continue;
      shown.add(name);
      print(`  ${name} ready (${seconds()})`);
    }
    if (now.ready) return true;
    await delay(PROGRESS_POLL_MS, undefined, { signal }).catch(() => undefined);
  }
  if (signal.aborted) return false;
  const missing = (await status()).processes.filter(({ state }) => state !== 'running');
  print(
    `not ready after ${seconds()}: ${missing.map(({ name, exit }) => `${name} (${exit ?? 'no answer'})`).join(', ') || 'nodes'}`,
  );
  return false;
}

function printReady(topology: Topology, status: ClusterStatus, print: (line: string) => void): void {
  const { dataDir } = topology.options;
  const kubeconfig = join(dataDir, files.adminKubeconfig);
  const pki = join(dataDir, files.pki);
  print(`ready in ${status.readySeconds?.toFixed(1)} s`);
  print('');
  print(`kubeconfig: ${kubeconfig}`);
  print('');
  print(`  export KUBECONFIG=${kubeconfig}`);
  print(`  kubectl get nodes`);
  print(`  kubectl apply -f ${join(root, 'examples', 'hello.yaml')}`);
  print(`  curl --cacert ${join(pki, 'ca.crt')} ${topology.server}/version`);
  print('');
}

async function superviseHere(topology: Topology, values: UpFlags, context: CommandContext): Promise<number> {
  const { options } = topology;
  const stop = new AbortController();
  context.signal.addEventListener('abort', () => stop.abort(), { once: true });
  await using supervisor = new Supervisor({
    topology,
    command: await componentCommand(root, context.print),
    env: componentEnvironment(root, context.env),
    logger: createLogger({ name: 'naru', level: 'warn' }),
  });
  await using control = new ControlServer({ supervisor, dataDir: options.dataDir, onStop: () => stop.abort() });
  await supervisor.start();
  await control.start();
  const inner = { ...context, signal: stop.signal };
  const ready = await showProgress(() => Promise.resolve(supervisor.status()), values, inner);
  if (ready) {
    printReady(topology, supervisor.status(), context.print);
    if (context.signal !== undefined)
      context.print('Ctrl-C stops the cluster; the next start carries on with its data.');
  } else if (!stop.signal.aborted) return 1;
  if (!stop.signal.aborted)
    await new Promise<void>((done) => stop.signal.addEventListener('abort', () => done(), { once: true }));
  context.print('stopping…');
  return 0;
}

/** Starts this command again in the background, and waits until the cluster is ready. */
async function superviseDetached(topology: Topology, values: UpFlags, context: CommandContext): Promise<number> {
  const { dataDir } = topology.options;
  await mkdir(join(dataDir, files.logs), { recursive: true });
  const logFile = join(dataDir, files.logs, 'supervisor.log');
  const log = openSync(logFile, 'w');
  const main = join(import.meta.dirname, '..', 'main.ts');
  const args = ['up', `--data-dir=${dataDir}`, `--timeout=${values.timeout}`];
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', log, log],
    detached: true,
    env: context.env,
  });
  closeSync(log);
  child.unref();
  let exit: string | undefined;
  child.once('exit', (code, signal) => (exit = signal ?? `exit status ${code}`));
  const client = new ControlClient(dataDir);
  const starting: ClusterStatus = { supervisorPid: child.pid ?? 0, ready: false, readyNodes: 0, processes: [] };
  const status = async (): Promise<ClusterStatus> => {
    if (exit !== undefined) throw new Error(`the supervisor ended with ${exit}; see ${logFile}`);
    return await client.status().catch(() => starting);
  };
  if (!(await showProgress(status, values, context))) {
    if (exit === undefined) await client.stop().catch(() => undefined);
    return 1;
  }
  printReady(topology, await client.status(), context.print);
  context.print('The cluster runs in the background; `npx naru down` stops it.');
  return 0;
}

async function up(context: CommandContext): Promise<number> {
  const values = parseFlags(upFlags, context.argv);
  const dataDir = resolve(context.cwd, values['data-dir']);
  const options: ClusterOptions = await resolveOptions(dataDir, {
    portBase: values['port-base'],
    kv: values.kv,
    apiservers: values.apiservers,
    nodes: values.nodes,
    runtime: values.runtime as ClusterOptions['runtime'] | undefined,
  });
  const topology = describeCluster(options);
  if (await new ControlClient(dataDir).isRunning()) {
    context.print(`a cluster already runs on ${dataDir}; \`naru status\` shows it`);
    return values.detach ? 0 : 1;
  }
  await saveOptions(options);
  await ensurePki(topology);
  context.print(`starting ${topology.processes.length} processes on ${topology.server}`);
  return values.detach
    ? await superviseDetached(topology, values, context)
    : await superviseHere(topology, values, context);
}

export const upCommand: Command = {
  summary: 'start a cluster',
  usage: 'naru up [flags]',
  flags: upFlags,
  run: up,
};
