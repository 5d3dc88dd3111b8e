import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server, constants } from 'node:http2';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pod, Probe } from '@naru/api';
import { silentLogger } from '@naru/component';
import { VirtualClock } from '@naru/testkit';
import t from 'tap';
import { LogManager } from '../src/log/log-manager.ts';
import { readLog, type LogOptions } from '../src/log/log-reader.ts';
import { sortRuntimePod, type RuntimePod } from '../src/plan/runtime-pod.ts';
import { writeAtomically } from '../src/pod/atomic-writer.ts';
import { readTerminationMessage, terminationMessageMount } from '../src/pod/termination-message.ts';
import { ProbeManager } from '../src/probe/probe-manager.ts';
import { Prober, type Probed } from '../src/probe/prober.ts';
import type { ContainerStatus, RuntimeService } from '../src/runtime/runtime-service.ts';
import { RuntimeError } from '../src/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubelet-parts-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));

function containerStatus(change: Partial<ContainerStatus> = {}): ContainerStatus {
  return {
    id: 'c1',
    podSandboxId: 's',
    metadata: { name: 'main', attempt: 0 },
    state: 'CONTAINER_RUNNING',
    createdAt: 0,
    startedAt: 0,
    finishedAt: 0,
    exitCode: 0,
    image: '',
    imageRef: '',
    reason: '',
    message: '',
    labels: {},
    annotations: {},
    logPath: '',
    ...change,
  };
}

function runtimePod(container: ContainerStatus): RuntimePod {
  const metadata = { name: 'p', uid: 'u', namespace: 'ns', attempt: 0 };
  const sandbox = {
    id: 's',
    metadata,
    state: 'SANDBOX_READY',
    createdAt: 0,
    labels: {},
    annotations: {},
    ip: '127.0.0.1',
  } as const;
  return sortRuntimePod([sandbox], [container]);
}

function podWith(probes: { readonly [key: string]: Probe }, change: Partial<Pod> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns', uid: 'u' },
    spec: { containers: [{ name: 'main', ...probes }] },
    ...change,
  };
}

