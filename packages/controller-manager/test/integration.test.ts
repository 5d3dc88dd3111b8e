import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import {
  configMaps,
  cronJobs,
  daemonSets,
  deployments,
  endpoints,
  endpointSlices,
  findCondition,
  formatMicroTime,
  formatTime,
  isNotFound,
  jobs,
  leases,
  namespaces,
  nodes,
  persistentVolumeClaims,
  pods,
  replicaSets,
  serviceAccounts,
  services,
  statefulSets,
  type Deployment,
  type KubeObject,
  type Pod,
  type Resource,
} from '@naru/api';
import { silentLogger, systemClock } from '@naru/component';
import { listAll, RestClient, SharedInformerFactory } from '@naru/client';
import { eventually, startRealEtcd } from '@naru/testkit';

/** The controller manager as a process, against the API server as a process, on a real etcd; kubelets are played here. */

const packages = join(import.meta.dirname, '..', '..');
const namespace = 'default';
const deadline = { deadlineMs: 60_000 };

/** Starts a component and resolves with its port once it listens. */
async function startComponent(
  name: string,
  args: readonly string[],
): Promise<{ readonly port: number; readonly process: ChildProcess }> {
  const child = spawn(process.execPath, [join(packages, name, 'src', 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(async () => await stop(child));
  // Should the test file itself fail to start, no teardown runs.
  process.once('exit', () => child.kill('SIGKILL'));
  return await new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const entry = JSON.parse(line) as { msg?: string; port?: number };
      if (entry.msg === 'listening' && entry.port !== undefined) resolve({ port: entry.port, process: child });
    });
  });
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
  });
  child.kill('SIGTERM');
  return await exited;
}

const folder = await mkdtemp(join(tmpdir(), 'naru-controllers-'));
t.teardown(async () => await rm(folder, { recursive: true, force: true }));
const etcd = await startRealEtcd({ ports: { from: 24_000, to: 24_099 } });
t.teardown(async () => await etcd[Symbol.asyncDispose]());

const tokens = join(folder, 'tokens.csv');
await writeFile(tokens, 'admin,admin,admin,"system:masters"\nkcm,system:kube-controller-manager,kcm\n');
const apiserver = await startComponent('apiserver', [
  `--etcd-servers=${etcd.clientUrl}`,
  '--bind-address=127.0.0.1',
  '--secure-port=0',
  `--token-auth-file=${tokens}`,
  '--service-cluster-ip-range=127.201.0.0/16',
  '--authorization-mode=RBAC',
]);
const server = `http://127.0.0.1:${apiserver.port}`;
const client = new RestClient({ server, bearerToken: 'admin' });
t.teardown(async () => await client[Symbol.asyncDispose]());
const kubeconfig = join(folder, 'kubeconfig');
await writeFile(
  kubeconfig,
  `{current-context: c, clusters: [{name: c, cluster: {server: '${server}'}}], users: [{name: u, user: {token: kcm}}], contexts: [{name: c, context: {cluster: c, user: u}}]}`,
);
await writeFile(join(folder, 'ca.crt'), 'a certificate\n');
await eventually(async () => String(await client.raw('GET', '/readyz')).length > 0, deadline);

async function startControllerManager(): Promise<ChildProcess> {
  const started = await startComponent('controller-manager', [
    `--kubeconfig=${kubeconfig}`,
    `--root-ca-file=${join(folder, 'ca.crt')}`,
    '--allocate-node-cidrs',
    '--cluster-cidr=127.202.0.0/15',
    '--node-monitor-grace-period=6s',
    '--node-monitor-period=500ms',
    '--healthz-bind-address=127.0.0.1:0',
  ]);
  return started.process;
}
const controllerManager = await startControllerManager();

/** Plays the kubelets of two nodes, and a scheduler. */
const silent = new Set<string>();
const stopKubelets = new AbortController();
let address = 0;
let bindings = 0;

