import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemClock } from '@naru/component';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { parseLogEntry } from '../src/log/cri-log.ts';
import { LoopbackNetwork } from '../src/runtime/process/loopback-network.ts';
import { isAlive, readProcStat } from '../src/runtime/process/proc-stat.ts';
import { ProcessRuntime } from '../src/runtime/process/process-runtime.ts';
import type { ContainerConfig, ContainerEvent, PodSandboxConfig } from '../src/runtime/runtime-service.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubelet-runtime-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));

const PATH = '/usr/local/bin:/usr/bin:/bin';

async function openRuntime(name: string, podCIDR = '127.99.1.0/24') {
  const network = new LoopbackNetwork({ folder: join(folder, name, 'network') });
  network.setPodCIDR(podCIDR);
  const runtime = new ProcessRuntime({
    folder: join(folder, name),
    network,
    runtimeVersion: '0.0.0',
    nodeName: 'node-1',
    nodeIP: '127.0.0.1',
    path: PATH,
    clock: systemClock,
    logger: silentLogger(),
  });
  await runtime.start();
  return { runtime, network };
}

function sandboxConfig(uid: string): PodSandboxConfig {
  return {
    metadata: { name: `pod-${uid}`, uid, namespace: 'default', attempt: 0 },
    hostname: `pod-${uid}`,
    logDirectory: join(folder, 'logs', uid),
    labels: { 'io.kubernetes.pod.uid': uid },
    annotations: {},
    hostNetwork: false,
  };
}

function containerConfig(script: string, change: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    metadata: { name: 'main', attempt: 0 },
    image: 'host',
    command: ['sh', '-c', script],
    args: [],
    workingDir: '',
    envs: [],
    mounts: [],
    labels: { 'io.kubernetes.pod.uid': 'x' },
    annotations: {},
    logPath: 'main/0.log',
    ...change,
  };
}

async function startContainer(runtime: ProcessRuntime, config: ContainerConfig, uid: string) {
  const sandbox = sandboxConfig(uid);
  const sandboxId = await runtime.runPodSandbox(sandbox);
  const id = await runtime.createContainer(sandboxId, config, sandbox);
  await runtime.startContainer(id);
  return { sandboxId, id, sandbox };
}

async function exited(runtime: ProcessRuntime, id: string) {
  return await eventually(async () => {
    const status = await runtime.containerStatus(id);
    if (status.state !== 'CONTAINER_EXITED') throw new Error(status.state);
    return status;
  });
}

function logLines(path: string): string[] {
  return readFileSync(path)
    .toString('latin1')
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const entry = parseLogEntry(Buffer.from(line, 'latin1'));
      return `${entry?.stream} ${entry?.partial === true ? 'P' : 'F'} ${entry?.content.toString()}`;
    });
}

await t.test('a container runs with exactly its own environment, its log is in the CRI format', async (t) => {
  const { runtime } = await openRuntime('env');
  const events: ContainerEvent[] = [];
  runtime.onContainerEvent((event) => events.push(event));
  const config = containerConfig(String.raw`tr '\0' '\n' </proc/$$/environ; echo bad >&2; pwd; printf end; exit 3`, {
    envs: [
      { key: 'GREETING', value: 'it\'s $HOME "and" `more`\nsecond line' },
      { key: 'with.dot', value: '1' },
    ],
    workingDir: '/srv',
  });
  const { id, sandboxId } = await startContainer(runtime, config, 'env');
  const status = await exited(runtime, id);
  t.equal(status.exitCode, 3);
  t.equal(status.reason, 'Error');
  t.ok(status.finishedAt >= status.startedAt && status.startedAt >= status.createdAt - 10);
  const root = join(folder, 'env', 'containers', id, 'root');
  const lines = await eventually(
    () => {
      const lines = logLines(status.logPath);
      if (!lines.includes('stdout F end') || !lines.includes('stderr F bad')) throw new Error(lines.join('\n'));
      return lines;
    },
    { deadlineMs: 60_000 },
  );
  t.same(
    lines.filter((line) => line.startsWith('stdout')),
    [
      `stdout F PATH=${PATH}`,
      'stdout F HOSTNAME=pod-env',
      'stdout F POD_IP=127.99.1.1',
      'stdout F GREETING=it\'s $HOME "and" `more`',
      'stdout F second line',
      'stdout F with.dot=1',
      `stdout F NARU_ROOT=${root}`,
      `stdout F ${root}/srv`,
      'stdout F end',
    ],
  );
  t.same(
    events.map(({ type, podUid }) => [type, podUid]),
    [
      ['CONTAINER_CREATED_EVENT', 'env'],
      ['CONTAINER_STARTED_EVENT', 'env'],
      ['CONTAINER_STOPPED_EVENT', 'env'],
    ],
  );
  await runtime.removePodSandbox(sandboxId);
  t.same(readdirSync(join(folder, 'env', 'containers')), []);
  t.same(readdirSync(join(folder, 'env', 'network')), []);
  t.ok(existsSync(status.logPath), 'the log outlives the container');
  await runtime[Symbol.asyncDispose]();
});

