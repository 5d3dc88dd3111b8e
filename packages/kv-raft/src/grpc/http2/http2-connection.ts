import type { Socket } from 'node:net';
import {
  errorCodes,
  flags,
  frame,
  FRAME_BYTES_MAX,
  FRAME_HEAD_BYTES,
  FrameCutter,
  frameTypes,
  Http2Error,
  numbersFrame,
  PREFACE,
  settings,
  settingsFrame,
  writeFrameHead,
  type ErrorCode,
} from './frames.ts';
import { HpackDecoder, HpackError } from './hpack-decoder.ts';
import { Http2Stream, type StreamConnection } from './http2-stream.ts';

const WINDOW_DEFAULT_BYTES = 65_535;
const WINDOW_MAX_BYTES = 0x7fff_ffff;
/** What one stream may send before it is dealt with. */
const STREAM_WINDOW_BYTES = 1 << 20;
/** What all streams of a connection together may send before it is dealt with: the bound of memory for a client's requests. */
const CONNECTION_WINDOW_BYTES = 16 << 20;
/** While more waits in the socket, streams keep what they have to send. */
const SOCKET_BACKLOG_BYTES_MAX = 1 << 20;
/** A client that asks for answers (pings, settings) but does not read them is cut off. */
const SOCKET_BACKLOG_BYTES_LIMIT = 8 << 20;
/** Of one request's headers, encoded and decoded. */
const HEADER_BYTES_MAX = 64 << 10;
/** What goes out in one turn and is not larger is copied into one piece. */
const COALESCE_BYTES_MAX = 256 << 10;

export interface Http2ConnectionOptions {
  /** Streams at one time. */
  readonly streamsMax: number;
  /** A request's headers have come. Must not throw. */
  readonly onStream: (stream: Http2Stream) => void;
  /** The connection is over; a client's mistake, if that is why. */
  readonly onClosed: (error: Http2Error | undefined) => void;
}

interface HeaderBlock {
  readonly stream: number;
  readonly endStream: boolean;
  readonly parts: Buffer[];
  bytes: number;
}

/**
 * The server's side of HTTP/2 (RFC 9113), as much as gRPC needs: no push, no priorities, no upgrade. In the place of
 * node:http2 because that spends more time on a small call than all the rest of a put takes, and because it refuses the
 * authorities that etcdctl 3.4 sends.
 */
export class Http2Connection implements StreamConnection {
  readonly #socket: Socket;
  readonly #options: Http2ConnectionOptions;
  readonly #cutter = new FrameCutter();
  readonly #hpack = new HpackDecoder(HEADER_BYTES_MAX);
  readonly #streams = new Map<number, Http2Stream>();
  /** Streams with something to send that they may not. */
  readonly #blocked = new Set<Http2Stream>();
  #preface: Buffer | undefined = Buffer.alloc(0);
  #isFirstFrame = true;
  #lastStream = 0;
  #block: HeaderBlock | undefined;
  #sendWindow = WINDOW_DEFAULT_BYTES;
  #peerStreamWindow = WINDOW_DEFAULT_BYTES;
  /** Bytes that came and are not dealt with yet. */
  #received = 0;
  /** Bytes that were dealt with, and that the client has not been told of. */
  #uncredited = 0;
  #out: Uint8Array[] = [];
  #outBytes = 0;
  #flushScheduled = false;
  #closing = false;
  #closed = false;

  constructor(socket: Socket, options: Http2ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setNoDelay(true);
    this.#write(
      settingsFrame([
        [settings.MAX_CONCURRENT_STREAMS, options.streamsMax],
        [settings.INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES],
        [settings.MAX_HEADER_LIST_SIZE, HEADER_BYTES_MAX],
      ]),
    );
    this.#write(numbersFrame(frameTypes.WINDOW_UPDATE, 0, CONNECTION_WINDOW_BYTES - WINDOW_DEFAULT_BYTES));
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => this.#pumpBlocked());
    // A lost connection: `close` follows.
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.once('close', () => this.#end(undefined));
  }

