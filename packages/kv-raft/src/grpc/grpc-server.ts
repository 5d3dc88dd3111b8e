import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Clock, Logger } from '@naru/component';
import { EtcdError } from '@naru/etcd';
import { credentialsOf } from '../server/auth-guard.ts';
import { AuthorityFilter } from './authority-filter.ts';
import { GrpcCall } from './grpc-call.ts';
import { Messages } from './messages.ts';
import { createMethods, type GrpcServices, type Method } from './methods.ts';

/** Bytes that a message may have beyond its command's limit, as etcd has it. */
const MESSAGE_OVERHEAD_BYTES = 512 * 1024;
/** Calls at one time on one connection. */
const STREAMS_MAX = 10_000;
const SESSION_MEMORY_MB_MAX = 64;
const WINDOW_BYTES = 1024 * 1024;
const DRAIN_TIMEOUT_MS = 1500;

export interface GrpcServerOptions extends GrpcServices {
  readonly requestBytesMax: number;
  /** Take the common name of a client's certificate, which TLS has verified, for its user. */
  readonly clientCertAuth: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** gRPC over connections that others accept. */
export class GrpcServer implements AsyncDisposable {
  readonly #options: GrpcServerOptions;
  readonly #http2: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #calls = new Set<GrpcCall>();
  /** Of the clients' certificates. */
  readonly #commonNames = new WeakMap<ServerHttp2Session, string>();
  #methods: Promise<ReadonlyMap<string, Method>> | undefined;
  #stopping = false;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#http2 = createServer({
      maxSessionMemory: SESSION_MEMORY_MB_MAX,
      settings: { initialWindowSize: WINDOW_BYTES, maxConcurrentStreams: STREAMS_MAX },
    });
    this.#http2.on('session', (session) => {
      this.#sessions.add(session);
      session.once('close', () => this.#sessions.delete(session));
      if (this.#stopping) session.close();
    });
    this.#http2.on('sessionError', (error) => options.logger.debug({ err: error }, 'http2 session failed'));
    this.#http2.on('stream', (stream, headers) => void this.#serve(stream, headers));
  }

  /** Takes a connection whose client begins with HTTP/2's preface. */
  accept(socket: Socket): void {
    // The session is made, and told, within the call.
    const commonName = this.#options.clientCertAuth ? commonNameOf(socket) : undefined;
    if (commonName !== undefined)
      this.#http2.once('session', (session) => void this.#commonNames.set(session, commonName));
    this.#http2.emit('connection', new AuthorityFilter(socket));
  }

  /** Ends streams and connections; calls in flight have a moment to be answered. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    const closed = [...this.#sessions].map(
      async (session) => await new Promise<void>((resolve) => void session.once('close', resolve)),
    );
    for (const session of this.#sessions) session.close();
    for (const call of this.#calls) if (call.streaming) call.fail(new EtcdError('stopped'));
    const force = setTimeout(() => {
      for (const session of this.#sessions) session.destroy();
    }, DRAIN_TIMEOUT_MS);
    await Promise.all(closed);
    clearTimeout(force);
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const path = String(headers[':path']);
    const { requestBytesMax, clock, logger } = this.#options;
    const { session } = stream;
    const commonName = session === undefined ? undefined : this.#commonNames.get(session as ServerHttp2Session);
    const credentials = credentialsOf(headers, commonName);
    const bytesMax = requestBytesMax + MESSAGE_OVERHEAD_BYTES;
    const call = new GrpcCall(stream, { bytesMax, clock, logger, path, credentials });
    if (headers[':method'] !== 'POST' || !String(headers['content-type']).startsWith('application/grpc')) {
      stream.respond({ ':status': 415 }, { endStream: true });
      stream.resume();
      return;
    }
    this.#calls.add(call);
    call.onClosed(() => this.#calls.delete(call));
    try {
      call.startDeadline(headers);
      this.#methods ??= Messages.load().then((messages) => createMethods(messages, this.#options));
      const method = (await this.#methods).get(path);
      if (method === undefined)
        throw new EtcdError('unknown', { message: `unknown method ${path}`, grpcCode: 'Unimplemented' });
      const hasLeader = this.#options.maintenance.hasLeader;
      if (headers.hasleader === 'true' && !hasLeader) throw new EtcdError('noLeader');
      await method(call);
      call.finish();
    } catch (error) {
      call.fail(error);
    }
  }
}

function commonNameOf(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const name = socket.getPeerCertificate().subject?.CN;
  return typeof name === 'string' && name !== '' ? name : undefined;
}
