// kubectl exec, cp, attach and port-forward on real processes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { ProcessCluster } from '@naru/testkit';
import { request } from 'undici';

const root = join(import.meta.dirname, '..', '..');
const PORT_BASE = 24_310;
const folder = await mkdtemp(join(tmpdir(), 'naru-exec-'));
const cluster = await ProcessCluster.start({
  root,
  portBase: PORT_BASE,
  flags: ['--kv', '1', '--apiservers', '1', '--nodes', '1'],
});
t.teardown(async () => {
  await cluster[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default' },
  spec: { containers: [{ name: 'main', image: 'naru.dev/hello:1' }] },
};
await cluster.kubectlResult(['apply', '-f', '-'], { input: JSON.stringify(pod) });
await cluster.kubectl('wait', '--for=condition=Ready', 'pod/web', '--timeout=60s');

await t.test('exec: output, exit code and stdin', async (t) => {
  const failed = await cluster.kubectlResult(['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 42'], {
    allowFailure: true,
  });
  t.equal(failed.stdout, 'out\n');
  t.match(failed.stderr, /^err\ncommand terminated with exit code 42\n/u);
  t.equal(failed.code, 42);
  const input = 'line\n'.repeat(100_000);
  const { stdout } = await cluster.kubectlResult(['exec', '-i', 'web', '--', 'cat'], { input });
  t.equal(stdout === input, true, 'all of it comes back');
  const wrong = await cluster.kubectlResult(['exec', 'web', '-c', 'other', '--', 'true'], { allowFailure: true });
  t.match(wrong.stderr, /container other is not valid for pod web/u);
});

await t.test('exec: who may only read pods may not', async (t) => {
  await cluster.kubectl('create', 'role', 'reader', '--verb=get', '--resource=pods,pods/exec');
  await cluster.kubectl('create', 'rolebinding', 'reader', '--role=reader', '--user=jane');
  const { stderr, code } = await cluster.kubectlResult(['--as=jane', 'exec', 'web', '--', 'true'], {
    allowFailure: true,
  });
  t.equal(code, 1);
  t.match(stderr, /cannot create resource "pods\/exec" in API group "" in the namespace "default"/u);
});

await t.test('cp: there and back', async (t) => {
  const [up, down] = [join(folder, 'up'), join(folder, 'down')];
  const content = Buffer.alloc(5_000_000, 'naru ferries ');
  await writeFile(up, content);
  await cluster.kubectl('cp', up, 'web:inside');
  await cluster.kubectl('cp', 'web:inside', down);
  t.ok((await readFile(down)).equals(content));
});

await t.test('port-forward: requests reach the pod', async (t) => {
  const forward = spawn('kubectl', [`--kubeconfig=${cluster.kubeconfig}`, 'port-forward', 'pod/web', ':8080'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: forward.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  const port = /127\.0\.0\.1:(\d+) -> 8080/u.exec(line)?.[1] ?? '';
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const { body } = await request(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(10_000) });
      return await body.text();
    }),
  );
  for (const answer of answers) t.match(answer, /hello from web/u);
  const exited = once(forward, 'exit');
  forward.kill();
  await exited;
});