await t.test(
  'each sandbox has an address of its own; a freed one is not reused at once; a full range says so',
  async (t) => {
    const { runtime } = await openRuntime('ipam', '127.99.2.0/29');
    const ids: string[] = [];
    for (let i = 0; i < 6; i++) ids.push(await runtime.runPodSandbox(sandboxConfig(`ip-${i}`)));
    const ips = (await runtime.listPodSandbox()).map(({ ip }) => ip);
    t.same(
      ips,
      [1, 2, 3, 4, 5, 6].map((i) => `127.99.2.${i}`),
    );
    await t.rejects(runtime.runPodSandbox(sandboxConfig('full')), { code: 'network' });
    await runtime.removePodSandbox(ids[1] ?? '');
    await runtime.removePodSandbox(ids[4] ?? '');
    const again = await runtime.runPodSandbox(sandboxConfig('again'));
    const [sandbox] = (await runtime.listPodSandbox()).filter(({ id }) => id === again);
    t.equal(sandbox?.ip, '127.99.2.2');
    await runtime[Symbol.asyncDispose]();
    const reopened = await openRuntime('ipam', '127.99.2.0/29');
    const next = await reopened.runtime.runPodSandbox(sandboxConfig('next'));
    t.equal((await reopened.runtime.listPodSandbox()).find(({ id }) => id === next)?.ip, '127.99.2.5');
    await reopened.runtime[Symbol.asyncDispose]();
  },
);

await t.test('stopping signals the main process, waits, and kills all that is left of its session', async (t) => {
  const { runtime } = await openRuntime('stop');
  const polite = await startContainer(
    runtime,
    containerConfig('trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.05; done'),
    'polite',
  );
  const politeStatus = await runtime.containerStatus(polite.id);
  await eventually(() => existsSync(politeStatus.logPath) && logLines(politeStatus.logPath).includes('stdout F ready'));
  await runtime.stopContainer(polite.id, { timeoutSeconds: 10 });
  t.equal((await runtime.containerStatus(polite.id)).exitCode, 7);

  const stubborn = await startContainer(
    runtime,
    containerConfig('trap "" TERM; setsid sleep 301 & sleep 302 & echo $! ; echo ready; while :; do sleep 0.05; done'),
    'stubborn',
  );
  const { logPath } = await runtime.containerStatus(stubborn.id);
  await eventually(() => existsSync(logPath) && logLines(logPath).includes('stdout F ready'));
  const child = Number(logLines(logPath)[0]?.split(' ')[2]);
  t.ok(readProcStat(child) !== undefined);
  const before = performance.now();
  await runtime.stopContainer(stubborn.id, { timeoutSeconds: 0.3 });
  t.ok(performance.now() - before >= 290, 'it had its grace period');
  const status = await runtime.containerStatus(stubborn.id);
  t.equal(status.exitCode, 137);
  const root = join(folder, 'stop', 'containers', stubborn.id, 'root');
  await eventually(() => processesWith(`NARU_ROOT=${root}`).length === 0);
  await runtime.stopContainer(stubborn.id, { timeoutSeconds: 1 });
  await runtime[Symbol.asyncDispose]();
});

