// @kubernetes/client-node: CRUD, informers over connections that break, exec, attach, port-forward, logs, leases.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import {
  ApiException,
  AppsV1Api,
  CoordinationV1Api,
  CoreV1Api,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  makeInformer,
  PatchStrategy,
  PortForward,
  setHeaderOptions,
  V1MicroTime,
  Watch,
  type V1ConfigMap,
  type V1Pod,
  type V1Status,
} from '@kubernetes/client-node';
import t from 'tap';
import { eventually, ProcessCluster } from '@naru/testkit';

const root = join(import.meta.dirname, '..', '..');
const PORT_BASE = 25_500;
const namespace = 'default';
const cluster = await ProcessCluster.start({
  root,
  portBase: PORT_BASE,
  flags: ['--kv', '1', '--apiservers', '1', '--nodes', '1'],
});
t.teardown(async () => await cluster[Symbol.asyncDispose]());

const config = new KubeConfig();
config.loadFromFile(cluster.kubeconfig);
const core = config.makeApiClient(CoreV1Api);

const pod: V1Pod = {
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    containers: [
      {
        name: 'main',
        image: 'naru.dev/hello:1',
        readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
      },
      { name: 'talk', image: 'x', command: ['sh', '-c', 'echo one; echo two; while :; do sleep 1; done'] },
    ],
  },
};

await t.test('objects are created, read, changed and deleted', async (t) => {
  const apps = config.makeApiClient(AppsV1Api);
  const labels = { app: 'crud' };
  const deployment = await apps.createNamespacedDeployment({
    namespace,
    body: {
      metadata: { name: 'crud' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'naru.dev/hello:1' }] } },
      },
    },
  });
  t.equal(deployment.spec?.replicas, 1);
  t.ok(deployment.metadata?.creationTimestamp instanceof Date);
  const patched = await apps.patchNamespacedDeployment(
    { namespace, name: 'crud', body: { spec: { replicas: 0 } } },
    setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
  );
  t.equal(patched.spec?.replicas, 0);
  const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'crud' });
  t.equal(scale.kind, 'Scale');
  const stale = structuredClone(deployment);
  if (stale.spec !== undefined) stale.spec.replicas = 5;
  await t.rejects(apps.replaceNamespacedDeployment({ namespace, name: 'crud', body: stale }), { code: 409 });
  const list = await apps.listNamespacedDeployment({ namespace, labelSelector: 'app=crud' });
  t.equal(list.items.length, 0, 'the label is the template’s');
  await apps.deleteNamespacedDeployment({ namespace, name: 'crud' });
  await eventually(
    async () =>
      await apps.readNamespacedDeployment({ namespace, name: 'crud' }).then(
        () => {
          throw new Error('still there');
        },
        (error: unknown) => {
          if (!(error instanceof ApiException) || error.code !== 404) throw error;
        },
      ),
    { deadlineMs: 60_000 },
  );
  const objects = KubernetesObjectApi.makeApiClient(config);
  const made = await objects.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'made', namespace },
    data: { a: '1' },
  });
  t.match(made, { metadata: { uid: /./u } });
  await objects.delete(made);
});

/** A proxy that cuts every connection when told to. */
async function breakingProxy(
  port: number,
): Promise<{ port: number; cut: () => void; close: () => void; cuts: () => number }> {
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.once('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) {
      cuts++;
      socket.destroy();
    }
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    cuts: () => cuts,
    close: () => {
      cut();
      server.close();
    },
  };
}

await t.test('an informer whose connection breaks over and over misses nothing', async (t) => {
  const proxy = await breakingProxy(PORT_BASE + 3);
  const broken = new KubeConfig();
  const text = await readFile(cluster.kubeconfig, 'utf8');
  broken.loadFromString(text.replaceAll(cluster.server, `https://127.0.0.1:${proxy.port}`));
  const client = broken.makeApiClient(CoreV1Api);
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const labelSelector = 'set=informed';
  const informer = makeInformer(
    broken,
    path,
    async () => await client.listNamespacedConfigMap({ namespace, labelSelector }),
    labelSelector,
  );
  const seen = new Map<string, string>();
  const order: string[] = [];
  const put = ({ metadata, data }: V1ConfigMap): void => {
    seen.set(metadata?.name ?? '', data?.['n'] ?? '');
    order.push(`${metadata?.name ?? ''} ${data?.['n'] ?? ''}`);
  };
  let stopped = false;
  let restarts = 0;
  informer.on('add', put);
  informer.on('update', put);
  informer.on('delete', ({ metadata }) => void seen.delete(metadata?.name ?? ''));
  informer.on('error', () => {
    restarts++;
    if (!stopped) setImmediate(() => void informer.start().catch(() => undefined));
  });
  await informer.start();
  const ROUNDS = 120;
  for (let n = 1; n <= ROUNDS; n++) {
    const name = `informed-${n % 5}`;
    const body = { metadata: { name, labels: { set: 'informed' } }, data: { n: String(n) } };
    if (n % 7 === 0) await core.deleteNamespacedConfigMap({ namespace, name }).catch(() => undefined);
    else if (n % 5 === n || !seen.has(name))
      await core.createNamespacedConfigMap({ namespace, body }).catch(async () => {
        await core.replaceNamespacedConfigMap({ namespace, name, body });
      });
    else
      await core
        .replaceNamespacedConfigMap({ namespace, name, body })
        .catch(async () => await core.createNamespacedConfigMap({ namespace, body }));
    proxy.cut();
  }
  await eventually(
    async () => {
      const { items } = await core.listNamespacedConfigMap({ namespace, labelSelector: 'set=informed' });
      const expected = new Map(items.map(({ metadata, data }) => [metadata?.name ?? '', data?.['n'] ?? '']));
      const text = (map: ReadonlyMap<string, string>): string =>
        JSON.stringify([...map].toSorted(([a], [b]) => a.localeCompare(b)));
      if (text(expected) !== text(seen)) throw new Error(`${text(seen)} instead of ${text(expected)}`);
    },
    { deadlineMs: 60_000 },
  );
  t.ok(proxy.cuts() > ROUNDS / 4, `${proxy.cuts()} connections were cut, ${restarts} restarts`);
  for (const name of ['informed-0', 'informed-1', 'informed-2', 'informed-3', 'informed-4']) {
    const numbers = order.filter((each) => each.startsWith(name)).map((each) => Number(each.split(' ')[1]));
    t.strictSame(
      numbers,
      [...numbers].toSorted((a, b) => a - b),
      `${name} never goes back`,
    );
  }
  stopped = true;
  await informer.stop();
  proxy.close();
});