async function runPod(pod: Pod): Promise<void> {
  const { name = '', namespace, deletionTimestamp } = pod.metadata;
  const { nodeName } = pod.spec ?? {};
  if (nodeName === undefined || nodeName === '') {
    const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
    const bound = terms?.[0]?.matchFields?.[0]?.values?.[0];
    const free = ['n1', 'n2'].filter((each) => !silent.has(each));
    const target = { kind: 'Node', name: bound ?? free[bindings++ % free.length] ?? '' };
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target };
    await client.createSubresource(pods, name, 'binding', binding, { namespace });
    return;
  }
  if (silent.has(nodeName)) return;
  if (deletionTimestamp !== undefined) {
    await client.delete(pods, name, { namespace, body: { gracePeriodSeconds: 0 } });
    return;
  }
  if ((pod.status?.phase ?? 'Pending') !== 'Pending') return;
  const now = formatTime(Date.now());
  const image = pod.spec?.containers[0]?.image;
  if (image === 'broken') return;
  const ip = `127.202.0.${(address++ % 250) + 1}`;
  const status =
    image === 'true'
      ? { phase: 'Succeeded' }
      : {
          phase: 'Running',
          podIP: ip,
          podIPs: [{ ip }],
          conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: now }],
        };
  await client.patch(pods, name, 'merge', { status }, { namespace, subresource: 'status' });
}

async function beat(name: string): Promise<void> {
  const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: formatMicroTime(Date.now()) };
  const namespace = 'kube-node-lease';
  try {
    await client.patch(leases, name, 'merge', { spec }, { namespace });
  } catch {
    const metadata = { name, namespace };
    await client.create(leases, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec });
  }
}

async function markReady(name: string): Promise<void> {
  const now = formatTime(Date.now());
  const conditions = [{ type: 'Ready', status: 'True', lastHeartbeatTime: now, lastTransitionTime: now }];
  await client.patch(nodes, name, 'merge', { status: { conditions } }, { subresource: 'status' });
}

for (const name of ['n1', 'n2']) {
  const labels = { 'topology.kubernetes.io/zone': `zone-of-${name}` };
  await client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
  await markReady(name);
  await beat(name);
}
const beating = setInterval(() => {
  for (const name of ['n1', 'n2']) if (!silent.has(name)) beat(name).catch(() => {});
}, 1000);
const informers = new SharedInformerFactory({ client, clock: systemClock, logger: silentLogger() });
const onPod = (pod: Pod): void => {
  runPod(pod).catch(() => {});
};
const podCache = informers.informer(pods);
podCache.addHandlers({ added: onPod, updated: onPod });
informers.start(stopKubelets.signal);
t.teardown(async () => {
  clearInterval(beating);
  stopKubelets.abort(new Error('the test is over'));
  await informers[Symbol.asyncDispose]();
});

async function list<T extends KubeObject>(resource: Resource<T>, labelSelector?: string): Promise<T[]> {
  return (await listAll(client, resource, { namespace, ...(labelSelector === undefined ? {} : { labelSelector }) }))
    .items;
}

const template = (app: string, image: string, rest: object = {}) => ({
  metadata: { labels: { app } },
  spec: {
    automountServiceAccountToken: false,
    containers: [{ name: 'c', image, ports: [{ name: 'http', containerPort: 8080 }] }],
    ...rest,
  },
});

const web: Deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace },
  spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template('web', 'v1') },
};

/** The Deployment once it is rolled out as `kubectl rollout status` asks for it. */
async function rolledOut(name: string): Promise<Deployment> {
  return await eventually(async () => {
    const found = await client.get(deployments, name, { namespace });
    const { status, spec, metadata } = found;
    const done =
      status?.observedGeneration === metadata.generation &&
      status?.updatedReplicas === spec?.replicas &&
      status?.replicas === spec?.replicas &&
      status?.availableReplicas === spec?.replicas;
    return done ? found : false;
  }, deadline);
}

await t.test('every namespace gets its ServiceAccount and the CA, every node its addresses', async (t) => {
  await eventually(async () => (await client.get(serviceAccounts, 'default', { namespace })) !== undefined, deadline);
  const ca = await eventually(async () => await client.get(configMaps, 'kube-root-ca.crt', { namespace }), deadline);
  t.equal(ca.data?.['ca.crt'], 'a certificate\n');
  const cidrs = await eventually(async () => {
    const found = (await listAll(client, nodes)).items.map(({ spec }) => spec?.podCIDR);
    return found.every((each) => each !== undefined) ? found : false;
  }, deadline);
  t.equal(new Set(cidrs).size, 2);
});

