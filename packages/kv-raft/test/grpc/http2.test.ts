import { createServer, connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { connect, constants } from 'node:http2';
import t from 'tap';
import { eventually, SeededRandom } from '@naru/testkit';
import { HpackDecoder, HpackError } from '../../src/grpc/http2/hpack-decoder.ts';
import { encodeHeaders } from '../../src/grpc/http2/hpack-encoder.ts';
import { errorCodes, frame, FrameCutter, frameTypes, PREFACE, settingsFrame } from '../../src/grpc/http2/frames.ts';
import { Http2Connection } from '../../src/grpc/http2/http2-connection.ts';
import type { Http2Stream } from '../../src/grpc/http2/http2-stream.ts';

const HEADER_BYTES_MAX = 64 << 10;
const okBlock = encodeHeaders([
  [':status', '200'],
  ['content-type', 'application/grpc'],
]);
const trailersBlock = encodeHeaders([['grpc-status', '0']]);

/** What the server's side has seen of one stream. */
class Echo {
  readonly stream: Http2Stream;
  bytes = 0;
  isClosed = false;
  isDrained = false;

  /** Sends back what comes; `reads: false` takes nothing in. */
  constructor(stream: Http2Stream, options: { readonly reads: boolean }) {
    this.stream = stream;
    stream.sendHeaders(okBlock, { endStream: false });
    stream.listener = {
      data: (chunk) => {
        this.bytes += chunk.length;
        if (!options.reads) return;
        stream.write([Buffer.from(chunk)]);
        stream.consumed(chunk.length);
      },
      ended: () => stream.end(trailersBlock),
      sent: () => (this.isDrained = true),
      closed: () => (this.isClosed = true),
    };
  }
}

const echoes: Echo[] = [];
const connections = new Set<Http2Connection>();
let reads = true;
const server = createServer({ allowHalfOpen: true }, (socket) => {
  const connection = new Http2Connection(socket, {
    streamsMax: 5,
    onStream: (stream) => echoes.push(new Echo(stream, { reads })),
    onClosed: () => connections.delete(connection),
  });
  connections.add(connection);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;
t.teardown(() => {
  for (const connection of connections) connection.destroy();
  server.close();
});

/** A client that sends frames as they are told. */
class RawClient {
  readonly socket: Socket;
  readonly frames: {
    readonly type: number;
    readonly flag: number;
    readonly stream: number;
    readonly payload: Buffer;
  }[] = [];
  ended = false;

  constructor() {
    const cutter = new FrameCutter();
    this.socket = connectTcp(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) =>
      cutter.push(chunk, (type, flag, stream, payload) => this.frames.push({ type, flag, stream, payload })),
    );
    this.socket.on('error', () => undefined);
    this.socket.once('close', () => (this.ended = true));
    this.socket.write(PREFACE);
    this.socket.write(settingsFrame([]));
  }

  send(type: number, flag: number, stream: number, payload: Buffer): void {
    this.socket.write(frame(type, flag, stream, payload));
  }

  /** The error code of the GOAWAY that ended the connection. */
  async goaway(): Promise<number> {
    await eventually(() => this.ended);
    return this.frames.find(({ type }) => type === frameTypes.GOAWAY)?.payload.readUInt32BE(4) ?? -1;
  }
}

const requestBlock = encodeHeaders([
  [':method', 'POST'],
  [':path', '/x'],
  // etcdctl 3.4 names a whole URL.
  [':authority', 'http://127.0.0.1:1/'],
]);

await t.test('HPACK is read as RFC 7541 has it in its appendix C, with one table for all blocks', async (t) => {
  const decoder = new HpackDecoder(HEADER_BYTES_MAX);
  const decode = (hex: string): string =>
    decoder
      .decode(Buffer.from(hex, 'hex'))
      .map(([name, value]) => `${name}=${value}`)
      .join(' ');
  const first = ':method=GET :scheme=http :path=/ :authority=www.example.com';
  t.equal(decode('828684418cf1e3c2e5f23a6ba0ab90f4ff'), first);
  t.equal(decode('828684be5886a8eb10649cbf'), `${first} cache-control=no-cache`);
  const third = ':method=GET :scheme=https :path=/index.html :authority=www.example.com custom-key=custom-value';
  t.equal(decode('828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf'), third);
  // The table is emptied.
  t.equal(decode('20'), '');
  t.throws(() => decode('be'), HpackError);
});

await t.test('HPACK that is none is an error, whatever it is', async (t) => {
  const wrong = {
    'index 0': '80',
    'no entry': 'ff20',
    'cut short': '418cf1',
    'long integer': 'ffffffffffff7f',
    'end of string': '0085ffffffffff00',
  };
  for (const [name, hex] of Object.entries(wrong))
    t.throws(() => new HpackDecoder(HEADER_BYTES_MAX).decode(Buffer.from(hex, 'hex')), HpackError, name);
  t.throws(() => new HpackDecoder(100).decode(encodeHeaders([['a', 'x'.repeat(100)]])), HpackError, 'a long list');
  const random = new SeededRandom(Date.now());
  t.comment(`seed ${random.seed}`);
  for (let i = 0; i < 20_000; i++) {
    const noise = Buffer.from(Array.from({ length: random.integer(0, 40) }, () => random.integer(0, 255)));
    try {
      new HpackDecoder(HEADER_BYTES_MAX).decode(noise);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
    }
  }
});

await t.test('every octet of a header comes through as nghttp2 codes it', async (t) => {
  reads = true;
  const client = connect(`http://127.0.0.1:${port}`);
  const wrong: number[] = [];
  for (let octet = 0x20; octet <= 0xff; octet++) {
    if (octet === 0x7f) continue;
    // Between letters with short codes, so that the whole is coded and not sent as it is.
    const value = `${'a'.repeat(40)}${String.fromCharCode(octet)}${'e'.repeat(40)}`;
    const stream = client.request({ ':method': 'POST', ':path': '/', 'x-octet': value }, { endStream: true });
    stream.resume();
    await new Promise((resolve) => stream.once('close', resolve));
    if (echoes.at(-1)?.stream.headers['x-octet'] !== value) wrong.push(octet);
  }
  t.same(wrong, []);
  client.destroy();
});

await t.test('bodies come through whole, larger than every window', async (t) => {
  reads = true;
  const client = connect(`http://127.0.0.1:${port}`);
  const body = Buffer.alloc(3 << 20, 'abcdefg');
  const stream = client.request({ ':method': 'POST', ':path': '/' });
  const chunks: Buffer[] = [];
  let status = '';
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('trailers', (trailers) => (status = String(trailers['grpc-status'])));
  stream.end(body);
  await new Promise((resolve) => stream.once('close', resolve));
  t.ok(Buffer.concat(chunks).equals(body));
  t.equal(status, '0');
  t.ok(echoes.at(-1)?.isClosed);
  client.destroy();
});

await t.test('a client may send no more than is taken in, and may make its own windows smaller', async (t) => {
  reads = false;
  const client = new RawClient();
  client.send(frameTypes.HEADERS, 4, 1, requestBlock);
  const chunk = Buffer.alloc(16_384);
  for (let i = 0; i < 65; i++) client.send(frameTypes.DATA, 0, 1, chunk);
  await eventually(() => client.frames.some(({ type }) => type === frameTypes.RST_STREAM));
  const reset = client.frames.find(({ type }) => type === frameTypes.RST_STREAM);
  t.equal(reset?.payload.readUInt32BE(0), errorCodes.FLOW_CONTROL_ERROR);
  t.equal(echoes.at(-1)?.bytes, 64 * chunk.length);
  t.equal(echoes.at(-1)?.stream.headers[':authority'], 'http://127.0.0.1:1/');
  reads = true;
  // A window of nothing: what is sent waits until there is one.
  client.socket.write(settingsFrame([[4, 0]]));
  client.send(frameTypes.HEADERS, 4, 3, requestBlock);
  client.send(frameTypes.DATA, 0, 3, Buffer.from('hello'));
  await eventually(() => client.frames.some(({ type, stream }) => type === frameTypes.HEADERS && stream === 3));
  const of3 = (): readonly string[] =>
    client.frames
      .filter(({ type, stream }) => type === frameTypes.DATA && stream === 3)
      .map(({ payload }) => payload.toString());
  t.same(of3(), []);
  client.socket.write(settingsFrame([[4, 2]]));
  await eventually(() => of3().join() === 'he');
  t.notOk(echoes.at(-1)?.isDrained);
  client.send(frameTypes.WINDOW_UPDATE, 0, 3, Buffer.from([0, 0, 0, 9]));
  await eventually(() => of3().join() === 'he,llo');
  t.ok(echoes.at(-1)?.isDrained);
  client.socket.destroy();
});

await t.test(
  'more streams than announced are refused, and a connection that is closed ends when its streams have',
  async (t) => {
    reads = true;
    const client = new RawClient();
    for (let i = 0; i < 6; i++) client.send(frameTypes.HEADERS, 4, 2 * i + 1, requestBlock);
    await eventually(() => client.frames.some(({ type }) => type === frameTypes.RST_STREAM));
    const refused = client.frames.find(({ type }) => type === frameTypes.RST_STREAM);
    t.equal(refused?.stream, 11);
    t.equal(refused?.payload.readUInt32BE(0), errorCodes.REFUSED_STREAM);
    for (const connection of connections) connection.close();
    client.send(frameTypes.HEADERS, 4, 13, requestBlock);
    await eventually(() => client.frames.some(({ type, stream }) => type === frameTypes.RST_STREAM && stream === 13));
    t.notOk(client.ended);
    for (let i = 0; i < 5; i++) client.send(frameTypes.DATA, 1, 2 * i + 1, Buffer.alloc(0));
    t.equal(await client.goaway(), errorCodes.NO_ERROR);
  },
);

await t.test('a client that breaks the protocol is told how, and its streams end', async (t) => {
  const { DATA, HEADERS, CONTINUATION, SETTINGS, PING, WINDOW_UPDATE, PUSH_PROMISE, RST_STREAM } = frameTypes;
  const none = Buffer.alloc(0);
  const cases: readonly [string, keyof typeof errorCodes, (client: RawClient) => void][] = [
    ['data of an idle stream', 'PROTOCOL_ERROR', (client) => client.send(DATA, 0, 7, none)],
    ['reset of an idle stream', 'PROTOCOL_ERROR', (client) => client.send(RST_STREAM, 0, 7, Buffer.alloc(4))],
    ['a stream of a server', 'PROTOCOL_ERROR', (client) => client.send(HEADERS, 4, 2, requestBlock)],
    ['a push', 'PROTOCOL_ERROR', (client) => client.send(PUSH_PROMISE, 0, 1, none)],
    ['padding beyond the frame', 'PROTOCOL_ERROR', (client) => client.send(HEADERS, 0xc, 1, Buffer.from([9, 0]))],
    ['continuation of nothing', 'PROTOCOL_ERROR', (client) => client.send(CONTINUATION, 4, 1, none)],
    ['a window of nothing', 'PROTOCOL_ERROR', (client) => client.send(WINDOW_UPDATE, 0, 0, Buffer.alloc(4))],
    [
      'a window too large',
      'FLOW_CONTROL_ERROR',
      (client) => client.send(WINDOW_UPDATE, 0, 0, Buffer.from('7fffffff', 'hex')),
    ],
    ['a short ping', 'FRAME_SIZE_ERROR', (client) => client.send(PING, 0, 0, none)],
    ['odd settings', 'FRAME_SIZE_ERROR', (client) => client.send(SETTINGS, 0, 0, Buffer.alloc(5))],
    ['a frame too long', 'FRAME_SIZE_ERROR', (client) => client.send(DATA, 0, 1, Buffer.alloc(16_385))],
    ['headers that are no HPACK', 'COMPRESSION_ERROR', (client) => client.send(HEADERS, 4, 1, Buffer.from([0x80]))],
    [
      'headers without end',
      'ENHANCE_YOUR_CALM',
      (client) => {
        client.send(HEADERS, 0, 1, none);
        for (let i = 0; i < 10_000; i++) client.send(CONTINUATION, 0, 1, none);
      },
    ],
    [
      'headers that are interrupted',
      'PROTOCOL_ERROR',
      (client) => {
        client.send(HEADERS, 0, 1, none);
        client.send(PING, 0, 0, Buffer.alloc(8));
      },
    ],
  ];
  for (const [name, code, act] of cases) {
    const client = new RawClient();
    client.send(frameTypes.HEADERS, 4, 5, requestBlock);
    const before = echoes.length;
    await eventually(() => echoes.length > before);
    const echo = echoes.at(-1);
    // Streams count up: what comes below the open one is about streams that are over.
    act(client);
    t.equal(await client.goaway(), errorCodes[code], name);
    t.ok(echo?.isClosed, name);
  }
});

await t.test('a ping is answered, and what HTTP/2 does not know is passed over', async (t) => {
  const client = new RawClient();
  client.send(0xfa, 0, 1, Buffer.from('new'));
  client.send(frameTypes.PRIORITY, 0, 1, Buffer.alloc(5));
  client.send(frameTypes.PING, 0, 0, Buffer.from('12345678'));
  await eventually(() => client.frames.some(({ type, flag }) => type === frameTypes.PING && flag === 1));
  t.equal(client.frames.find(({ type }) => type === frameTypes.PING)?.payload.toString(), '12345678');
  client.socket.destroy();
});

await t.test('node:http2 may reset a stream', async (t) => {
  const client = connect(`http://127.0.0.1:${port}`);
  const stream = client.request({ ':method': 'POST', ':path': '/' });
  stream.on('error', () => undefined);
  await new Promise((resolve) => stream.once('response', resolve));
  stream.close(constants.NGHTTP2_CANCEL);
  await eventually(() => echoes.at(-1)?.isClosed === true);
  t.ok(echoes.at(-1)?.stream.isClosed);
  client.destroy();
});

t.end();
