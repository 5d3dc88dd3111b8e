import { ByteReader, DecodeError, type ByteWriter } from '../codec/bytes.ts';
import { decodeConfChange } from '../raft/conf-change.ts';
import type { Entry, EntryType, Message, MessageType, Proposal } from '../raft/message.ts';
import { readConfState, writeConfState } from '../snapshot/snapshot-file.ts';

/*
 * frame      := length:u32 message                                       length: of the message; 0: a sign of life
 * message    := kind:u8 from:u64 to:u64 term:u64 body                    all big-endian
 * body       := index:u64 log-term:u64 transfer:u8                       MsgVote, MsgPreVote
 *             | reject:u8                                                MsgVoteResp, MsgPreVoteResp
 *             | index:u64 log-term:u64 commit:u64 count:u32 entry*       MsgApp
 *             | index:u64 reject:u8 reject-hint:u64 log-term:u64         MsgAppResp
 *             | commit:u64 round:u64                                     MsgHeartbeat
 *             | round:u64                                                MsgHeartbeatResp
 *             | index:u64 term:u64 conf-state                            MsgSnap
 *             |                                                          MsgTimeoutNow
 *             | transferee:u64                                           MsgTransferLeader
 *             | context:u64                                              MsgReadIndex
 *             | context:u64 index:u64                                    MsgReadIndexResp
 *             | context:u64 count:u32 proposal*                          MsgProp
 *             | context:u64 reason:u8                                    MsgPropReject
 * entry      := term:u64 type:u8 length:u32 data                         indexes follow on MsgApp's
 * proposal   := type:u8 length:u32 data
 */
const kinds = [
  'MsgVote',
  'MsgPreVote',
  'MsgVoteResp',
  'MsgPreVoteResp',
  'MsgApp',
  'MsgAppResp',
  'MsgHeartbeat',
  'MsgHeartbeatResp',
  'MsgSnap',
  'MsgTimeoutNow',
  'MsgTransferLeader',
  'MsgReadIndex',
  'MsgReadIndexResp',
  'MsgProp',
  'MsgPropReject',
] as const satisfies readonly MessageType[];
const kindOf = Object.fromEntries(kinds.map((kind, i) => [kind, i])) as Record<MessageType, number>;
const entryTypes = ['normal', 'conf-change'] as const satisfies readonly EntryType[];
const reasons = ['no-leader', 'transferring', 'too-many-requests', 'conf-change-pending', 'learner-not-ready'] as const;
const ENTRY_BYTES_MIN = 13;
const PROPOSAL_BYTES_MIN = 5;

/** A frame may not be longer: far above what the bounds of a message allow. */
export const FRAME_BYTES_MAX = 64 << 20;

/** Appends a frame. */
export function writeFrame(writer: ByteWriter, message: Message): void {
  const at = writer.length;
  writer.u32(0);
  writeMessage(writer, message);
  writer.patchU32(at, writer.length - at - 4);
}

function writeMessage(writer: ByteWriter, message: Message): void {
  writer.u8(kindOf[message.type]).u64(message.from).u64(message.to).u53(message.term);
  switch (message.type) {
    case 'MsgVote':
    case 'MsgPreVote':
      writer
        .u53(message.index)
        .u53(message.logTerm)
        .u8(message.transfer ? 1 : 0);
      return;
    case 'MsgVoteResp':
    case 'MsgPreVoteResp':
      writer.u8(message.reject ? 1 : 0);
      return;
    case 'MsgApp':
      writer.u53(message.index).u53(message.logTerm).u53(message.commit).u32(message.entries.length);
      for (const { term, type, data } of message.entries) writer.u53(term).u8(entryTypes.indexOf(type)).bytes(data);
      return;
    case 'MsgAppResp':
      writer
        .u53(message.index)
        .u8(message.reject ? 1 : 0)
        .u53(message.rejectHint)
        .u53(message.logTerm);
      return;
    case 'MsgHeartbeat':
      writer.u53(message.commit).u53(message.round);
      return;
    case 'MsgHeartbeatResp':
      writer.u53(message.round);
      return;
    case 'MsgSnap':
      writer.u53(message.snapshot.index).u53(message.snapshot.term);
      writeConfState(writer, message.snapshot.confState);
      return;
    case 'MsgTimeoutNow':
      return;
    case 'MsgTransferLeader':
      writer.u64(message.transferee);
      return;
    case 'MsgReadIndex':
      writer.u53(message.context);
      return;
    case 'MsgReadIndexResp':
      writer.u53(message.context).u53(message.index);
      return;
    case 'MsgProp':
      writer.u53(message.context).u32(message.proposals.length);
      for (const { type, data } of message.proposals) writer.u8(entryTypes.indexOf(type)).bytes(data);
      return;
    case 'MsgPropReject':
      writer.u53(message.context).u8(reasons.indexOf(message.reason));
      return;
    default:
      message satisfies never;
  }
}

