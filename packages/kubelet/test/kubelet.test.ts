import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  configMaps,
  events,
  namespaces,
  nodes,
  pods,
  serviceAccounts,
  services,
  type Pod,
  type PodSpec,
} from '@naru/api';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { Agent, request } from 'undici';
import { ControlPlane } from './support/control-plane.ts';

// Eight processes start one after the other; on a machine that is busy that takes its time.
t.setTimeout(300_000);
const plane = new ControlPlane();
t.teardown(async () => await plane[Symbol.asyncDispose]());
await plane.start();
let kubelet = await plane.startKubelet();
const insecure = new Agent({ connect: { rejectUnauthorized: false } });
t.teardown(async () => await insecure.destroy());

const namespace = 'kubelet-test';
const { client } = plane;
await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
await eventually(async () => {
  await client
    .create(
      serviceAccounts,
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } },
      { namespace },
    )
    .catch(async () => await client.get(serviceAccounts, 'default', { namespace }));
});

async function create(name: string, spec: Partial<PodSpec> & Pick<PodSpec, 'containers'>, metadata = {}): Promise<Pod> {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, ...metadata },
    spec: { nodeName: 'node-1', automountServiceAccountToken: false, ...spec },
  };
  return await client.create(pods, pod, { namespace });
}

const get = async (name: string): Promise<Pod> => await client.get(pods, name, { namespace });

async function until(name: string, check: (pod: Pod) => boolean, deadlineMs = 60_000): Promise<Pod> {
  return await eventually(
    async () => {
      const pod = await get(name);
      if (!check(pod)) throw new Error(JSON.stringify(pod.status));
      return pod;
    },
    { deadlineMs },
  );
}

async function remove(name: string, gracePeriodSeconds?: number): Promise<void> {
  await client.delete(pods, name, {
    namespace,
    ...(gracePeriodSeconds === undefined ? {} : { body: { gracePeriodSeconds } }),
  });
}

async function gone(name: string, deadlineMs = 60_000): Promise<void> {
  await eventually(
    async () => {
      const { items } = await client.list(pods, { namespace });
      return !items.some(({ metadata }) => metadata.name === name);
    },
    { deadlineMs },
  );
}

const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
const container = (pod: Pod, i = 0) => pod.status?.containerStatuses?.[i];
const shell = (script: string) => ({ name: 'main', image: 'host', command: ['sh', '-c', script] });

async function logs(pod: string, query = '', name = 'main'): Promise<string> {
  const url = `https://127.0.0.1:${kubelet.port}/containerLogs/${namespace}/${pod}/${name}?${query}`;
  const { statusCode, body } = await request(url, { dispatcher: insecure });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${statusCode}: ${text}`);
  return text;
}

async function reasons(pod: string): Promise<string[]> {
  const { items } = await client.list(events, { namespace });
  return items.filter(({ involvedObject }) => involvedObject.name === pod).map(({ reason }) => reason ?? '');
}

await t.test('the node registers with its capacity, addresses and conditions, and becomes Ready', async (t) => {
  const node = await eventually(async () => {
    const node = await client.get(nodes, 'node-1');
    if (node.status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'True') throw new Error('not ready');
    return node;
  });
  t.match(node.metadata.labels, { 'kubernetes.io/hostname': 'node-1', 'kubernetes.io/os': 'linux' });
  t.match(node.status, {
    capacity: { pods: '110' },
    addresses: [
      { type: 'InternalIP', address: '127.0.0.1' },
      { type: 'Hostname', address: 'node-1' },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: kubelet.port } },
    nodeInfo: { operatingSystem: 'linux', containerRuntimeVersion: 'process://0.1.0' },
  });
});

await t.test('the hello image serves on its own address; its log can be read, followed and cut', async (t) => {
  await create('hello', {
    containers: [
      {
        name: 'hello',
        image: 'naru.dev/hello:5',
        ports: [{ name: 'http', containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1 },
      },
    ],
  });
  const pod = await until('hello', isReady);
  t.equal(pod.status?.phase, 'Running');
  t.match(pod.status?.podIP, /^127\.98\./u);
  t.equal(pod.status?.qosClass, 'BestEffort');
  const answer = async (path: string): Promise<string> =>
    await (await request(`http://${pod.status?.podIP}:8080${path}`, { dispatcher: insecure })).body.text();
  t.match(await answer('/a'), /hello from hello\nnode: node-1\nversion: 5\nrequest: GET \/a HTTP\/1\.1/u);
  const follow = await request(
    `https://127.0.0.1:${kubelet.port}/containerLogs/${namespace}/hello/hello?follow=true&tailLines=0`,
    { dispatcher: insecure },
  );
  await answer('/followed');
  for await (const chunk of follow.body) {
    t.equal(String(chunk), 'GET /followed HTTP/1.1\n');
    break;
  }
  t.match(await logs('hello', '', 'hello'), /^listening on http.*\nGET \/a HTTP\/1\.1\nGET \/followed/u);
  t.equal(await logs('hello', 'tailLines=1', 'hello'), 'GET /followed HTTP/1.1\n');
  t.equal(await logs('hello', 'tailLines=1&limitBytes=3', 'hello'), 'GET');
  t.match(await logs('hello', 'tailLines=1&timestamps=true', 'hello'), /^\d{4}-\d\d-\d\dT[\d:.]+Z GET/u);
  await t.rejects(logs('hello', '', 'nope'), /400/u);
  await remove('hello');
  await gone('hello');
  t.same(readdirSync(join(kubelet.rootDir, 'pods')), []);
});

