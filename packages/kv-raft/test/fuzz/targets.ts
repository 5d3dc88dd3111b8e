import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { Mutator, type SeededRandom } from '@naru/testkit';
import { Pool } from 'undici';
import { ByteWriter } from '../../src/codec/bytes.ts';
import type { Messages } from '../../src/grpc/messages.ts';
import { FrameDecoder, writeFrame } from '../../src/peer/message-codec.ts';
import type { Message } from '../../src/raft/message.ts';
import { SnapshotLoader } from '../../src/mvcc/snapshot.ts';
import { CommandEncoder, decodeCommand } from '../../src/mvcc/command.ts';
import { readSnapshot } from '../../src/server/snapshot-stream.ts';
import { Wal } from '../../src/wal/wal.ts';
import { WalCorruptError } from '../../src/wal/replay.ts';
import { authCorpus } from '../server/auth-corpus.ts';
import { corpus } from '../server/gateway-corpus.ts';
import { MemoryDisk } from './memory-disk.ts';

/** Where malformed input goes. `send` resolves when it was dealt with, whatever the answer, and rejects for a bug. */
export interface Target extends AsyncDisposable {
  readonly name: string;
  send(random: SeededRandom): Promise<void>;
}

/** A connection that gives no answer is given up after this. */
const ANSWER_MS = 2000;
/** No gRPC call is without an answer for so long, however busy the machine. */
const GRPC_ANSWER_MS = 60_000;
/** What a well-formed request of this kind would do to the member itself: it is not sent. */
const excluded =
  /auth\/enable|cluster\/member|maintenance\/(alarm|transfer-leadership|snapshot)|Auth\/AuthEnable|Cluster\/Member|Maintenance\/(Alarm|MoveLeader|Snapshot)/u;

/** Requests to the JSON gateway: paths and bodies of well-formed ones, damaged. */
export class GatewayTarget implements Target {
  readonly name = 'gateway';
  readonly #pool: Pool;
  readonly #requests = [
    ...corpus,
    ...authCorpus.map(({ path, body }) => ({ path, body: JSON.stringify(body) })),
  ].filter(({ path }) => !excluded.test(path));
  readonly #streams = [
    {
      path: '/v3/watch',
      body: '{"create_request":{"key":"AA==","range_end":"AA==","start_revision":"1","fragment":true}}',
    },
    {
      path: '/v3/watch',
      body: '{"create_request":{"key":"YQ=="}}{"cancel_request":{"watch_id":"0"}}{"progress_request":{}}',
    },
    { path: '/v3/lease/keepalive', body: '{"ID":"77"}{"ID":"78"}' },
  ];

  constructor(url: string) {
    this.#pool = new Pool(url, { connections: 16, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
  }

  async send(random: SeededRandom): Promise<void> {
    const mutator = new Mutator(random);
    const isStream = random.chance(0.1);
    const { path, body } = random.pick(isStream ? this.#streams : this.#requests);
    const donors = this.#requests.slice(0, 20).map((each) => each.body);
    const target = random.chance(0.03) ? `/${mutator.noise(12).toString('base64url')}` : path;
    const abort = new AbortController();
    try {
      const answer = await this.#pool.request({
        path: target,
        method: random.chance(0.97) ? 'POST' : 'GET',
        body: random.chance(0.02) ? mutator.noise(4000) : mutator.json(body, donors),
        headers: random.chance(0.05) ? { authorization: mutator.noise(20).toString('base64') } : {},
        signal: abort.signal,
      });
      if (isStream) {
        // A watch does not end by itself.
        abort.abort();
        await answer.body.dump().catch(() => {});
      } else await answer.body.dump({ limit: 2 ** 26 });
    } catch (error) {
      if (isStream || isLostConnection(error)) return;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}