/** A message from a frame's bytes. Data of entries are views of them. @throws DecodeError */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes);
  const message = readMessage(reader);
  reader.end();
  return message;
}

function readMessage(reader: ByteReader): Message {
  const type = kinds[reader.u8()];
  const head = { from: reader.u64(), to: reader.u64(), term: reader.u53() };
  switch (type) {
    case 'MsgVote':
    case 'MsgPreVote':
      return { type, ...head, index: reader.u53(), logTerm: reader.u53(), transfer: reader.u8() === 1 };
    case 'MsgVoteResp':
    case 'MsgPreVoteResp':
      return { type, ...head, reject: reader.u8() === 1 };
    case 'MsgApp': {
      const [index, logTerm, commit] = [reader.u53(), reader.u53(), reader.u53()];
      return { type, ...head, index, logTerm, commit, entries: readEntries(reader, index) };
    }
    case 'MsgAppResp': {
      const [index, reject] = [reader.u53(), reader.u8() === 1];
      return { type, ...head, index, reject, rejectHint: reader.u53(), logTerm: reader.u53() };
    }
    case 'MsgHeartbeat':
      return { type, ...head, commit: reader.u53(), round: reader.u53() };
    case 'MsgHeartbeatResp':
      return { type, ...head, round: reader.u53() };
    case 'MsgSnap': {
      const [index, term] = [reader.u53(), reader.u53()];
      return { type, ...head, snapshot: { index, term, confState: readConfState(reader) } };
    }
    case 'MsgTimeoutNow':
      return { type, ...head };
    case 'MsgTransferLeader':
      return { type, ...head, transferee: reader.u64() };
    case 'MsgReadIndex':
      return { type, ...head, context: reader.u53() };
    case 'MsgReadIndexResp':
      return { type, ...head, context: reader.u53(), index: reader.u53() };
    case 'MsgProp':
      return { type, ...head, context: reader.u53(), proposals: readProposals(reader) };
    case 'MsgPropReject': {
      const [context, reason] = [reader.u53(), reasons[reader.u8()]];
      if (reason === undefined) throw new DecodeError('unknown reason');
      return { type, ...head, context, reason };
    }
    default:
      throw new DecodeError('unknown kind of message');
  }
}

function readEntries(reader: ByteReader, previous: number): readonly Entry[] {
  const count = reader.count(ENTRY_BYTES_MIN);
  const entries: Entry[] = [];
  for (let index = previous + 1; index <= previous + count; index++)
    entries.push({ index, term: reader.u53(), ...readProposal(reader) });
  return entries;
}

function readProposals(reader: ByteReader): readonly Proposal[] {
  const count = reader.count(PROPOSAL_BYTES_MIN);
  return Array.from({ length: count }, () => readProposal(reader));
}

function readProposal(reader: ByteReader): Proposal {
  const type = entryTypes[reader.u8()];
  if (type === undefined) throw new DecodeError('unknown entry type');
  const data = reader.bytes();
  if (type === 'conf-change') {
    try {
      decodeConfChange(data);
    } catch (cause) {
      throw new DecodeError('not a conf-change', { cause });
    }
  }
  return { type, data };
}

function frameLength(bytes: Buffer): number {
  const length = bytes.readUInt32BE(0);
  if (length > FRAME_BYTES_MAX) throw new DecodeError('frame is too long');
  return length;
}

/** Cuts a stream of bytes into messages. */
export class FrameDecoder {
  #parts: Buffer[] = [];
  #length = 0;

  /** The messages that `chunk` completes, and the count of empty frames among them. @throws DecodeError */
  push(chunk: Buffer): { readonly messages: readonly Message[]; readonly pings: number } {
    this.#parts.push(chunk);
    this.#length += chunk.length;
    // A long frame comes in many chunks: they are joined once, when it is complete.
    if (this.#length < this.#needed()) return { messages: [], pings: 0 };
    let bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    const messages: Message[] = [];
    let pings = 0;
    while (bytes.length >= 4) {
      const length = frameLength(bytes);
      if (bytes.length < 4 + length) break;
      if (length === 0) pings++;
      else messages.push(decodeMessage(bytes.subarray(4, 4 + length)));
      bytes = bytes.subarray(4 + length);
    }
    this.#parts = bytes.length === 0 ? [] : [bytes];
    this.#length = bytes.length;
    return { messages, pings };
  }

  #needed(): number {
    const first = this.#parts[0];
    if (first === undefined || first.length < 4) return 4;
    return 4 + frameLength(first);
  }
}
