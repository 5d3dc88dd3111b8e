import type { SeededRandom } from './seeded-random.ts';

const JSON_VALUES = [
  'null',
  'true',
  '0',
  '-1',
  '1e400',
  '9007199254740993',
  '"9223372036854775807"',
  '"-9223372036854775808"',
  '"18446744073709551616"',
  '""',
  '"AA=="',
  '"!"',
  '[]',
  '{}',
  '[[[[{}]]]]',
  '"\\ud800"',
];
const BYTES = [0x00, 0x01, 0x7f, 0x80, 0xff];

/** Makes malformed messages out of well-formed ones. */
export class Mutator {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Bytes after some damage; now and then none at all. */
  bytes(source: Uint8Array, donors: readonly Uint8Array[] = []): Buffer {
    const random = this.#random;
    let bytes: Buffer = Buffer.from(source);
    for (let n = random.integer(0, 4); n > 0; n--) bytes = this.#damage(bytes, donors);
    return bytes;
  }

  /** JSON text after some damage to its values, and some to its bytes. */
  json(source: string, donors: readonly string[] = []): Buffer {
    const random = this.#random;
    let text = source;
    for (let n = random.integer(0, 3); n > 0; n--) {
      const values = [...text.matchAll(/(?<=[:[,])\s*("(?:[^"\\]|\\.)*"|-?[\d.]+|true|false|null)/gu)];
      if (values.length === 0) break;
      const value = random.pick(values);
      text = text.slice(0, value.index) + random.pick(JSON_VALUES) + text.slice(value.index + value[0].length);
    }
    if (random.chance(0.5)) return Buffer.from(text);
    return this.bytes(
      Buffer.from(text),
      donors.map((each) => Buffer.from(each)),
    );
  }

  #damage(bytes: Buffer, donors: readonly Uint8Array[]): Buffer {
    const random = this.#random;
    const at = random.integer(0, bytes.length);
    const length = random.integer(0, Math.min(16, bytes.length - at));
    switch (random.integer(0, 7)) {
      case 0: // a flipped bit
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7));
        return bytes;
      case 1: // an extreme byte
        if (at < bytes.length) bytes[at] = random.pick(BYTES);
        return bytes;
      case 2: // cut short
        return bytes.subarray(0, at);
      case 3: // something is missing
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
      case 4: // something is there twice
        return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
      case 5: // noise
        return Buffer.concat([bytes.subarray(0, at), this.noise(16), bytes.subarray(at)]);
      case 6: // a length, perhaps
        if (at + 4 <= bytes.length) bytes.writeUInt32BE(random.pick([0, 1, 0x7fff_ffff, 0xffff_ffff, 0x0010_0000]), at);
        return bytes;
      default: {
        // a part of another message
        if (donors.length === 0) return bytes;
        const donor = random.pick(donors);
        const from = random.integer(0, donor.length);
        return Buffer.concat([bytes.subarray(0, at), donor.subarray(from, from + 32), bytes.subarray(at + length)]);
      }
    }
  }

  noise(lengthMax: number): Buffer {
    const random = this.#random;
    return Buffer.from(Array.from({ length: random.integer(0, lengthMax) }, () => random.integer(0, 255)));
  }
}
