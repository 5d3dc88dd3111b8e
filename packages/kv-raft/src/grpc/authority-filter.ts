import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/*
 * etcdctl 3.4 names a whole URL as the `:authority` of calls to one member (`endpoint status`, `move-leader`). Go's HTTP/2
 * server takes that; Node's refuses it, as `/` may not be in an authority, and has no option that lets it pass. So what
 * clients send is looked through, and the slashes of a literal `:authority` become dots. Both are six bits long in HPACK's
 * Huffman code, hence nothing moves and both ends' tables stay in step.
 *
 *     connection = preface *frame
 *     frame      = length:u24be type:u8 flags:u8 stream:u32be payload     (RFC 9113, section 4.1)
 *     HEADERS    = [padLength:u8] [priority:5 bytes] block padding        (6.2)
 *     block      = *representation                                        (RFC 7541, section 6)
 *     string     = huffman:1 bit, length:integer with a prefix of 7 bits, octets
 */
const PREFACE_BYTES = 24;
const HEAD_BYTES = 9;
const HEADERS = 1;
const PADDED = 0x8;
const PRIORITY = 0x20;
/** HPACK's static index of `:authority`. */
const AUTHORITY_INDEX = 1;
/** Larger header frames are passed on as they are; Node's limit of a frame is as large. */
const HEADERS_BYTES_MAX = 16_384;

const SLASH = 0x2f;
const DOT = 0x2e;

/** HPACK's Huffman code of what stands in URLs (RFC 7541, appendix B), as bits. */
const codeOf: ReadonlyMap<string, string> = new Map([
  ...codes('012aceiost', 0, 5),
  ...codes(' %-./3456789=A_bdfghlmnpru', 0x14, 6),
  ...codes(':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz', 0x5c, 7),
  ...codes('&*,;XZ', 0xf8, 8),
  ...codes('[]', 0x1ffb, 13),
]);
const symbolOf: ReadonlyMap<string, string> = new Map(Array.from(codeOf, ([symbol, code]) => [code, symbol]));
const CODE_BITS_MAX = 13;

/** The code counts up through symbols of one length. */
function codes(symbols: string, first: number, bits: number): [string, string][] {
  return symbols.split('').map((symbol, i) => [symbol, (first + i).toString(2).padStart(bits, '0')]);
}

/** A socket as an HTTP/2 server can read it. Frames are passed on as soon as they are there; only heads are waited for. */
export class AuthorityFilter extends Duplex {
  readonly #socket: Socket;
  /** The head of a frame, or a frame of headers, that has not come as a whole. */
  #partial: Buffer = Buffer.alloc(0);
  /** Bytes that are passed on as they are. */
  #passing = PREFACE_BYTES;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(this.#filter(chunk))) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.once('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.cork();
    for (const [i, { chunk }] of chunks.entries()) {
      if (i === chunks.length - 1) this.#socket.write(chunk, done);
      else this.#socket.write(chunk);
    }
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #filter(chunk: Buffer): Buffer {
    const data = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    let at = 0;
    while (at < data.length) {
      if (this.#passing > 0) {
        const bytes = Math.min(this.#passing, data.length - at);
        this.#passing -= bytes;
        at += bytes;
        continue;
      }
      if (data.length - at < HEAD_BYTES) break;
      const length = data.readUIntBE(at, 3);
      const end = at + HEAD_BYTES + length;
      if (data[at + 3] === HEADERS && length <= HEADERS_BYTES_MAX) {
        if (data.length < end) break;
        rewriteHeaders(data.subarray(at + HEAD_BYTES, end), data[at + 4] ?? 0);
      }
      this.#passing = HEAD_BYTES + length;
    }
    this.#partial = data.subarray(at);
    return data.subarray(0, at);
  }
}

function rewriteHeaders(payload: Buffer, flags: number): void {
  const start = ((flags & PADDED) === 0 ? 0 : 1) + ((flags & PRIORITY) === 0 ? 0 : 5);
  rewriteBlock(payload.subarray(start));
}

/** Looks for a literal `:authority`. A block that is malformed is left to the server, which refuses it. */
export function rewriteBlock(block: Buffer): void {
  let at = 0;
  /** An integer whose first octet has `bits` for it. */
  const integer = (bits: number): number => {
    const mask = 2 ** bits - 1;
    let value = (block[at++] ?? 0) & mask;
    if (value < mask) return value;
    for (let scale = 1; at < block.length && scale < 2 ** 28; scale *= 128) {
      const octet = block[at++] ?? 0;
      value += (octet & 0x7f) * scale;
      if (octet < 0x80) break;
    }
    return value;
  };
  const string = (): { readonly octets: Buffer; readonly huffman: boolean } => {
    const huffman = ((block[at] ?? 0) & 0x80) !== 0;
    const length = integer(7);
    const octets = block.subarray(at, at + length);
    at += length;
    return { octets, huffman };
  };
  while (at < block.length) {
    const first = block[at] ?? 0;
    if (first >= 0x80) integer(7);
    else if (first >= 0x20 && first < 0x40) integer(5);
    else {
      const index = integer(first >= 0x40 ? 6 : 4);
      if (index === 0) string();
      const { octets, huffman } = string();
      if (index !== AUTHORITY_INDEX) continue;
      if (huffman) rewriteHuffman(octets);
      else for (const [i, octet] of octets.entries()) if (octet === SLASH) octets[i] = DOT;
    }
  }
}

function rewriteHuffman(octets: Buffer): void {
  const bits = Array.from(octets, (octet) => octet.toString(2).padStart(8, '0')).join('');
  let code = '';
  for (const [i, bit] of bits.split('').entries()) {
    code += bit;
    const symbol = symbolOf.get(code);
    if (symbol === '/') {
      // 011000 becomes 010111.
      for (let j = i - 5; j <= i; j++) {
        const mask = 0x80 >> (j & 7);
        const set = codeOf.get('.')?.[j - i + 5] === '1';
        octets[j >> 3] = set ? (octets[j >> 3] ?? 0) | mask : (octets[j >> 3] ?? 0) & ~mask;
      }
    }
    if (symbol !== undefined) code = '';
    else if (code.length > CODE_BITS_MAX) return;
  }
}