  /** Takes no more requests, and ends when those that are there are done. */
  close(): void {
    if (this.#closing || this.#closed) return;
    this.#closing = true;
    this.#write(numbersFrame(frameTypes.GOAWAY, 0, this.#lastStream, errorCodes.NO_ERROR));
    this.#endIfIdle();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get sendable(): number {
    return this.#socket.writableLength + this.#outBytes > SOCKET_BACKLOG_BYTES_MAX ? 0 : this.#sendWindow;
  }

  sendData(stream: number, parts: readonly Uint8Array[], length: number): void {
    this.#sendWindow -= length;
    const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES);
    writeFrameHead(head, 0, frameTypes.DATA, 0, stream, length);
    this.#write(head);
    for (const part of parts) this.#write(part);
  }

  sendHeaders(stream: number, block: Buffer, endStream: boolean): void {
    const flag = flags.END_HEADERS | (endStream ? flags.END_STREAM : 0);
    this.#write(frame(frameTypes.HEADERS, flag, stream, block));
  }

  sendReset(stream: number, code: ErrorCode): void {
    this.#write(numbersFrame(frameTypes.RST_STREAM, stream, errorCodes[code]));
  }

  sendCredit(stream: number, bytes: number): void {
    this.#write(numbersFrame(frameTypes.WINDOW_UPDATE, stream, bytes));
  }

  consumed(bytes: number): void {
    this.#received -= bytes;
    this.#uncredited += bytes;
    if (this.#uncredited < CONNECTION_WINDOW_BYTES / 4 || this.#closed) return;
    this.#write(numbersFrame(frameTypes.WINDOW_UPDATE, 0, this.#uncredited));
    this.#uncredited = 0;
  }

  blocked(stream: Http2Stream): void {
    this.#blocked.add(stream);
  }

  closed(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#blocked.delete(stream);
    if (this.#closing) this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (this.#streams.size > 0 || this.#closed) return;
    this.#flush();
    this.#socket.end();
  }

  /** What is written in one turn of the event loop goes out together, when the turn ends. */
  #write(bytes: Uint8Array): void {
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(() => this.#flush());
  }

  #flush(): void {
    this.#flushScheduled = false;
    const out = this.#out;
    if (out.length === 0) return;
    const bytes = this.#outBytes;
    this.#out = [];
    this.#outBytes = 0;
    const socket = this.#socket;
    if (!socket.writable) return;
    if (socket.writableLength > SOCKET_BACKLOG_BYTES_LIMIT) {
      this.#end(new Http2Error('ENHANCE_YOUR_CALM', 'client does not read'));
      return;
    }
    if (out.length === 1) socket.write(out[0] as Uint8Array);
    else if (bytes <= COALESCE_BYTES_MAX) socket.write(Buffer.concat(out, bytes));
    else {
      socket.cork();
      for (const each of out) socket.write(each);
      socket.uncork();
    }
  }

  #pumpBlocked(): void {
    if (this.#blocked.size === 0) return;
    const streams = [...this.#blocked];
    this.#blocked.clear();
    for (const stream of streams) if (!stream.isClosed) stream.pump();
  }

  #receive(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      const data = this.#preface === undefined ? chunk : this.#readPreface(chunk);
      if (data !== undefined)
        this.#cutter.push(data, (type, flag, stream, payload) => this.#frame(type, flag, stream, payload));
    } catch (error) {
      if (error instanceof Http2Error) this.#end(error);
      else if (error instanceof HpackError) this.#end(new Http2Error('COMPRESSION_ERROR', error.message));
      else throw error;
    }
  }

  /** @returns what comes after the preface, once that is whole */
  #readPreface(chunk: Buffer): Buffer | undefined {
    const seen = Buffer.concat([this.#preface ?? PREFACE, chunk]);
    this.#preface = seen;
    const length = Math.min(seen.length, PREFACE.length);
    if (!seen.subarray(0, length).equals(PREFACE.subarray(0, length)))
      throw new Http2Error('PROTOCOL_ERROR', 'no preface');
    if (seen.length < PREFACE.length) return undefined;
    this.#preface = undefined;
    return seen.subarray(PREFACE.length);
  }

  /** Tells the client what it did wrong, if anything, and ends the connection with all its streams. */
  #end(error: Http2Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    if (error !== undefined && this.#socket.writable) {
      this.#out.push(numbersFrame(frameTypes.GOAWAY, 0, this.#lastStream, errorCodes[error.code]));
      this.#socket.end(Buffer.concat(this.#out));
      this.#socket.destroySoon();
    }
    this.#out = [];
    this.#outBytes = 0;
    for (const stream of this.#streams.values()) stream.close();
    this.#options.onClosed(error);
  }