function processesWith(entry: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readProcStat(pid);
        return stat !== undefined && isAlive(stat) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(entry);
      } catch {
        return false;
      }
    });
}

await t.test(
  'the log is rotated by renaming and reopening; long lines and output without an end are kept whole',
  async (t) => {
    const { runtime } = await openRuntime('rotate');
    const script = `node -e '
    process.stdout.write("x".repeat(40000) + "\\n");
    for (let i = 0; i < 20000; i++) console.log("line " + i);
    process.stdin.resume(); setInterval(() => {}, 1000);
    process.on("SIGTERM", () => { console.log("after"); process.exit(0); })'`;
    const config = containerConfig(script, {
      command: ['sh', '-c', `exec ${script}`],
      envs: [{ key: 'PATH', value: process.env['PATH'] ?? PATH }],
    });
    const { id } = await startContainer(runtime, config, 'rotate');
    const { logPath } = await runtime.containerStatus(id);
    await eventually(() => existsSync(logPath) && readFileSync(logPath, 'latin1').includes('line 19999'));
    renameSync(logPath, `${logPath}.1`);
    await runtime.reopenContainerLog(id);
    await runtime.stopContainer(id, { timeoutSeconds: 5 });
    await eventually(() => logLines(logPath).includes('stdout F after'));
    const first = logLines(`${logPath}.1`);
    t.same(
      first.slice(0, 3).map((line) => [line.slice(0, 8), line.length - 9]),
      [
        ['stdout P', 16384],
        ['stdout P', 16384],
        ['stdout F', 7232],
      ],
    );
    t.same(
      first.slice(3),
      Array.from({ length: 20000 }, (_, i) => `stdout F line ${i}`),
    );
    t.same(logLines(logPath), ['stdout F after']);
    const spooled = readdirSync(join(folder, 'rotate', 'containers', id)).filter((name) => name.startsWith('stdout'));
    t.ok(spooled.length <= 2, 'segments that were moved are gone');
    await runtime[Symbol.asyncDispose]();
  },
);

await t.test(
  'a program that is not there and an image without a command fail to start with a clear message',
  async (t) => {
    const { runtime } = await openRuntime('fail');
    const sandbox = sandboxConfig('fail');
    const sandboxId = await runtime.runPodSandbox(sandbox);
    const cases: [readonly string[], string][] = [
      [['no-such-program'], 'exec: "no-such-program": executable file not found in $PATH'],
      [['/no/such'], 'exec: "/no/such": stat /no/such: no such file or directory'],
      [['/etc/passwd'], 'exec: "/etc/passwd": permission denied'],
      [[], 'no command specified'],
    ];
    for (const [command, message] of cases) {
      const id = await runtime.createContainer(sandboxId, containerConfig('', { command }), sandbox);
      await t.rejects(runtime.startContainer(id), { code: 'start-failed' });
      t.match(await runtime.containerStatus(id), {
        state: 'CONTAINER_EXITED',
        exitCode: 128,
        reason: 'StartError',
        message,
      });
    }
    await runtime.removePodSandbox(sandboxId);
    await runtime[Symbol.asyncDispose]();
  },
);

