// Streams to and from containers, as a client of the kubelet's own API has them.
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { silentLogger, systemClock } from '@naru/component';
import { eventually } from '@naru/testkit';
import { fastify } from 'fastify';
import t from 'tap';
import { WebSocket } from 'ws';
import { LoopbackNetwork } from '../src/runtime/process/loopback-network.ts';
import { ProcessRuntime } from '../src/runtime/process/process-runtime.ts';
import { portForwardTunnel, servePortForward } from '../src/server/port-forward.ts';
import { selfSignedCertificate } from '../src/server/serving-certificate.ts';
import { spdyDictionary } from '../src/server/spdy-headers.ts';
import { StreamTargets } from '../src/server/stream-targets.ts';
import { serveStreams } from '../src/server/streaming.ts';
import { SpdyClient, SpdyFrames } from './support/spdy-client.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubelet-streaming-'));
const network = new LoopbackNetwork({ folder: join(folder, 'network') });
network.setPodCIDR('127.99.2.0/24');
const runtime = new ProcessRuntime({
  folder: join(folder, 'runtime'),
  network,
  runtimeVersion: '0.0.0',
  nodeName: 'node-1',
  nodeIP: '127.0.0.1',
  path: '/usr/local/bin:/usr/bin:/bin',
  clock: systemClock,
  logger: silentLogger(),
});
await runtime.start();
const stop = new AbortController();
const app = fastify({ https: await selfSignedCertificate(folder, { nodeName: 'node-1', nodeIP: '127.0.0.1' }) });
const find = (namespace: string, name: string) =>
  namespace === 'default' && name === 'pod' ? { uid: 'uid' } : undefined;
serveStreams(app, { targets: new StreamTargets({ runtime, isHollow: false, find }), stop: stop.signal });
await app.listen({ host: '127.0.0.1', port: 0 });
const { port } = app.addresses()[0] as { port: number };

const sandbox = {
  metadata: { name: 'pod', uid: 'uid', namespace: 'default', attempt: 0 },
  hostname: 'pod',
  logDirectory: join(folder, 'logs'),
  labels: { 'io.kubernetes.pod.uid': 'uid' },
  annotations: {},
  hostNetwork: false,
};
const sandboxId = await runtime.runPodSandbox(sandbox);

async function runContainer(name: string, script: string, changes: object = {}): Promise<string> {
  const id = await runtime.createContainer(
    sandboxId,
    {
      metadata: { name, attempt: 0 },
      image: 'host',
      command: ['sh', '-c', script],
      args: [],
      workingDir: '',
      envs: [{ key: 'GREETING', value: 'hello' }],
      mounts: [],
      labels: { 'io.kubernetes.pod.uid': 'uid' },
      annotations: {},
      logPath: `${name}/0.log`,
      ...changes,
    },
    sandbox,
  );
  await runtime.startContainer(id);
  return id;
}

await runContainer('main', 'exec sleep 1000');
t.teardown(async () => {
  stop.abort();
  await app.close();
  await runtime.removePodSandbox(sandboxId);
  await runtime[Symbol.asyncDispose]();
  // The shims of killed containers may still write their last files.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

interface Client {
  readonly socket: WebSocket;
  /** What came on a channel so far. */
  readonly text: (channel: number) => string;
  readonly closed: Promise<unknown>;
}

async function open(path: string, protocols: readonly string[] = ['v5.channel.k8s.io']): Promise<Client> {
  const socket = new WebSocket(`wss://127.0.0.1:${port}${path}`, [...protocols], { rejectUnauthorized: false });
  const received: Buffer[][] = [[], [], [], []];
  socket.on('message', (data: Buffer) => received[data[0] ?? 0]?.push(data.subarray(1)));
  const closed = once(socket, 'close');
  await once(socket, 'open');
  return { socket, text: (channel) => Buffer.concat(received[channel] ?? []).toString(), closed };
}

function execPath(command: readonly string[], options = 'output=1&error=1', container = 'main'): string {
  const words = command.map((word) => `&command=${encodeURIComponent(word)}`).join('');
  return `/exec/default/pod/${container}?${options}${words}`;
}

function statusOf(client: Client): Record<string, unknown> {
  return JSON.parse(client.text(3)) as Record<string, unknown>;
}

/** Pids of processes that have `entry` in their environment. */
function processesWith(entry: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/u.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`\0${entry}\0`);
    } catch {
      return false;
    }
  });
}

/** The answer to a request for an upgrade that is refused. */
async function refusal(
  path: string,
  headers: Readonly<Record<string, string>>,
  method = 'GET',
): Promise<{ status: number; text: string }> {
  const call = request({ host: '127.0.0.1', port, path, method, headers, rejectUnauthorized: false });
  call.end();
  const [message] = (await once(call, 'response')) as [AsyncIterable<Buffer> & { statusCode: number }];
  let text = '';
  for await (const chunk of message) text += chunk.toString();
  return { status: message.statusCode, text };
}

