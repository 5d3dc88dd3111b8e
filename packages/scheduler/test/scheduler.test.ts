// The whole scheduler against an API server in memory: placing, binding, failing, evicting, leading.
import { events, nodes, pods, type Node, type Pod } from '@naru/api';
import { RestClient } from '@naru/client';
import { silentLogger, type Component } from '@naru/component';
import { eventually, FakeApiServer, type FakeReactor } from '@naru/testkit';
import t from 'tap';
import { defaultConfig, type SchedulerConfig } from '../src/config/config.ts';
import { startScheduler } from '../src/server.ts';
import { newNode, newPod, type NodeShorthand, type PodShorthand } from './fixtures.ts';

const quick: SchedulerConfig = {
  ...defaultConfig(),
  podInitialBackoffMs: 20,
  podMaxBackoffMs: 100,
  leaderElection: {
    ...defaultConfig().leaderElection,
    leaseDurationMs: 1500,
    renewDeadlineMs: 1000,
    retryPeriodMs: 100,
  },
};
const unelected: SchedulerConfig = { ...quick, leaderElection: { ...quick.leaderElection, leaderElect: false } };

/** An API server with a `binding` subresource, and a client of it. */
class Cluster implements AsyncDisposable {
  readonly server = new FakeApiServer();
  readonly bindings: { readonly pod: string; readonly node: string }[] = [];
  /** Asked before a binding is carried out: true when it was answered. */
  onBinding: FakeReactor = () => false;
  readonly #stack = new AsyncDisposableStack();
  #client: RestClient | undefined;