await t.test(
  'mounts appear below the root; commands run by execSync see them, and are killed at their deadline',
  async (t) => {
    const { runtime } = await openRuntime('exec');
    const volume = join(folder, 'volume');
    rmSync(volume, { recursive: true, force: true });
    mkdirSync(volume);
    writeFileSync(join(volume, 'greeting'), 'hello\n');
    const config = containerConfig('cat etc/config/greeting; exec sleep 300', {
      mounts: [{ containerPath: '/etc/config', hostPath: volume, readonly: true }],
      envs: [{ key: 'A', value: 'b' }],
    });
    const { id, sandboxId } = await startContainer(runtime, config, 'exec');
    const ok = await runtime.execSync(id, ['sh', '-c', 'cat etc/config/greeting; echo $A >&2; exit 4'], {
      timeoutSeconds: 5,
    });
    t.equal(ok.stdout.toString(), 'hello\n');
    t.equal(ok.stderr.toString(), 'b\n');
    t.equal(ok.exitCode, 4);
    await t.rejects(runtime.execSync(id, ['sleep', '303'], { timeoutSeconds: 0.1 }), { code: 'deadline-exceeded' });
    await t.rejects(runtime.execSync(id, ['nope'], { timeoutSeconds: 1 }), { code: 'start-failed' });
    const { logPath } = await runtime.containerStatus(id);
    await eventually(() => logLines(logPath).includes('stdout F hello'));
    await runtime.removePodSandbox(sandboxId);
    t.ok(existsSync(join(volume, 'greeting')), 'removing a container does not follow its mounts');
    await eventually(() => processesWith(join(folder, 'exec')).length === 0);
    await runtime[Symbol.asyncDispose]();
  },
);

await t.test(
  'a kubelet that is killed finds its containers again: those that run and how the others ended',
  async (t) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures', 'start-containers.ts'), folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ids = await new Promise<string[]>((resolve) => {
      child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim().split(' ')));
    });
    child.kill('SIGKILL');
    const [runs = '', ends = ''] = ids;
    const containers = join(folder, 'adopted', 'containers');
    await eventually(() => existsSync(join(containers, ends, 'exit')));
    const pidFile = readFileSync(join(containers, runs, 'pid'), 'latin1');
    const lastLine = (): number =>
      Number(/(\d+)\n$/u.exec(readFileSync(join(containers, runs, 'stdout.0'), 'latin1'))?.[1]);
    const atKill = lastLine();
    await eventually(() => lastLine() > atKill + 5);

    const { runtime } = await openRuntime('adopted');
    t.match(await runtime.containerStatus(ends), { state: 'CONTAINER_EXITED', exitCode: 5, reason: 'Error' });
    const status = await runtime.containerStatus(runs);
    t.equal(status.state, 'CONTAINER_RUNNING');
    t.equal(readFileSync(join(containers, runs, 'pid'), 'latin1'), pidFile);
    const logged = (): string[] => logLines(status.logPath).map((line) => line.split(' ').at(-1) ?? '');
    const enough = await eventually(() => {
      const lines = logged();
      if (lines.length <= atKill + 10) throw new Error(`${lines.length} lines`);
      return lines;
    });
    t.same(
      enough,
      enough.map((_, i) => String(i + 1)),
      'every line is in the log exactly once',
    );
    t.same(
      (await runtime.listPodSandbox()).map(({ ip }) => ip),
      ['127.99.1.1'],
    );
    for (const { id } of await runtime.listPodSandbox()) await runtime.removePodSandbox(id);
    await eventually(() => processesWith(join(folder, 'adopted')).length === 0);
    await runtime[Symbol.asyncDispose]();
  },
);

await t.test('a pid that now belongs to another process is not taken for the container', async (t) => {
  const { runtime } = await openRuntime('reuse');
  const { id } = await startContainer(runtime, containerConfig('exec sleep 304'), 'reuse');
  await runtime[Symbol.asyncDispose]();
  const pidPath = join(folder, 'reuse', 'containers', id, 'pid');
  const line = readFileSync(pidPath, 'latin1');
  const self = readFileSync(`/proc/${process.pid}/stat`, 'latin1');
  const ticks = String(readProcStat(process.pid)?.startTicks);
  writeFileSync(pidPath, self.replace(` ${ticks} `, ' 1 '));
  const reopened = await openRuntime('reuse');
  const status = await exited(reopened.runtime, id);
  t.equal(status.exitCode, 137);
  t.equal(status.reason, 'ContainerStatusUnknown');
  t.throws(
    () => process.kill(Number.parseInt(line, 10), 0),
    { code: 'ESRCH' },
    'what was left of it is not left alone',
  );
  await reopened.runtime[Symbol.asyncDispose]();
});
