// helm installs, upgrades, rolls back, tests and removes the chart that `helm create` makes.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventually, ProcessCluster, runProgram } from '@naru/testkit';
import { ensureHelm } from '../../scripts/programs.ts';

const root = join(import.meta.dirname, '..', '..');
const PORT_BASE = 25_400;
const folder = await mkdtemp(join(tmpdir(), 'naru-helm-'));
const program = await ensureHelm();
const cluster = await ProcessCluster.start({
  root,
  portBase: PORT_BASE,
  flags: ['--kv', '1', '--apiservers', '1', '--nodes', '1'],
});
t.teardown(async () => {
  await cluster[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const environment = { ...process.env, HELM_CACHE_HOME: folder, HELM_CONFIG_HOME: folder, HELM_DATA_HOME: folder };
async function helm(...args: readonly string[]): Promise<string> {
  const { stdout } = await runProgram(program, [`--kubeconfig=${cluster.kubeconfig}`, ...args], { env: environment });
  return stdout;
}

/** What a container of the process runtime can run in the place of nginx: a server on 8080 that says which version it is. */
const values = [
  '--set=image.repository=naru.dev/hello',
  '--set=image.tag=1',
  '--set=service.port=8080',
  '--set=podLabels.tour=helm',
];
const chart = join(folder, 'demo');

/** helm's own asks by the Service's name, which needs a cluster's DNS: this one asks the address in its environment. */
const testPod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: '{{ include `demo.fullname` . }}-test', annotations: { 'helm.sh/hook': 'test' } },
  spec: {
    restartPolicy: 'Never',
    containers: [
      {
        name: 'ask',
        image: 'x',
        command: [
          process.execPath,
          '-e',
          'fetch(`http://${process.env.WEB_DEMO_SERVICE_HOST}:8080/`).then(async (a) => { const text = await a.text(); console.log(text); process.exit(text.includes("hello") ? 0 : 1); })',
        ],
      },
    ],
  },
};

await t.test('a chart from its creation to its end', async (t) => {
  await helm('create', chart);
  await writeFile(join(chart, 'templates', 'tests', 'test-connection.yaml'), JSON.stringify(testPod));
  t.match(await helm('lint', chart), /0 chart\(s\) failed/u);
  t.match(await helm('install', 'web', chart, ...values, '--dry-run=server'), /kind: Deployment/u);
  t.match(await helm('install', 'web', chart, ...values, '--wait', '--timeout=90s'), /STATUS: deployed/u);
  t.match(await helm('list'), /web\s+default\s+1\s.*deployed\s+demo-0\.1\.0/u);
  t.match(await helm('status', 'web'), /STATUS: deployed/u);
  t.match(await helm('get', 'manifest', 'web'), /kind: ServiceAccount/u);
  t.match(await helm('get', 'values', 'web'), /repository: naru\.dev\/hello/u);
  t.match(
    await cluster.kubectl('get', 'all', '-l', 'app.kubernetes.io/instance=web'),
    /deployment\.apps\/web-demo +1\/1/u,
  );

  t.match(
    await helm(
      'upgrade',
      'web',
      chart,
      ...values,
      '--set=replicaCount=2',
      '--set=image.tag=2',
      '--wait',
      '--timeout=90s',
    ),
    /STATUS: deployed\nREVISION: 2/u,
  );
  const replicas = '-o=jsonpath={.spec.replicas} {.status.readyReplicas} {.spec.template.spec.containers[0].image}';
  t.equal(await cluster.kubectl('get', 'deployment', 'web-demo', replicas), '2 2 naru.dev/hello:2');
  t.match(await helm('history', 'web'), /1\s.*superseded[\s\S]*2\s.*deployed/u);

  await helm('rollback', 'web', '1', '--wait', '--timeout=90s');
  t.equal(await cluster.kubectl('get', 'deployment', 'web-demo', replicas), '1 1 naru.dev/hello:1');
  t.match(await helm('history', 'web'), /3\s.*deployed.*Rollback to 1/u);

  t.match(await helm('test', 'web', '--logs', '--timeout=60s'), /Phase: +Succeeded[\s\S]*hello from web-demo-/u);

  t.match(await helm('uninstall', 'web', '--wait', '--timeout=60s'), /release "web" uninstalled/u);
  await eventually(
    async () => {
      const kinds = 'all,serviceaccounts,secrets';
      const left = await cluster.kubectl('get', kinds, '-l', 'app.kubernetes.io/instance=web', '-o', 'name');
      if (left !== '') throw new Error(`${left} are left`);
    },
    { deadlineMs: 60_000 },
  );
  t.equal((await helm('list', '-q')).trim(), '');
});
