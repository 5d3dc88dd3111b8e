/*
 * RFC 9113, section 4.1:
 *
 *   frame = length:u24 type:u8 flags:u8 stream:u32 payload                 all big-endian
 */
export const FRAME_HEAD_BYTES = 9;
/** No frame's payload may be longer: the least that HTTP/2 allows, and what both ends assume when nothing is said. */
export const FRAME_BYTES_MAX = 16_384;
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const frameTypes = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const flags = { ACK: 0x1, END_STREAM: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const;

export const settings = {
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

/** Section 7. */
export const errorCodes = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;
export type ErrorCode = keyof typeof errorCodes;

/** A client broke the protocol so that the connection cannot go on. */
export class Http2Error extends Error {
  override readonly name = 'Http2Error';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(`http2: ${message}`);
    this.code = code;
  }
}

/** Writes the head of a frame whose payload has `length` bytes. */
export function writeFrameHead(
  target: Buffer,
  at: number,
  type: number,
  flag: number,
  stream: number,
  length: number,
): void {
  target[at] = length >>> 16;
  target[at + 1] = length >>> 8;
  target[at + 2] = length;
  target[at + 3] = type;
  target[at + 4] = flag;
  target[at + 5] = stream >>> 24;
  target[at + 6] = stream >>> 16;
  target[at + 7] = stream >>> 8;
  target[at + 8] = stream;
}

export function frame(type: number, flag: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length);
  writeFrameHead(bytes, 0, type, flag, stream, payload.length);
  bytes.set(payload, FRAME_HEAD_BYTES);
  return bytes;
}

/** A frame whose payload is 32-bit numbers. */
export function numbersFrame(type: number, stream: number, ...numbers: readonly number[]): Buffer {
  const payload = Buffer.allocUnsafe(4 * numbers.length);
  for (const [i, number] of numbers.entries()) payload.writeUInt32BE(number, 4 * i);
  return frame(type, 0, stream, payload);
}

export function settingsFrame(values: readonly (readonly [setting: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(6 * values.length);
  for (const [i, [setting, value]] of values.entries()) {
    payload.writeUInt16BE(setting, 6 * i);
    payload.writeUInt32BE(value, 6 * i + 2);
  }
  return frame(frameTypes.SETTINGS, 0, 0, payload);
}

/** Cuts what a client sends into frames. */
export class FrameCutter {
  #rest: Buffer | undefined;

  /** Calls `visit` with each frame that `chunk` completes. @throws Http2Error for a frame that is too long, and what `visit` throws */
  push(chunk: Buffer, visit: (type: number, flag: number, stream: number, payload: Buffer) => void): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (data.length - at >= FRAME_HEAD_BYTES) {
      const length = data.readUIntBE(at, 3);
      if (length > FRAME_BYTES_MAX) throw new Http2Error('FRAME_SIZE_ERROR', 'frame is too long');
      const end = at + FRAME_HEAD_BYTES + length;
      if (end > data.length) break;
      const stream = data.readUInt32BE(at + 5) & 0x7fff_ffff;
      visit(data[at + 3] ?? 0, data[at + 4] ?? 0, stream, data.subarray(at + FRAME_HEAD_BYTES, end));
      at = end;
    }
    if (at < data.length) this.#rest = data.subarray(at);
  }
}
