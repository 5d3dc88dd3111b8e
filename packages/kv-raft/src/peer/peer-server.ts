import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { http, https, type Logger } from '@naru/component';
import type { MsgSnap } from '../raft/message.ts';
import type { WalMetadata } from '../wal/record.ts';
import { encodeMembers, type HashAnswer } from './cluster-client.ts';
import { decodeMessage, FRAME_BYTES_MAX, FrameDecoder } from './message-codec.ts';
import {
  CLUSTER_HEADER,
  FROM_HEADER,
  idText,
  KEEPALIVE_TIMEOUT_MS,
  MEMBERS_PATH,
  PEER_URLS_HEADER,
  SNAPSHOT_PATH,
  STREAM_PATH,
  TO_HEADER,
  type PeerTls,
} from './peer-protocol.ts';
import type { TransportHandlers } from './transport.ts';

export interface PeerServerOptions {
  readonly ids: WalMetadata;
  /** Upstream's `--listen-peer-urls`. */
  readonly listenUrls: readonly string[];
  readonly tls: PeerTls;
  /** Accept only clients with a certificate of the CA. */
  readonly clientCertAuth: boolean;
  readonly logger: Logger;
  readonly isRemoved: (id: bigint) => boolean;
  /** The hash of this member's keys at a revision. @throws EtcdError */
  readonly hashKv?: ((revision: number) => Promise<HashAnswer>) | undefined;
  /** A member has connected, and says where it listens. */
  readonly onConnected: (id: bigint, urls: readonly string[]) => void;
}

/** Takes in what other members send. */
export class PeerServer implements AsyncDisposable {
  readonly #options: PeerServerOptions;
  readonly #handlers: TransportHandlers;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** One stream of each member: a new one means that the old one is dead. */
  readonly #streams = new Map<string, IncomingMessage>();

