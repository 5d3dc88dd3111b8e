// The tour of the README on real processes: deploy, scale, roll, undo, break everything, stop and start again.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { eventually, ProcessCluster } from '@naru/testkit';
import { Agent, request } from 'undici';

const root = join(import.meta.dirname, '..', '..');
const hello = join(root, 'examples', 'hello.yaml');
const PORT_BASE = 17_100;
const NODE_PORT_URL = 'http://127.0.0.1:30080/';
const MINUTE_MS = 60_000;

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
    readonly spec: { readonly nodeName?: string; readonly containers: readonly { readonly image: string }[] };
    readonly status: {
      readonly phase: string;
      readonly podIP?: string;
      readonly conditions?: readonly { readonly type: string; readonly status: string }[];
      readonly containerStatuses?: readonly { readonly restartCount: number }[];
    };
  }[];
}

const cluster = await ProcessCluster.start({ root, portBase: PORT_BASE });
const fresh = new Agent({ pipelining: 0 });
t.teardown(async () => {
  await fresh.destroy();
  await cluster[Symbol.asyncDispose]();
});

async function getJson<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await cluster.kubectl('get', ...args, '-o', 'json')) as T;
}

async function livePods(): Promise<PodList['items']> {
  const { items } = await getJson<PodList>('pods', '-l', 'app=hello');
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

function isReady(pod: PodList['items'][number]): boolean {
  return pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

async function readyPods(count: number, deadlineMs = MINUTE_MS): Promise<PodList['items']> {
  return await eventually(
    async () => {
      const pods = await livePods();
      const ready = pods.filter(isReady);
      if (pods.length !== count || ready.length !== count)
        throw new Error(`${ready.length} of ${pods.length} pods ready, want ${count}`);
      return pods;
    },
    { deadlineMs },
  );
}

/** The answer of one pod over a connection of its own. */
async function ask(url: string): Promise<string> {
  const { statusCode, body } = await request(url, { dispatcher: fresh, signal: AbortSignal.timeout(5_000) });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`status ${statusCode}: ${text}`);
  return text;
}

/** Asks until each of the pods has answered. */
async function everyPodAnswers(url: string, names: readonly string[]): Promise<void> {
  const missing = new Set(names);
  await eventually(
    async () => {
      const answer = await ask(url);
      for (const name of missing) if (answer.includes(name)) missing.delete(name);
      if (missing.size > 0) throw new Error(`no answer from ${[...missing].join(', ')}`);
    },
    { deadlineMs: MINUTE_MS / 2 },
  );
}

/** Sends requests one after the other until stopped. */
function steadyRequests(url: string): { stop(): Promise<{ sent: number; failures: string[] }> } {
  const stopped = new AbortController();
  let sent = 0;
  const failures: string[] = [];
  const loop = (async () => {
    while (!stopped.signal.aborted && sent < 100_000) {
      sent++;
      await ask(url).catch((error: unknown) => failures.push(String(error)));
      await delay(5);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await loop;
      return { sent, failures };
    },
  };
}

interface Member {
  readonly name: string;
  readonly pid: string;
  readonly state: string;
  readonly store: string;
}

async function processes(): Promise<Member[]> {
  const [, ...rows] = (await cluster.naru('status')).trimEnd().split('\n');
  return rows.map((row) => {
    const [name = '', , pid = '', state = '', , , ...store] = row.split(/ {2,}/u);
    return { name, pid, state, store: store.join(' ') };
  });
}

async function allRunning(): Promise<void> {
  await eventually(
    async () => {
      const down = (await processes()).filter(({ state }) => state !== 'running');
      if (down.length > 0) throw new Error(`not running: ${down.map(({ name }) => name).join(', ')}`);
    },
    { deadlineMs: MINUTE_MS },
  );
}

await t.test(
  'a Deployment and a Service given as YAML run and answer on the NodePort and the cluster IP',
  async (t) => {
    await cluster.kubectl('apply', '-f', hello);
    await cluster.kubectl('rollout', 'status', 'deployment/hello', '--timeout=60s');
    const pods = await readyPods(3);
    t.equal(new Set(pods.map(({ status }) => status.podIP)).size, 3, 'each pod has an address of its own');
    t.ok(new Set(pods.map(({ spec }) => spec.nodeName)).size > 1, 'the pods are spread over the nodes');
    const names = pods.map(({ metadata }) => metadata.name);
    await everyPodAnswers(NODE_PORT_URL, names);
    const service = await getJson<{ readonly spec: { readonly clusterIP: string } }>('service', 'hello');
    await everyPodAnswers(`http://${service.spec.clusterIP}/`, names);
  },
);

await t.test('kubectl logs shows what a pod printed', async (t) => {
  const [pod] = await readyPods(3);
  const name = pod?.metadata.name ?? '';
  await eventually(async () => {
    const logs = await cluster.kubectl('logs', name);
    if (!logs.includes('GET /')) throw new Error(`no request in the log: ${logs}`);
  });
  t.match(await cluster.kubectl('logs', name, '--tail=1'), /\S/u);
  t.match(await cluster.kubectl('get', 'pods'), /hello-\S+ +1\/1 +Running +0 /u);
});

await t.test('it scales to five', async () => {
  await cluster.kubectl('scale', 'deployment/hello', '--replicas=5');
  const pods = await readyPods(5);
  await everyPodAnswers(
    NODE_PORT_URL,
    pods.map(({ metadata }) => metadata.name),
  );
});

await t.test('a rolling update under steady requests loses none, and can be undone', async (t) => {
  const requests = steadyRequests(NODE_PORT_URL);
  await cluster.kubectl('set', 'image', 'deployment/hello', 'hello=naru.dev/hello:2');
  await cluster.kubectl('rollout', 'status', 'deployment/hello', '--timeout=90s');
  const updated = await readyPods(5);
  t.ok(updated.every(({ spec }) => spec.containers[0]?.image === 'naru.dev/hello:2'));
  const { sent, failures } = await requests.stop();
  t.same(failures, [], `none of ${sent} requests failed`);
  t.ok(sent > 20);
  await everyPodAnswers(
    NODE_PORT_URL,
    updated.map(({ metadata }) => metadata.name),
  );
  await cluster.kubectl('rollout', 'undo', 'deployment/hello');
  await cluster.kubectl('rollout', 'status', 'deployment/hello', '--timeout=90s');
  const undone = await readyPods(5);
  t.ok(undone.every(({ spec }) => spec.containers[0]?.image === 'naru.dev/hello:1'));
  t.match(await cluster.kubectl('rollout', 'history', 'deployment/hello'), /2[^]*3/u);
});

await t.test('kill -9 of the Raft leader: writes go on within 2 s and every acknowledged one is there', async (t) => {
  const acknowledged: string[] = [];
  let longestGapMs = 0;
  let last = performance.now();
  const stopped = new AbortController();
  const admin = await adminAgent();
  const writer = (async () => {
    for (let i = 0; !stopped.signal.aborted && i < 100_000; i++) {
      const name = `write-${i}`;
      const { statusCode } = await request(`${cluster.server}/api/v1/namespaces/default/configmaps`, {
        method: 'POST',
        dispatcher: admin,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { i: String(i) } }),
        signal: AbortSignal.timeout(10_000),
      }).then(
        async ({ statusCode, body }) => {
          await body.dump();
          return { statusCode };
        },
        () => ({ statusCode: 0 }),
      );
      if (statusCode !== 201) {
        await delay(10);
        continue;
      }
      acknowledged.push(name);
      longestGapMs = Math.max(longestGapMs, performance.now() - last);
      last = performance.now();
      await delay(1);
    }
  })();
  await eventually(() => {
    if (acknowledged.length < 50) throw new Error('no writes yet');
  });
  const before = (await processes()).find(({ store }) => store.startsWith('leader'))?.name;
  t.match(await cluster.naru('kill', 'kv-leader'), `killed ${before}`);
  const count = acknowledged.length;
  await eventually(() => {
    if (acknowledged.length < count + 50) throw new Error('no writes after the kill');
  });
  stopped.abort();
  await writer;
  t.ok(longestGapMs < 2_000, `longest time without a successful write: ${longestGapMs.toFixed(0)} ms`);
  const stored = new Set((await cluster.kubectl('get', 'configmaps', '-o', 'name')).trim().split('\n'));
  t.same(
    acknowledged.filter((name) => !stored.has(`configmap/${name}`)),
    [],
    'every acknowledged write is there',
  );
  const after = (await processes()).find(({ store }) => store.startsWith('leader'))?.name;
  t.not(after, before, 'another member leads');
  await cluster.naru('restart', before ?? '');
  await allRunning();
  const deletion = await request(`${cluster.server}/api/v1/namespaces/default/configmaps`, {
    method: 'DELETE',
    dispatcher: admin,
  });
  t.equal(deletion.statusCode, 200, 'a collection is deleted in one request');
  await deletion.body.dump();
  await admin.destroy();
});

