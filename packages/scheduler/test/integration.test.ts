// The scheduler's process against the real API server on a real etcd, under RBAC as system:kube-scheduler.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { events, leases, nodes, pods, priorityClasses, serviceAccounts, type Pod } from '@naru/api';
import { RestClient } from '@naru/client';
import { eventually, startRealEtcd } from '@naru/testkit';
import t from 'tap';
import { newNode, newPod, type PodShorthand } from './fixtures.ts';

const packages = join(import.meta.dirname, '..', '..');
const folder = await mkdtemp(join(tmpdir(), 'naru-scheduler-'));
t.teardown(async () => await rm(folder, { recursive: true }));

interface Process {
  readonly child: ChildProcess;
  readonly port: number;
  readonly exited: Promise<number | null>;
}

/** Starts a component and waits for its `listening` line. */
async function start(name: string, args: readonly string[]): Promise<Process> {
  const main = join(packages, name, 'src', 'main.ts');
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const lines: string[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      const entry = JSON.parse(line) as { readonly msg?: string; readonly port?: number };
      if (entry.msg === 'listening' && entry.port !== undefined) resolve(entry.port);
    });
    void exited.then((code) => reject(new Error(`${name} ended with ${code}: ${lines.join('\n')}`)));
  });
  return { child, port, exited };
}

const tokens = join(folder, 'tokens.csv');
await writeFile(tokens, 'admin,admin,1,"system:masters"\nscheduler,system:kube-scheduler,2,\n');
const etcd = await startRealEtcd({ ports: { from: 24_100, to: 24_149 } });
t.teardown(async () => await etcd[Symbol.asyncDispose]());
const apiserver = await start('apiserver', [
  `--etcd-servers=${etcd.clientUrl}`,
  '--bind-address=127.0.0.1',
  '--secure-port=0',
  `--token-auth-file=${tokens}`,
  '--authorization-mode=Node,RBAC',
]);
const server = `http://127.0.0.1:${apiserver.port}`;
const client = new RestClient({ server, bearerToken: 'admin' });
t.teardown(async () => await client[Symbol.asyncDispose]());
const kubeconfig = join(folder, 'scheduler.kubeconfig');
await writeFile(
  kubeconfig,
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: { token: 'scheduler' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  }),
);
const namespace = 'default';
// Nodes that are not ready keep pods off by a taint; here none becomes ready, so the pods tolerate it.
const tolerations = [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists' }];

async function createPod({ spec, ...pod }: PodShorthand): Promise<void> {
  const { metadata, ...rest } = newPod({ ...pod, spec: { tolerations, terminationGracePeriodSeconds: 0, ...spec } });
  const { uid: _, ...withoutUid } = metadata;
  await client.create(pods, { ...rest, metadata: withoutUid }, { namespace });
}

const podOf = async (name: string): Promise<Pod> => await client.get(pods, name, { namespace });
const nodeOf = async (name: string): Promise<string> =>
  await eventually(async () => (await podOf(name)).spec?.nodeName ?? false);
const conditionOf = async (name: string) =>
  (await podOf(name)).status?.conditions?.find(({ type }) => type === 'PodScheduled');

await eventually(async () => {
  await client.create(
    serviceAccounts,
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } },
    { namespace },
  );
});
const scheduler = await start('scheduler', [`--kubeconfig=${kubeconfig}`, '--healthz-bind-address=127.0.0.1:0']);

await t.test('pods are bound to nodes and told why when they fit none', async (t) => {
  for (const name of ['a', 'b']) await client.create(nodes, newNode({ name, allocatable: { cpu: '1' } }));
  for (const name of ['p1', 'p2']) await createPod({ name, requests: { cpu: '900m' } });
  t.same(new Set([await nodeOf('p1'), await nodeOf('p2')]), new Set(['a', 'b']));
  const bound = await eventually(async () => {
    const condition = await conditionOf('p1');
    return condition?.status === 'True' && condition;
  });
  t.match(bound, { status: 'True' });
  await createPod({ name: 'p3', requests: { cpu: '900m' } });
  const message =
    '0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.';
  const condition = await eventually(async () => (await conditionOf('p3')) ?? false);
  t.match(condition, { status: 'False', reason: 'Unschedulable', message });
  const reasons = async () =>
    (await client.list(events, { namespace })).items.map((each) => `${each.reason} ${each.message}`);
  await eventually(async () => (await reasons()).includes(`FailedScheduling ${message}`));
  const scheduled = `Scheduled Successfully assigned default/p1 to ${await nodeOf('p1')}`;
  await eventually(async () => (await reasons()).includes(scheduled));
});

await t.test('a pod that goes makes room for one that waits', async (t) => {
  const freed = await nodeOf('p1');
  await client.delete(pods, 'p1', { namespace, body: { gracePeriodSeconds: 0 } });
  t.equal(await nodeOf('p3'), freed);
});

await t.test('a pod that has ended makes room too', async (t) => {
  await createPod({ name: 'p4', requests: { cpu: '900m' } });
  await eventually(async () => (await conditionOf('p4'))?.status === 'False');
  const freed = await nodeOf('p2');
  await client.patch(pods, 'p2', 'merge', { status: { phase: 'Succeeded' } }, { namespace, subresource: 'status' });
  t.equal(await nodeOf('p4'), freed);
  await client.delete(pods, 'p2', { namespace, body: { gracePeriodSeconds: 0 } });
});

await t.test('a more important pod takes the place of another', async (t) => {
  await client.create(priorityClasses, {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name: 'high' },
    value: 1000,
  });
  await createPod({ name: 'vip', requests: { cpu: '900m' }, spec: { priorityClassName: 'high' } });
  const victim = await eventually(async () => {
    const { items } = await client.list(pods, { namespace });
    return (
      items.find(({ metadata }) => metadata.deletionTimestamp !== undefined)?.metadata.name ??
      (items.length < 3 ? 'gone' : false)
    );
  });
  // There is no kubelet that would end it.
  if (victim !== 'gone')
    await client.delete(pods, victim, { namespace, body: { gracePeriodSeconds: 0 } }).catch(() => undefined);
  t.match(await nodeOf('vip'), /^[ab]$/u);
});

await t.test('health, metrics, and an orderly end that gives the Lease back', async (t) => {
  const ready = await fetch(`http://127.0.0.1:${scheduler.port}/readyz`);
  t.equal(ready.status, 200);
  const metrics = await (await fetch(`http://127.0.0.1:${scheduler.port}/metrics`)).text();
  t.match(metrics, /^scheduler_schedule_attempts_total\{result="scheduled",profile="default-scheduler"\} 5$/mu);
  t.match(metrics, /^scheduler_pending_pods\{queue="active"\} 0$/mu);
  scheduler.child.kill('SIGTERM');
  t.equal(await scheduler.exited, 0);
  const lease = await client.get(leases, 'kube-scheduler', { namespace: 'kube-system' });
  t.equal(lease.spec?.holderIdentity ?? '', '');
});
