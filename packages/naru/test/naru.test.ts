import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'node:https';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { silentLogger } from '@naru/component';
import { eventually } from '@naru/testkit';
import { describeCluster, type ClusterOptions } from '@naru/naru';
import { resolveOptions, saveOptions } from '../src/cluster-file.ts';
import { formatTable } from '../src/commands/control.ts';
import { ensureClusterPki } from '../src/pki/cluster-pki.ts';
import { controlSocketPath } from '../src/supervisor/control-server.ts';
import { ManagedProcess } from '../src/supervisor/managed-process.ts';
import { killLeftovers, processStartTime, writeProcessTable } from '../src/supervisor/process-table.ts';

const options: ClusterOptions = {
  dataDir: '/data',
  portBase: 6440,
  kv: 3,
  apiservers: 2,
  nodes: 2,
  runtime: 'process',
};

async function folder(test: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'naru-test-'));
  test.teardown(async () => await rm(path, { recursive: true, force: true }));
  return path;
}

await t.test('the default cluster is 3 + 2 + 1 + 1 + 2 × 2 processes, the API on 6443', async (t) => {
  const topology = describeCluster(options);
  t.same(
    topology.processes.map(({ name }) => name),
    'kv-1 kv-2 kv-3 apiserver-1 apiserver-2 controller-manager scheduler kubelet-1 kube-proxy-1 kubelet-2 kube-proxy-2'.split(
      ' ',
    ),
  );
  t.equal(topology.server, 'https://127.0.0.1:6443');
  t.equal(new Set(topology.processes.map(({ healthUrl }) => healthUrl)).size, 10, 'only the apiservers share a port');
  t.same(describeCluster(options), topology, 'the same options describe the same cluster');
});

await t.test('clusters side by side share neither ports nor addresses', async (t) => {
  const clusters = [6440, 6540, 17_100].map((portBase) => describeCluster({ ...options, portBase, kv: 9, nodes: 300 }));
  for (const pick of [
    (each: (typeof clusters)[number]) => each.storeEndpoints,
    (each: (typeof clusters)[number]) => each.nodeAddresses,
    (each: (typeof clusters)[number]) => [each.server],
    (each: (typeof clusters)[number]) => [each.serviceCidr],
    (each: (typeof clusters)[number]) => [each.podCidr],
  ]) {
    const all = clusters.flatMap(pick);
    t.equal(new Set(all).size, all.length);
  }
});

await t.test('what the data on disk depends on cannot change, the rest is kept until it is chosen anew', async (t) => {
  const dataDir = await folder(t);
  t.equal((await resolveOptions(dataDir, { nodes: 4 })).nodes, 4);
  await saveOptions({ ...options, dataDir, portBase: 7000, nodes: 4 });
  t.same(await resolveOptions(dataDir, { apiservers: 1 }), {
    ...options,
    dataDir,
    portBase: 7000,
    nodes: 4,
    apiservers: 1,
  });
  await t.rejects(resolveOptions(dataDir, { kv: 5 }), /--kv: the cluster in .* was made with 3/u);
  await t.rejects(resolveOptions(dataDir, { portBase: 1 }), /--port-base/u);
});

await t.test('certificates: two authorities, right identities, kept on the next start', async (t) => {
  const dir = await folder(t);
  const pki = {
    dir: join(dir, 'pki'),
    kubeconfigDir: dir,
    server: 'https://127.0.0.1:6443',
    apiserverHosts: ['localhost', '127.0.0.1'],
    storeMembers: [{ name: 'kv-1', hosts: ['127.0.0.1'] }],
    nodes: [{ name: 'node-1', number: 1, hosts: ['127.0.0.9'] }],
  };
  await ensureClusterPki(pki);
  const read = async (name: string): Promise<string> => await readFile(join(dir, 'pki', name), 'utf8');
  const certificate = async (name: string): Promise<X509Certificate> => new X509Certificate(await read(`${name}.crt`));
  const [ca, etcdCa] = [await certificate('ca'), await certificate('etcd/ca')];
  t.ok(ca.ca && etcdCa.ca);
  const store = await certificate('apiserver-etcd-client');
  t.ok(store.verify(etcdCa.publicKey));
  t.notOk(store.verify(ca.publicKey), "the store trusts no one but the apiservers' own authority");
  t.match((await certificate('kubelet-1')).subject, /O=system:nodes\s+CN=system:node:node-1/u);
  t.ok((await certificate('apiserver')).checkIP('127.0.0.1') !== undefined);
  const kubeconfig = parse(await readFile(join(dir, 'admin.kubeconfig'), 'utf8')) as {
    users: [{ user: { 'client-certificate-data': string } }];
  };
  const admin = new X509Certificate(Buffer.from(kubeconfig.users[0].user['client-certificate-data'], 'base64'));
  t.match(admin.subject, /O=system:masters\s+CN=admin/u);

  const before = await read('apiserver.crt');
  await ensureClusterPki({ ...pki, nodes: [...pki.nodes, { name: 'node-2', number: 2, hosts: ['127.0.0.10'] }] });
  t.equal(await read('apiserver.crt'), before);
  t.ok((await certificate('kubelet-2')).verify(ca.publicKey), 'a new node is certified by the same authority');
  await mutualTls(t, read);
});