await t.test(
  'a container that keeps failing is restarted with backoff; its last end and previous log are kept',
  async (t) => {
    await create('crash', { terminationGracePeriodSeconds: 1, containers: [shell('echo run; exit 3')] });
    const pod = await until('crash', (pod) => container(pod)?.state?.waiting?.reason === 'CrashLoopBackOff');
    t.match(container(pod), {
      restartCount: 1,
      ready: false,
      lastState: { terminated: { exitCode: 3, reason: 'Error' } },
      state: { waiting: { message: /^back-off 10s restarting failed container=main pod=crash_kubelet-test\(/u } },
    });
    t.equal(pod.status?.phase, 'Running');
    t.equal(await logs('crash', 'previous=true'), 'run\n');
    await eventually(async () => (await reasons('crash')).includes('BackOff'));
    await remove('crash');
    await gone('crash');
  },
);

await t.test('init containers run in order, sidecars beside the rest; a pod that may end ends', async (t) => {
  const init = (name: string, script: string) => ({ ...shell(script), name });
  await create('job', {
    restartPolicy: 'Never',
    volumes: [{ name: 'data', emptyDir: {} }],
    initContainers: [
      { ...init('first', 'echo 1 >>data/order'), volumeMounts: [{ name: 'data', mountPath: '/data' }] },
      { ...init('side', 'sleep 300'), restartPolicy: 'Always' },
      { ...init('second', 'echo 2 >>data/order'), volumeMounts: [{ name: 'data', mountPath: '/data' }] },
    ],
    containers: [{ ...shell('cat data/order'), volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
  });
  const pod = await until('job', ({ status }) => status?.phase === 'Succeeded');
  t.equal(await logs('job'), '1\n2\n');
  t.match(container(pod)?.state?.terminated, { exitCode: 0, reason: 'Completed' });
  t.match(
    pod.status?.conditions?.find(({ type }) => type === 'Ready'),
    { status: 'False', reason: 'PodCompleted' },
  );
  await until('job', ({ status }) => status?.initContainerStatuses?.[1]?.state?.terminated !== undefined);
  await create('fails', {
    restartPolicy: 'Never',
    initContainers: [init('init', 'exit 9')],
    containers: [shell('true')],
  });
  const failed = await until('fails', ({ status }) => status?.phase === 'Failed');
  t.equal(failed.status?.initContainerStatuses?.[0]?.state?.terminated?.exitCode, 9);
  await create('deadline', {
    activeDeadlineSeconds: 1,
    terminationGracePeriodSeconds: 1,
    containers: [shell('sleep 300')],
  });
  t.match((await until('deadline', ({ status }) => status?.phase === 'Failed')).status, { reason: 'DeadlineExceeded' });
  for (const name of ['job', 'fails', 'deadline']) await remove(name);
  for (const name of ['job', 'fails', 'deadline']) await gone(name);
});

await t.test('an ephemeral container is started beside the others, once, and says how it ended', async (t) => {
  await create('debugged', { containers: [shell('sleep 300')] });
  await until('debugged', isReady);
  const body = { spec: { ephemeralContainers: [{ ...shell('echo looking; exit 3'), name: 'debugger' }] } };
  await client.patch(pods, 'debugged', 'strategic', body, { namespace, subresource: 'ephemeralcontainers' });
  const pod = await until(
    'debugged',
    ({ status }) => status?.ephemeralContainerStatuses?.[0]?.state?.terminated !== undefined,
  );
  t.match(pod.status?.ephemeralContainerStatuses, [
    { name: 'debugger', ready: false, restartCount: 0, state: { terminated: { exitCode: 3 } } },
  ]);
  t.notOk('started' in (pod.status?.ephemeralContainerStatuses?.[0] ?? {}));
  t.ok(isReady(pod), 'the pod is as it was');
  t.equal(await logs('debugged', '', 'debugger'), 'looking\n');
  await remove('debugged');
  await gone('debugged');
});

await t.test('configuration that is missing says so, and its arrival starts the container', async (t) => {
  await create('config', {
    containers: [
      {
        ...shell('echo "$GREETING $POD $LIMIT"; exec sleep 300'),
        args: ['$(GREETING)'],
        env: [
          { name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'settings', key: 'greeting' } } },
          { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
        ],
        resources: { limits: { memory: '64Mi', cpu: '1' }, requests: { memory: '64Mi', cpu: '1' } },
      },
    ],
  });
  const waiting = await until(
    'config',
    (pod) => container(pod)?.state?.waiting?.reason === 'CreateContainerConfigError',
  );
  t.equal(container(waiting)?.state?.waiting?.message, 'configmap "settings" not found');
  t.equal(waiting.status?.phase, 'Pending');
  const settings = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace } };
  await client.create(configMaps, { ...settings, data: { other: 'x' } }, { namespace });
  await until(
    'config',
    (pod) =>
      container(pod)?.state?.waiting?.message === `couldn't find key greeting in ConfigMap ${namespace}/settings`,
  );
  await client.update(configMaps, { ...settings, data: { greeting: 'hi' } }, { namespace });
  const pod = await until('config', isReady);
  t.equal(pod.status?.qosClass, 'Guaranteed');
  t.match(await logs('config'), /^hi config 64/u);
  await remove('config', 0);
  await gone('config');

  await create('image', { containers: [{ name: 'main', image: 'nginx:1.27' }] });
  const image = await until('image', (pod) => container(pod)?.state?.waiting?.reason === 'ErrImageNeverPull');
  t.match(container(image)?.state?.waiting?.message, /runs programs of the host .* naru\.dev\/hello/u);
  await create('program', { containers: [{ name: 'main', image: 'x', command: ['no-such-program'] }] });
  await until('program', (pod) => container(pod)?.lastState?.terminated?.reason === 'StartError');
  for (const name of ['image', 'program']) await remove(name);
  for (const name of ['image', 'program']) await gone(name);
});

