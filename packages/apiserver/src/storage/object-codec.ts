/**
 * Objects as bytes. In the store an object is its JSON without resourceVersion, which is the revision that the store gives
 * the write. Encoding puts kind, apiVersion and metadata first, so that the resourceVersion is spliced in after a known
 * prefix and no object is parsed or encoded anew for that.
 */
import type { ObjectMeta, UnstructuredObject } from '@naru/api';

const metadataStart = Buffer.from('"metadata":{');
const openQuote = 0x22;

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
  if (at === -1 || at > 512 || stored.subarray(1, at).includes(0x7b)) return -1;
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

/** The object that stored bytes are, with its resourceVersion. */
export function decodeObject(stored: Buffer, revision: number): UnstructuredObject {
  const object = JSON.parse(stored.toString()) as UnstructuredObject;
  object.metadata.resourceVersion = String(revision);
  return object;
}