/** A server with these certificates accepts a client with these, and refuses one without. */
async function mutualTls(test: Test, read: (name: string) => Promise<string>): Promise<void> {
  const ca = await read('ca.crt');
  const server = createServer(
    {
      ca,
      cert: await read('apiserver.crt'),
      key: await read('apiserver.key'),
      requestCert: true,
      rejectUnauthorized: true,
    },
    (_, answer) => answer.end('ok'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const status = async (tls: object): Promise<number | undefined> =>
    await new Promise((resolve, reject) => {
      const call = request({ host: '127.0.0.1', port, ca, agent: false, ...tls }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      call.on('error', reject).end();
    });
  const cert = await read('apiserver-kubelet-client.crt');
  test.equal(await status({ cert, key: await read('apiserver-kubelet-client.key') }), 200);
  await test.rejects(status({}));
}

function managed(dir: string, script: string): ManagedProcess {
  return new ManagedProcess({
    spec: { name: 'x', role: 'kv', package: 'kv-raft', args: [], healthUrl: '' },
    command: [process.execPath, '-e', script],
    env: {},
    cwd: dir,
    logFile: join(dir, 'x.log'),
    logger: silentLogger(),
    onChange: () => undefined,
  });
}

await t.test(
  'a process that dies unasked is restarted; one that was killed stays dead until it is started',
  async (t) => {
    const managedProcess = managed(await folder(t), 'setInterval(() => {}, 1000)');
    managedProcess.start();
    const first = managedProcess.pid ?? 0;
    process.kill(first, 'SIGKILL');
    await eventually(() => managedProcess.pid !== undefined && managedProcess.pid !== first);
    t.match(managedProcess.status(), { restarts: 1, state: 'starting', exit: 'SIGKILL' });
    managedProcess.markRunning();
    t.ok(managedProcess.pause());
    t.equal(managedProcess.state, 'paused');
    t.ok(managedProcess.resume());
    await managedProcess.kill();
    t.match(managedProcess.status(), { state: 'killed', exit: 'SIGKILL' });
    t.equal(managedProcess.pid, undefined);
    t.notOk(managedProcess.pause(), 'nothing to pause');
    managedProcess.start();
    t.equal(managedProcess.state, 'starting');
    await managedProcess.stop(5_000);
    t.equal(managedProcess.state, 'stopped');
  },
);

await t.test('a process that ignores SIGTERM is killed after its grace, even when paused', async (t) => {
  const dir = await folder(t);
  const managedProcess = managed(
    dir,
    "process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)",
  );
  managedProcess.start();
  await eventually(async () => (await readFile(join(dir, 'x.log'), 'utf8')).includes('up'));
  managedProcess.pause();
  await managedProcess.stop(50);
  t.match(managedProcess.status(), { state: 'stopped', exit: 'SIGKILL' });
});

await t.test('leftover processes of a killed supervisor are ended, and no one with a reused pid', async (t) => {
  const dir = await folder(t);
  const table = join(dir, 'processes.json');
  const managedProcess = managed(dir, 'setInterval(() => {}, 1000)');
  managedProcess.start();
  const pid = managedProcess.pid ?? 0;
  const startTime = (await processStartTime(pid)) ?? '';
  await writeProcessTable(table, [{ name: 'other', pid: process.pid, startTime: 'never' }]);
  t.same(await killLeftovers(table), [], 'this very process is not the one that was recorded');
  const ended = managedProcess.stop.bind(managedProcess);
  await writeProcessTable(table, [{ name: 'x', pid, startTime }]);
  t.same(await killLeftovers(table), ['x']);
  await ended(10);
  await writeFile(table, '[]');
  t.same(await killLeftovers(table), []);
  t.same(await killLeftovers(join(dir, 'none.json')), []);
});

await t.test('the control socket fits into a unix address, wherever the data dir is', async (t) => {
  t.equal(controlSocketPath('/data'), '/data/naru.sock');
  const long = `/${'x'.repeat(120)}`;
  t.ok(controlSocketPath(long).length < 104);
  t.not(controlSocketPath(long), controlSocketPath(`${long}y`));
});

await t.test('tables are aligned', async (t) => {
  t.same(
    formatTable([
      ['A', 'B'],
      ['long', 'x'],
    ]),
    ['A     B', 'long  x'],
  );
});