await t.test('probes run at their times, one after the other, and only when they matter', async (t) => {
  const clock = new VirtualClock();
  const answers: Record<string, Probed['result']> = { startup: 'failure', liveness: 'success', readiness: 'success' };
  const seen: string[] = [];
  const unhealthy: string[] = [];
  let changes = 0;
  const manager = new ProbeManager({
    clock,
    probe: async ({ exec }) => {
      const kind = exec?.command?.[0] ?? '';
      seen.push(`${clock.monotonic() / 1000} ${kind}`);
      return { result: answers[kind] ?? 'failure', output: 'out' };
    },
    onChange: () => changes++,
    onUnhealthy: (_pod, _container, message) => unhealthy.push(message),
  });
  const probe = (kind: string, change: Partial<Probe>): Probe => ({
    exec: { command: [kind] },
    periodSeconds: 5,
    ...change,
  });
  const pod = podWith({
    startupProbe: probe('startup', { initialDelaySeconds: 2, periodSeconds: 3, failureThreshold: 3 }),
    livenessProbe: probe('liveness', { failureThreshold: 2 }),
    readinessProbe: probe('readiness', {}),
  });
  const runtime = runtimePod(containerStatus({ startedAt: clock.now() }));
  manager.sync(pod, runtime);
  await clock.advance(6000);
  t.same(seen, ['2 startup', '5 startup']);
  t.notOk(manager.results('u').isStarted('c1', 'main'));
  t.notOk(manager.isReady('u', 'c1'));
  answers['startup'] = 'success';
  await clock.advance(3000);
  t.ok(manager.results('u').isStarted('c1', 'main'));
  seen.length = 0;
  await clock.advance(2000);
  t.same(seen.toSorted(), ['10 liveness', '10 readiness']);
  t.ok(manager.isReady('u', 'c1'));
  answers['liveness'] = 'failure';
  await clock.advance(5000);
  t.equal(manager.results('u').livenessFailed.size, 0, 'once is not enough');
  await clock.advance(5000);
  t.same([...manager.results('u').livenessFailed], ['c1']);
  seen.length = 0;
  await clock.advance(10_000);
  t.notOk(
    seen.some((each) => each.includes('liveness')),
    'it waits for the end of the container',
  );
  t.equal(changes, 3);
  t.ok(unhealthy.includes('Liveness probe failed: out') && unhealthy.includes('Startup probe failed: out'));
  answers['readiness'] = 'error';
  await clock.advance(5000);
  t.ok(manager.isReady('u', 'c1'), 'a probe that could not be carried out says nothing');
  t.equal(unhealthy.at(-1), 'Readiness probe errored and resulted in unknown state: out');

  const next = runtimePod(containerStatus({ id: 'c2', startedAt: clock.now() }));
  manager.sync(pod, next);
  t.equal(manager.results('u').livenessFailed.size, 0, 'the next container begins anew');
  manager.sync(pod, runtimePod(containerStatus({ id: 'c2', state: 'CONTAINER_EXITED' })));
  t.equal(clock.pending, 0);
  const known = podWith(
    { readinessProbe: probe('readiness', {}) },
    {
      status: {
        containerStatuses: [
          { name: 'main', image: '', imageID: '', restartCount: 0, ready: true, containerID: 'process://c3' },
        ],
      },
    },
  );
  manager.sync(known, runtimePod(containerStatus({ id: 'c3' })));
  t.ok(manager.isReady('u', 'c3'), 'what an earlier kubelet found holds on');
  manager.remove('u');
  t.equal(clock.pending, 0);
  const both = podWith({ livenessProbe: probe('liveness', {}), readinessProbe: probe('readiness', {}) });
  manager.sync(both, runtimePod(containerStatus({ id: 'c4' })));
  t.equal(clock.pending, 2);
  manager.stopLiveness('u');
  t.equal(clock.pending, 1, 'a pod that ends is still asked whether it is ready');
  manager.remove('u');
});

const listening = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
};

