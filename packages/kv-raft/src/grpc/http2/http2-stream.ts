import { FRAME_BYTES_MAX, type ErrorCode } from './frames.ts';

/** What a stream tells its user. Nothing of it may throw. */
export interface StreamListener {
  /** Bytes came: `consumed` is to be called once they are dealt with. They are a view, good as long as it is kept. */
  data(chunk: Buffer): void;
  /** The client has ended its side. */
  ended(): void;
  /** Everything that was queued has gone out. */
  sent(): void;
  /** The stream is over, for whatever reason. Called once, last. */
  closed(): void;
}

/** What a stream needs of its connection. */
export interface StreamConnection {
  /** Bytes that may be sent now on all streams together; 0 while the socket is behind, too. */
  readonly sendable: number;
  sendData(stream: number, parts: readonly Uint8Array[], length: number): void;
  sendHeaders(stream: number, block: Buffer, endStream: boolean): void;
  sendReset(stream: number, code: ErrorCode): void;
  sendCredit(stream: number, bytes: number): void;
  /** Bytes of any stream were dealt with. */
  consumed(bytes: number): void;
  /** The stream has more to send than it may. */
  blocked(stream: Http2Stream): void;
  closed(stream: Http2Stream): void;
}

/** One request and its response (RFC 9113, section 5). */
export class Http2Stream {
  readonly id: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly #connection: StreamConnection;
  readonly #receiveWindowBytes: number;
  #listener: StreamListener | undefined;
  /** What may be sent; may be negative after the client made its windows smaller. */
  #sendWindow: number;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #trailers: Buffer | undefined;
  /** Bytes that came and were not dealt with yet. */
  #unconsumed = 0;
  /** Bytes that were dealt with, and that the client has not been told of. */
  #uncredited = 0;
  #remoteEnded = false;
  #localEnded = false;
  #closed = false;

  constructor(
    connection: StreamConnection,
    options: {
      readonly id: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly sendWindowBytes: number;
      readonly receiveWindowBytes: number;
    },
  ) {
    this.#connection = connection;
    this.id = options.id;
    this.headers = options.headers;
    this.#sendWindow = options.sendWindowBytes;
    this.#receiveWindowBytes = options.receiveWindowBytes;
  }

  set listener(listener: StreamListener) {
    this.#listener = listener;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }

  /** Bytes that wait until the client takes them. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Sends response headers or, to end without a body, all of them. */
  sendHeaders(block: Buffer, options: { readonly endStream: boolean }): void {
    if (this.#closed || this.#localEnded) return;
    this.#connection.sendHeaders(this.id, block, options.endStream);
    if (options.endStream) this.#endLocal();
  }

  /** Sends bytes, or queues them. They must not be changed afterwards. */
  write(parts: readonly Uint8Array[]): void {
    if (this.#closed || this.#localEnded || this.#trailers !== undefined) return;
    let length = 0;
    for (const part of parts) length += part.length;
    if (
      this.#queuedBytes === 0 &&
      length <= FRAME_BYTES_MAX &&
      length <= this.#sendWindow &&
      length <= this.#connection.sendable
    ) {
      this.#sendWindow -= length;
      this.#connection.sendData(this.id, parts, length);
      return;
    }
    for (const part of parts) if (part.length > 0) this.#queue.push(part);
    this.#queuedBytes += length;
    this.pump();
  }

  /** Ends the server's side with trailers, after all that is queued. */
  end(trailers: Buffer): void {
    if (this.#closed || this.#localEnded || this.#trailers !== undefined) return;
    this.#trailers = trailers;
    this.pump();
  }

  /** Ends the stream at once. */
  reset(code: ErrorCode): void {
    if (this.#closed) return;
    this.#connection.sendReset(this.id, code);
    this.close();
  }

  /** `bytes` of what came are dealt with: as many may come. */
  consumed(bytes: number): void {
    if (this.#closed) return;
    this.#unconsumed -= bytes;
    this.#connection.consumed(bytes);
    if (this.#remoteEnded) return;
    this.#uncredited += bytes;
    if (this.#uncredited < this.#receiveWindowBytes / 4) return;
    this.#connection.sendCredit(this.id, this.#uncredited);
    this.#uncredited = 0;
  }

  /** Sends as much of what is queued as may be sent. Called by the connection. */
  pump(): void {
    const hadQueue = this.#queuedBytes > 0;
    while (this.#queuedBytes > 0) {
      const length = Math.min(this.#queuedBytes, this.#sendWindow, this.#connection.sendable, FRAME_BYTES_MAX);
      if (length <= 0) {
        this.#connection.blocked(this);
        return;
      }
      this.#sendWindow -= length;
      this.#connection.sendData(this.id, this.#take(length), length);
    }
    if (this.#trailers !== undefined) {
      this.#connection.sendHeaders(this.id, this.#trailers, true);
      this.#endLocal();
    } else if (hadQueue) this.#listener?.sent();
  }

  #take(bytes: number): readonly Uint8Array[] {
    const taken: Uint8Array[] = [];
    let rest = bytes;
    let whole = 0;
    for (const part of this.#queue) {
      if (rest === 0) break;
      if (part.length > rest) {
        taken.push(part.subarray(0, rest));
        this.#queue[whole] = part.subarray(rest);
        rest = 0;
        break;
      }
      taken.push(part);
      rest -= part.length;
      whole++;
    }
    this.#queue.splice(0, whole);
    this.#queuedBytes -= bytes;
    return taken;
  }

  /** The client has taken `bytes`, or has changed its windows. @returns false when the window becomes too large */
  addWindow(bytes: number): boolean {
    this.#sendWindow += bytes;
    if (this.#sendWindow > 0x7fff_ffff) return false;
    if (bytes > 0) this.pump();
    return true;
  }

  /** @returns false when the client sends more than it may */
  receive(chunk: Buffer): boolean {
    this.#unconsumed += chunk.length;
    if (this.#unconsumed + this.#uncredited > this.#receiveWindowBytes) return false;
    this.#listener?.data(chunk);
    return true;
  }

  /** Bytes that count against the windows though they are nobody's: padding. */
  receivePadding(bytes: number): void {
    this.#unconsumed += bytes;
    this.consumed(bytes);
  }

  receiveEnd(): void {
    if (this.#remoteEnded) return;
    this.#remoteEnded = true;
    this.#listener?.ended();
    if (this.#localEnded) this.close();
  }

  #endLocal(): void {
    this.#localEnded = true;
    // The client has not said all, but what it would say is not wanted any more (RFC 9113, 8.1).
    if (!this.#remoteEnded) this.#connection.sendReset(this.id, 'NO_ERROR');
    this.close();
  }

  /** It is over: nothing is sent or received any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    if (this.#unconsumed > 0) this.#connection.consumed(this.#unconsumed);
    this.#connection.closed(this);
    this.#listener?.closed();
  }
}
