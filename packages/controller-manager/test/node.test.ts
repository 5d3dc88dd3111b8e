import t from 'tap';
import { findCondition, leases, nodes, pods, type Lease, type Node, type Pod, type Taint } from '@naru/api';
import { listAll } from '@naru/client';
import { eventually } from '@naru/testkit';
import { NodeLifecycleController } from '../src/node-lifecycle/node-lifecycle-controller.ts';
import { observeHealth, planConditions, planEvictionRates } from '../src/node-lifecycle/plan.ts';
import { TaintEvictionController } from '../src/node-lifecycle/taint-eviction-controller.ts';
import { planTaints, tolerationSeconds } from '../src/node-lifecycle/taints-plan.ts';
import { CidrSet } from '../src/node-ipam/plan.ts';
import { NodeIpamController } from '../src/node-ipam/node-ipam-controller.ts';
import { planPodGc } from '../src/pod-gc/plan.ts';
import { Running } from './running.ts';

const now = '2026-01-01T00:10:00Z';

function node(
  name: string,
  ready?: string,
  rest: { taints?: Taint[]; unschedulable?: boolean; zone?: string } = {},
): Node {
  const { zone = 'z', ...spec } = rest;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      uid: name,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { 'topology.kubernetes.io/zone': zone },
    },
    spec,
    status: {
      conditions:
        ready === undefined ? [] : [{ type: 'Ready', status: ready, lastHeartbeatTime: '2026-01-01T00:00:00Z' }],
    },
  };
}

await t.test('a silent node is told of after its grace period', (t) => {
  const ready = node('n', 'True');
  const options = { graceMs: 50_000, startupGraceMs: 60_000, now };
  const health = observeHealth(undefined, ready, 't1', 1000);
  t.equal(observeHealth(health, ready, 't1', 5000), health, 'nothing was heard');
  t.same(observeHealth(health, ready, 't2', 5000).probedMs, 5000, 'the Lease was renewed');
  t.equal(planConditions(ready, health, { ...options, nowMs: 51_000 }), undefined);
  const silent = planConditions(ready, health, { ...options, nowMs: 51_001 }) ?? [];
  t.match(findCondition(silent, 'Ready'), {
    status: 'Unknown',
    reason: 'NodeStatusUnknown',
    message: 'Kubelet stopped posting node status.',
    lastHeartbeatTime: '2026-01-01T00:00:00Z',
    lastTransitionTime: now,
  });
  t.match(findCondition(silent, 'MemoryPressure'), { status: 'Unknown', reason: 'NodeStatusNeverUpdated' });
  const told = { ...ready, status: { conditions: [...silent] } };
  t.equal(planConditions(told, health, { ...options, nowMs: 99_000 }), undefined, 'and only once');
  const fresh = node('n');
  const first = observeHealth(undefined, fresh, undefined, 0);
  t.equal(planConditions(fresh, first, { ...options, nowMs: 59_000 }), undefined, 'a new node has more time');
  t.not(planConditions(fresh, first, { ...options, nowMs: 60_001 }), undefined);
  t.end();
});

await t.test('taints follow the conditions', (t) => {
  const keys = (taints: readonly Taint[]): string[] =>
    taints.map(({ key, effect }) => `${key.split('/').at(-1)}:${effect}`);
  const own: Taint = { key: 'own', effect: 'NoExecute' };
  const plan = (each: Node, evict = false): string[] => keys(planTaints(each, { evict, now }));
  t.same(plan(node('n', 'True', { taints: [own] })), ['own:NoExecute']);
  t.same(plan(node('n', 'False', { taints: [own] })), ['own:NoExecute', 'not-ready:NoSchedule']);
  t.same(plan(node('n', 'Unknown'), true), ['unreachable:NoSchedule', 'unreachable:NoExecute']);
  t.same(plan(node('n', 'True', { unschedulable: true })), ['unschedulable:NoSchedule']);
  const taints = [...planTaints(node('n', 'Unknown'), { evict: true, now: 'before' })];
  const unreachable = node('n', 'Unknown', { taints });
  t.equal(planTaints(unreachable, { evict: false, now }), taints, 'nothing to write; an eviction goes on');
  t.same(
    plan(node('n', 'False', { taints })),
    ['not-ready:NoSchedule', 'not-ready:NoExecute'],
    'it changes its reason',
  );
  t.same(plan(node('n', 'True', { taints })), []);
  t.end();
});

