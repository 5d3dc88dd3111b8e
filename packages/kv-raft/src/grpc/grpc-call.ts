import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Cancel, Clock, Logger } from '@naru/component';
import { EtcdError, grpcCodes, isEtcdError } from '@naru/etcd';
import type { Credentials } from '../server/auth-guard.ts';
import { frame, FrameReader } from './frame-reader.ts';

/** How long a client may take to end its side of a stream that the server has ended. */
const LINGER_MS = 5000;

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** One call: messages come in, messages go out, a status ends it. Nothing here throws because of what a client sends. */
export class GrpcCall {
  readonly #stream: ServerHttp2Stream;
  readonly #options: {
    readonly bytesMax: number;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly path: string;
    readonly credentials: Credentials;
  };
  readonly #reader: FrameReader;
  /** Set for calls that go on until one side ends them. */
  streaming = false;
  #trailers: Record<string, string> = {};
  #finished = false;
  #cancelDeadline: Cancel | undefined;

  constructor(
    stream: ServerHttp2Stream,
    options: {
      readonly bytesMax: number;
      readonly clock: Clock;
      readonly logger: Logger;
      readonly path: string;
      readonly credentials: Credentials;
    },
  ) {
    this.#stream = stream;
    this.#options = options;
    this.#reader = new FrameReader(options.bytesMax);
    // A reset by the client, or a lost connection: `close` follows.
    stream.on('error', () => {});
    stream.on('wantTrailers', () => stream.sendTrailers(this.#trailers));
    stream.once('close', () => this.#cancelDeadline?.());
  }

  /** Who calls. */
  get credentials(): Credentials {
    return this.#options.credentials;
  }

  /** False once it is ended by either side: what is written then goes nowhere. */
  get open(): boolean {
    return !this.#finished && !this.#stream.destroyed && !this.#stream.closed;
  }

  /** Bytes that wait for the client to read. */
  get writableLength(): number {
    return this.#stream.writableLength;
  }

  onDrained(fn: () => void): void {
    this.#stream.on('drain', fn);
  }

  /** Resolves when the client has read what it was sent, or the call is over. */
  async drained(): Promise<void> {
    const stream = this.#stream;
    if (!this.open || !stream.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        stream.off('drain', end);
        stream.off('close', end);
        resolve();
      };
      stream.on('drain', end);
      stream.on('close', end);
    });
  }

  /** Calls back once when the call is over for whatever reason. */
  onClosed(fn: () => void): void {
    if (this.#stream.destroyed) fn();
    else this.#stream.once('close', fn);
  }

  /** Heeds the client's deadline. @throws EtcdError for one that is malformed */
  startDeadline(headers: IncomingHttpHeaders): void {
    const timeout = headers['grpc-timeout'];
    if (timeout === undefined) return;
    const [, digits, unit] = /^(\d{1,8})([HMSmun])$/u.exec(String(timeout)) ?? [];
    if (digits === undefined || unit === undefined)
      throw new EtcdError('invalidRequest', { message: 'malformed grpc-timeout', grpcCode: 'Internal' });
    this.#cancelDeadline = this.#options.clock.after(Math.ceil(Number(digits) * (unitMs[unit] ?? 1)), () =>
      this.fail(new EtcdError('timeout', { message: 'context deadline exceeded', grpcCode: 'DeadlineExceeded' })),
    );
  }

  /** The client's messages until it ends its side; reading is the backpressure. @throws EtcdError */
  async *messages(): AsyncGenerator<Buffer, void, undefined> {
    // Who stops reading because of an error has yet to tell it.
    const chunks = this.#stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    for await (const chunk of chunks) {
      for (const message of this.#reader.push(chunk)) yield message;
      if (!this.open) return;
    }
    if (!this.#reader.idle && this.open)
      throw new EtcdError('invalidRequest', { message: 'unexpected EOF', grpcCode: 'Internal' });
  }

  /** Tells the client that the call is taken, before there is a message. */
  begin(): void {
    if (!this.open || this.#stream.headersSent) return;
    this.#stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  }

  write(...parts: readonly Uint8Array[]): void {
    if (!this.open) return;
    this.begin();
    this.#stream.write(frame(parts));
  }

  /** Ends the call well. */
  finish(): void {
    this.#finish('0', '');
  }

  /** Ends the call with an error; what is no EtcdError is logged, not told. */
  fail(error: unknown): void {
    if (!this.open) return;
    let known = isEtcdError(error) ? error : undefined;
    if (known === undefined) {
      this.#options.logger.error({ err: error, path: this.#options.path }, 'request failed');
      known = new EtcdError('unknown', { message: 'etcdserver: internal error' });
    }
    this.#finish(String(grpcCodes[known.grpcCode]), known.message);
  }

  #finish(status: string, message: string): void {
    if (!this.open) return;
    const stream = this.#stream;
    this.#finished = true;
    this.#cancelDeadline?.();
    this.#trailers = { 'grpc-status': status, 'grpc-message': percentEncode(message) };
    if (stream.headersSent) stream.end();
    else stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...this.#trailers }, { endStream: true });
    if (stream.readableEnded) return;
    // What still comes is dropped; a client that never ends its side is cut off.
    stream.resume();
    const cancel = this.#options.clock.after(LINGER_MS, () => stream.close(constants.NGHTTP2_NO_ERROR));
    stream.once('close', cancel);
  }
}

/** As gRPC wants a message in a header: printable ASCII but `%`, the rest percent-encoded in UTF-8. */
export function percentEncode(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text))
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return encoded;
}