await t.test('a Deployment and its Service: rolled out, updated, rolled back, scaled', async (t) => {
  await client.create(deployments, web);
  const ports = [{ port: 80, targetPort: 'http' }];
  await client.create(services, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace },
    spec: { selector: { app: 'web' }, ports },
  });
  t.match((await rolledOut('web')).metadata.annotations, { 'deployment.kubernetes.io/revision': '1' });
  const ready = async (count: number): Promise<void> => {
    await eventually(async () => {
      const slices = await list(endpointSlices, 'kubernetes.io/service-name=web');
      const all = slices.flatMap(({ endpoints }) => endpoints ?? []);
      return slices.length === 1 && all.length === count && all.every(({ conditions }) => conditions?.ready === true);
    }, deadline);
  };
  await ready(3);
  const { subsets } = await client.get(endpoints, 'web', { namespace });
  t.equal(subsets?.[0]?.addresses?.length, 3);
  t.match(subsets?.[0]?.ports, [{ port: 8080 }]);
  await client.patch(deployments, 'web', 'merge', { spec: { template: template('web', 'v2') } }, { namespace });
  const updated = await rolledOut('web');
  t.equal(updated.metadata.annotations?.['deployment.kubernetes.io/revision'], '2');
  t.match(findCondition(updated.status?.conditions, 'Progressing'), {
    status: 'True',
    reason: 'NewReplicaSetAvailable',
  });
  await client.patch(
    deployments,
    'web',
    'merge',
    { spec: { replicas: 5, template: template('web', 'v1') } },
    { namespace },
  );
  t.equal((await rolledOut('web')).metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
  t.equal((await list(replicaSets)).length, 2, 'the first ReplicaSet is used again');
  await ready(5);
});

await t.test('a second controller manager takes over at once when the first is told to stop', async (t) => {
  const [before] = await list(replicaSets);
  await startControllerManager();
  t.equal(await stop(controllerManager), 0);
  await client.patch(deployments, 'web', 'merge', { spec: { replicas: 4 } }, { namespace });
  const startedMs = performance.now();
  await rolledOut('web');
  t.ok(performance.now() - startedMs < 14_000, 'before the Lease would have run out');
  t.equal((await list(pods, 'app=web')).filter(({ metadata }) => metadata.deletionTimestamp === undefined).length, 4);
  t.ok(before);
});

await t.test('a node that falls silent: its pods are replaced elsewhere', async (t) => {
  const tolerations = ['not-ready', 'unreachable'].map((key) => ({
    key: `node.kubernetes.io/${key}`,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: 1,
  }));
  await client.patch(
    deployments,
    'web',
    'merge',
    { spec: { template: template('web', 'v3', { tolerations }) } },
    { namespace },
  );
  await rolledOut('web');
  silent.add('n2');
  await eventually(async () => {
    const { status } = await client.get(nodes, 'n2');
    return findCondition(status?.conditions, 'Ready')?.status === 'Unknown';
  }, deadline);
  await eventually(async () => {
    const running = (await list(pods, 'app=web')).filter(
      ({ metadata, spec, status }) =>
        metadata.deletionTimestamp === undefined && spec?.nodeName === 'n1' && status?.phase === 'Running',
    );
    return running.length === 4;
  }, deadline);
  const node = await client.get(nodes, 'n2');
  t.match(findCondition(node.status?.conditions, 'Ready'), { status: 'Unknown', reason: 'NodeStatusUnknown' });
  t.ok(
    node.spec?.taints?.some(({ key, effect }) => key === 'node.kubernetes.io/unreachable' && effect === 'NoExecute'),
  );
  silent.delete('n2');
  await beat('n2');
  await markReady('n2');
  for (const pod of await list(pods)) onPod(pod);
  await eventually(async () => ((await client.get(nodes, 'n2')).spec?.taints ?? []).length === 0, deadline);
});

