import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { grpcCodes } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import { eventually } from '@naru/testkit';
import { Messages } from '../../src/grpc/messages.ts';
import { startTestServer } from './test-server.ts';

t.setTimeout(120_000);

const messages = await Messages.load();
const server = await startTestServer();
t.teardown(async () => await server[Symbol.asyncDispose]());

const frame = (message: Uint8Array, flags = 0): Buffer => {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

interface Answer {
  readonly status: number;
  readonly message: string;
  readonly body: Buffer;
}

/** What came until the stream's end; status -1 if it ended without one. */
async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const chunks: Buffer[] = [];
  let status = -1;
  let message = '';
  const note = (headers: Record<string, unknown>): void => {
    if (headers['grpc-status'] === undefined) return;
    status = Number(headers['grpc-status']);
    message = decodeURIComponent(String(headers['grpc-message']));
  };
  stream.on('response', note);
  stream.on('trailers', note);
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => {});
  await new Promise((resolve) => stream.once('close', resolve));
  return { status, message, body: Buffer.concat(chunks) };
}

function open(session: ClientHttp2Session, path: string, headers: Record<string, string> = {}): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/etcdserverpb.${path}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => {});
  return stream;
}

async function call(path: string, body: Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
  const session = connect(server.url);
  try {
    const stream = open(session, path, headers);
    stream.end(body);
    return await answerOf(stream);
  } finally {
    session.destroy();
  }
}

const put = (key: string, value: Uint8Array): Buffer =>
  frame(messages.encode('PutRequest', { key: Buffer.from(key), value }));

await t.test('values are bytes and ids exact; what the gateway writes gRPC reads', async (t) => {
  await using client = new EtcdClient({ endpoints: [server.url] });
  const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const id = 2n ** 62n + 1n;
  await client.leaseGrant({ ttl: 100, id });
  await client.put({ key: value, value, lease: id });
  const answer = await call('KV/Range', frame(messages.encode('RangeRequest', { key: value })));
  t.equal(answer.status, grpcCodes.OK);
  const { kvs, header } = messages.decode('RangeResponse', answer.body.subarray(5)) as {
    readonly kvs: readonly { readonly key: Buffer; readonly value: Buffer; readonly lease: string }[];
    readonly header: { readonly member_id: string };
  };
  t.ok(kvs[0]?.key.equals(value));
  t.ok(kvs[0]?.value.equals(value));
  t.equal(kvs[0]?.lease, String(id));
  t.equal(header.member_id, String(2n ** 63n + 7n));
});

await t.test('bad calls are answered with the codes of gRPC and etcd', async (t) => {
  const range = frame(messages.encode('RangeRequest', { key: Buffer.from('a') }));
  const cases: readonly [string, Buffer, number, RegExp, Record<string, string>?][] = [
    ['KV/Nothing', range, grpcCodes.Unimplemented, /unknown method/u],
    ['Auth/Authenticate', frame(Buffer.alloc(0)), grpcCodes.FailedPrecondition, /authentication is not enabled/u],
    ['KV/Range', Buffer.alloc(0), grpcCodes.Internal, /no request/u],
    ['KV/Range', Buffer.concat([range, range]), grpcCodes.Internal, /more than one/u],
    ['KV/Range', range.subarray(0, range.length - 1), grpcCodes.Internal, /unexpected EOF/u],
    ['KV/Range', frame(Buffer.from('ffffffff', 'hex')), grpcCodes.Internal, /unmarshalling/u],
    ['KV/Range', frame(Buffer.alloc(3), 1), grpcCodes.Unimplemented, /Decompressor/u],
    ['KV/Range', Buffer.from('00ffffffff00', 'hex'), grpcCodes.ResourceExhausted, /larger than max/u],
    ['KV/Put', put('', Buffer.alloc(1)), grpcCodes.InvalidArgument, /^etcdserver: key is not provided$/u],
    ['KV/Put', put('a', Buffer.alloc(1.6 * 2 ** 20)), grpcCodes.InvalidArgument, /request is too large/u],
    ['KV/Put', put('a', Buffer.alloc(2.1 * 2 ** 20)), grpcCodes.ResourceExhausted, /larger than max/u],
    ['KV/Range', range, grpcCodes.Internal, /malformed grpc-timeout/u, { 'grpc-timeout': 'soon' }],
  ];
  for (const [path, body, status, message, headers] of cases) {
    const answer = await call(path, body, headers);
    t.equal(answer.status, status, `${path} ${answer.message}`);
    t.match(answer.message, message);
  }
});

await t.test('a server ends, whoever connects while it waits for its last calls', { timeout: 15_000 }, async (t) => {
  const ending = await startTestServer();
  const { hostname, port } = new URL(ending.url);
  const open = (begin: Buffer): Socket => {
    const socket = connectTcp({ host: hostname, port: Number(port), allowHalfOpen: true });
    socket.on('error', () => {});
    socket.resume();
    socket.write(begin);
    return socket;
  };
  const http2 = Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from('000000040000000000', 'hex'),
  ]);
  // This one does not go when it is told to: the server waits for it a while.
  const stubborn = open(http2);
  await once(stubborn, 'data');
  const ended = ending[Symbol.asyncDispose]();
  await once(stubborn, 'end');
  const late = [open(http2), open(Buffer.alloc(0))];
  await ended;
  await Promise.all(late.map(async (each) => await eventually(() => each.destroyed || each.readableEnded)));
  for (const each of [stubborn, ...late]) each.destroy();
  t.pass('and leaves no connection open');
});

