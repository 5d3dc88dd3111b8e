import assert from 'node:assert/strict';

/** Writes big-endian fields into a buffer that grows. */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }

  u8(value: number): this {
    // Reserved first: the buffer may be another one afterwards.
    const at = this.#reserve(1);
    this.#bytes[at] = value;
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32BE(value, at);
    return this;
  }

  /** A safe integer, as 64 bits. */
  u53(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a safe, not negative integer');
    const at = this.#reserve(8);
    this.#bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
    this.#bytes.writeUInt32BE(value % 0x1_0000_0000, at + 4);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#reserve(8);
    this.#bytes.writeBigUInt64BE(value, at);
    return this;
  }

  /** Bytes without their length. */
  raw(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Length (u32) and bytes. */
  bytes(value: Uint8Array): this {
    return this.u32(value.length).raw(value);
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  /** Overwrites a u32 that was written at `at`. */
  patchU32(at: number, value: number): this {
    this.#bytes.writeUInt32BE(value, at);
    return this;
  }

  /** What was written: a view, good until the next write. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Starts anew in the same buffer. */
  clear(): void {
    this.#length = 0;
  }
}

/** Bytes that are not what the grammar says. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** Reads big-endian fields. Byte fields are views of the input. @throws DecodeError at the end, or for a number out of range */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new DecodeError('bytes end early');
    this.#at = at + count;
    return at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }

  u32(): number {
    const at = this.#take(4);
    return this.#bytes.readUInt32BE(at);
  }

  u53(): number {
    const at = this.#take(8);
    const value = this.#bytes.readUInt32BE(at) * 0x1_0000_0000 + this.#bytes.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) throw new DecodeError('number out of range');
    return value;
  }

  u64(): bigint {
    const at = this.#take(8);
    return this.#bytes.readBigUInt64BE(at);
  }

  raw(count: number): Buffer {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  bytes(): Buffer {
    return this.raw(this.u32());
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  /** A count of items of at least `itemBytesMin` each: never more than the rest of the input can hold. */
  count(itemBytesMin: number): number {
    const count = this.u32();
    if (count * itemBytesMin > this.remaining) throw new DecodeError('count out of range');
    return count;
  }

  /** @throws DecodeError when bytes are left */
  end(): void {
    if (this.remaining > 0) throw new DecodeError('bytes left over');
  }
}
