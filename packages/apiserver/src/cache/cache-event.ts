import { spliceRevision } from '../storage/object-codec.ts';
import type { CachedObject } from './cached-object.ts';

export type CacheEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** How a watch's client wants its events; the encoder is asked once per event and key, then the bytes are shared. */
export interface FrameEncoder {
  /** Names the form, such as `table;includeObject=Metadata`. */
  readonly key: string;
  /** The whole frame, line end included, for `object` whose bytes have the event's resourceVersion. */
  encode(type: CacheEventType, object: CachedObject): Buffer;
  /** Encodes what follows a watch's first frame, where that says more than the others. */
  readonly following?: FrameEncoder;
  /** The frame of a bookmark or an error; absent: as JSON. */
  encodeOther?(type: 'BOOKMARK' | 'ERROR', object: Readonly<Record<string, unknown>>): Buffer;
}

/** The frame of what is no change of an object, in the form that the watch's client wants. */
export function encodeOther(type: 'BOOKMARK' | 'ERROR', object: object, encoder: FrameEncoder | undefined): Buffer {
  return (
    encoder?.encodeOther?.(type, object as Record<string, unknown>) ??
    encodeFrame(type, Buffer.from(JSON.stringify(object)))
  );
}

const frameTail = '}\n';

export function frameHead(type: string): string {
  return `{"type":"${type}","object":`;
}

/** `{"type":T,"object":O}` and a line end, around bytes that are already JSON. */
export function encodeFrame(type: string, object: Buffer): Buffer {
  const head = frameHead(type);
  const frame = Buffer.allocUnsafeSlow(head.length + object.length + frameTail.length);
  frame.write(head, 0, 'latin1');
  object.copy(frame, head.length);
  frame.write(frameTail, head.length + object.length, 'latin1');
  return frame;
}

/** Stored bytes as the frame of a put, and the object's bytes as a view into it: one allocation for both. */
export function encodePut(
  type: 'ADDED' | 'MODIFIED',
  stored: Buffer,
  revision: number,
): { frame: Buffer; bytes: Buffer } {
  const head = frameHead(type);
  const frame = spliceRevision(stored, revision, head, frameTail);
  return { frame, bytes: frame.subarray(head.length, frame.length - frameTail.length) };
}

/**
 * One change of one object. A watch with a selector sees it as what it is for that selector: an object that starts to
 * match is ADDED, one that no longer matches is DELETED (as it was, with the change's resourceVersion).
 */
export class CacheEvent {
  readonly type: CacheEventType;
  readonly revision: number;
  /** The object after the change; for DELETED, as it was, with the deletion's revision. */
  readonly object: CachedObject;
  /** The object before the change; undefined for ADDED. */
  readonly previous: CachedObject | undefined;
  readonly #frames = new Map<string, Buffer>();

  constructor(type: CacheEventType, object: CachedObject, previous: CachedObject | undefined, frame?: Buffer) {
    this.type = type;
    this.revision = object.revision;
    this.object = object;
    this.previous = previous;
    if (frame !== undefined) this.#frames.set(type, frame);
  }

  /** Bytes that the event keeps from being freed. */
  get size(): number {
    return this.object.bytes.length;
  }

  /** The event for a watch that sees it as `type`; `encoder` is for forms other than the object itself. */
  frame(type: CacheEventType, encoder: FrameEncoder | undefined): Buffer {
    const key = encoder === undefined ? type : `${type} ${encoder.key}`;
    let frame = this.#frames.get(key);
    if (frame === undefined) {
      const object = type === 'DELETED' && this.type !== 'DELETED' ? this.#previousAtRevision() : this.object;
      frame = encoder === undefined ? encodeFrame(type, object.bytes) : encoder.encode(type, object);
      this.#frames.set(key, frame);
    }
    return frame;
  }

  #previousAtRevision(): CachedObject {
    const previous = this.previous ?? this.object;
    return atRevision(previous, this.revision);
  }
}

/** The same object with another resourceVersion. */
export function atRevision(object: CachedObject, revision: number): CachedObject {
  const from = `"resourceVersion":"${object.revision}"`;
  const at = object.bytes.indexOf(from);
  const to = `"resourceVersion":"${revision}"`;
  const bytes =
    at === -1
      ? object.bytes
      : Buffer.concat([object.bytes.subarray(0, at), Buffer.from(to), object.bytes.subarray(at + from.length)]);
  return { ...object, revision, bytes };
}
