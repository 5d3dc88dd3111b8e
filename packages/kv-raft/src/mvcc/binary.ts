import { Buffer } from 'node:buffer';

const SCRATCH_BYTES = 4096;
const noBytes = Buffer.alloc(0);

/** Writes the primitives of the store's binary formats into one growing buffer. */
export class BinaryWriter {
  #buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  /** A safe integer from 0 on: 7 bits a byte, least significant first, the high bit says that more follow. */
  uvarint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  /** A safe integer of either sign: a byte for the sign (1: negative), then the amount as uvarint. */
  varint(value: number): void {
    this.u8(value < 0 ? 1 : 0);
    this.uvarint(Math.abs(value));
  }

  i64(value: bigint): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeBigInt64LE(value, this.#length);
  }

  u64(value: bigint): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeBigUInt64LE(value, this.#length);
  }

  bytes(value: Buffer): void {
    this.uvarint(value.length);
    this.#reserve(value.length);
    value.copy(this.#buffer, this.#length);
    this.#length += value.length;
  }

  latin1(value: string): void {
    this.uvarint(value.length);
    this.#reserve(value.length);
    this.#buffer.write(value, this.#length, 'latin1');
    this.#length += value.length;
  }

  /** Forgets what was written, as by a caller that failed half-way. */
  reset(): void {
    this.#length = 0;
  }

  /** A copy of what was written, in memory of its own; then starts anew. */
  take(): Buffer {
    const taken = Buffer.allocUnsafeSlow(this.#length);
    this.#buffer.copy(taken, 0, 0, this.#length);
    this.#length = 0;
    return taken;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** Reads what BinaryWriter wrote. @throws RangeError at a truncated or impossible value */
export class BinaryReader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(data: Uint8Array) {
    this.#buffer = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  u8(): number {
    const value = this.#buffer[this.#offset++];
    if (value === undefined) throw new RangeError('binary: truncated');
    return value;
  }

  uvarint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('binary: integer too large');
      if (byte < 0x80) return value;
    }
  }

  varint(): number {
    const negative = this.u8() === 1;
    const amount = this.uvarint();
    return negative ? -amount : amount;
  }

  i64(): bigint {
    const value = this.#buffer.readBigInt64LE(this.#offset);
    this.#offset += 8;
    return value;
  }

  u64(): bigint {
    const value = this.#buffer.readBigUInt64LE(this.#offset);
    this.#offset += 8;
    return value;
  }

  /** Bytes that outlive the source: a view where most of the source's memory is this value, otherwise a copy. */
  bytes(): Buffer {
    const length = this.uvarint();
    if (length === 0) return noBytes;
    const at = this.#take(length);
    if (this.#buffer.buffer.byteLength <= 2 * length) return this.#buffer.subarray(at, at + length);
    const copy = Buffer.allocUnsafeSlow(length);
    this.#buffer.copy(copy, 0, at, at + length);
    return copy;
  }

  /** Bytes as they stand in the source. */
  view(): Buffer {
    const length = this.uvarint();
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }

  latin1(): string {
    const length = this.uvarint();
    const at = this.#take(length);
    return this.#buffer.toString('latin1', at, at + length);
  }

  /** Where the next `length` bytes begin, which are taken. */
  #take(length: number): number {
    if (length > this.remaining) throw new RangeError('binary: truncated');
    const at = this.#offset;
    this.#offset += length;
    return at;
  }
}