function isLostConnection(error: unknown): boolean {
  const code = (error as { readonly code?: string }).code ?? '';
  return (
    /^(ECONNRESET|EPIPE|UND_ERR_(SOCKET|ABORTED|HEADERS_TIMEOUT|BODY_TIMEOUT|REQ_CONTENT_LENGTH_MISMATCH))$|ABORT_ERR/u.test(
      code,
    ) || (error as Error).name === 'AbortError'
  );
}

/** gRPC calls: messages that were encoded, damaged, in frames that are sometimes damaged, too. */
export class GrpcTarget implements Target {
  readonly name = 'grpc';
  readonly #url: string;
  readonly #paths: readonly { readonly path: string; readonly seeds: readonly Uint8Array[] }[];
  #session: ClientHttp2Session | undefined;

  constructor(url: string, messages: Messages) {
    this.#url = url;
    const key = Buffer.from('a');
    const put = { key, value: Buffer.from('v'), lease: 77, prev_kv: true };
    const range = { key, range_end: Buffer.from('z'), limit: 3, revision: 1, sort_order: 1, sort_target: 2 };
    const txn = {
      compare: [{ target: 3, result: 1, key, value: key }],
      success: [{ request_put: put }, { request_txn: { success: [{ request_range: range }] } }],
      failure: [{ request_delete_range: { key, range_end: Buffer.from('b') } }],
    };
    const watch = {
      create_request: { key, range_end: Buffer.from('z'), start_revision: 1, filters: [0, 1], fragment: true },
    };
    const permission = { permType: 2, key, range_end: Buffer.from('z') };
    const seeds: Readonly<Record<string, readonly object[]>> = {
      RangeRequest: [range],
      PutRequest: [put],
      DeleteRangeRequest: [{ key, range_end: Buffer.from('b'), prev_kv: true }],
      TxnRequest: [txn],
      CompactionRequest: [{ revision: 3, physical: true }],
      WatchRequest: [watch, { cancel_request: { watch_id: 1 } }, { progress_request: {} }],
      LeaseGrantRequest: [{ TTL: 5, ID: 99 }],
      LeaseTimeToLiveRequest: [{ ID: 77, keys: true }],
      AuthUserAddRequest: [{ name: 'fuzz', options: { no_password: true } }],
      AuthRoleGrantPermissionRequest: [{ name: 'readers', perm: permission }],
    };
    this.#paths = [...messages.methods()]
      .filter(({ path }) => !excluded.test(path))
      .map(({ path, requestType }) => ({
        path,
        seeds: (seeds[requestType] ?? [{ ID: 77, name: 'x', role: 'readers', revision: 2 }]).map((each) =>
          messages.encode(requestType, each),
        ),
      }));
  }

