/**
 * Commands as they stand in the Raft log. The same bytes give the same effect on every member.
 *
 *   command     = origin  kind:u8  body
 *   origin      = format:u8 (1 anonymous, 2 a user, 3 the members themselves)  [user:bytes  authRevision:uvarint]
 *   body        = put | deleteRange | txn | compaction | leaseGrant | leaseRevoke | leaseKeepAlive | alarm | auth |
 *                 leaseExpire, by kind
 *   put         = flags:u8 (1 prevKv, 2 ignoreValue, 4 ignoreLease, 8 has a lease)  key:bytes  value:bytes  [lease:i64]
 *   deleteRange = flags:u8 (1 prevKv)  key:bytes  end:bytes
 *   range       = flags:u8 (1 keysOnly, 2 countOnly, 4 has filters)  key:bytes  end:bytes  limit:varint  revision:varint
 *                 order:u8  target:u8  [minMod:varint  maxMod:varint  minCreate:varint  maxCreate:varint]
 *   txn         = n:uvarint compare*n  n:uvarint operation*n (success)  n:uvarint operation*n (failure)
 *   compare     = result:u8  target:u8  key:bytes  end:bytes  operand (VALUE bytes, LEASE i64, otherwise varint)
 *   operation   = kind:u8 (put, deleteRange, txn, range)  body
 *   compaction  = revision:varint
 *   leaseGrant  = id:i64  ttl:varint
 *   leaseRevoke = id:i64      leaseKeepAlive = id:i64      leaseExpire = id:i64  renewedIndex:uvarint
 *   alarm       = action:u8 (1 activate, 2 deactivate)  member:u64  alarm:u8 (1 NOSPACE, 2 CORRUPT)
 *   auth        = see auth/auth-operation.ts
 *
 *   bytes = length:uvarint octets      u8, i64, u64 = little endian      uvarint, varint: see binary.ts
 */
import { compareResults, compareTargets, sortOrders, sortTargets } from '@naru/etcd';
import {
  readAuthOperation,
  readText,
  writeAuthOperation,
  writeText,
  type AuthOperation,
} from '../auth/auth-operation.ts';
import type { AuthInfo } from '../auth/auth-store.ts';
import { BinaryReader, BinaryWriter } from './binary.ts';
import type {
  Comparison,
  DeleteRangeOperation,
  Operation,
  PutOperation,
  RangeOperation,
  TxnOperation,
} from './operation.ts';

export type AlarmType = 'NOSPACE' | 'CORRUPT';
export const alarmTypes: readonly AlarmType[] = ['NOSPACE', 'CORRUPT'];

export type Command =
  | PutOperation
  | DeleteRangeOperation
  | TxnOperation
  | { readonly type: 'compaction'; readonly revision: number }
  | { readonly type: 'leaseGrant'; readonly id: bigint; readonly ttl: number }
  | { readonly type: 'leaseRevoke'; readonly id: bigint }
  /** Revokes the lease unless it was renewed after the command `renewedIndex`, on which the decision rests. */
  | { readonly type: 'leaseExpire'; readonly id: bigint; readonly renewedIndex: number }
  /** Starts the lease's time again on every member; changes nothing that is replicated. */
  | { readonly type: 'leaseKeepAlive'; readonly id: bigint }
  | { readonly type: 'alarm'; readonly activate: boolean; readonly memberId: bigint; readonly alarm: AlarmType }
  | { readonly type: 'auth'; readonly operation: AuthOperation };

/** On whose behalf a command is proposed: nobody's, a user's, or the members' own. */
export type Origin = 'anonymous' | 'cluster' | AuthInfo;

const formats = { anonymous: 1, user: 2, cluster: 3 } as const;
const kinds = {
  put: 1,
  deleteRange: 2,
  txn: 3,
  range: 4,
  compaction: 5,
  leaseGrant: 6,
  leaseRevoke: 7,
  leaseKeepAlive: 8,
  alarm: 9,
  auth: 10,
  leaseExpire: 11,
} as const satisfies Record<Command['type'] | 'range', number>;

/** Nested txns deeper than this are refused at the edge (each level costs at least one of the txn's operations). */
const NESTING_MAX = 128;

/** Encodes commands; one encoder serves one caller after the other. */
export class CommandEncoder {
  readonly #writer = new BinaryWriter();