await t.test('how long tolerations let a pod stay', (t) => {
  const taint: Taint = { key: 'k', value: 'v', effect: 'NoExecute' };
  t.equal(tolerationSeconds([taint], []), 0);
  t.equal(tolerationSeconds([taint], [{ operator: 'Exists' }]), undefined);
  t.equal(
    tolerationSeconds(
      [taint],
      [
        { operator: 'Exists', tolerationSeconds: 5 },
        { key: 'k', value: 'v', tolerationSeconds: 3 },
      ],
    ),
    3,
  );
  t.equal(tolerationSeconds([{ ...taint, effect: 'NoSchedule' }], []), undefined);
  t.end();
});

await t.test('evictions are slowed down where much is broken', (t) => {
  const zone = (name: string, ready: number, broken: number): Node[] => [
    ...Array.from({ length: ready }, (_, i) => node(`${name}${i}`, 'True', { zone: name })),
    ...Array.from({ length: broken }, (_, i) => node(`${name}-${i}`, 'Unknown', { zone: name })),
  ];
  const rates = (...nodes: Node[][]): number[] => [...planEvictionRates(nodes.flat(), 0.1).values()];
  t.same(rates(zone('a', 1, 1), zone('b', 1, 0)), [0.1, 0.1]);
  t.same(rates(zone('a', 0, 2), zone('b', 1, 0)), [0.1, 0.1], 'a whole zone, while others live');
  t.same(rates(zone('a', 2, 4), zone('b', 1, 0)), [0, 0.1], 'most of a small zone');
  t.same(rates(zone('a', 30, 60), zone('b', 1, 0)), [0.01, 0.1], 'most of a large zone');
  t.same(rates(zone('a', 0, 2), zone('b', 0, 1)), [0, 0], 'everything: more likely it is us');
  t.end();
});

await t.test('ranges of nodes', (t) => {
  const cidrs = new CidrSet('127.6.0.0/22', 24);
  cidrs.occupy('127.6.1.0/24');
  cidrs.occupy('10.0.0.0/24');
  t.same(
    [cidrs.allocate(), cidrs.allocate(), cidrs.allocate(), cidrs.allocate()],
    ['127.6.0.0/24', '127.6.2.0/24', '127.6.3.0/24', undefined],
  );
  cidrs.release('127.6.2.0/24');
  t.equal(cidrs.allocate(), '127.6.2.0/24');
  cidrs.release('127.6.0.0/23');
  t.same([cidrs.allocate(), cidrs.allocate()], ['127.6.0.0/24', '127.6.1.0/24']);
  t.throws(() => new CidrSet('x', 24), /not an IPv4 CIDR/u);
  t.throws(() => new CidrSet('10.0.0.0/24', 16), /does not fit/u);
  t.end();
});

function pod(name: string, nodeName: string, rest: Partial<Pod> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: name, ...rest.metadata },
    spec: { nodeName, containers: [] },
    status: { phase: 'Running', ...rest.status },
  };
}