/** Connections that authenticate as the cluster's admin. */
async function adminAgent(): Promise<Agent> {
  const raw = async (path: string): Promise<string> => {
    const view = await cluster.kubectl('config', 'view', '--raw', '-o', `jsonpath={${path}}`);
    return Buffer.from(view, 'base64').toString();
  };
  return new Agent({
    connect: {
      ca: await raw('.clusters[0].cluster.certificate-authority-data'),
      cert: await raw('.users[0].user.client-certificate-data'),
      key: await raw('.users[0].user.client-key-data'),
    },
  });
}

for (const name of ['apiserver-1', 'controller-manager', 'scheduler', 'kubelet-1', 'kube-proxy-2']) {
  await t.test(`kill -9 of ${name}: it comes back, nothing is lost or done twice`, async (t) => {
    const before = await readyPods(5);
    const victim = (await processes()).find((each) => each.name === name);
    process.kill(Number(victim?.pid), 'SIGKILL');
    // While it is dead or coming back, a change of the desired state must still arrive, exactly once.
    await cluster.kubectl('scale', 'deployment/hello', '--replicas=6');
    const scaled = await readyPods(6);
    await eventually(
      async () => {
        const now = (await processes()).find((each) => each.name === name);
        if (now?.state !== 'running' || now.pid === victim?.pid) throw new Error(`${name} is not back`);
      },
      { deadlineMs: MINUTE_MS },
    );
    const uids = new Set(scaled.map(({ metadata }) => metadata.uid));
    t.ok(
      before.every(({ metadata }) => uids.has(metadata.uid)),
      'the pods from before are still there',
    );
    t.ok(
      scaled.every(({ status }) => (status.containerStatuses ?? []).every(({ restartCount }) => restartCount === 0)),
      'no container was started twice',
    );
    await cluster.kubectl('scale', 'deployment/hello', '--replicas=5');
    await readyPods(5);
  });
}

