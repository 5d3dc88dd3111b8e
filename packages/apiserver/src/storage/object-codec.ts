/**
 * Objects as bytes. In the store an object is its JSON without resourceVersion, which is the revision that the store gives
 * the write. Encoding puts kind, apiVersion and metadata first, so that the resourceVersion is spliced in after a known
 * prefix and no object is parsed or encoded anew for that.
 */
import type { ObjectMeta, UnstructuredObject } from '@naru/api';

const metadataStart = Buffer.from('"metadata":{');
const openQuote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** The bytes to store. Leaves out what is not stored: resourceVersion and selfLink. */
export function encodeObject(object: UnstructuredObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _resourceVersion, selfLink: _selfLink, ...meta } = metadata;
  return Buffer.from(JSON.stringify({ kind, apiVersion, metadata: meta, ...rest }));
}

/** Where the resourceVersion belongs in stored bytes: behind the brace that opens metadata; -1 if it cannot be told. */
function spliceOffset(stored: Buffer): number {
  const at = stored.indexOf(metadataStart);
  // What precedes metadata must be no more than kind and apiVersion: two short strings without nested objects.
  if (at === -1 || at > 512 || stored.subarray(1, at).includes(openBrace)) return -1;
  return at + metadataStart.length;
}

/**
 * `head` + the object with its resourceVersion + `tail`, in one allocation. `stored` must be what `encodeObject` made;
 * anything else that is JSON of an object works too, but is parsed.
 */
export function spliceRevision(stored: Buffer, revision: number, head = '', tail = ''): Buffer {
  const offset = spliceOffset(stored);
  if (offset === -1) return spliceParsed(stored, revision, head, tail);
  const insert = `"resourceVersion":"${revision}"${stored[offset] === openQuote ? ',' : ''}`;
  const size = head.length + stored.length + insert.length + tail.length;
  // Not from the pool: a frame lives long, and must not keep a slab of its neighbours alive.
  const bytes = Buffer.allocUnsafeSlow(size);
  let position = bytes.write(head, 0, 'latin1');
  position += stored.copy(bytes, position, 0, offset);
  position += bytes.write(insert, position, 'latin1');
  position += stored.copy(bytes, position, offset);
  bytes.write(tail, position, 'latin1');
  return bytes;
}

function spliceParsed(stored: Buffer, revision: number, head: string, tail: string): Buffer {
  const { kind, apiVersion, metadata, ...rest } = JSON.parse(stored.toString()) as UnstructuredObject;
  const meta: ObjectMeta = { ...metadata, resourceVersion: String(revision) };
  return Buffer.from(head + JSON.stringify({ kind, apiVersion, metadata: meta, ...rest }) + tail);
}

/** The value of `metadata` in an object's bytes: a view into them, where they are as `encodeObject` writes them. */
export function metadataOf(bytes: Buffer): Buffer {
  const offset = spliceOffset(bytes);
  if (offset === -1) return Buffer.from(JSON.stringify((JSON.parse(bytes.toString()) as UnstructuredObject).metadata));
  const start = offset - 1;
  let depth = 0;
  let i = start;
  do {
    const byte = bytes[i];
    if (byte === openBrace) depth++;
    else if (byte === closeBrace) depth--;
    else if (byte === openQuote) i = endOfString(bytes, i);
    i++;
  } while (depth > 0 && i < bytes.length);
  return bytes.subarray(start, i);
}

/** Where the string that opens at `start` closes. */
function endOfString(bytes: Buffer, start: number): number {
  let end = bytes.indexOf(openQuote, start + 1);
  while (isEscaped(bytes, end)) end = bytes.indexOf(openQuote, end + 1);
  return end;
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let backslashes = 0;
  while (bytes[at - 1 - backslashes] === backslash) backslashes++;
  return backslashes % 2 === 1;
}

/** The object that stored bytes are, with its resourceVersion. */
export function decodeObject(stored: Buffer, revision: number): UnstructuredObject {
  const object = JSON.parse(stored.toString()) as UnstructuredObject;
  object.metadata.resourceVersion = String(revision);
  return object;
}
