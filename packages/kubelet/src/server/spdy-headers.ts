import { constants, createDeflate, createInflate } from 'node:zlib';

const words =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow ' +
  'authorization cache-control connection content-base content-encoding content-language content-length ' +
  'content-location content-md5 content-range content-type date etag expect expires from host if-match ' +
  'if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma ' +
  'proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade ' +
  'user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie ' +
  'keep-alive origin';
const text =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505' +
  '203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized' +
  '403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable' +
  'Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT' +
  'chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,' +
  'text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

function lengthAndText(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** What both sides of SPDY/3 have compressed before the first header (draft 3, section 2.6.10.1). */
export function spdyDictionary(): Buffer {
  const entries = words.split(' ').map((word) => lengthAndText(word.replace('_', ' ')));
  return Buffer.concat([...entries, Buffer.from(text)]);
}

/** Headers of one direction each: one zlib stream for the whole session. Calls must not overlap. */
export class SpdyHeaders {
  readonly #inflate = createInflate({ dictionary: spdyDictionary() });
  readonly #deflate = createDeflate({ dictionary: spdyDictionary() });

  constructor() {
    // Whoever waits for an answer gets it by the callback of write; what is damaged ends the session.
    this.#inflate.on('error', () => undefined);
    this.#deflate.on('error', () => undefined);
  }

  /** Rejects when the block is damaged. */
  async decode(block: Buffer): Promise<ReadonlyMap<string, string>> {
    const failed = Promise.withResolvers<never>();
    const fail = (error: Error): void => failed.reject(error);
    this.#inflate.once('error', fail);
    const written = new Promise<void>((resolve, reject) =>
      this.#inflate.write(block, (error) => (error === null || error === undefined ? resolve() : reject(error))),
    );
    await Promise.race([written, failed.promise]);
    this.#inflate.off('error', fail);
    return parseHeaders((this.#inflate.read() as Buffer | null) ?? Buffer.alloc(0));
  }

  async encode(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(headers.size);
    const entries = [...headers].flatMap(([name, value]) => [lengthAndText(name), lengthAndText(value)]);
    this.#deflate.write(Buffer.concat([count, ...entries]));
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    return (this.#deflate.read() as Buffer | null) ?? Buffer.alloc(0);
  }

  [Symbol.dispose](): void {
    this.#inflate.destroy();
    this.#deflate.destroy();
  }
}

/** @throws RangeError when it ends too early. */
function parseHeaders(block: Buffer): ReadonlyMap<string, string> {
  let at = 0;
  const next = (): string => {
    const length = block.readUInt32BE(at);
    const value = block.toString('utf8', at + 4, at + 4 + length);
    at += 4 + length;
    return value;
  };
  const count = block.readUInt32BE(0);
  at = 4;
  const headers = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    const name = next().toLowerCase();
    headers.set(name, next());
  }
  return headers;
}