const webSocketHeaders = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  'sec-websocket-protocol': 'v5.channel.k8s.io',
};

await t.test('exec: streams, environment, working folder and exit code', async (t) => {
  const client = await open(
    execPath(['sh', '-c', 'echo $GREETING $POD_IP; [ "$PWD" = "$NARU_ROOT" ]; echo $? >&2; exit 42']),
  );
  await client.closed;
  t.match(client.text(1), /^hello 127\.99\.2\.\d+\n$/u);
  t.equal(client.text(2), '0\n');
  t.match(statusOf(client), {
    status: 'Failure',
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: '42' }] },
  });
  const fine = await open(execPath(['true']), ['v4.channel.k8s.io', 'v3.channel.k8s.io']);
  await fine.closed;
  t.equal(fine.socket.protocol, 'v4.channel.k8s.io', 'the best that both know');
  t.match(statusOf(fine), { status: 'Success' });
  const missing = await open(execPath(['no-such-program']));
  await missing.closed;
  t.match(statusOf(missing), { status: 'Failure', message: /"no-such-program": executable file not found in \$PATH/u });
});

await t.test('exec: stdin, more than buffers hold, until v5 closes it', async (t) => {
  const client = await open(execPath(['sh', '-c', 'sleep 0.2; md5sum; wc -c </dev/null'], 'input=1&output=1'));
  const chunk = Buffer.concat([Buffer.of(0), Buffer.alloc(64 * 1024, 'x')]);
  for (let i = 0; i < 100; i++) client.socket.send(chunk);
  client.socket.send(Buffer.of(255, 0));
  await client.closed;
  t.match(statusOf(client), { status: 'Success' });
  t.match(client.text(1), /^[0-9a-f]{32} {2}-\n0\n$/u);
});

await t.test('exec: output without end waits for its reader', async (t) => {
  const client = await open(execPath(['sh', '-c', 'yes'], 'output=1'));
  await eventually(() => {
    if (client.text(1).length < 100_000) throw new Error('too little yet');
  });
  t.equal(processesWith('GREETING=hello').length >= 2, true);
  client.socket.terminate();
  await eventually(() => {
    const left = processesWith('GREETING=hello').length;
    if (left > 2) throw new Error(`${left} processes`);
  });
});

await t.test('exec: a client that goes takes its processes along', async (t) => {
  const client = await open(execPath(['sh', '-c', 'export MARK=of-this-test; setsid sleep 500 & exec sleep 501']));
  const before = await eventually(() => {
    const found = processesWith('MARK=of-this-test');
    if (found.length < 1) throw new Error('not begun');
    return found;
  });
  t.ok(before.length > 0);
  client.socket.terminate();
  await eventually(() => {
    if (processesWith('MARK=of-this-test').length > 0) throw new Error('still there');
  });
});

await t.test('exec: a terminal, its size and its end', async (t) => {
  const client = await open(execPath(['sh'], 'input=1&output=1&error=1&tty=1'));
  const say = (line: string): void => client.socket.send(Buffer.concat([Buffer.of(0), Buffer.from(line)]));
  client.socket.send(Buffer.concat([Buffer.of(4), Buffer.from('{"Width":101,"Height":41}')]));
  client.socket.send(Buffer.concat([Buffer.of(4), Buffer.from('nonsense')]));
  await eventually(() => {
    say('stty size\n');
    if (!client.text(1).includes('41 101')) throw new Error(`no size yet: ${client.text(1)}`);
  });
  say('tty; exit 7\n');
  await client.closed;
  t.match(client.text(1), /\/dev\/pts\/\d+/u);
  t.equal(client.text(2), '', 'a terminal has no stderr');
  t.match(statusOf(client), { details: { causes: [{ message: '7' }] } });
});

await t.test('attach: what is written from now on, by stream, until the end', async (t) => {
  const gate = join(folder, 'gate');
  await runContainer('talker', `echo early; while ! [ -e ${gate} ]; do sleep 0.05; done; echo out; echo err >&2`);
  await eventually(() => {
    if (!readFileSync(join(folder, 'logs', 'talker', '0.log'), 'utf8').includes('early')) throw new Error('no log yet');
  });
  const client = await open('/attach/default/pod/talker?output=1&error=1&input=1');
  await once(client.socket, 'message');
  const touch = await open(execPath(['touch', gate]));
  await touch.closed;
  await client.closed;
  t.equal(client.text(1), 'out\n');
  t.equal(client.text(2), 'err\n');
  t.match(statusOf(client), { status: 'Success' });
});