  #frame(type: number, flag: number, stream: number, payload: Buffer): void {
    if (this.#closed) return;
    if (this.#isFirstFrame && type !== frameTypes.SETTINGS) throw new Http2Error('PROTOCOL_ERROR', 'no settings');
    this.#isFirstFrame = false;
    if (this.#block !== undefined && (type !== frameTypes.CONTINUATION || stream !== this.#block.stream))
      throw new Http2Error('PROTOCOL_ERROR', 'headers are interrupted');
    switch (type) {
      case frameTypes.DATA:
        this.#dataFrame(flag, stream, payload);
        return;
      case frameTypes.HEADERS:
        this.#headersFrame(flag, stream, payload);
        return;
      case frameTypes.CONTINUATION:
        this.#continuationFrame(flag, payload);
        return;
      case frameTypes.RST_STREAM:
        this.#checkStream(stream, payload.length === 4);
        this.#streams.get(stream)?.close();
        return;
      case frameTypes.SETTINGS:
        this.#settingsFrame(flag, stream, payload);
        return;
      case frameTypes.PING:
        checkSize(payload.length === 8);
        if (stream !== 0) throw new Http2Error('PROTOCOL_ERROR', 'ping of a stream');
        if ((flag & flags.ACK) === 0) this.#write(frame(frameTypes.PING, flags.ACK, 0, payload));
        return;
      case frameTypes.WINDOW_UPDATE:
        this.#windowFrame(stream, payload);
        return;
      case frameTypes.PUSH_PROMISE:
        throw new Http2Error('PROTOCOL_ERROR', 'clients do not push');
      default:
      // Priorities are not used; a client that goes away ends its connection; what is unknown is ignored (4.1).
    }
  }

  /** A frame about a stream that exists, or has existed. */
  #checkStream(stream: number, isSizeRight: boolean): void {
    checkSize(isSizeRight);
    if (stream === 0 || stream > this.#lastStream) throw new Http2Error('PROTOCOL_ERROR', 'frame of an idle stream');
  }

  #dataFrame(flag: number, id: number, payload: Buffer): void {
    this.#checkStream(id, true);
    const data = (flag & flags.PADDED) === 0 ? payload : unpad(payload);
    this.#received += payload.length;
    if (this.#received + this.#uncredited > CONNECTION_WINDOW_BYTES)
      throw new Http2Error('FLOW_CONTROL_ERROR', 'more than the window');
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.remoteEnded) {
      // It was reset, and the client may not know yet.
      this.consumed(payload.length);
      return;
    }
    if (payload.length > data.length) stream.receivePadding(payload.length - data.length);
    if (data.length > 0 && !stream.receive(data)) {
      stream.reset('FLOW_CONTROL_ERROR');
      return;
    }
    if ((flag & flags.END_STREAM) !== 0) stream.receiveEnd();
  }

  #headersFrame(flag: number, stream: number, payload: Buffer): void {
    if (stream % 2 === 0) throw new Http2Error('PROTOCOL_ERROR', 'not a stream of a client');
    let fragment = (flag & flags.PADDED) === 0 ? payload : unpad(payload);
    if ((flag & flags.PRIORITY) !== 0) {
      checkSize(fragment.length >= 5);
      fragment = fragment.subarray(5);
    }
    const block = { stream, endStream: (flag & flags.END_STREAM) !== 0, parts: [fragment], bytes: fragment.length };
    if ((flag & flags.END_HEADERS) === 0) this.#block = block;
    else this.#headers(block);
  }