await t.test('deletion in the background, in the foreground, and with orphans', async (t) => {
  const gone = async (): Promise<void> => {
    await eventually(async () => {
      const names = [...(await list(replicaSets)), ...(await list(pods, 'app=web'))];
      return names.length === 0;
    }, deadline);
  };
  await client.delete(deployments, 'web', { namespace, body: { propagationPolicy: 'Background' } });
  await gone();
  await client.create(deployments, web);
  await rolledOut('web');
  await client.delete(deployments, 'web', { namespace, body: { propagationPolicy: 'Foreground' } });
  await eventually(async () => {
    const error = await client.get(deployments, 'web', { namespace }).catch((error: unknown) => error);
    return isNotFound(error);
  }, deadline);
  t.same(await list(replicaSets), [], 'the owner goes last');
  await client.create(deployments, web);
  await rolledOut('web');
  const before = (await list(pods, 'app=web')).map(({ metadata }) => metadata.uid ?? '').sort();
  await client.delete(deployments, 'web', { namespace, body: { propagationPolicy: 'Orphan' } });
  await eventually(async () => (await list(deployments)).length === 0, deadline);
  t.equal((await list(replicaSets))[0]?.metadata.ownerReferences, undefined);
  const again = await client.create(deployments, web);
  await eventually(
    async () => (await list(replicaSets))[0]?.metadata.ownerReferences?.[0]?.uid === again.metadata.uid,
    deadline,
  );
  t.same(
    (await list(pods, 'app=web')).map(({ metadata }) => metadata.uid ?? '').sort(),
    before,
    'adopted with its pods',
  );
});

await t.test('the other workloads', async (t) => {
  const selector = (app: string) => ({ matchLabels: { app } });
  const meta = (name: string) => ({ name, namespace });
  await client.create(daemonSets, {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: meta('agent'),
    spec: { selector: selector('agent'), template: template('agent', 'v1') },
  });
  await client.create(statefulSets, {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: meta('db'),
    spec: { replicas: 2, serviceName: 'db', selector: selector('db'), template: template('db', 'v1') },
  });
  const run = {
    spec: { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [{ name: 'c', image: 'true' }] },
  };
  await client.create(jobs, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: meta('job'),
    spec: { completions: 3, parallelism: 2, template: run },
  });
  await client.create(cronJobs, {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: meta('cron'),
    spec: { schedule: '0 0 1 1 *', jobTemplate: { spec: { template: run } } },
  });
  const agent = await eventually(async () => {
    const found = await client.get(daemonSets, 'agent', { namespace });
    return found.status?.numberReady === 2 ? found : false;
  }, deadline);
  t.match(agent.status, { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2 });
  await eventually(
    async () => (await client.get(statefulSets, 'db', { namespace })).status?.readyReplicas === 2,
    deadline,
  );
  t.same(
    (await list(pods, 'app=db')).map(({ metadata }) => metadata.name),
    ['db-0', 'db-1'],
  );
  const job = await eventually(async () => {
    const found = await client.get(jobs, 'job', { namespace });
    return findCondition(found.status?.conditions, 'Complete')?.status === 'True' ? found : false;
  }, deadline);
  t.equal(job.status?.succeeded, 3);
  await eventually(async () => {
    const finalizers = (await list(pods, 'batch.kubernetes.io/job-name=job')).flatMap(
      ({ metadata }) => metadata.finalizers ?? [],
    );
    return finalizers.length === 0;
  }, deadline);
});

await t.test('a namespace goes with all that is in it', async (t) => {
  const metadata = { name: 'team' };
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata });
  await eventually(
    async () => (await client.get(serviceAccounts, 'default', { namespace: 'team' })) !== undefined,
    deadline,
  );
  const inTeam = { namespace: 'team' };
  for (const name of ['data', 'unused'])
    await client.create(persistentVolumeClaims, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, ...inTeam },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    });
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }];
  await client.create(deployments, {
    ...web,
    metadata: { name: 'web', ...inTeam },
    spec: { ...web.spec, selector: { matchLabels: { app: 'web' } }, template: template('web', 'v1', { volumes }) },
  });
  await eventually(async () => {
    const { items } = await listAll(client, pods, inTeam);
    return items.length === 3 && items.every(({ spec }) => (spec?.nodeName ?? '') !== '');
  }, deadline);
  for (const name of ['data', 'unused']) await client.delete(persistentVolumeClaims, name, inTeam);
  const claims = async (): Promise<unknown[]> =>
    (await listAll(client, persistentVolumeClaims, inTeam)).items.map(({ metadata }) => metadata.name);
  await eventually(async () => (await claims()).length === 1, deadline);
  t.strictSame(await claims(), ['data'], 'the claim that pods use waits for them');
  await client.delete(namespaces, 'team');
  await eventually(
    async () => isNotFound(await client.get(namespaces, 'team').catch((error: unknown) => error)),
    deadline,
  );
  t.same((await listAll(client, pods, { namespace: 'team' })).items, []);
});