await t.test('a dead node: its pods are replaced on the other, and it can come back', async (t) => {
  await cluster.kubectl(
    'patch',
    'deployment',
    'hello',
    '--type=merge',
    '-p',
    JSON.stringify({
      spec: {
        template: {
          spec: {
            tolerations: ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].map((key) => {
              return { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 1 };
            }),
          },
        },
      },
    }),
  );
  await cluster.kubectl('rollout', 'status', 'deployment/hello', '--timeout=90s');
  t.match(await cluster.naru('kill', 'node-2'), 'kubelet-2');
  await eventually(
    async () => {
      const pods = (await livePods()).filter(isReady);
      const elsewhere = pods.filter(({ spec }) => spec.nodeName === 'node-1');
      if (elsewhere.length !== 5) throw new Error(`${elsewhere.length} ready pods on node-1, want 5`);
    },
    { deadlineMs: 3 * MINUTE_MS },
  );
  t.match(await cluster.kubectl('get', 'nodes'), /node-2 +NotReady/u);
  await cluster.naru('restart', 'node-2');
  await cluster.kubectl('wait', '--for=condition=Ready', 'node/node-2', '--timeout=60s');
  await allRunning();
  await readyPods(5);
});

await t.test('stop and start: all objects and pods are back', async (t) => {
  const before = await readyPods(5);
  await cluster.naru('down');
  await t.rejects(ask(NODE_PORT_URL), 'nothing answers while it is down');
  await cluster.up();
  const after = await readyPods(5);
  t.same(
    new Set(after.map(({ metadata }) => metadata.uid)),
    new Set(before.map(({ metadata }) => metadata.uid)),
    'the same pods',
  );
  await everyPodAnswers(
    NODE_PORT_URL,
    after.map(({ metadata }) => metadata.name),
  );
});

await t.test('delete: all is cleaned up', async (t) => {
  await cluster.kubectl('delete', '-f', hello, '--timeout=60s');
  await eventually(
    async () => {
      const rest = await cluster.kubectl('get', 'pods,replicasets,endpointslices', '-l', 'app=hello', '-o', 'name');
      const slices = await cluster.kubectl(
        'get',
        'endpointslices',
        '-l',
        'kubernetes.io/service-name=hello',
        '-o',
        'name',
      );
      if (`${rest}${slices}`.trim() !== '') throw new Error(`still there: ${rest}${slices}`);
    },
    { deadlineMs: MINUTE_MS },
  );
  await t.rejects(ask(NODE_PORT_URL), 'the NodePort is closed');
});