  encode(command: Command, origin: Origin = 'anonymous'): Buffer {
    const writer = this.#writer;
    writer.reset();
    writeOrigin(writer, origin);
    writer.u8(kinds[command.type]);
    switch (command.type) {
      case 'put':
        writePut(writer, command);
        break;
      case 'deleteRange':
        writeDeleteRange(writer, command);
        break;
      case 'txn':
        writeTxn(writer, command);
        break;
      case 'compaction':
        writer.varint(command.revision);
        break;
      case 'leaseGrant':
        writer.i64(command.id);
        writer.varint(command.ttl);
        break;
      case 'leaseRevoke':
      case 'leaseKeepAlive':
        writer.i64(command.id);
        break;
      case 'leaseExpire':
        writer.i64(command.id);
        writer.uvarint(command.renewedIndex);
        break;
      case 'alarm':
        writer.u8(command.activate ? 1 : 2);
        writer.u64(command.memberId);
        writer.u8(alarmTypes.indexOf(command.alarm) + 1);
        break;
      case 'auth':
        writeAuthOperation(writer, command.operation);
        break;
      default:
        command satisfies never;
    }
    return writer.take();
  }
}

/** @throws RangeError for bytes that are no command */
export function decodeCommand(data: Uint8Array): Command {
  return decodeProposal(data).command;
}

/** @throws RangeError for bytes that are no command */
export function decodeProposal(data: Uint8Array): { readonly command: Command; readonly origin: Origin } {
  const reader = new BinaryReader(data);
  const origin = readOrigin(reader);
  const command = readCommand(reader, reader.u8());
  if (reader.remaining > 0) throw new RangeError('command: trailing bytes');
  return { command, origin };
}

function writeOrigin(writer: BinaryWriter, origin: Origin): void {
  if (typeof origin === 'string') {
    writer.u8(formats[origin]);
    return;
  }
  writer.u8(formats.user);
  writeText(writer, origin.user);
  writer.uvarint(origin.revision);
}

function readOrigin(reader: BinaryReader): Origin {
  const format = reader.u8();
  switch (format) {
    case formats.anonymous:
      return 'anonymous';
    case formats.cluster:
      return 'cluster';
    case formats.user:
      return { user: readText(reader), revision: reader.uvarint() };
    default:
      throw new RangeError(`command: unknown format ${format}`);
  }
}

function readCommand(reader: BinaryReader, kind: number): Command {
  switch (kind) {
    case kinds.put:
      return readPut(reader);
    case kinds.deleteRange:
      return readDeleteRange(reader);
    case kinds.txn:
      return readTxn(reader, 0);
    case kinds.compaction:
      return { type: 'compaction', revision: reader.varint() };
    case kinds.leaseGrant:
      return { type: 'leaseGrant', id: reader.i64(), ttl: reader.varint() };
    case kinds.leaseRevoke:
      return { type: 'leaseRevoke', id: reader.i64() };
    case kinds.leaseKeepAlive:
      return { type: 'leaseKeepAlive', id: reader.i64() };
    case kinds.alarm:
      return {
        type: 'alarm',
        activate: reader.u8() === 1,
        memberId: reader.u64(),
        alarm: named(alarmTypes, reader.u8() - 1),
      };
    case kinds.leaseExpire:
      return { type: 'leaseExpire', id: reader.i64(), renewedIndex: reader.uvarint() };
    case kinds.auth:
      return { type: 'auth', operation: readAuthOperation(reader) };
    default:
      throw new RangeError(`command: unknown kind ${kind}`);
  }
}

function named<T>(names: readonly T[], index: number): T {
  const name = names[index];
  if (name === undefined) throw new RangeError(`command: unknown enum value ${index}`);
  return name;
}

function writePut(writer: BinaryWriter, put: PutOperation): void {
  const lease = put.lease !== 0n;
  writer.u8((put.prevKv ? 1 : 0) | (put.ignoreValue ? 2 : 0) | (put.ignoreLease ? 4 : 0) | (lease ? 8 : 0));
  writer.latin1(put.key);
  writer.bytes(put.value);
  if (lease) writer.i64(put.lease);
}

function readPut(reader: BinaryReader): PutOperation {
  const flags = reader.u8();
  return {
    type: 'put',
    key: reader.latin1(),
    value: reader.view(),
    lease: (flags & 8) === 0 ? 0n : reader.i64(),
    prevKv: (flags & 1) !== 0,
    ignoreValue: (flags & 2) !== 0,
    ignoreLease: (flags & 4) !== 0,
  };
}

function writeDeleteRange(writer: BinaryWriter, operation: DeleteRangeOperation): void {
  writer.u8(operation.prevKv ? 1 : 0);
  writer.latin1(operation.key);
  writer.latin1(operation.end);
}