  constructor(options: PeerServerOptions, handlers: TransportHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Binds and logs one `listening` line per URL. Returns the ports. */
  async start(): Promise<readonly number[]> {
    const { listenUrls, logger } = this.#options;
    const ports: number[] = [];
    for (const listenUrl of listenUrls) {
      const url = new URL(listenUrl);
      const server = this.#createServer(url.protocol === 'https:');
      this.#servers.push(server);
      const host = url.hostname.replace(/^\[|\]$/gu, '');
      await new Promise<void>((done, fail) => {
        server.once('error', fail);
        server.listen({ host, port: Number(url.port === '' ? 2380 : url.port) }, () => done());
      });
      const { port } = server.address() as AddressInfo;
      ports.push(port);
      logger.info({ host, port, purpose: 'peer' }, 'listening');
    }
    return ports;
  }

  #createServer(secure: boolean): Server {
    const { tls, clientCertAuth } = this.#options;
    // A stream is one request that never ends: only its silence is a reason to give it up.
    const limits = { requestTimeout: 0, noDelay: true };
    const listener = (request: IncomingMessage, response: ServerResponse): void => this.#handle(request, response);
    const server = secure
      ? https.createServer(
          { ...limits, ...tls, requestCert: clientCertAuth, rejectUnauthorized: clientCertAuth },
          listener,
        )
      : http.createServer(limits, listener);
    server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((done) => server.close(() => done())));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  /** Cuts off members that were removed: when they try again they are told so. */
  dropRemoved(): void {
    for (const [from, request] of this.#streams) if (this.#options.isRemoved(BigInt(`0x${from}`))) request.destroy();
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    if (request.method === 'GET' && this.#answer(request.url ?? '', response)) return;
    const refusal = this.#refusal(request);
    if (refusal !== undefined) {
      response.writeHead(refusal, { connection: 'close' }).end();
      return;
    }
    if (request.url === STREAM_PATH) this.#receiveStream(request, response);
    else void this.#receiveSnapshot(request, response);
  }

  /** Answers a question about this member. @returns whether it was one */
  #answer(path: string, response: ServerResponse): boolean {
    const { ids, hashKv } = this.#options;
    const headers = { 'content-type': 'application/json', [CLUSTER_HEADER]: idText(ids.clusterId) };
    if (path === MEMBERS_PATH) {
      response.writeHead(200, headers).end(encodeMembers(this.#handlers.members()));
      return true;
    }
    const [, revision] = /^\/members\/hashkv\?revision=(\d{1,15})$/u.exec(path) ?? [];
    if (revision === undefined || hashKv === undefined) return false;
    hashKv(Number(revision)).then(
      ({ hash, revision: at, compactRevision }) =>
        response.writeHead(200, headers).end(JSON.stringify({ hash, revision: at, compactRevision })),
      (error: unknown) => response.writeHead(400).end(error instanceof Error ? error.message : String(error)),
    );
    return true;
  }

  #refusal(request: IncomingMessage): number | undefined {
    const { ids, isRemoved } = this.#options;
    if (request.url !== STREAM_PATH && request.url !== SNAPSHOT_PATH) return 404;
    if (request.method !== 'POST') return 405;
    const from = request.headers[FROM_HEADER];
    if (typeof from !== 'string' || !/^[0-9a-f]{1,16}$/u.test(from)) return 400;
    if (request.headers[CLUSTER_HEADER] !== idText(ids.clusterId)) return 412;
    if (request.headers[TO_HEADER] !== idText(ids.memberId)) return 409;
    if (isRemoved(BigInt(`0x${from}`))) return 410;
    return undefined;
  }

  #receiveStream(request: IncomingMessage, response: ServerResponse): void {
    const from = String(request.headers[FROM_HEADER]);
    this.#streams.get(from)?.destroy();
    this.#streams.set(from, request);
    request.socket.setTimeout(KEEPALIVE_TIMEOUT_MS, () => request.destroy());
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).flushHeaders();
    const urls = request.headers[PEER_URLS_HEADER];
    if (typeof urls === 'string') this.#options.onConnected(BigInt(`0x${from}`), urls.split(','));
    const decoder = new FrameDecoder();
    const end = (): void => {
      if (this.#streams.get(from) === request) this.#streams.delete(from);
      response.destroy();
    };
    request.on('data', (chunk: Buffer) => {
      try {
        const { messages, pings } = decoder.push(chunk);
        if (pings > 0 && response.writableLength === 0) response.write('.');
        if (messages.length > 0) this.#handlers.messages(messages);
      } catch (error) {
        this.#options.logger.warn({ err: error, peer: from }, 'peer sent what is no message');
        request.destroy();
      }
    });
    request.on('error', end);
    request.on('close', end);
    response.on('error', end);
  }

  async #receiveSnapshot(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.setTimeout(KEEPALIVE_TIMEOUT_MS, () => request.destroy(new Error('sender is silent')));
    try {
      const { message, content } = await readSnapshotRequest(request);
      await this.#handlers.snapshot(message, content);
      response.writeHead(204).end();
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'snapshot not taken');
      if (!response.headersSent) response.writeHead(503, { connection: 'close' });
      response.end(() => request.destroy());
    }
  }
}

async function readSnapshotRequest(
  request: IncomingMessage,
): Promise<{ readonly message: MsgSnap; readonly content: AsyncIterable<Uint8Array> }> {
  const pieces = request[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  const needed = (): number => (head.length < 4 ? 4 : 4 + head.readUInt32BE(0));
  while (head.length < needed()) {
    if (needed() > FRAME_BYTES_MAX) throw new Error('frame is too long');
    const { value, done } = await pieces.next();
    if (done === true) throw new Error('request ends early');
    head = Buffer.concat([head, value]);
  }
  const message = decodeMessage(head.subarray(4, needed()));
  if (message.type !== 'MsgSnap') throw new Error('not a snapshot');
  return { message, content: rest(head.subarray(needed()), pieces) };
}

async function* rest(first: Buffer, pieces: AsyncIterator<Buffer>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  for (;;) {
    const { value, done } = await pieces.next();
    if (done === true) return;
    yield value;
  }
}