await t.test('volumes are folders below the container; a changed ConfigMap changes its files', async (t) => {
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'files', namespace } };
  await client.create(configMaps, { ...map, data: { 'a.txt': 'one', 'b.txt': 'b' } }, { namespace });
  await client.create(
    services,
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'my-db', namespace }, spec: { ports: [{ port: 5432 }] } },
    { namespace },
  );
  await create(
    'volumes',
    {
      serviceAccountName: 'default',
      volumes: [
        { name: 'files', configMap: { name: 'files', items: [{ key: 'a.txt', path: 'sub/a', mode: 0o400 }] } },
        {
          name: 'all',
          projected: {
            sources: [
              { configMap: { name: 'files' } },
              { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
              { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
            ],
          },
        },
        { name: 'missing', configMap: { name: 'nope', optional: true } },
      ],
      containers: [
        {
          ...shell(
            'cat etc/files/sub/a; stat -L -c %a etc/files/sub/a; cat all/labels; cut -d. -f1 all/token | base64 -d 2>/dev/null | head -c 6; echo; cat one; ls missing | wc -l; echo $MY_DB_SERVICE_PORT; exec sleep 300',
          ),
          volumeMounts: [
            { name: 'files', mountPath: '/etc/files' },
            { name: 'all', mountPath: '/all' },
            { name: 'all', mountPath: '/one', subPath: 'b.txt' },
            { name: 'missing', mountPath: '/missing' },
          ],
        },
      ],
    },
    { labels: { app: 'x', tier: 'y' } },
  );
  const pod = await until('volumes', isReady);
  await eventually(async () => (await logs('volumes')).endsWith('5432\n'));
  const [mode, ...rest] = (await logs('volumes')).split('\n');
  t.equal(mode, 'one400');
  t.same(rest, ['app="x"', 'tier="y"{"alg"', 'b0', '5432', '']);
  await client.update(configMaps, { ...map, data: { 'a.txt': 'two' } }, { namespace });
  const folder = join(kubelet.rootDir, 'pods', pod.metadata.uid ?? '', 'volumes');
  await eventually(() => readFileSync(join(folder, 'kubernetes.io~configmap', 'files', 'sub', 'a'), 'utf8') === 'two');
  await eventually(() => !existsSync(join(folder, 'kubernetes.io~projected', 'all', 'b.txt')));
  await remove('volumes', 0);
  await gone('volumes');
  await create('no-volume', {
    volumes: [{ name: 'files', configMap: { name: 'nope' } }],
    containers: [{ ...shell('true'), volumeMounts: [{ name: 'files', mountPath: '/x' }] }],
  });
  await eventually(async () => (await reasons('no-volume')).includes('FailedMount'));
  await until('no-volume', (each) => container(each)?.state?.waiting?.reason === 'ContainerCreating');
  await remove('no-volume');
  await gone('no-volume');
});