function readDeleteRange(reader: BinaryReader): DeleteRangeOperation {
  const prevKv = reader.u8() === 1;
  return { type: 'deleteRange', key: reader.latin1(), end: reader.latin1(), prevKv };
}

function writeRange(writer: BinaryWriter, range: RangeOperation): void {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = range;
  const filters = minModRevision !== 0 || maxModRevision !== 0 || minCreateRevision !== 0 || maxCreateRevision !== 0;
  writer.u8((range.keysOnly ? 1 : 0) | (range.countOnly ? 2 : 0) | (filters ? 4 : 0));
  writer.latin1(range.key);
  writer.latin1(range.end);
  writer.varint(range.limit);
  writer.varint(range.revision);
  writer.u8(sortOrders.indexOf(range.sortOrder));
  writer.u8(sortTargets.indexOf(range.sortTarget));
  if (!filters) return;
  writer.varint(minModRevision);
  writer.varint(maxModRevision);
  writer.varint(minCreateRevision);
  writer.varint(maxCreateRevision);
}

function readRange(reader: BinaryReader): RangeOperation {
  const flags = reader.u8();
  const filters = (flags & 4) !== 0;
  return {
    type: 'range',
    key: reader.latin1(),
    end: reader.latin1(),
    limit: reader.varint(),
    revision: reader.varint(),
    sortOrder: named(sortOrders, reader.u8()),
    sortTarget: named(sortTargets, reader.u8()),
    keysOnly: (flags & 1) !== 0,
    countOnly: (flags & 2) !== 0,
    minModRevision: filters ? reader.varint() : 0,
    maxModRevision: filters ? reader.varint() : 0,
    minCreateRevision: filters ? reader.varint() : 0,
    maxCreateRevision: filters ? reader.varint() : 0,
  };
}

function writeTxn(writer: BinaryWriter, txn: TxnOperation): void {
  writer.uvarint(txn.compare.length);
  for (const comparison of txn.compare) writeComparison(writer, comparison);
  for (const branch of [txn.success, txn.failure]) {
    writer.uvarint(branch.length);
    for (const operation of branch) writeOperation(writer, operation);
  }
}

function readTxn(reader: BinaryReader, depth: number): TxnOperation {
  if (depth > NESTING_MAX) throw new RangeError('command: nested too deeply');
  const compare = readList(reader, () => readComparison(reader));
  const success = readList(reader, () => readOperation(reader, depth));
  const failure = readList(reader, () => readOperation(reader, depth));
  return { type: 'txn', compare, success, failure };
}

function readList<T>(reader: BinaryReader, read: () => T): T[] {
  const length = reader.uvarint();
  if (length > reader.remaining) throw new RangeError('command: list too long');
  const items: T[] = [];
  for (let i = 0; i < length; i++) items.push(read());
  return items;
}

function writeOperation(writer: BinaryWriter, operation: Operation): void {
  writer.u8(kinds[operation.type]);
  switch (operation.type) {
    case 'put':
      writePut(writer, operation);
      break;
    case 'deleteRange':
      writeDeleteRange(writer, operation);
      break;
    case 'txn':
      writeTxn(writer, operation);
      break;
    case 'range':
      writeRange(writer, operation);
      break;
    default:
      operation satisfies never;
  }
}

function readOperation(reader: BinaryReader, depth: number): Operation {
  const kind = reader.u8();
  switch (kind) {
    case kinds.put:
      return readPut(reader);
    case kinds.deleteRange:
      return readDeleteRange(reader);
    case kinds.txn:
      return readTxn(reader, depth + 1);
    case kinds.range:
      return readRange(reader);
    default:
      throw new RangeError(`command: unknown operation ${kind}`);
  }
}

function writeComparison(writer: BinaryWriter, comparison: Comparison): void {
  writer.u8(compareResults.indexOf(comparison.result));
  writer.u8(compareTargets.indexOf(comparison.target));
  writer.latin1(comparison.key);
  writer.latin1(comparison.end);
  if (comparison.target === 'VALUE') writer.bytes(comparison.operand);
  else if (comparison.target === 'LEASE') writer.i64(comparison.operand);
  else writer.varint(comparison.operand);
}

function readComparison(reader: BinaryReader): Comparison {
  const result = named(compareResults, reader.u8());
  const target = named(compareTargets, reader.u8());
  const range = { key: reader.latin1(), end: reader.latin1(), result };
  if (target === 'VALUE') return { ...range, target, operand: reader.bytes() };
  if (target === 'LEASE') return { ...range, target, operand: reader.i64() };
  return { ...range, target, operand: reader.varint() };
}
