import { SpdyHeaders } from './spdy-headers.ts';

const frameTypes = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7 } as const;
const statuses = { protocolError: 1, refusedStream: 3 } as const;
const FLAG_FIN = 1;
const VERSION = 3;
const HEADER_BYTES = 8;
/** Longer frames end the session; kubectl's have at most 32 KiB. */
const FRAME_BYTES_MAX = 1024 * 1024;
/** Compressed headers of a stream; kubectl's have some 100 bytes. */
const HEADERS_BYTES_MAX = 16 * 1024;
/** Streams at a time; more are refused. */
const STREAMS_MAX = 512;

export interface SpdySessionOptions {
  /** Sends to the other side; a promise when it should be waited for. */
  readonly send: (bytes: Buffer) => Promise<void> | undefined;
  readonly onStream: (stream: SpdyStream) => void;
}

/** A stream that the client opened. */
export class SpdyStream {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  /** The session waits for it, and so does the client. */
  onData: (chunk: Buffer) => Promise<void> | undefined = () => undefined;
  /** The client has no more to say. */
  onEnd: () => void = () => undefined;
  /** The client does not want it any more. */
  onReset: () => void = () => undefined;
  readonly #send: SpdySessionOptions['send'];
  readonly #onClosed: () => void;
  #ended = false;
  #heardAll = false;

  constructor(
    id: number,
    headers: ReadonlyMap<string, string>,
    session: { readonly send: SpdySessionOptions['send']; readonly onClosed: () => void },
  ) {
    this.id = id;
    this.headers = headers;
    this.#send = session.send;
    this.#onClosed = session.onClosed;
  }

  write(chunk: Buffer): Promise<void> | undefined {
    return this.#ended ? undefined : this.#send(dataFrame(this.id, chunk, 0));
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    void this.#send(dataFrame(this.id, Buffer.alloc(0), FLAG_FIN));
    if (this.#heardAll) this.#onClosed();
  }

  /** To be called by the session. */
  async receive(chunk: Buffer, isLast: boolean): Promise<void> {
    if (this.#heardAll) return;
    if (chunk.length > 0) await this.onData(chunk);
    if (!isLast) return;
    this.#heardAll = true;
    this.onEnd();
    if (this.#ended) this.#onClosed();
  }

  /** To be called by the session. */
  reset(): void {
    this.#ended = true;
    this.#heardAll = true;
    this.onReset();
    this.#onClosed();
  }
}

/**
 * The server's side of SPDY/3.1 as far as client-go speaks it: streams that the client opens, without flow control and
 * without priorities. One frame after the other: a stream whose reader is slow holds up the session.
 */
export class SpdySession implements Disposable {
  readonly #options: SpdySessionOptions;
  readonly #headers = new SpdyHeaders();
  readonly #streams = new Map<number, SpdyStream>();
  #rest: Buffer = Buffer.alloc(0);

  constructor(options: SpdySessionOptions) {
    this.#options = options;
  }

  /** Takes bytes of the client, in order; calls must not overlap. Rejects when they are no SPDY. */
  async receive(bytes: Buffer): Promise<void> {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (rest.length >= HEADER_BYTES) {
      const length = rest.readUIntBE(5, 3);
      if (length > FRAME_BYTES_MAX) throw new Error(`SPDY: a frame of ${length} bytes`);
      if (rest.length < HEADER_BYTES + length) break;
      const frame = rest.subarray(0, HEADER_BYTES + length);
      rest = rest.subarray(HEADER_BYTES + length);
      await this.#onFrame(frame, frame.subarray(HEADER_BYTES), ((frame[4] ?? 0) & FLAG_FIN) !== 0);
    }
    this.#rest = rest;
  }

  [Symbol.dispose](): void {
    for (const stream of this.#streams.values()) stream.reset();
    this.#headers[Symbol.dispose]();
  }

  async #onFrame(frame: Buffer, payload: Buffer, isLast: boolean): Promise<void> {
    if (((frame[0] ?? 0) & 0x80) === 0) {
      await this.#streams.get(frame.readUInt32BE(0))?.receive(payload, isLast);
      return;
    }
    if ((frame.readUInt16BE(0) & 0x7fff) !== VERSION) throw new Error('SPDY: not version 3');
    switch (frame.readUInt16BE(2)) {
      case frameTypes.synStream:
        await this.#onSynStream(payload, isLast);
        return;
      case frameTypes.rstStream:
        this.#streams.get(payload.readUInt32BE(0))?.reset();
        return;
      case frameTypes.ping:
        void this.#options.send(controlFrame(frameTypes.ping, payload));
        return;
      default:
      // Settings, windows and the goodbye change nothing here; clients have no replies and headers to send.
    }
  }

  async #onSynStream(payload: Buffer, isLast: boolean): Promise<void> {
    const id = payload.readUInt32BE(0);
    const block = payload.subarray(10);
    if (block.length > HEADERS_BYTES_MAX) throw new Error(`SPDY: ${block.length} bytes of headers`);
    // Decoded in any case: the next block builds on it.
    const headers = await this.#headers.decode(block);
    const { send, onStream } = this.#options;
    if (this.#streams.has(id) || this.#streams.size >= STREAMS_MAX) {
      const status = this.#streams.has(id) ? statuses.protocolError : statuses.refusedStream;
      void send(controlFrame(frameTypes.rstStream, integers(id, status)));
      return;
    }
    const stream = new SpdyStream(id, headers, { send, onClosed: () => this.#streams.delete(id) });
    this.#streams.set(id, stream);
    const reply = await this.#headers.encode(new Map());
    void send(controlFrame(frameTypes.synReply, Buffer.concat([integers(id), reply])));
    onStream(stream);
    if (isLast) await stream.receive(Buffer.alloc(0), true);
  }
}

function integers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i);
  return bytes;
}

function controlFrame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function dataFrame(id: number, payload: Buffer, flags: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32BE(id, 0);
  head[4] = flags;
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}