await t.test('http, tcp, exec and grpc probes answer as upstream words it', async (t) => {
  const runtime = {
    execSync: async (_id: string, command: readonly string[]) => {
      if (command[0] === 'slow') throw new RuntimeError('deadline-exceeded', 'x');
      return { stdout: Buffer.from('out '), stderr: Buffer.from('err'), exitCode: command[0] === 'true' ? 0 : 1 };
    },
  } as unknown as RuntimeService;
  const prober = new Prober({ runtime, userAgent: 'kube-probe/1.35' });
  t.teardown(async () => await prober[Symbol.asyncDispose]());
  const http = createHttpServer((request, response) => {
    const { url = '', headers } = request;
    if (url === '/moved') response.writeHead(302, { location: '/ok' }).end();
    else if (url === '/away') response.writeHead(302, { location: 'http://127.0.0.2:1/' }).end();
    else if (url === '/hang') request.resume();
    else response.writeHead(url === '/ok' ? 200 : 500).end(`${headers['user-agent']} ${String(headers['x-a'])}`);
  });
  const port = await listening(http);
  t.teardown(() => http.closeAllConnections());
  t.teardown(() => http.close());
  const container = { name: 'main', ports: [{ name: 'web', containerPort: port }] };
  const target = { pod: podWith({}), container, containerId: 'c1', podIP: '127.0.0.1' };
  const probe = async (probe: Probe): Promise<Probed> => await prober.probe(probe, target, 2000);
  const get = async (path: string): Promise<Probed> =>
    await probe({ httpGet: { path, port: 'web', httpHeaders: [{ name: 'X-A', value: 'b' }] } });
  t.same(await get('/ok'), { result: 'success', output: 'kube-probe/1.35 b' });
  t.match(await get('/moved'), { result: 'success' });
  t.match(await get('/away'), { result: 'success', output: /terminated redirects/u });
  t.same(await get('/bad'), { result: 'failure', output: 'HTTP probe failed with statuscode: 500' });
  t.match(await prober.probe({ httpGet: { path: '/hang', port } }, target, 50), {
    result: 'failure',
    output: `Get "http://127.0.0.1:${port}/hang": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
  });
  const unused = createServer();
  const free = await listening(unused);
  await new Promise((resolve) => unused.close(resolve));
  t.match(await probe({ httpGet: { path: '/', port: free } }), {
    result: 'failure',
    output: `Get "http://127.0.0.1:${free}/": dial tcp 127.0.0.1:${free}: connect: connection refused`,
  });
  t.match(await probe({ httpGet: { path: '/', port: 'nope' } }), {
    result: 'error',
    output: `couldn't find port: "nope"`,
  });
  t.match(await probe({ tcpSocket: { port: 'web' } }), { result: 'success' });
  t.match(await probe({ tcpSocket: { port: free } }), {
    result: 'failure',
    output: `dial tcp 127.0.0.1:${free}: connect: connection refused`,
  });
  t.same(await probe({ exec: { command: ['true'] } }), { result: 'success', output: 'out err' });
  t.match(await probe({ exec: { command: ['false'] } }), { result: 'failure' });
  t.match(await probe({ exec: { command: ['slow'] } }), { result: 'failure', output: 'command "slow" timed out' });

  const grpc = createHttp2Server();
  grpc.on('stream', (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const service = Buffer.concat(chunks).subarray(7).toString();
      const isHealth = headers[constants.HTTP2_HEADER_PATH] === '/grpc.health.v1.Health/Check';
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': isHealth ? '0' : '12' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === 'down' ? 2 : 1]));
    });
  });
  const grpcPort = await listening(grpc);
  t.teardown(() => grpc.close());
  t.match(await probe({ grpc: { port: grpcPort } }), { result: 'success' });
  t.match(await probe({ grpc: { port: grpcPort, service: 'down' } }), {
    result: 'failure',
    output: 'service unhealthy (responded with "NOT_SERVING")',
  });
  t.match(await probe({ grpc: { port: free } }), { result: 'failure', output: /failed to connect/u });
});

await t.test('a volume changes all at once, keeps to its folder, and is left alone when nothing changed', async (t) => {
  const volume = join(folder, 'volume');
  const file = (text: string, mode = 0o644) => ({ data: Buffer.from(text), mode });
  const at = new Date('2026-01-02T03:04:05Z');
  t.ok(
    writeAtomically(
      volume,
      new Map([
        ['a', file('1')],
        ['sub/b', file('2', 0o400)],
      ]),
      at,
    ),
  );
  const first = readlinkSync(join(volume, '..data'));
  t.match(first, /^\.\.2026_01_02_03_04_05\.\d+$/u);
  t.equal(readFileSync(join(volume, 'a'), 'utf8'), '1');
  t.equal(statSync(join(volume, 'sub', 'b')).mode & 0o777, 0o400);
  t.notOk(
    writeAtomically(
      volume,
      new Map([
        ['a', file('1')],
        ['sub/b', file('2', 0o400)],
      ]),
      at,
    ),
  );
  t.equal(readlinkSync(join(volume, '..data')), first);
  t.ok(writeAtomically(volume, new Map([['a', file('3')]]), at));
  t.equal(readFileSync(join(volume, 'a'), 'utf8'), '3');
  t.same(
    readdirSync(volume).filter((name) => !name.startsWith('..')),
    ['a'],
  );
  t.equal(readdirSync(volume).length, 3, 'the old folder is gone');
  for (const path of ['../x', '/x', 'a/../../x', '', '..x'])
    t.throws(() => writeAtomically(volume, new Map([[path, file('')]]), at), /invalid path/u);
});