await t.test('a watch from a resourceVersion sees each change once', async (t) => {
  const { metadata } = await core.listNamespacedConfigMap({ namespace });
  const events: string[] = [];
  const abort = await new Watch(config).watch(
    `/api/v1/namespaces/${namespace}/configmaps`,
    { resourceVersion: metadata?.resourceVersion, labelSelector: 'set=watched' },
    (phase: string, object: V1ConfigMap) => void events.push(`${phase} ${object.data?.['n'] ?? ''}`),
    () => undefined,
  );
  const body = (n: string): V1ConfigMap => ({
    metadata: { name: 'watched', labels: { set: 'watched' } },
    data: { n },
  });
  await core.createNamespacedConfigMap({ namespace, body: body('1') });
  await core.replaceNamespacedConfigMap({ namespace, name: 'watched', body: body('2') });
  await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
  await eventually(() => events.length >= 3);
  t.strictSame(events, ['ADDED 1', 'MODIFIED 2', 'DELETED 2']);
  abort.abort();
});

await t.test('exec, logs and port-forward reach a pod', async (t) => {
  await core.createNamespacedPod({ namespace, body: pod });
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/web', '--timeout=60s');

  const output = new PassThrough();
  let written = '';
  output.on('data', (chunk: Buffer) => (written += chunk.toString()));
  const input = new PassThrough();
  const ended = Promise.withResolvers<V1Status>();
  const command = ['sh', '-c', 'read line; echo "got $line"; exit 3'];
  await new Exec(config).exec(namespace, 'web', 'talk', command, output, output, input, false, ended.resolve);
  input.write('hello\n');
  const status = await ended.promise;
  t.match(status, { status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ message: '3' }] } });
  t.equal(written, 'got hello\n');

  const log = new PassThrough();
  let lines = '';
  log.on('data', (chunk: Buffer) => (lines += chunk.toString()));
  // To give up on a log that is followed is an uncaught error in this library: this one has an end.
  await new Log(config).log(namespace, 'web', 'talk', log, { tailLines: 1, timestamps: false });
  await once(log, 'end');
  t.equal(lines, 'two\n');

  const answer = new PassThrough();
  const request = new PassThrough();
  let text = '';
  answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const socket = await new PortForward(config).portForward(namespace, 'web', [8080], answer, null, request);
  request.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await eventually(() => {
    if (!text.includes('hello from web')) throw new Error(JSON.stringify(text));
  });
  t.match(text, /^HTTP\/1\.1 200 OK/u);
  if ('close' in socket) socket.close();
});

await t.test('of candidates for a Lease one leads, and another takes over when it has gone', async (t) => {
  const coordination = config.makeApiClient(CoordinationV1Api);
  const name = 'leader';
  const lease = await coordination.createNamespacedLease({
    namespace,
    body: { metadata: { name }, spec: { leaseDurationSeconds: 15 } },
  });
  const take = async (holderIdentity: string, seen: typeof lease): Promise<boolean> => {
    const body = structuredClone(seen);
    body.spec = Object.assign(body.spec ?? {}, { holderIdentity, renewTime: new V1MicroTime(Date.now()) });
    return await coordination.replaceNamespacedLease({ namespace, name, body }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ApiException && error.code === 409) return false;
        throw error;
      },
    );
  };
  const candidates = Array.from({ length: 8 }, (_, i) => `candidate-${i}`);
  const won = await Promise.all(candidates.map(async (each) => await take(each, lease)));
  t.equal(won.filter((each) => each).length, 1);
  const held = await coordination.readNamespacedLease({ namespace, name });
  t.equal(held.spec?.holderIdentity, candidates[won.indexOf(true)]);
  t.equal(await take('successor', held), true);
  t.equal(await take('late', held), false);
});
