const NEWLINE = 0x0a;

/**
 * Lines of a byte stream, as text without their newline; empty lines are left out, and so is a last line that has no
 * newline, as it was cut off. A long line is put together once, whatever the number of chunks that it came in.
 * @throws Error when a line is longer than `lineBytesMax`.
 */
export async function* splitLines(chunks: AsyncIterable<Buffer>, lineBytesMax: number): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const last = chunk.subarray(start, end);
      const line = parts.length === 0 ? last : Buffer.concat([...parts, last]);
      parts = [];
      bytes = 0;
      start = end + 1;
      if (line.length > 0) yield line.toString('utf8');
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    bytes += chunk.length - start;
    if (bytes > lineBytesMax) throw new Error(`a line is longer than ${lineBytesMax} bytes`);
  }
}