await t.test('a deadline ends a call that waits', async (t) => {
  let release = (): void => {};
  server.consensus.hold = new Promise((resolve) => (release = resolve));
  const answer = await call('KV/Put', put('late', Buffer.alloc(1)), { 'grpc-timeout': '50m' });
  server.consensus.hold = undefined;
  release();
  t.equal(answer.status, grpcCodes.DeadlineExceeded);
});

await t.test('a watch whose client does not read holds up nobody, and is complete once it reads', async (t) => {
  await using client = new EtcdClient({ endpoints: [server.url] });
  const session = connect(server.url);
  const stream = open(session, 'Watch/Watch');
  stream.write(frame(messages.encode('WatchRequest', { create_request: { key: Buffer.from('slow') } })));
  await new Promise((resolve) => stream.once('response', resolve));
  const { store } = server.machine;
  await eventually(
    async () => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      if (!/^etcd_debugging_mvcc_watcher_total 1$/mu.test(text)) throw new Error('not yet');
    },
    { deadlineMs: 60_000 },
  );
  const from = store.revision;
  const value = Buffer.alloc(256 * 1024, 'x');
  for (let i = 0; i < 32; i++) await client.put({ key: Buffer.from('slow'), value });
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
  await eventually(() => bytes > 32 * value.length, { deadlineMs: 60_000 });
  t.equal(store.revision, from + 32);
  stream.close(constants.NGHTTP2_CANCEL);
  await eventually(
    async () => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      if (!/^etcd_debugging_mvcc_watcher_total 0$/mu.test(text)) throw new Error('still there');
    },
    { deadlineMs: 60_000 },
  );
  session.destroy();
});

await t.test(
  'over TLS: gRPC by ALPN, the gateway for the others, and only for clients with a certificate',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'naru-grpc-'));
    const file = (name: string): string => join(folder, name);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const openssl = (...argv: string[]): void => void execFileSync('openssl', argv, { stdio: 'ignore' });
    openssl('req', '-x509', ...key, '-keyout', file('ca.key'), '-out', file('ca.crt'), '-subj', '/CN=ca', '-days', '2');
    const signed = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-addext', 'subjectAltName=IP:127.0.0.1'];
    const own = ['-keyout', file('tls.key'), '-out', file('tls.crt'), '-subj', '/CN=member', '-days', '2'];
    openssl('req', '-x509', ...key, ...own, ...signed);
    const pem = (name: string): string => readFileSync(file(name), 'utf8');
    const tls = { ca: pem('ca.crt'), cert: pem('tls.crt'), key: pem('tls.key') };
    await using secure = await startTestServer({
      listenClient: [{ host: '127.0.0.1', port: 0, tls: true }],
      tls: { ...tls, clientCertAuth: true },
    });
    const url = secure.url.replace('http:', 'https:');
    await using client = new EtcdClient({ endpoints: [url], tls });
    await client.put({ key: Buffer.from('a'), value: Buffer.from('b') });
    const argv = ['--endpoints', url, '--cacert', file('ca.crt')];
    const certificate = ['--cert', file('tls.crt'), '--key', file('tls.key')];
    const options = { encoding: 'utf8', env: { ...process.env, ETCDCTL_API: '3' } } as const;
    const etcdctl = async (...args: string[]): Promise<string> =>
      await new Promise((resolve) =>
        execFile('etcdctl', [...argv, ...args], options, (error, stdout) =>
          resolve(error === null ? stdout : 'failed'),
        ),
      );
    t.equal(await etcdctl(...certificate, 'get', 'a'), 'a\nb\n');
    t.match(await etcdctl(...certificate, 'endpoint', 'status'), /3\.4\.\d+/u);
    t.equal(await etcdctl('--dial-timeout=1s', '--command-timeout=1s', 'get', 'a'), 'failed');
    // The certificate's common name is the user.
    for (const argv of [
      ['user', 'add', 'root', '--new-user-password=r'],
      ['user', 'grant-role', 'root', 'root'],
      ['user', 'add', 'member', '--no-password'],
      ['role', 'add', 'reader'],
      ['role', 'grant-permission', 'reader', 'read', 'a'],
      ['user', 'grant-role', 'member', 'reader'],
      ['auth', 'enable'],
    ])
      t.not(await etcdctl(...certificate, ...argv), 'failed', argv.join(' '));
    t.equal(await etcdctl(...certificate, 'get', 'a'), 'a\nb\n');
    t.equal(await etcdctl(...certificate, 'put', 'a', 'c'), 'failed');
    t.equal(await etcdctl(...certificate, '--user=root:r', 'put', 'a', 'c'), 'OK\n', 'a token counts for more');
    await t.rejects(client.range({ key: Buffer.from('a') }), /user name is empty/u, 'as in etcd not by the gateway');
    const chosen = await new Promise((resolve) => {
      const socket = connectTls(
        { port: Number(new URL(url).port), host: '127.0.0.1', ...tls, ALPNProtocols: ['h2', 'http/1.1'] },
        () => {
          resolve(socket.alpnProtocol);
          socket.destroy();
        },
      );
    });
    t.equal(chosen, 'http/1.1', 'who speaks both gets the gateway');
    rmSync(folder, { recursive: true });
  },
);

t.end();
