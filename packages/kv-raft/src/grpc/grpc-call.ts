import type { Cancel, Clock, Logger } from '@naru/component';
import { EtcdError, grpcCodes, isEtcdError } from '@naru/etcd';
import type { Credentials } from '../server/auth-guard.ts';
import { FrameReader, messageHead } from './frame-reader.ts';
import { encodeHeaders } from './http2/hpack-encoder.ts';
import type { Http2Stream, StreamListener } from './http2/http2-stream.ts';

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

const responseHeaders = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
] as const;
const responseBlock = encodeHeaders(responseHeaders);
const okBlock = encodeHeaders(trailers('0', ''));

function trailers(status: string, message: string): readonly (readonly [name: string, value: string])[] {
  return [
    ['grpc-status', status],
    ['grpc-message', percentEncode(message)],
  ];
}

/** One call: messages come in, messages go out, a status ends it. Nothing here throws because of what a client sends. */
export class GrpcCall implements StreamListener {
  readonly #stream: Http2Stream;
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
  /** Messages that came and were not taken yet. */
  readonly #messages: Buffer[] = [];
  /** Bytes of them: the client may send no more until they are taken. */
  #untakenBytes = 0;
  #inputEnded = false;
  #inputError: unknown;
  /** Who waits for more input. */
  #moreInput: (() => void) | undefined;
  #headersSent = false;
  #finished = false;
  #cancelDeadline: Cancel | undefined;
  #onDrained: (() => void) | undefined;
  #resolveDrained: (() => void) | undefined;
  readonly #onClosed: (() => void)[] = [];

  constructor(
    stream: Http2Stream,
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
    stream.listener = this;
  }

  /** Who calls. */
  get credentials(): Credentials {
    return this.#options.credentials;
  }

  /** False once it is ended by either side: what is written then goes nowhere. */
  get open(): boolean {
    return !this.#finished && !this.#stream.isClosed;
  }

  /** Bytes that wait for the client to read. */
  get writableLength(): number {
    return this.#stream.queuedBytes;
  }

  onDrained(fn: () => void): void {
    this.#onDrained = fn;
  }

  /** Resolves when the client has read what it was sent, or the call is over. */
  async drained(): Promise<void> {
    if (!this.open || this.#stream.queuedBytes === 0) return;
    await new Promise<void>((resolve) => (this.#resolveDrained = resolve));
  }

  /** Calls back once when the call is over for whatever reason. */
  onClosed(fn: () => void): void {
    if (this.#stream.isClosed) fn();
    else this.#onClosed.push(fn);
  }

  /** Heeds the client's deadline. @throws EtcdError for one that is malformed */
  startDeadline(timeout: string | undefined): void {
    if (timeout === undefined) return;
    const [, digits, unit] = /^(\d{1,8})([HMSmun])$/u.exec(timeout) ?? [];
    if (digits === undefined || unit === undefined)
      throw new EtcdError('invalidRequest', { message: 'malformed grpc-timeout', grpcCode: 'Internal' });
    this.#cancelDeadline = this.#options.clock.after(Math.ceil(Number(digits) * (unitMs[unit] ?? 1)), () =>
      this.fail(new EtcdError('timeout', { message: 'context deadline exceeded', grpcCode: 'DeadlineExceeded' })),
    );
  }

  data(chunk: Buffer): void {
    this.#untakenBytes += chunk.length;
    try {
      if (this.#inputError === undefined) for (const message of this.#reader.push(chunk)) this.#messages.push(message);
    } catch (error) {
      this.#inputError = error;
    }
    this.#wakeReader();
    if (this.#messages.length === 0) this.#taken();
  }

  ended(): void {
    this.#inputEnded = true;
    this.#wakeReader();
  }

  sent(): void {
    this.#onDrained?.();
    this.#resolveDrained?.();
  }

  closed(): void {
    this.#cancelDeadline?.();
    this.#wakeReader();
    this.#resolveDrained?.();
    for (const fn of this.#onClosed) fn();
  }

  #wakeReader(): void {
    const wake = this.#moreInput;
    this.#moreInput = undefined;
    wake?.();
  }

  /** All that came was taken: the client may send more. */
  #taken(): void {
    if (this.#untakenBytes === 0) return;
    this.#stream.consumed(this.#untakenBytes);
    this.#untakenBytes = 0;
  }

  /** The next message; undefined when the client has ended its side, or the call is over. @throws EtcdError */
  async #next(): Promise<Buffer | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#inputError !== undefined) throw this.#inputError;
      if (!this.open) return undefined;
      if (this.#inputEnded) {
        if (this.#reader.idle) return undefined;
        throw new EtcdError('invalidRequest', { message: 'unexpected EOF', grpcCode: 'Internal' });
      }
      this.#taken();
      await new Promise<void>((resolve) => (this.#moreInput = resolve));
    }
  }

  /** The client's messages until it ends its side; reading is the backpressure. @throws EtcdError */
  async *messages(): AsyncGenerator<Buffer, void, undefined> {
    for (let message = await this.#next(); message !== undefined; message = await this.#next()) yield message;
  }

  /** The request of a call that has one. @throws EtcdError */
  async onlyMessage(): Promise<Buffer> {
    const only = await this.#next();
    if (only === undefined)
      throw new EtcdError('invalidRequest', { message: 'no request message', grpcCode: 'Internal' });
    if (!(this.#inputEnded && this.#messages.length === 0 && this.#reader.idle) && (await this.#next()) !== undefined)
      throw new EtcdError('invalidRequest', { message: 'more than one request message', grpcCode: 'Internal' });
    return only;
  }

  /** Tells the client that the call is taken, before there is a message. */
  begin(): void {
    if (!this.open || this.#headersSent) return;
    this.#headersSent = true;
    this.#stream.sendHeaders(responseBlock, { endStream: false });
  }

  /** Sends a message that is the parts joined. */
  write(...parts: readonly Uint8Array[]): void {
    if (!this.open) return;
    this.begin();
    this.#stream.write([messageHead(parts), ...parts]);
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
    this.#finished = true;
    this.#cancelDeadline?.();
    this.#wakeReader();
    if (this.#headersSent) this.#stream.end(status === '0' ? okBlock : encodeHeaders(trailers(status, message)));
    else
      this.#stream.sendHeaders(encodeHeaders([...responseHeaders, ...trailers(status, message)]), { endStream: true });
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