  async send(random: SeededRandom): Promise<void> {
    if (random.chance(0.05)) return await this.#sendNoise(random);
    const mutator = new Mutator(random);
    const { path, seeds } = random.pick(this.#paths);
    const count = random.chance(0.9) ? 1 : random.integer(0, 3);
    const bodies = Array.from({ length: count }, () => grpcFrame(mutator.bytes(random.pick(seeds), seeds)));
    const body = Buffer.concat(bodies);
    const headers = random.chance(0.1) ? { 'grpc-timeout': `${random.integer(0, 50)}m` } : {};
    const stream = this.#openStream(path, headers, random);
    const answered = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${path} was not answered: ${JSON.stringify(stream.session?.state)}`));
      }, GRPC_ANSWER_MS);
      stream.on('error', () => {});
      stream.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    stream.resume();
    // A watch does not end by itself.
    if (random.chance(0.05)) {
      stream.write(body);
      stream.close();
    } else stream.end(random.chance(0.9) ? body : mutator.bytes(body));
    if (path.includes('Watch/Watch') || path.includes('KeepAlive')) {
      stream.once('response', () => stream.close());
      setTimeout(() => stream.close(), 200).unref();
    }
    await answered;
  }

  #openStream(path: string, headers: Record<string, string>, random: SeededRandom): ClientHttp2Stream {
    if (this.#session === undefined || this.#session.destroyed || this.#session.closed) {
      this.#session = connect(this.#url);
      this.#session.on('error', () => {});
    }
    return this.#session.request({
      ':method': 'POST',
      ':path': random.chance(0.98) ? path : `${path}x`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
  }

  /** HTTP/2 frames of noise on a connection of their own. */
  async #sendNoise(random: SeededRandom): Promise<void> {
    const mutator = new Mutator(random);
    const parts: Buffer[] = [
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n').subarray(0, random.chance(0.8) ? 24 : random.integer(0, 24)),
    ];
    if (random.chance(0.7)) parts.push(Buffer.from('000000040000000000', 'hex'));
    for (let n = random.integer(0, 4); n > 0; n--) {
      const payload = mutator.noise(60);
      const head = Buffer.alloc(9);
      head.writeUIntBE(random.chance(0.9) ? payload.length : random.integer(0, 2 ** 24 - 1), 0, 3);
      head[3] = random.integer(0, 10);
      head[4] = random.integer(0, 255);
      head.writeUInt32BE(random.integer(0, 9), 5);
      parts.push(head, payload);
    }
    await sendRaw(Number(new URL(this.#url).port), Buffer.concat(parts));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session?.destroy();
  }
}

/** A message with gRPC's head before it. */
function grpcFrame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Sends bytes on a connection of their own and waits a moment for the other side to end it. */
async function sendRaw(port: number, bytes: Buffer): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.end(bytes));
    socket.on('error', () => {});
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), 50);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

const head = { from: 7n, to: 1n, term: 1 };
const peerMessages: readonly Message[] = [
  { type: 'MsgVote', ...head, index: 7, logTerm: 3, transfer: true },
  {
    type: 'MsgApp',
    ...head,
    index: 41,
    logTerm: 3,
    commit: 40,
    entries: [
      { index: 42, term: 3, type: 'normal', data: Buffer.from('data') },
      { index: 43, term: 4, type: 'normal', data: Buffer.from('more') },
    ],
  },
  { type: 'MsgAppResp', ...head, index: 9, reject: true, rejectHint: 5, logTerm: 2 },
  { type: 'MsgHeartbeat', ...head, commit: 3, round: 12 },
  { type: 'MsgProp', ...head, context: 5, proposals: [{ type: 'normal', data: Buffer.from('p') }] },
];

/**
 * Requests to the peer port. Frames that are still well-formed messages are left out: members trust each other, and what one
 * says in good form is believed.
 */
export class PeerTarget implements Target {
  readonly name = 'peer';
  readonly #pool: Pool;
  readonly #ids: { readonly clusterId: bigint; readonly memberId: bigint };
  readonly #frames: readonly Buffer[];

  constructor(url: string, ids: { readonly clusterId: bigint; readonly memberId: bigint }) {
    this.#pool = new Pool(url, { connections: 16, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
    this.#ids = ids;
    this.#frames = peerMessages.map((message) => {
      const writer = new ByteWriter();
      writeFrame(writer, message);
      return Buffer.from(writer.view());
    });
  }

  async send(random: SeededRandom): Promise<void> {
    const mutator = new Mutator(random);
    const body = mutator.bytes(Buffer.concat([random.pick(this.#frames), random.pick(this.#frames)]), this.#frames);
    const headersAreGood = random.chance(0.8);
    if (headersAreGood && hasMessage(body)) return;
    const hex = (id: bigint): string => (headersAreGood ? id.toString(16) : mutator.noise(6).toString('hex'));
    const abort = new AbortController();
    try {
      const answer = await this.#pool.request({
        path: random.chance(0.8) ? '/raft/stream' : random.pick(['/raft/snapshot', '/members', '/raft/x']),
        method: random.chance(0.95) ? 'POST' : 'GET',
        headers: {
          'x-server-from': random.integer(100, 120).toString(16),
          'x-etcd-cluster-id': hex(this.#ids.clusterId),
          'x-raft-to': hex(this.#ids.memberId),
          ...(random.chance(0.1) ? { 'x-peerurls': mutator.noise(12).toString('base64') } : {}),
        },
        body,
        signal: abort.signal,
      });
      abort.abort();
      await answer.body.dump().catch(() => {});
    } catch (error) {
      if (!isLostConnection(error)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}

/** True if a decoder finds any message before the damage. */
function hasMessage(bytes: Buffer): boolean {
  const decoder = new FrameDecoder();
  for (let at = 0; at < bytes.length; at++)
    try {
      if (decoder.push(bytes.subarray(at, at + 1)).messages.length > 0) return true;
    } catch {
      return false;
    }
  return false;
}

/** Files that a member reads at its start, damaged: read in part, or refused with the place, never anything else. */
export class DiskTarget implements Target {
  readonly name = 'disk';
  readonly #segment: { readonly path: string; readonly bytes: Buffer };
  readonly #command: Buffer;
  readonly #snapshot: Buffer;

  private constructor(segment: { readonly path: string; readonly bytes: Buffer }, snapshot: Buffer) {
    this.#segment = segment;
    this.#snapshot = snapshot;
    const key = { key: 'a', end: '' };
    this.#command = new CommandEncoder().encode(
      {
        type: 'txn',
        compare: [{ ...key, result: 'EQUAL', target: 'VERSION', operand: 3 }],
        success: [
          {
            type: 'put',
            key: 'a',
            value: Buffer.from('v'),
            lease: 7n,
            prevKv: false,
            ignoreValue: false,
            ignoreLease: false,
          },
        ],
        failure: [{ type: 'deleteRange', key: 'a', end: 'b', prevKv: true }],
      },
      { user: 'alice', revision: 3 },
    );
  }

  static async create(snapshot: AsyncIterable<Uint8Array>): Promise<DiskTarget> {
    const disk = new MemoryDisk();
    const wal = await Wal.create({ disk, directory: '/wal' }, { memberId: 1n, clusterId: 2n });
    for (let index = 1; index <= 20; index++)
      await wal.append({
        entries: [{ index, term: 1, type: 'normal', data: Buffer.alloc(index * 3, index) }],
        hardState: { term: 1, vote: 1n, commit: index - 1 },
      });
    await wal.close();
    const path = [...disk.files.keys()].find((each) => each.endsWith('.wal')) ?? '';
    // Without the zeros of the space that is kept for later.
    const bytes = Buffer.from(disk.files.get(path) ?? '');
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end--;
    return new DiskTarget({ path, bytes: bytes.subarray(0, end + 16) }, Buffer.concat(await Array.fromAsync(snapshot)));
  }

  async send(random: SeededRandom): Promise<void> {
    const mutator = new Mutator(random);
    switch (random.integer(0, 2)) {
      case 0:
        return await this.#openLog(mutator.bytes(this.#segment.bytes, [this.#segment.bytes]));
      case 1:
        return accepts(RangeError, () => decodeCommand(mutator.bytes(this.#command, [this.#command])));
      default:
        return await this.#readSnapshot(random, mutator);
    }
  }

  async #openLog(bytes: Buffer): Promise<void> {
    const disk = new MemoryDisk();
    disk.files.set(this.#segment.path, bytes);
    try {
      const opened = await Wal.open({ disk, directory: '/wal' });
      await opened?.wal.close();
    } catch (error) {
      if (!(error instanceof WalCorruptError)) throw error;
    }
  }

  /** With its checksums, which refuse nearly all, and without. */
  async #readSnapshot(random: SeededRandom, mutator: Mutator): Promise<void> {
    if (random.chance(0.5))
      return accepts(RangeError, () => new SnapshotLoader().add(mutator.bytes(this.#snapshot.subarray(16, 2000))));
    const bytes = mutator.bytes(this.#snapshot);
    try {
      await readSnapshot(
        (async function* chunks() {
          yield bytes;
        })(),
      );
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Runs what may throw an error of one class only. */
function accepts(expected: new () => Error, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof expected)) throw error;
  }
}
