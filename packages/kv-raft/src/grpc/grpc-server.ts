import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Clock, Logger } from '@naru/component';
import { EtcdError } from '@naru/etcd';
import { credentialsOf } from '../server/auth-guard.ts';
import { GrpcCall } from './grpc-call.ts';
import { encodeHeaders } from './http2/hpack-encoder.ts';
import { Http2Connection } from './http2/http2-connection.ts';
import type { Http2Stream } from './http2/http2-stream.ts';
import { Messages } from './messages.ts';
import { createMethods, type GrpcServices, type Method } from './methods.ts';

/** Bytes that a message may have beyond its command's limit, as etcd has it. */
const MESSAGE_OVERHEAD_BYTES = 512 * 1024;
/** Calls at one time on one connection, those included that the client has given up and that are still at work. */
const STREAMS_MAX = 10_000;
const DRAIN_TIMEOUT_MS = 1500;

const unsupportedMediaType = encodeHeaders([[':status', '415']]);

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
  readonly #connections = new Set<Http2Connection>();
  readonly #calls = new Set<GrpcCall>();
  #methods: Promise<ReadonlyMap<string, Method>> | undefined;
  #allClosed = (): void => undefined;
  #stopped = false;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
  }

  /** Takes a connection whose client begins with HTTP/2's preface. */
  accept(socket: Socket): void {
    if (this.#stopped) {
      socket.destroy();
      return;
    }
    const commonName = this.#options.clientCertAuth ? commonNameOf(socket) : undefined;
    let running = 0;
    const connection = new Http2Connection(socket, {
      streamsMax: STREAMS_MAX,
      onStream: (stream) => {
        if (running >= STREAMS_MAX) {
          stream.reset('REFUSED_STREAM');
          return;
        }
        running++;
        void this.#serve(stream, commonName).finally(() => running--);
      },
      onClosed: (error) => {
        if (error !== undefined) this.#options.logger.debug({ err: error }, 'http2 connection failed');
        this.#connections.delete(connection);
        if (this.#connections.size === 0) this.#allClosed();
      },
    });
    this.#connections.add(connection);
  }

  /** Ends streams and connections; calls in flight have a moment to be answered. Nothing is accepted any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    if (this.#connections.size === 0) return;
    const closed = new Promise<void>((resolve) => (this.#allClosed = resolve));
    for (const connection of this.#connections) connection.close();
    for (const call of this.#calls) if (call.streaming) call.fail(new EtcdError('stopped'));
    const force = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, DRAIN_TIMEOUT_MS);
    await closed;
    clearTimeout(force);
  }

  /** Never rejects. */
  async #serve(stream: Http2Stream, commonName: string | undefined): Promise<void> {
    const { headers } = stream;
    const path = headers[':path'] ?? '';
    const { requestBytesMax, clock, logger } = this.#options;
    if (headers[':method'] !== 'POST' || headers['content-type']?.startsWith('application/grpc') !== true) {
      stream.sendHeaders(unsupportedMediaType, { endStream: true });
      return;
    }
    const credentials = credentialsOf(headers, commonName);
    const bytesMax = requestBytesMax + MESSAGE_OVERHEAD_BYTES;
    const call = new GrpcCall(stream, { bytesMax, clock, logger, path, credentials });
    this.#calls.add(call);
    call.onClosed(() => this.#calls.delete(call));
    try {
      call.startDeadline(headers['grpc-timeout']);
      this.#methods ??= Messages.load().then((messages) => createMethods(messages, this.#options));
      const method = (await this.#methods).get(path);
      if (method === undefined)
        throw new EtcdError('unknown', { message: `unknown method ${path}`, grpcCode: 'Unimplemented' });
      const hasLeader = this.#options.maintenance.hasLeader;
      if (headers['hasleader'] === 'true' && !hasLeader) throw new EtcdError('noLeader');
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
