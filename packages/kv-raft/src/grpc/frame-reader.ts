import { EtcdError } from '@naru/etcd';

const HEAD_BYTES = 5;

/**
 * Cuts a gRPC stream into messages:
 *
 *     stream = *frame
 *     frame  = compressed:u8 length:u32be message
 */
export class FrameReader {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #length = 0;
  #needed = HEAD_BYTES;
  #headRead = false;

  /** A message of more than `bytesMax` bytes is an error, told before it is read. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True between two messages. */
  get idle(): boolean {
    return this.#length === 0;
  }

  /** @throws EtcdError for compressed and too large messages */
  *push(chunk: Buffer): Generator<Buffer, void, undefined> {
    this.#parts.push(chunk);
    this.#length += chunk.length;
    while (this.#length >= this.#needed) {
      const all = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
      this.#parts = [all];
      if (!this.#headRead) {
        this.#needed = HEAD_BYTES + this.#readHead(all);
        this.#headRead = true;
        continue;
      }
      const end = this.#needed;
      this.#parts = end < all.length ? [all.subarray(end)] : [];
      this.#length = all.length - end;
      this.#needed = HEAD_BYTES;
      this.#headRead = false;
      yield all.subarray(HEAD_BYTES, end);
    }
  }

  #readHead(all: Buffer): number {
    const length = all.readUInt32BE(1);
    if (all[0] !== 0) {
      const message = 'grpc: Decompressor is not installed for the message';
      throw new EtcdError('invalidRequest', { message, grpcCode: 'Unimplemented' });
    }
    if (length > this.#bytesMax) {
      const message = `grpc: received message larger than max (${length} vs. ${this.#bytesMax})`;
      throw new EtcdError('invalidRequest', { message, grpcCode: 'ResourceExhausted' });
    }
    return length;
  }
}

/** The head of a message that is the parts joined. */
export function messageHead(parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head[0] = 0;
  head.writeUInt32BE(length, 1);
  return head;
}
