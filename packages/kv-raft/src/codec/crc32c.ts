/** CRC-32C (Castagnoli), reflected polynomial 0x82f63b78, by tables for four bytes at a time. */
const POLYNOMIAL = 0x82f63b78;
const TABLES = 4;

function makeTables(): Int32Array {
  const tables = new Int32Array(256 * TABLES);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let byte = 0; byte < 256; byte++) {
    let crc = tables[byte] ?? 0;
    for (let table = 1; table < TABLES; table++) {
      crc = (crc >>> 8) ^ (tables[crc & 0xff] ?? 0);
      tables[table * 256 + byte] = crc;
    }
  }
  return tables;
}

const tables = makeTables();

/** The checksum of `bytes`, or of what `previous` is the checksum of followed by `bytes`. An unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  let crc = ~previous;
  const whole = bytes.length - (bytes.length % 4);
  let at = 0;
  for (; at < whole; at += 4) {
    const b0 = bytes[at] as number;
    const b1 = bytes[at + 1] as number;
    const b2 = bytes[at + 2] as number;
    const b3 = bytes[at + 3] as number;
    crc ^= b0 | (b1 << 8) | (b2 << 16) | (b3 << 24);
    crc =
      (tables[768 + (crc & 0xff)] as number) ^
      (tables[512 + ((crc >>> 8) & 0xff)] as number) ^
      (tables[256 + ((crc >>> 16) & 0xff)] as number) ^
      (tables[crc >>> 24] as number);
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ (tables[(crc ^ (bytes[at] as number)) & 0xff] as number);
  return ~crc >>> 0;
}