await t.test('a failing liveness probe restarts the container; startup and readiness hold it back', async (t) => {
  await create('probes', {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        ...shell('touch alive started; exec sleep 300'),
        startupProbe: { exec: { command: ['test', '-e', 'started'] }, periodSeconds: 1 },
        livenessProbe: { exec: { command: ['test', '-e', 'alive'] }, periodSeconds: 1, failureThreshold: 1 },
        readinessProbe: { exec: { command: ['test', '-e', 'ready'] }, periodSeconds: 1 },
      },
    ],
  });
  const started = await until('probes', (pod) => container(pod)?.started === true);
  t.equal(container(started)?.ready, false);
  t.match(
    started.status?.conditions?.find(({ type }) => type === 'Ready'),
    {
      reason: 'ContainersNotReady',
      message: 'containers with unready status: [main]',
    },
  );
  const id = container(started)?.containerID?.slice('process://'.length) ?? '';
  const root = join(kubelet.rootDir, 'runtime', 'containers', id, 'root');
  const { writeFileSync, rmSync } = await import('node:fs');
  writeFileSync(join(root, 'ready'), '');
  await until('probes', isReady);
  rmSync(join(root, 'alive'));
  const restarted = await until('probes', (pod) => container(pod)?.restartCount === 1);
  t.equal(container(restarted)?.lastState?.terminated?.exitCode, 143);
  const seen = await eventually(async () => {
    const seen = await reasons('probes');
    return seen.includes('Unhealthy') && seen.includes('Killing') && seen;
  });
  t.ok(seen);
  await remove('probes');
  await gone('probes');
});

await t.test('termination runs preStop, then SIGTERM, then SIGKILL after the grace period', async (t) => {
  await create('slow', {
    terminationGracePeriodSeconds: 2,
    containers: [
      {
        ...shell('trap "echo term" TERM; echo ready; while :; do sleep 0.1; done'),
        lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo stopping >>marker'] } } },
      },
    ],
  });
  const pod = await until('slow', isReady);
  const log = join(kubelet.rootDir, 'pod-logs', `${namespace}_slow_${pod.metadata.uid}`, 'main', '0.log');
  await eventually(() => readFileSync(log, 'utf8').includes('ready'));
  const began = performance.now();
  await remove('slow');
  let last = pod;
  await eventually(async () => {
    const { items } = await client.list(pods, { namespace });
    const found = items.find(({ metadata }) => metadata.name === 'slow');
    if (found !== undefined) last = found;
    return found === undefined;
  });
  t.ok(performance.now() - began > 1900, 'it had its grace period');
  await create('hook', {
    terminationGracePeriodSeconds: 1,
    containers: [{ ...shell('sleep 300'), lifecycle: { postStart: { exec: { command: ['sleep', '300'] } } } }],
  });
  await eventually(async () => (await reasons('hook')).includes('Started'));
  await remove('hook');
  await gone('hook', 10_000);
  t.ok(last.metadata.deletionTimestamp);
  t.ok((await reasons('slow')).includes('Killing'));
});