await t.test('pods that nobody else removes', (t) => {
  const deletionTimestamp = now;
  const byName = new Map([
    ['n1', node('n1', 'True')],
    ['n2', node('n2', 'Unknown', { taints: [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }] })],
  ]);
  const ended = (name: string, created: string, reason?: string): Pod =>
    pod(name, 'n1', {
      metadata: { creationTimestamp: created },
      status: { phase: 'Failed', ...(reason === undefined ? {} : { reason }) },
    });
  const all = [
    pod('runs', 'n1'),
    pod('orphan', 'gone'),
    pod('pending', ''),
    pod('cancelled', '', { metadata: { deletionTimestamp } }),
    pod('stopping', 'n1', { metadata: { deletionTimestamp } }),
    pod('stuck', 'n2', { metadata: { deletionTimestamp } }),
    ended('old', '2026-01-01T00:00:00Z'),
    ended('evicted', '2026-01-01T00:00:03Z', 'Evicted'),
    ended('new', '2026-01-01T00:00:02Z'),
  ];
  const plan = (threshold: number): Record<string, string> =>
    Object.fromEntries(planPodGc(all, byName, threshold).map(({ pod, reason }) => [pod.metadata.name ?? '', reason]));
  const always = { orphan: 'orphaned', cancelled: 'unscheduled-terminating', stuck: 'out-of-service' };
  t.same(plan(3), always);
  t.same(plan(1), { ...always, evicted: 'terminated', old: 'terminated' });
  t.same(plan(0), always, 'no threshold');
  t.end();
});

await t.test('a node that dies: Unknown, tainted, its pods not ready and then evicted; and back again', async (t) => {
  await using running = await Running.start(
    (context) => [
      new NodeLifecycleController(context),
      new TaintEvictionController(context),
      new NodeIpamController(context),
    ],
    { clusterCidr: '127.6.0.0/16', allocateNodeCidrs: true },
  );
  const { client, clock } = running;
  const beat = async (name: string, seconds: number): Promise<void> => {
    const spec = { holderIdentity: name, renewTime: `2026-01-01T00:00:00.${String(seconds).padStart(6, '0')}Z` };
    await client.patch(leases, name, 'merge', { spec }, { namespace: 'kube-node-lease' });
  };
  const get = async (name: string): Promise<Node> => await client.get(nodes, name);
  const ready = async (name: string): Promise<string | undefined> =>
    findCondition((await get(name)).status?.conditions, 'Ready')?.status;
  for (const name of ['n1', 'n2']) {
    await client.create(nodes, node(name, 'True'));
    const lease: Lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace: 'kube-node-lease' },
      spec: {},
    };
    await client.create(leases, lease);
  }
  await eventually(
    async () => (await get('n1')).spec?.podCIDR !== undefined && (await get('n2')).spec?.podCIDR !== undefined,
  );
  t.not((await get('n1')).spec?.podCIDR, (await get('n2')).spec?.podCIDR);
  const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
  const tolerations = [
    { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
  ];
  const victim = pod('victim', 'n2');
  await client.create(pods, { ...victim, spec: { containers: [], nodeName: 'n2', tolerations }, status });
  await client.create(pods, {
    ...pod('tolerant', 'n2'),
    spec: { containers: [], nodeName: 'n2', tolerations: [{ operator: 'Exists' }] },
    status,
  });
  for (let i = 1; i <= 15; i++) {
    await clock.advance(5000);
    await beat('n1', i);
    if (i <= 2) await beat('n2', i);
    await client.list(nodes);
    await clock.settle();
  }
  await eventually(async () => (await ready('n2')) === 'Unknown');
  t.equal(await ready('n1'), 'True');
  await eventually(async () => (await get('n2')).spec?.taints?.some(({ effect }) => effect === 'NoSchedule') === true);
  await eventually(
    async () =>
      findCondition((await client.get(pods, 'victim', { namespace: 'default' })).status?.conditions, 'Ready')
        ?.status === 'False',
  );
  await clock.advance(5000);
  await eventually(async () => (await get('n2')).spec?.taints?.some(({ effect }) => effect === 'NoExecute') === true);
  await beat('n1', 100);
  await clock.advance(100_000);
  t.equal((await listAll(client, pods)).items.length, 2, 'still tolerated');
  await beat('n1', 101);
  await clock.advance(250_000);
  await eventually(async () => (await listAll(client, pods)).items.length === 1);
  t.equal((await listAll(client, pods)).items[0]?.metadata.name, 'tolerant');
  await client.patch(nodes, 'n2', 'merge', {
    status: { conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: now }] },
  });
  await eventually(async () => ((await get('n2')).spec?.taints ?? []).length === 0);
});
