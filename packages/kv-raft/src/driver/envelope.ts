import { ByteReader, ByteWriter, DecodeError } from '../codec/bytes.ts';

/** Who proposed an entry, so that the member where `propose` was called can answer it. */
export interface RequestId {
  /** Drawn at random at each start of a member: an entry of its former life is nobody's any more. */
  readonly instance: bigint;
  readonly request: number;
}

/** What a member says of itself when it starts: the rest of the cluster knows only its peer URLs. */
export interface MemberAttributes {
  readonly id: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** Where a member listens for the others from now on. */
export interface PeerUrlsUpdate {
  readonly id: bigint;
  readonly peerUrls: readonly string[];
}

export type Envelope =
  | { readonly type: 'command'; readonly id: RequestId; readonly command: Buffer }
  | { readonly type: 'attributes'; readonly id: RequestId; readonly attributes: MemberAttributes }
  | { readonly type: 'peer-urls'; readonly id: RequestId; readonly update: PeerUrlsUpdate };

/*
 * entry-data  := kind:u8 instance:u64 request:u64 body       all big-endian
 * body        := command                                     kind 1: the state machine's
 *              | member:u64 text(name) count:u32 text(url)*  kind 2: client URLs
 *              | member:u64 count:u32 text(url)*             kind 3: peer URLs
 * text        := length:u32 utf-8
 */
const KIND_COMMAND = 1;
const KIND_ATTRIBUTES = 2;
const KIND_PEER_URLS = 3;
const HEAD_BYTES = 17;

function writeHead(writer: ByteWriter, kind: number, id: RequestId): ByteWriter {
  return writer.u8(kind).u64(id.instance).u53(id.request);
}

export function encodeCommand(id: RequestId, command: Uint8Array): Uint8Array {
  return writeHead(new ByteWriter(HEAD_BYTES + command.length), KIND_COMMAND, id)
    .raw(command)
    .view();
}

export function encodeAttributes(id: RequestId, attributes: MemberAttributes): Uint8Array {
  const writer = writeHead(new ByteWriter(), KIND_ATTRIBUTES, id);
  writer.u64(attributes.id).text(attributes.name).u32(attributes.clientUrls.length);
  for (const url of attributes.clientUrls) writer.text(url);
  return writer.view();
}

export function encodePeerUrls(id: RequestId, update: PeerUrlsUpdate): Uint8Array {
  const writer = writeHead(new ByteWriter(), KIND_PEER_URLS, id).u64(update.id).u32(update.peerUrls.length);
  for (const url of update.peerUrls) writer.text(url);
  return writer.view();
}

/** @throws DecodeError */
export function decodeEnvelope(data: Uint8Array): Envelope {
  const reader = new ByteReader(data);
  const kind = reader.u8();
  const id = { instance: reader.u64(), request: reader.u53() };
  switch (kind) {
    case KIND_COMMAND:
      return { type: 'command', id, command: reader.raw(reader.remaining) };
    case KIND_ATTRIBUTES: {
      const [member, name] = [reader.u64(), reader.text()];
      const clientUrls = Array.from({ length: reader.count(4) }, () => reader.text());
      return { type: 'attributes', id, attributes: { id: member, name, clientUrls } };
    }
    case KIND_PEER_URLS: {
      const member = reader.u64();
      const peerUrls = Array.from({ length: reader.count(4) }, () => reader.text());
      return { type: 'peer-urls', id, update: { id: member, peerUrls } };
    }
    default:
      throw new DecodeError('unknown kind of entry');
  }
}