await t.test('attach: input, prompts without a line end, and its end when the client goes', async (t) => {
  await runContainer('reader', 'while printf "> "; read -r line; do echo "got $line"; done; echo over', {
    stdin: true,
    stdinOnce: true,
  });
  const client = await open('/attach/default/pod/reader?output=1&error=1&input=1');
  const say = (line: string): void => client.socket.send(Buffer.concat([Buffer.of(0), Buffer.from(line)]));
  say('one\n');
  await eventually(() => {
    if (!client.text(1).endsWith('got one\n> ')) throw new Error(JSON.stringify(client.text(1)));
  });
  say('two\n');
  client.socket.send(Buffer.of(255, 0));
  await client.closed;
  t.match(client.text(1), /got two\n> over\n$/u);
  t.match(statusOf(client), { status: 'Success' });
});

await t.test('attach: a container that may be attached to again keeps its input', async (t) => {
  await runContainer('patient', 'while read -r line; do echo "got $line"; done', { stdin: true });
  for (const word of ['one', 'two']) {
    const client = await open('/attach/default/pod/patient?output=1&input=1');
    client.socket.send(Buffer.concat([Buffer.of(0), Buffer.from(`${word}\n`)]));
    await eventually(() => {
      if (!client.text(1).includes(`got ${word}\n`)) throw new Error(JSON.stringify(client.text(1)));
    });
    client.socket.send(Buffer.of(255, 0));
    client.socket.close();
    await client.closed;
  }
  t.pass();
});

await t.test('attach: a container with a terminal', async (t) => {
  await runContainer('terminal', 'exec sh', { stdin: true, tty: true });
  const client = await open('/attach/default/pod/terminal?output=1&input=1&tty=1');
  client.socket.send(Buffer.concat([Buffer.of(4), Buffer.from('{"Width":99,"Height":33}')]));
  const say = (line: string): void => client.socket.send(Buffer.concat([Buffer.of(0), Buffer.from(line)]));
  await eventually(() => {
    say('stty size\n');
    if (!client.text(1).includes('33 99')) throw new Error(`no size yet: ${client.text(1)}`);
  });
  say('exit\n');
  await client.closed;
  t.match(statusOf(client), { status: 'Success' });
});

await t.test('SPDY itself: exec, with input, output, errors and the exit code', async (t) => {
  const path = execPath(['sh', '-c', 'cat; echo err >&2; exit 5'], 'input=1&output=1&error=1');
  const client = await SpdyClient.open(port, path, ['v5.channel.k8s.io', 'v4.channel.k8s.io']);
  t.equal(client.protocol, 'v4.channel.k8s.io');
  for (const [i, streamType] of ['error', 'stdin', 'stdout', 'stderr'].entries())
    await client.openStream(2 * i + 1, { streamType });
  const input = Buffer.alloc(300_000, 'naru ');
  for (let at = 0; at < input.length; at += 30_000) client.write(3, input.subarray(at, at + 30_000));
  client.write(3, Buffer.alloc(0), true);
  await client.closed;
  t.ok(client.frames.stream(5).bytes.equals(input));
  t.equal(client.frames.stream(7).bytes.toString(), 'err\n');
  t.match(JSON.parse(client.frames.stream(1).bytes.toString()), {
    reason: 'NonZeroExitCode',
    details: { causes: [{ message: '5' }] },
  });
});

await t.test('port-forward on channels: bytes of a port, and why there are none', async (t) => {
  const { ip = '' } = (await runtime.listPodSandbox())[0] ?? {};
  const server = createServer((socket) => socket.pipe(socket));
  server.listen(0, ip);
  await once(server, 'listening');
  const { port: podPort } = server.address() as AddressInfo;
  const client = await open(`/portForward/default/pod?port=${podPort}`, ['v4.channel.k8s.io']);
  const portBytes = Buffer.of(podPort & 0xff, podPort >> 8).toString();
  client.socket.send(Buffer.concat([Buffer.of(0), Buffer.from('ping')]));
  await eventually(() => {
    if (client.text(0) !== `${portBytes}ping`) throw new Error(JSON.stringify(client.text(0)));
  });
  t.equal(client.text(1), portBytes);
  client.socket.close();
  server.close();
  await once(server, 'close');
  const refused = await open(`/portForward/default/pod?port=${podPort}`, ['v4.channel.k8s.io']);
  await refused.closed;
  t.match(refused.text(1), /error forwarding port \d+ to pod default\/pod: connect ECONNREFUSED/u);
});

await t.test('SPDY: the dictionary is that of draft 3', (t) => {
  const dictionary = spdyDictionary();
  // Zlib knows a dictionary by its Adler-32; clients' streams name this one.
  const stream = deflateSync('', { dictionary });
  t.equal(dictionary.length, 1423);
  t.equal(stream.readUInt32BE(2).toString(16), 'e3c6a7c2');
  t.end();
});