await t.test('what a container leaves as its message, or the end of its log', async (t) => {
  const podFolder = join(folder, 'pod');
  const container = { name: 'main', terminationMessagePolicy: 'FallbackToLogsOnError' };
  const mount = terminationMessageMount(podFolder, container, 0);
  t.equal(mount.containerPath, '/dev/termination-log');
  const logPath = join(folder, 'message.log');
  writeFileSync(logPath, '2026-01-01T00:00:00.000000000Z stdout F one\n2026-01-01T00:00:00.000000000Z stderr F two\n');
  const ended = containerStatus({ exitCode: 1, logPath });
  t.equal(readTerminationMessage(podFolder, container, ended), 'one\ntwo\n');
  t.equal(readTerminationMessage(podFolder, container, containerStatus({ logPath })), undefined);
  t.equal(readTerminationMessage(podFolder, { name: 'main' }, ended), undefined);
  writeFileSync(mount.hostPath, 'bye');
  t.equal(readTerminationMessage(podFolder, container, ended), 'bye');
});

await t.test('logs are rotated at their limit, keep so many files, and are read across it', async (t) => {
  const logs = join(folder, 'logs');
  mkdirSync(logs);
  const logPath = join(logs, '0.log');
  const entry = (text: string, second: number): string => `2026-01-01T00:00:0${second}.000000000Z stdout F ${text}\n`;
  const clock = new VirtualClock();
  const reopened: string[] = [];
  const runtime = {
    listContainers: async () => [containerStatus({ logPath })],
    reopenContainerLog: async (id: string) => {
      reopened.push(id);
      writeFileSync(logPath, '');
    },
  } as unknown as RuntimeService;
  const manager = new LogManager({
    runtime,
    clock,
    logger: silentLogger(),
    signal: new AbortController().signal,
    maxBytes: 100,
    maxFiles: 3,
  });
  writeFileSync(logPath, entry('short', 0));
  await manager.rotateAll();
  t.same(readdirSync(logs), ['0.log']);
  for (let i = 0; i < 4; i++) {
    writeFileSync(logPath, entry(`line ${i} ${'x'.repeat(100)}`, i));
    await clock.advance(1000);
    await manager.rotateAll();
  }
  t.equal(reopened.length, 4);
  t.same(readdirSync(logs), ['0.log', '0.log.20260101-000003', '0.log.20260101-000004']);

  const read = async (options: Partial<LogOptions>): Promise<string> => {
    const chunks: Buffer[] = [];
    const all = {
      follow: false,
      timestamps: false,
      isRunning: async () => false,
      signal: new AbortController().signal,
    };
    for await (const chunk of readLog(logPath, { ...all, ...options })) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };
  writeFileSync(
    logPath,
    `${entry('a', 1)}${entry('b', 2)}2026-01-01T00:00:03.000000000Z stdout P c\n${entry('d', 4)}broken\n`,
  );
  t.equal(await read({}), 'a\nb\ncd\n');
  t.equal(await read({ tailLines: 0 }), '');
  t.equal(await read({ sinceMs: Date.UTC(2026, 0, 1, 0, 0, 2) }), 'b\ncd\n');
  t.equal(await read({ limitBytes: 3 }), 'a\nb');
  t.equal(await read({ timestamps: true, limitBytes: 33 }), '2026-01-01T00:00:01.000000000Z a\n');

  let running = true;
  const followed: string[] = [];
  const follow = { follow: true, timestamps: false, tailLines: 0, signal: new AbortController().signal };
  const writing = [
    () => appendFileSync(logPath, entry('first', 5)),
    () => {
      appendFileSync(logPath, entry('last of the old file', 6));
      renameSync(logPath, `${logPath}.old`);
      writeFileSync(logPath, entry('new file', 7));
      running = false;
    },
  ];
  const isRunning = async (): Promise<boolean> => {
    const was = running;
    writing.shift()?.();
    return was;
  };
  for await (const chunk of readLog(logPath, { ...follow, isRunning })) followed.push(chunk.toString());
  t.same(followed, ['first\n', 'last of the old file\n', 'new file\n']);
});
