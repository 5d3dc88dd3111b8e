import { staticTable } from './hpack-data.ts';

/** A block of headers, each a literal that is not added to the client's table: blocks are independent and can be kept. */
export function encodeHeaders(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of headers) {
    const whole = staticTable.findIndex((entry) => entry[0] === name && entry[1] === value);
    if (whole !== -1) {
      parts.push(Buffer.from([0x80 | (whole + 1)]));
      continue;
    }
    const index = staticTable.findIndex((entry) => entry[0] === name) + 1;
    parts.push(integer(index, 4));
    if (index === 0) parts.push(string(name));
    parts.push(string(value));
  }
  return Buffer.concat(parts);
}

function string(text: string): Buffer {
  return Buffer.concat([integer(text.length, 7), Buffer.from(text, 'latin1')]);
}

/** An integer after zero bits, with a prefix of `bits` bits. */
function integer(value: number, bits: number): Buffer {
  const mask = 2 ** bits - 1;
  if (value < mask) return Buffer.from([value]);
  const octets = [mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) octets.push((rest & 0x7f) | 0x80);
  octets.push(rest);
  return Buffer.from(octets);
}