await t.test('port-forward: connections, in pieces of any size, and what cannot be reached', async (t) => {
  const { ip = '' } = (await runtime.listPodSandbox())[0] ?? {};
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  server.listen(0, ip);
  await once(server, 'listening');
  const { port: podPort } = server.address() as AddressInfo;
  const handshake = request({
    host: '127.0.0.1',
    port,
    path: '/portForward/default/pod',
    headers: { ...webSocketHeaders, 'sec-websocket-protocol': portForwardTunnel },
    rejectUnauthorized: false,
  });
  handshake.end();
  const [answer, upgraded] = (await once(handshake, 'upgrade')) as [IncomingMessage, Socket];
  t.equal(answer.headers['sec-websocket-protocol'], portForwardTunnel);
  upgraded.destroy();
  const frames = new SpdyFrames();
  using session = servePortForward({
    address: ip,
    podName: 'default/pod',
    send(bytes) {
      frames.receive(bytes);
      return undefined;
    },
  });
  const synStream = async (id: number, streamType: string, toPort: number, requestID: string): Promise<Buffer> =>
    await frames.synStream(id, { streamType, port: String(toPort), requestID });
  const data = (id: number, flags: number, payload: Buffer): Buffer => frames.data(id, payload, flags === 1);
  const stream = (id: number): ReturnType<SpdyFrames['stream']> => frames.stream(id);
  const ended = async (...ids: readonly number[]): Promise<void> =>
    await eventually(() => {
      for (const id of ids) if (!stream(id).ended) throw new Error(`stream ${id} is open`);
    });
  const payload = Buffer.alloc(3_000_000, 'naru ');
  const bytes = Buffer.concat([
    await synStream(1, 'error', podPort, '0'),
    data(1, 1, Buffer.alloc(0)),
    await synStream(3, 'data', podPort, '0'),
    ...Array.from({ length: 30 }, (_, i) => data(3, 0, payload.subarray(i * 100_000, (i + 1) * 100_000))),
    data(3, 1, Buffer.alloc(0)),
  ]);
  for (let at = 0, size = 1; at < bytes.length; at += size, size = Math.min(size * 2, 100_001))
    await session.receive(bytes.subarray(at, at + size));
  await ended(1, 3);
  t.ok(stream(3).bytes.equals(payload), 'the echo of all of it');
  t.equal(stream(1).bytes.length, 0);
  server.close();
  await once(server, 'close');
  await session.receive(
    Buffer.concat([
      await synStream(5, 'error', podPort, '1'),
      data(5, 1, Buffer.alloc(0)),
      await synStream(7, 'data', podPort, '1'),
    ]),
  );
  await ended(5, 7);
  t.match(stream(5).bytes.toString(), /error forwarding port \d+ to pod default\/pod: connect ECONNREFUSED/u);
  await t.rejects(session.receive(Buffer.from('GET / HTTP/1.1\r\n\r\n')), { message: /SPDY/u });
});

await t.test('refusals come instead of the upgrade', async (t) => {
  const cases: readonly [string, Readonly<Record<string, string>>, number, RegExp][] = [
    [execPath(['true'], 'output=1', 'other'), webSocketHeaders, 500, /container not found \("other"\)/u],
    ['/exec/default/other/main?output=1&command=true', webSocketHeaders, 404, /pod does not exist/u],
    ['/exec/default/pod/main?output=1', webSocketHeaders, 400, /at least one command/u],
    [execPath(['true'], 'x=1'), webSocketHeaders, 400, /at least 1 of stdin, stdout, stderr/u],
    [execPath(['true']), {}, 400, /Upgrade request required/u],
    [execPath(['true']), { connection: 'Upgrade', upgrade: 'SPDY/3.1' }, 403, /unable to negotiate protocol/u],
    [execPath(['true']), { connection: 'Upgrade', upgrade: 'h2c' }, 400, /h2c is not spoken here/u],
    ['/portForward/default/pod', webSocketHeaders, 400, /query parameter "port" is required/u],
    ['/portForward/default/pod?port=x', webSocketHeaders, 400, /"x" is not a port/u],
  ];
  for (const [path, headers, status, text] of cases) {
    const answer = await refusal(path, headers);
    t.equal(answer.status, status, path);
    t.match(answer.text, text);
  }
});

await t.test('hollow pods say why not', async (t) => {
  const hollow = new StreamTargets({ runtime, isHollow: true, find });
  await t.rejects(hollow.container({ namespace: 'default', pod: 'pod', container: 'main' }), {
    status: 400,
    message: /hollow pods have no processes/u,
  });
  await t.rejects(hollow.podAddress('default', 'pod'), { status: 400, message: /hollow/u });
});

await t.test('the kubelet stops: streams are cut', async () => {
  const client = await open(execPath(['sleep', '400']));
  stop.abort();
  await client.closed;
});