  #continuationFrame(flag: number, payload: Buffer): void {
    const block = this.#block;
    if (block === undefined) throw new Http2Error('PROTOCOL_ERROR', 'continuation of nothing');
    block.parts.push(payload);
    // An empty one costs something, too.
    block.bytes += payload.length + FRAME_HEAD_BYTES;
    if (block.bytes > HEADER_BYTES_MAX) throw new Http2Error('ENHANCE_YOUR_CALM', 'headers are too large');
    if ((flag & flags.END_HEADERS) === 0) return;
    this.#block = undefined;
    this.#headers(block);
  }

  #headers(block: HeaderBlock): void {
    const { parts, endStream, stream: id } = block;
    // Whatever becomes of it: the table must stay the client's.
    const list = this.#hpack.decode(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
    if (id <= this.#lastStream) {
      // Trailers, of no use to gRPC's servers.
      if (endStream) this.#streams.get(id)?.receiveEnd();
      return;
    }
    this.#lastStream = id;
    const headers: Record<string, string> = Object.create(null) as Record<string, string>;
    for (const [name, value] of list) {
      const before = headers[name];
      headers[name] = before === undefined ? value : `${before}, ${value}`;
    }
    if (this.#closing || this.#streams.size >= this.#options.streamsMax) {
      this.sendReset(id, 'REFUSED_STREAM');
      return;
    }
    if (headers[':method'] === undefined || headers[':path'] === undefined) {
      this.sendReset(id, 'PROTOCOL_ERROR');
      return;
    }
    const windows = { sendWindowBytes: this.#peerStreamWindow, receiveWindowBytes: STREAM_WINDOW_BYTES };
    const stream = new Http2Stream(this, { id, headers, ...windows });
    this.#streams.set(id, stream);
    this.#options.onStream(stream);
    if (endStream) stream.receiveEnd();
  }

  #settingsFrame(flag: number, stream: number, payload: Buffer): void {
    if (stream !== 0) throw new Http2Error('PROTOCOL_ERROR', 'settings of a stream');
    if ((flag & flags.ACK) !== 0) {
      checkSize(payload.length === 0);
      return;
    }
    checkSize(payload.length % 6 === 0);
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      switch (payload.readUInt16BE(at)) {
        case settings.INITIAL_WINDOW_SIZE:
          if (value > WINDOW_MAX_BYTES) throw new Http2Error('FLOW_CONTROL_ERROR', 'window is too large');
          this.#changeWindows(value - this.#peerStreamWindow);
          this.#peerStreamWindow = value;
          break;
        case settings.MAX_FRAME_SIZE:
          if (value < FRAME_BYTES_MAX || value > 0xff_ffff)
            throw new Http2Error('PROTOCOL_ERROR', 'bad size of frames');
          break;
        default:
        // The table for the headers of responses is not used, pushes are not sent.
      }
    }
    this.#write(frame(frameTypes.SETTINGS, flags.ACK, 0, Buffer.alloc(0)));
  }

  #changeWindows(bytes: number): void {
    for (const stream of this.#streams.values())
      if (!stream.addWindow(bytes)) throw new Http2Error('FLOW_CONTROL_ERROR', 'window is too large');
  }

  #windowFrame(id: number, payload: Buffer): void {
    checkSize(payload.length === 4);
    const bytes = payload.readUInt32BE(0) & WINDOW_MAX_BYTES;
    if (id !== 0) {
      this.#checkStream(id, true);
      const stream = this.#streams.get(id);
      if (stream === undefined) return;
      if (bytes === 0) stream.reset('PROTOCOL_ERROR');
      else if (!stream.addWindow(bytes)) stream.reset('FLOW_CONTROL_ERROR');
      return;
    }
    if (bytes === 0) throw new Http2Error('PROTOCOL_ERROR', 'window of nothing');
    this.#sendWindow += bytes;
    if (this.#sendWindow > WINDOW_MAX_BYTES) throw new Http2Error('FLOW_CONTROL_ERROR', 'window is too large');
    this.#pumpBlocked();
  }
}

function checkSize(isRight: boolean): void {
  if (!isRight) throw new Http2Error('FRAME_SIZE_ERROR', 'bad size of a frame');
}

/** A payload without its padding (6.1). */
function unpad(payload: Buffer): Buffer {
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length)
    throw new Http2Error('PROTOCOL_ERROR', 'padding is longer than the frame');
  return payload.subarray(1, payload.length - padding);
}
