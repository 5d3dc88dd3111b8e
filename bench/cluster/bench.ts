import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, ProcessCluster } from '@naru/testkit';
import { Agent, request } from 'undici';
import { load } from './load.ts';
import { percentile, print } from '../machine.ts';

const root = join(import.meta.dirname, '..', '..');
const PORT_BASE = 18_200;
const KILLS = 10;
const LOAD_SECONDS = 10;
const KEYS = 1_000;
const IDLE_MS = 10_000;

interface Tls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

async function tlsOf(cluster: ProcessCluster, ca: string, name: string): Promise<Tls> {
  const read = async (file: string): Promise<string> => await readFile(join(cluster.dataDir, 'pki', file), 'utf8');
  return { ca: await read(ca), cert: await read(`${name}.crt`), key: await read(`${name}.key`) };
}

async function measureStart(): Promise<ProcessCluster> {
  // The first start compiles and certifies; the second is what a user waits for from then on.
  const cluster = await ProcessCluster.start({ root, portBase: PORT_BASE });
  await cluster.naru('down');
  const output = await cluster.up();
  const ready = /ready in (\S+) s/u.exec(output)?.[1];
  print(`naru up, warm, until all components and nodes are ready: ${ready} s (at most 5)`);
  return cluster;
}

async function measureApply(cluster: ProcessCluster): Promise<void> {
  const started = performance.now();
  await cluster.kubectl('apply', '-f', join(root, 'examples', 'hello.yaml'));
  await cluster.kubectl('wait', '--for=jsonpath={.status.readyReplicas}=3', 'deployment/hello', '--timeout=60s');
  print(
    `kubectl apply of hello.yaml until 3 pods are Ready: ${((performance.now() - started) / 1000).toFixed(2)} s (at most 3)`,
  );
  await cluster.kubectl('delete', '-f', join(root, 'examples', 'hello.yaml'));
}

/** Proportional set size in MiB: pages that processes share, such as the text of Node itself, are split between them. */
async function proportionalMiB(pid: string): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  return Number(/^Pss:\s+(\d+) kB$/mu.exec(rollup)?.[1] ?? Number.NaN) / 1024;
}

async function measureMemory(cluster: ProcessCluster): Promise<void> {
  await delay(IDLE_MS);
  const [, ...rows] = (await cluster.naru('status')).trimEnd().split('\n');
  let resident = 0;
  let proportional = 0;
  for (const row of rows) {
    const [name, role, pid = '', , , memory = ''] = row.split(/ {2,}/u);
    const pss = await proportionalMiB(pid);
    print(`  ${name}: ${memory} resident, ${pss.toFixed(0)} MiB proportional`);
    if (role === 'kubelet' || role === 'kube-proxy') continue;
    resident += Number.parseInt(memory, 10);
    proportional += pss;
  }
  print(
    `memory of the idle control plane: ${resident} MiB resident, ${proportional.toFixed(0)} MiB proportional (aim: under 500)`,
  );
}

/** A client that creates objects one after the other; after each kill, the longest time between two successes counts. */
async function measureFailover(cluster: ProcessCluster): Promise<void> {
  const agent = new Agent({ connect: await tlsOf(cluster, 'ca.crt', 'apiserver-kubelet-client') });
  const stop = new AbortController();
  const successes: number[] = [];
  const writer = writeUntil(stop.signal, agent, cluster.server, successes);
  const gaps: number[] = [];
  for (let i = 0; i < KILLS; i++) {
    const from = successes.length;
    await eventually(() => successes.length > from + 20);
    const killed = await cluster.naru('kill', 'kv-leader');
    const after = successes.length;
    await eventually(() => successes.length > after + 50, { deadlineMs: 30_000 });
    gaps.push(Math.max(...successes.slice(from + 1).map((at, j) => at - (successes[from + j] ?? at))));
    await cluster.naru('restart', killed.trim().replace('killed ', ''));
    await eventually(async () => (await cluster.naru('status')).split('follower').length === 3, { deadlineMs: 30_000 });
  }
  stop.abort();
  await writer;
  await agent.destroy();
  const [p50, max] = [percentile(gaps, 50), Math.max(...gaps)].map((each) => each.toFixed(0));
  print(
    `kill -9 of the leader, time without a successful write: p50 ${p50} ms, max ${max} ms of ${KILLS} (at most 2000)`,
  );
}

async function writeUntil(stop: AbortSignal, agent: Agent, server: string, successes: number[]): Promise<void> {
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'failover-' } });
  while (!stop.aborted) {
    const answer = await request(`${server}/api/v1/namespaces/default/configmaps`, {
      method: 'POST',
      body,
      dispatcher: agent,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(2_000),
    }).catch(() => undefined);
    await answer?.body.dump();
    if (answer?.statusCode === 201) successes.push(performance.now());
    await delay(2);
  }
}

async function measureCreates(cluster: ProcessCluster): Promise<void> {
  const data = { text: 'x'.repeat(1_000) };
  const { perSecond, p50Ms, p99Ms, failures } = await load({
    url: `${cluster.server}/api/v1/namespaces/default/configmaps`,
    connections: 32,
    seconds: LOAD_SECONDS,
    bodies: [JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'bench-' }, data })],
    tls: await tlsOf(cluster, 'ca.crt', 'apiserver-kubelet-client'),
  });
  print(
    `ConfigMap (1 KB) creates, 32 connections: ${perSecond.toFixed(0)}/s, p50 ${p50Ms} ms, p99 ${p99Ms} ms, ${failures} failed`,
  );
}

async function measurePuts(cluster: ProcessCluster): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const bodies = Array.from({ length: KEYS }, (_, i) =>
    JSON.stringify({ key: base64(`bench/${i}`), value: base64('x'.repeat(256)) }),
  );
  const status = await cluster.naru('status');
  const leader = Number(/kv-(\d+).*leader/u.exec(status)?.[1] ?? 1);
  const { perSecond, p50Ms, p99Ms, failures } = await load({
    url: `https://127.0.0.1:${PORT_BASE + 10 + 2 * (leader - 1)}/v3/kv/put`,
    connections: 64,
    seconds: LOAD_SECONDS,
    bodies,
    tls: await tlsOf(cluster, 'etcd/ca.crt', 'apiserver-etcd-client'),
  });
  print(
    `puts of 256 B into kv-raft's leader, 64 connections: ${perSecond.toFixed(0)}/s, p50 ${p50Ms} ms, p99 ${p99Ms} ms, ${failures} failed`,
  );
}

/** Starts a cluster of real processes and prints how fast and how large it is. */
export async function benchCluster(): Promise<void> {
  await using cluster = await measureStart();
  await measureApply(cluster);
  await measureMemory(cluster);
  await measureFailover(cluster);
  await measureCreates(cluster);
  await measurePuts(cluster);
}
