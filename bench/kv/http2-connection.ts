import { connect, type Socket } from 'node:net';

/*
 * A gRPC client that costs next to nothing, so that on a small machine the server is what is measured: header blocks are
 * prepared, responses' headers are not decoded. A message followed by trailers is a success, trailers alone are a failure.
 *
 *     frame   = length:u24be type:u8 flags:u8 stream:u32be payload        (RFC 9113, section 4.1)
 *     message = compressed:u8 length:u32be bytes                          (gRPC over HTTP/2)
 */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const HEAD_BYTES = 9;
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const INITIAL_WINDOW_SIZE = 4;
const WINDOW_BYTES = 2 ** 31 - 1;
const WINDOW_DEFAULT_BYTES = 65_535;
/** The connection's window is opened again when this much was received. */
const REPLENISH_BYTES = 2 ** 24;

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, HEAD_BYTES);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function literal(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
}

/** A HPACK block of a call: indexed `:method POST` and `:scheme http`, the rest literals without indexing (RFC 7541, 6.2.2). */
function headerBlock(path: string, authority: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x83, 0x86, 0x04]),
    literal(path),
    Buffer.from([0x01]),
    literal(authority),
    Buffer.from([0x0f, 0x10]),
    literal('application/grpc'),
    Buffer.from([0x00]),
    literal('te'),
    literal('trailers'),
  ]);
}

/** With the head of a gRPC message before it. */
export function grpcMessage(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export interface CallHandlers {
  /** A whole message; good until the call returns. */
  readonly message: (bytes: Buffer) => void;
  /** `trailers` as they came: readable where the server does not compress them. */
  readonly end: (trailers: Buffer) => void;
}

interface Call extends CallHandlers {
  partial: Buffer | undefined;
}

/** One connection. Any failure ends the process that measures, as figures with failures mean nothing: `failed` is called. */
export class Http2Connection {
  readonly #socket: Socket;
  readonly #authority: string;
  readonly #failed: (error: Error) => void;
  readonly #calls = new Map<number, Call>();
  readonly #blocks = new Map<string, Buffer>();
  #stream = 1;
  #rest: Buffer = Buffer.alloc(0);
  #received = 0;
  #sendWindow = WINDOW_DEFAULT_BYTES;
  /** DATA frames that wait for the window to open. */
  readonly #waiting: Buffer[] = [];
  #corked = false;

  private constructor(socket: Socket, authority: string, failed: (error: Error) => void) {
    this.#socket = socket;
    this.#authority = authority;
    this.#failed = failed;
    const windowSize = Buffer.alloc(6);
    windowSize.writeUInt16BE(INITIAL_WINDOW_SIZE);
    windowSize.writeUInt32BE(WINDOW_BYTES, 2);
    this.#write(PREFACE);
    this.#write(frame(SETTINGS, 0, 0, windowSize));
    this.#write(frame(WINDOW_UPDATE, 0, 0, uint32(WINDOW_BYTES - WINDOW_DEFAULT_BYTES)));
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', failed);
    socket.on('close', () => failed(new Error('connection closed')));
  }

  static async open(url: string, failed: (error: Error) => void): Promise<Http2Connection> {
    const { hostname, port, host } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Http2Connection(socket, host, failed);
  }

  /** Starts a call with one message; `last`: and ends the client's side. */
  call(path: string, message: Buffer, options: { readonly last: boolean }, handlers: CallHandlers): void {
    const stream = this.#stream;
    this.#stream += 2;
    this.#calls.set(stream, { ...handlers, partial: undefined });
    let block = this.#blocks.get(path);
    if (block === undefined) this.#blocks.set(path, (block = headerBlock(path, this.#authority)));
    this.#write(frame(HEADERS, END_HEADERS, stream, block));
    this.#waiting.push(frame(DATA, options.last ? END_STREAM : 0, stream, message));
    this.#sendWaiting();
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  #sendWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const bytes = next.length - HEAD_BYTES;
      if (bytes > this.#sendWindow) return;
      this.#sendWindow -= bytes;
      this.#write(next);
      this.#waiting.shift();
    }
  }

  /** What is written in one turn goes out together. */
  #write(bytes: Buffer): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  #receive(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (data.length - at >= HEAD_BYTES) {
      const end = at + HEAD_BYTES + data.readUIntBE(at, 3);
      if (end > data.length) break;
      const stream = data.readUInt32BE(at + 5);
      this.#frame(data[at + 3] ?? 0, data[at + 4] ?? 0, stream, data.subarray(at + HEAD_BYTES, end));
      at = end;
    }
    this.#rest = data.subarray(at);
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    switch (type) {
      case DATA:
        this.#data(stream, payload);
        if ((flags & END_STREAM) !== 0) this.#end(stream, Buffer.alloc(0));
        return;
      case HEADERS:
        if ((flags & END_STREAM) !== 0) this.#end(stream, payload);
        return;
      case SETTINGS:
        if ((flags & ACK) === 0) this.#write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
        return;
      case PING:
        if ((flags & ACK) === 0) this.#write(frame(PING, ACK, 0, payload));
        return;
      case WINDOW_UPDATE:
        if (stream === 0) this.#sendWindow += payload.readUInt32BE(0);
        this.#sendWaiting();
        return;
      case RST_STREAM:
      case GOAWAY:
        this.#failed(new Error(`server sent frame ${type}: ${payload.toString('hex')}`));
        return;
      default:
    }
  }

  #data(stream: number, payload: Buffer): void {
    this.#received += payload.length;
    if (this.#received > REPLENISH_BYTES) {
      this.#write(frame(WINDOW_UPDATE, 0, 0, uint32(this.#received)));
      this.#received = 0;
    }
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    let bytes = call.partial === undefined ? payload : Buffer.concat([call.partial, payload]);
    while (bytes.length >= 5) {
      const end = 5 + bytes.readUInt32BE(1);
      if (bytes.length < end) break;
      call.message(bytes.subarray(5, end));
      bytes = bytes.subarray(end);
    }
    call.partial = bytes.length === 0 ? undefined : Buffer.from(bytes);
  }

  #end(stream: number, trailers: Buffer): void {
    const call = this.#calls.get(stream);
    this.#calls.delete(stream);
    call?.end(trailers);
  }
}
