import { huffmanBits, staticTable } from './hpack-data.ts';

/*
 * HPACK (RFC 7541), the decoder:
 *
 *   block          = *representation                                       (section 6)
 *   representation = 1 index:7+                                            indexed
 *                  | 01 index:6+ [name:string] value:string                literal, added to the dynamic table
 *                  | 001 size:5+                                           new size of the dynamic table
 *                  | 000x index:4+ [name:string] value:string              literal, not added; a name when the index is 0
 *   string         = huffman:1 bit  length:7+  octets                      n+: an integer with a prefix of n bits (5.1)
 */
const TABLE_BYTES_MAX = 4096;
const ENTRY_OVERHEAD_BYTES = 32;
const INTEGER_MAX = 2 ** 28;
const END_OF_STRING = 256;

type Header = readonly [name: string, value: string];

/** What is no HPACK: the connection cannot go on, as both ends' tables are no longer the same. */
export class HpackError extends Error {
  override readonly name = 'HpackError';
}

/** Per node of the code's tree two numbers: the node, or, from LEAF on, the symbol that follows on a 0 and on a 1. */
const LEAF = 0x1_0000;

function huffmanTree(): Int32Array {
  const nodes: number[] = [0, 0];
  let code = 0;
  let bits = 0;
  const symbols = huffmanBits.map((length, symbol) => ({ length, symbol }));
  for (const { length, symbol } of symbols.toSorted((a, b) => a.length - b.length || a.symbol - b.symbol)) {
    code *= 2 ** (length - bits);
    bits = length;
    let node = 0;
    for (let i = bits - 1; i > 0; i--) {
      const at = 2 * node + ((code >>> i) & 1);
      if (nodes[at] === 0) {
        nodes[at] = nodes.length / 2;
        nodes.push(0, 0);
      }
      node = nodes[at] ?? 0;
    }
    nodes[2 * node + (code & 1)] = LEAF + symbol;
    code++;
  }
  return Int32Array.from(nodes);
}

/** The headers of one connection's requests, which share a table. */
export class HpackDecoder {
  static #sharedTree: Int32Array | undefined;
  readonly #tree = (HpackDecoder.#sharedTree ??= huffmanTree());
  readonly #listBytesMax: number;
  /** The dynamic table, newest last. */
  #table: Header[] = [];
  #tableBytes = 0;
  #tableBytesMax = TABLE_BYTES_MAX;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** A list of headers of more than `listBytesMax` bytes is an error. */
  constructor(listBytesMax: number) {
    this.#listBytesMax = listBytesMax;
  }

  /** The headers of a block, in order. @throws HpackError */
  decode(block: Buffer): readonly Header[] {
    this.#block = block;
    this.#at = 0;
    const headers: Header[] = [];
    let bytes = 0;
    while (this.#at < block.length) {
      const header = this.#representation(headers.length > 0);
      if (header === undefined) continue;
      bytes += sizeOf(header);
      if (bytes > this.#listBytesMax) throw new HpackError('header list is too large');
      headers.push(header);
    }
    return headers;
  }

  #representation(afterHeader: boolean): Header | undefined {
    const first = this.#block[this.#at] ?? 0;
    if (first >= 0x80) return this.#entry(this.#integer(7));
    if (first >= 0x40) return this.#add(this.#literal(6));
    if (first < 0x20) return this.#literal(4);
    const size = this.#integer(5);
    if (afterHeader || size > TABLE_BYTES_MAX) throw new HpackError('bad size of the dynamic table');
    this.#tableBytesMax = size;
    this.#evict();
    return undefined;
  }

  #literal(indexBits: number): Header {
    const index = this.#integer(indexBits);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    return [name, this.#string()];
  }

  #entry(index: number): Header {
    const entry = staticTable[index - 1] ?? this.#table[this.#table.length - (index - staticTable.length)];
    if (entry === undefined) throw new HpackError('no such index');
    return entry;
  }

  #add(header: Header): Header {
    this.#table.push(header);
    this.#tableBytes += sizeOf(header);
    this.#evict();
    return header;
  }

  #evict(): void {
    while (this.#tableBytes > this.#tableBytesMax) {
      const oldest = this.#table.shift();
      if (oldest === undefined) return;
      this.#tableBytes -= sizeOf(oldest);
    }
  }

  #integer(bits: number): number {
    const mask = 2 ** bits - 1;
    let value = this.#octet() & mask;
    if (value < mask) return value;
    for (let scale = 1; ; scale *= 128) {
      const octet = this.#octet();
      value += (octet & 0x7f) * scale;
      if (value > INTEGER_MAX || scale > INTEGER_MAX) throw new HpackError('integer is too large');
      if (octet < 0x80) return value;
    }
  }

  #octet(): number {
    const octet = this.#block[this.#at++];
    if (octet === undefined) throw new HpackError('block ends early');
    return octet;
  }

  #string(): string {
    const isHuffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw new HpackError('block ends early');
    const octets = this.#block.subarray(this.#at, end);
    this.#at = end;
    return isHuffman ? this.#decodeHuffman(octets) : octets.toString('latin1');
  }

  #decodeHuffman(octets: Buffer): string {
    const tree = this.#tree;
    let text = '';
    let node = 0;
    /** Bits since the last symbol, and whether all of them are ones, as those that fill up the last octet are. */
    let rest = 0;
    let ones = true;
    for (const octet of octets)
      for (let bit = 7; bit >= 0; bit--) {
        const one = (octet >>> bit) & 1;
        const next = tree[2 * node + one] ?? 0;
        rest++;
        ones = ones && one === 1;
        if (next < LEAF) {
          node = next;
          continue;
        }
        if (next === LEAF + END_OF_STRING) throw new HpackError('end of string within a string');
        text += String.fromCharCode(next - LEAF);
        node = 0;
        rest = 0;
        ones = true;
      }
    if (rest > 7 || !ones) throw new HpackError('bad padding');
    return text;
  }
}

function sizeOf([name, value]: Header): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}