  get client(): RestClient {
    if (this.#client === undefined) throw new Error('not started');
    return this.#client;
  }

  async start(): Promise<void> {
    this.#stack.use(this.server);
    this.#client = this.#stack.use(new RestClient({ server: await this.server.start() }));
    this.server.reactor = (request, response) => {
      const match = /\/namespaces\/([^/]+)\/pods\/([^/]+)\/binding$/u.exec(request.path);
      if (match === null) return false;
      if (this.onBinding(request, response)) return true;
      const [, namespace = '', name = ''] = match;
      const node = (request.body as { target: { name: string } }).target.name;
      this.bindings.push({ pod: name, node });
      void this.client.patch(pods, name, 'merge', { spec: { nodeName: node } }, { namespace }).then(() => {
        response.writeHead(201, { 'content-type': 'application/json' });
        response.end('{"kind":"Status","apiVersion":"v1","status":"Success"}');
      });
      return true;
    };
  }

  async scheduler(config: SchedulerConfig = unelected): Promise<Component> {
    const api = { server: this.server.url };
    const options = { api, config, healthz: undefined, logger: silentLogger() };
    return this.#stack.use(await startScheduler(options, new AbortController().signal));
  }

  async createNode(node: NodeShorthand): Promise<Node> {
    return await this.client.create(nodes, newNode(node));
  }

  async createPod(pod: PodShorthand): Promise<Pod> {
    const { uid: _, ...metadata } = newPod(pod).metadata;
    return await this.client.create(pods, { ...newPod(pod), metadata }, { namespace: pod.namespace ?? 'default' });
  }

  async pod(name: string): Promise<Pod> {
    return await this.client.get(pods, name, { namespace: 'default' });
  }

  async nodeOf(name: string): Promise<string> {
    return await eventually(async () => (await this.pod(name)).spec?.nodeName ?? false);
  }

  async messages(reason: string): Promise<string[]> {
    const { items } = await this.client.list(events);
    return items.filter((each) => each.reason === reason).map(({ message }) => message ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function newCluster(): Promise<Cluster> {
  const cluster = new Cluster();
  await cluster.start();
  return cluster;
}

await t.test('pods that wait and pods that come are bound, with an event', async (t) => {
  await using cluster = await newCluster();
  await cluster.createNode({ name: 'a' });
  await cluster.createPod({ name: 'waiting' });
  await cluster.createPod({ name: 'foreign', spec: { schedulerName: 'other' } });
  await cluster.scheduler();
  t.equal(await cluster.nodeOf('waiting'), 'a');
  await cluster.createPod({ name: 'coming' });
  t.equal(await cluster.nodeOf('coming'), 'a');
  await eventually(async () => (await cluster.messages('Scheduled')).length === 2);
  t.same((await cluster.messages('Scheduled')).toSorted(), [
    'Successfully assigned default/coming to a',
    'Successfully assigned default/waiting to a',
  ]);
  t.equal((await cluster.pod('foreign')).spec?.nodeName, undefined);
});

await t.test('a burst never overfills a node, and the rest is told why', async (t) => {
  await using cluster = await newCluster();
  for (const name of ['a', 'b']) await cluster.createNode({ name, allocatable: { cpu: '1' } });
  await cluster.scheduler();
  const names = Array.from({ length: 24 }, (_, i) => `p${i}`);
  await Promise.all(names.map(async (name) => await cluster.createPod({ name, requests: { cpu: '100m' } })));
  await eventually(() => cluster.bindings.length === 20);
  const onA = cluster.bindings.filter(({ node }) => node === 'a').length;
  t.equal(onA, 10);
  const left = names.filter((name) => !cluster.bindings.some(({ pod }) => pod === name));
  t.equal(left.length, 4);
  const expected =
    '0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.';
  for (const name of left) {
    const condition = await eventually(async () => (await cluster.pod(name)).status?.conditions?.[0] ?? false);
    t.match(condition, { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: expected });
  }
  await eventually(
    async () => (await cluster.messages('FailedScheduling')).filter((each) => each === expected).length >= 4,
  );
  t.equal(cluster.bindings.length, 20);
});

await t.test('a pod that fitted nowhere is bound when a node comes or a pod goes', async (t) => {
  await using cluster = await newCluster();
  await cluster.createNode({ name: 'small', allocatable: { cpu: '1' } });
  await cluster.scheduler();
  await cluster.createPod({ name: 'first', requests: { cpu: '1' } });
  await cluster.nodeOf('first');
  await cluster.createPod({ name: 'second', requests: { cpu: '1' } });
  await eventually(async () => (await cluster.pod('second')).status?.conditions !== undefined);
  await cluster.client.delete(pods, 'first', { namespace: 'default' });
  t.equal(await cluster.nodeOf('second'), 'small');
  await cluster.createPod({ name: 'big', requests: { cpu: '3' } });
  await eventually(async () => (await cluster.pod('big')).status?.conditions !== undefined);
  await cluster.createNode({ name: 'large' });
  t.equal(await cluster.nodeOf('big'), 'large');
});

await t.test('a failed binding is taken back and tried again; one that another won is not', async (t) => {
  await using cluster = await newCluster();
  await cluster.createNode({ name: 'a', allocatable: { cpu: '1' } });
  let refused = 0;
  cluster.onBinding = (request, response) => {
    if (request.path.includes('/unlucky/') && refused++ < 2) {
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end(
        '{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"no"}',
      );
      return true;
    }
    if (!request.path.includes('/taken/')) return false;
    refused++;
    void cluster.client
      .patch(pods, 'taken', 'merge', { spec: { nodeName: 'other' } }, { namespace: 'default' })
      .then(() => {
        response.writeHead(409, { 'content-type': 'application/json' });
        response.end(
          '{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409,"message":"pod taken is already assigned to node \\"other\\""}',
        );
      });
    return true;
  };
  await cluster.scheduler();
  await cluster.createPod({ name: 'unlucky', requests: { cpu: '1' } });
  t.equal(await cluster.nodeOf('unlucky'), 'a');
  t.equal(refused, 3);
  t.equal(cluster.bindings.length, 1);
  await cluster.client.delete(pods, 'unlucky', { namespace: 'default' });
  await cluster.createPod({ name: 'taken', requests: { cpu: '1' } });
  t.equal(await cluster.nodeOf('taken'), 'other');
  await cluster.createPod({ name: 'next', requests: { cpu: '1' } });
  t.equal(await cluster.nodeOf('next'), 'a', 'the assumption for the taken pod is gone');
  t.equal(refused, 4, 'no second try');
});

await t.test('a more important pod evicts a less important one and gets its place', async (t) => {
  await using cluster = await newCluster();
  await cluster.createNode({ name: 'a', allocatable: { cpu: '1' } });
  await cluster.scheduler();
  await cluster.createPod({ name: 'low', priority: 1, requests: { cpu: '1' } });
  await cluster.nodeOf('low');
  await cluster.createPod({ name: 'high', priority: 100, requests: { cpu: '1' } });
  t.equal(await cluster.nodeOf('high'), 'a');
  await t.rejects(cluster.pod('low'), { code: 404 });
  const preempted = await eventually(async () => (await cluster.messages('Preempted'))[0] ?? false);
  t.match(preempted, /^Preempted by pod \S+ on node a$/u);
});

await t.test('of two schedulers one leads, and when it stops the other goes on', async (t) => {
  await using cluster = await newCluster();
  await cluster.createNode({ name: 'a' });
  const first = await cluster.scheduler(quick);
  await cluster.createPod({ name: 'one' });
  await cluster.nodeOf('one');
  await cluster.scheduler(quick);
  await cluster.createPod({ name: 'two' });
  await cluster.nodeOf('two');
  await first[Symbol.asyncDispose]();
  await cluster.createPod({ name: 'three' });
  await cluster.nodeOf('three');
  t.same(
    cluster.bindings.map(({ pod }) => pod),
    ['one', 'two', 'three'],
    'each was bound once',
  );
});