await t.test(
  'a killed kubelet finds its pods again: same processes, and what was deleted meanwhile ends',
  async (t) => {
    const containers = [
      { ...shell('trap "exit 0" TERM; while :; do sleep 0.1; done'), readinessProbe: { exec: { command: ['true'] } } },
    ];
    await create('stays', { containers });
    await create('leaves', { containers });
    await create('forced', { containers });
    const before = await until('stays', isReady);
    await until('leaves', isReady);
    await until('forced', isReady);
    await kubelet.stop('SIGKILL');
    await remove('leaves');
    await remove('forced', 0);
    await gone('forced');
    kubelet = await plane.startKubelet();
    await gone('leaves');
    const runtimeFolder = join(kubelet.rootDir, 'runtime', 'sandboxes');
    await eventually(() => readdirSync(runtimeFolder).length === 1);
    const after = await until('stays', isReady);
    t.equal(container(after)?.containerID, container(before)?.containerID);
    t.equal(container(after)?.restartCount, 0);
    t.equal(after.status?.podIP, before.status?.podIP);
    const readyTime = (pod: Pod) => pod.status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime;
    t.equal(readyTime(after), readyTime(before), 'it was never unready');
    await kubelet.stop('SIGTERM');
    kubelet = await plane.startKubelet();
    t.equal(container(await until('stays', isReady))?.containerID, container(before)?.containerID);
    await remove('stays');
    await gone('stays');
  },
);

await t.test(
  'hollow pods are ready at once, have addresses of their own, survive the kubelet, and are no more than the node may have',
  async (t) => {
    await kubelet.stop('SIGTERM');
    const args = ['--container-runtime=hollow', '--max-pods=101'];
    kubelet = await plane.startKubelet(args);
    await eventually(async () => (await client.get(nodes, 'node-1')).status?.allocatable?.['pods'] === '101');
    const names = Array.from({ length: 100 }, (_, i) => `hollow-${i}`);
    await Promise.all(
      names.map(async (name) => await create(name, { containers: [{ name: 'main', image: 'nginx' }] })),
    );
    const list = async () => (await client.list(pods, { namespace })).items;
    const running = await eventually(
      async () => {
        const items = await list();
        if (!items.every(isReady)) throw new Error(`${items.filter(isReady).length} ready`);
        return items;
      },
      { deadlineMs: 60_000 },
    );
    t.equal(new Set(running.map(({ status }) => status?.podIP)).size, 100);
    await kubelet.stop('SIGKILL');
    kubelet = await plane.startKubelet(args);
    await create('late', { containers: [{ name: 'main', image: 'nginx' }] });
    await until('late', isReady);
    await create('beyond', { containers: [{ name: 'main', image: 'nginx' }] });
    const beyond = await until('beyond', ({ status }) => status?.phase === 'Failed');
    t.match(beyond.status, { reason: 'OutOfpods', message: /requested: 1, used: 101, capacity: 101/u });
    await remove('beyond');
    await gone('beyond');
    const after = await list();
    t.equal(new Set(after.map(({ status }) => status?.podIP)).size, 101);
    t.same(
      after
        .filter(({ metadata }) => metadata.name !== 'late')
        .map((pod) => [pod.metadata.name, container(pod)?.containerID]),
      running.map((pod) => [pod.metadata.name, container(pod)?.containerID]),
    );
    await Promise.all([...names, 'late'].map(async (name) => await remove(name)));
    await eventually(async () => (await list()).length === 0, { deadlineMs: 60_000 });
  },
);
