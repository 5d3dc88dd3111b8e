/**
 * Kubernetes protobuf, as bodies and as frames of a watch:
 *
 *     body    = "k8s\0" Unknown
 *     Unknown = typeMeta { apiVersion, kind }, raw: bytes of the object's message, contentEncoding '', contentType ''
 *     frame   = length of what follows, 4 bytes, most significant first; WatchEvent { type, object { raw: a body } }
 *
 * JSON and protobuf differ in more than the encoding: structs that JSON inlines are messages of their own, quantities, times
 * and the like are messages, and fields without a pointer in Go are sent even if they are zero.
 */
import type * as Protobuf from 'protobufjs';
import { ProtobufMessages } from './messages.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import { ProtobufWriter } from './protobuf-writer.ts';

type Json = Readonly<Record<string, unknown>>;

const magic = Buffer.from('k8s\0');
const unknownMessage = 'k8s.io.apimachinery.pkg.runtime.Unknown';
/** Fields of Unknown behind the object: an empty contentEncoding and contentType, which upstream sends. */
const unknownTail = Buffer.from([0x1a, 0, 0x22, 0]);
const FRAME_HEAD_BYTES = 4;
/** Length-delimited fields 1 and 2. */
const TAG_ONE = 0x0a;
const TAG_TWO = 0x12;

interface Loaded {
  readonly messages: ProtobufMessages;
  readonly reader: ProtobufReader;
  readonly writer: ProtobufWriter;
}

/** Stateless but for the messages, which are loaded with the first body. */
export class ProtobufCodec {
  #loaded: Loaded | undefined;

  #load(): Loaded {
    if (this.#loaded === undefined) {
      const { messages, protobuf } = ProtobufMessages.load();
      const reader = new ProtobufReader(messages);
      this.#loaded = { messages, reader, writer: new ProtobufWriter(messages, protobuf) };
    }
    return this.#loaded;
  }

  /** Whether a kind has a message. */
  knows(apiVersion: string, kind: string): boolean {
    return this.#load().messages.ofKind(apiVersion, kind) !== undefined;
  }

  /** The object in a body as JSON would have it, with its type meta. @throws Error in words for the client. */
  decode(body: Buffer): Record<string, unknown> {
    if (!body.subarray(0, magic.length).equals(magic))
      throw new Error('provided data does not appear to be a protobuf message, expected prefix "k8s\\0"');
    const { messages, reader } = this.#load();
    const { typeMeta, raw } = reader.read(this.#unknown(messages), body.subarray(magic.length)) as {
      readonly typeMeta?: { readonly apiVersion?: string; readonly kind?: string };
      readonly raw?: string;
    };
    const { apiVersion = '', kind = '' } = typeMeta ?? {};
    const type = messages.ofKind(apiVersion, kind);
    if (type === undefined)
      throw new Error(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
    return { kind, apiVersion, ...reader.read(type, Buffer.from(raw ?? '', 'base64')) };
  }

  #unknown(messages: ProtobufMessages): Protobuf.Type {
    const type = messages.named(unknownMessage);
    if (type === undefined) throw new Error(`${unknownMessage} is missing`);
    return type;
  }

  /** The body of an object. @throws Error where its kind has no message: ask `knows`. */
  encode(object: Json): Buffer {
    const raw = this.encodeMessage(object);
    const [apiVersion, kind] = [String(object['apiVersion']), String(object['kind'])];
    return Buffer.concat([envelopeHead(apiVersion, kind, raw.length), raw, unknownTail]);
  }

  /** The bare message of an object, such as lists hold. */
  encodeMessage(object: Json): Buffer {
    const { messages, writer } = this.#load();
    const [apiVersion, kind] = [String(object['apiVersion']), String(object['kind'])];
    const type = messages.ofKind(apiVersion, kind);
    if (type === undefined) throw new Error(`no message for ${kind} of ${apiVersion}`);
    return writer.write(type, object);
  }

  /** The body of a list of objects whose bare messages are there; in parts, for it may be large. */
  encodeList(
    list: { readonly apiVersion: string; readonly kind: string; readonly metadata: object },
    items: readonly Buffer[],
  ): Buffer[] {
    const head = this.encodeMessage({ ...list });
    let length = head.length;
    const parts: Buffer[] = [];
    for (const item of items) {
      const prefix = lengthPrefix(TAG_TWO, item.length);
      parts.push(prefix, item);
      length += prefix.length + item.length;
    }
    return [envelopeHead(list.apiVersion, list.kind, length), head, ...parts, unknownTail];
  }

  /** One event of a watch; `body` is what `encode` made of its object. */
  frame(type: string, body: Buffer): Buffer {
    const typeText = Buffer.from(type);
    const object = lengthPrefix(TAG_ONE, body.length);
    const event = Buffer.concat([
      lengthPrefix(TAG_ONE, typeText.length),
      typeText,
      lengthPrefix(TAG_TWO, object.length + body.length),
      object,
    ]);
    const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES);
    head.writeUInt32BE(event.length + body.length);
    return Buffer.concat([head, event, body]);
  }
}

function envelopeHead(apiVersion: string, kind: string, rawBytes: number): Buffer {
  const [version, name] = [Buffer.from(apiVersion), Buffer.from(kind)];
  const typeMeta = Buffer.concat([
    lengthPrefix(TAG_ONE, version.length),
    version,
    lengthPrefix(TAG_TWO, name.length),
    name,
  ]);
  return Buffer.concat([magic, lengthPrefix(TAG_ONE, typeMeta.length), typeMeta, lengthPrefix(TAG_TWO, rawBytes)]);
}

/** A field's tag and the length of what follows. */
function lengthPrefix(fieldTag: number, length: number): Buffer {
  const bytes = [fieldTag];
  let rest = length;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The codec of the process: messages and plans are facts, made once. */
export const protobufCodec = new ProtobufCodec();
