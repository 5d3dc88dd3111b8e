/**
 * The whole store as a sequence of payloads, at one revision and without what is compacted, so that equal stores give
 * equal payloads however far the physical compaction of each has come.
 *
 *   payload  = header | auth (or none) | records | end
 *   header   = 1:u8  appliedIndex:uvarint  revision:uvarint  compactRevision:varint
 *              n:uvarint (lease:i64 ttl:varint renewedIndex:uvarint)*n   n:uvarint (member:u64 alarm:u8)*n
 *   auth     = 4:u8  state, to the end of the payload: see AuthStore.encode
 *   records  = 2:u8  (key:bytes  n:uvarint version*n)*, to the end of the payload
 *   version  = flags:u8 (1 has a lease)  main:uvarint  sub:uvarint  create:uvarint  version:uvarint  value:bytes  [lease:i64]
 *   end      = 3:u8  keys:uvarint
 */
import { Buffer } from 'node:buffer';
import { LeaseStore } from '../lease/lease-store.ts';
import { BinaryReader, BinaryWriter } from './binary.ts';
import { alarmTypes, type AlarmType } from './command.ts';
import { NO_END } from './operation.ts';
import { MvccStore } from './store.ts';
import { indexAt, type KeyRecord, type Version } from './version.ts';

const HEADER = 1;
const RECORDS = 2;
const END = 3;
const AUTH = 4;

/** A records payload ends when it is at least this long. */
const RECORDS_BYTES = 256 * 1024;
/** Keys looked at for one payload, so that making one never takes long. */
const RECORDS_KEYS = 2000;

export interface Alarm {
  readonly memberId: bigint;
  readonly alarm: AlarmType;
}

/** What a snapshot holds beside the records. */
export interface SnapshotHeader {
  readonly appliedIndex: number;
  readonly revision: number;
  readonly compactRevision: number;
  readonly leases: readonly { readonly id: bigint; readonly ttl: number; readonly renewedIndex: number }[];
  readonly alarms: readonly Alarm[];
  /** Users, roles and permissions; absent: none. */
  readonly auth?: Uint8Array;
}

/**
 * The payloads of `store` as it is when the first one is taken. The store may change between one payload and the next,
 * but must be pinned.
 */
export function* snapshotPayloads(store: MvccStore, header: SnapshotHeader): Generator<Buffer, void, undefined> {
  const writer = new BinaryWriter();
  writer.u8(HEADER);
  writer.uvarint(header.appliedIndex);
  writer.uvarint(header.revision);
  writer.varint(header.compactRevision);
  writer.uvarint(header.leases.length);
  for (const lease of header.leases) {
    writer.i64(lease.id);
    writer.varint(lease.ttl);
    writer.uvarint(lease.renewedIndex);
  }
  writer.uvarint(header.alarms.length);
  for (const alarm of header.alarms) {
    writer.u64(alarm.memberId);
    writer.u8(alarmTypes.indexOf(alarm.alarm) + 1);
  }
  yield writer.take();
  if (header.auth !== undefined) yield Buffer.concat([Buffer.of(AUTH), header.auth]);
  const keys = yield* recordPayloads(store, header);
  writer.u8(END);
  writer.uvarint(keys);
  yield writer.take();
}

/**
 * The records at `revision`. Equal stores give equal records, but may give them in other pieces, each with a byte at its
 * head. Returns how many keys there were.
 */
export function* recordPayloads(
  store: MvccStore,
  at: { readonly revision: number; readonly compactRevision: number },
): Generator<Buffer, number, undefined> {
  const writer = new BinaryWriter();
  let keys = 0;
  for (let next: string | undefined = ''; next !== undefined;) {
    const from: string = next;
    next = undefined;
    let seen = 0;
    writer.u8(RECORDS);
    store.visitRecords(from, NO_END, (record) => {
      if (++seen > RECORDS_KEYS || writer.length >= RECORDS_BYTES) {
        next = record.key;
        return false;
      }
      const versions = visibleVersions(record, at);
      if (versions.length === 0) return true;
      keys++;
      writer.latin1(record.key);
      writer.uvarint(versions.length);
      for (const version of versions) writeVersion(writer, version);
      return true;
    });
    yield writer.take();
  }
  return keys;
}

/** The versions of `record` up to a revision that a compaction at `compactRevision` leaves. */
function visibleVersions(
  record: KeyRecord,
  at: { readonly revision: number; readonly compactRevision: number },
): readonly Version[] {
  const end = indexAt(record, at.revision) + 1;
  let start = Math.max(0, indexAt(record, at.compactRevision));
  const first = record.versions[start];
  if (first !== undefined && first.version === 0 && first.main < at.compactRevision) start++;
  return start === 0 && end === record.versions.length ? record.versions : record.versions.slice(start, end);
}

function writeVersion(writer: BinaryWriter, version: Version): void {
  writer.u8(version.lease === 0n ? 0 : 1);
  writer.uvarint(version.main);
  writer.uvarint(version.sub);
  writer.uvarint(version.create);
  writer.uvarint(version.version);
  writer.latin1(version.value);
  if (version.lease !== 0n) writer.i64(version.lease);
}

function readVersion(reader: BinaryReader, key: string): Version {
  const flags = reader.u8();
  return {
    key,
    main: reader.uvarint(),
    sub: reader.uvarint(),
    create: reader.uvarint(),
    version: reader.uvarint(),
    value: reader.latin1(),
    lease: (flags & 1) === 0 ? 0n : reader.i64(),
  };
}

/** Builds a store out of payloads. @throws RangeError for payloads that are not a snapshot */
export class SnapshotLoader {
  readonly #store = new MvccStore(new LeaseStore());
  #header: SnapshotHeader | undefined;
  #keys = 0;
  #ended = false;

  add(payload: Uint8Array): void {
    if (this.#ended) throw new RangeError('snapshot: data after its end');
    const reader = new BinaryReader(payload);
    const kind = reader.u8();
    if (kind === HEADER && this.#header === undefined) this.#readHeader(reader);
    else if (kind === AUTH && this.#header !== undefined) this.#header = { ...this.#header, auth: payload.slice(1) };
    else if (kind === RECORDS && this.#header !== undefined) this.#readRecords(reader);
    else if (kind === END && this.#header !== undefined) {
      if (reader.uvarint() !== this.#keys) throw new RangeError('snapshot: keys are missing');
      this.#ended = true;
    } else throw new RangeError(`snapshot: unexpected payload ${kind}`);
  }

  /** @throws RangeError when the snapshot is not complete */
  finish(): { readonly store: MvccStore; readonly header: SnapshotHeader } {
    if (this.#header === undefined || !this.#ended) throw new RangeError('snapshot: incomplete');
    this.#store.finishRestore(this.#header.revision, this.#header.compactRevision);
    return { store: this.#store, header: this.#header };
  }

  #readHeader(reader: BinaryReader): void {
    const appliedIndex = reader.uvarint();
    const revision = reader.uvarint();
    const compactRevision = reader.varint();
    const leases = Array.from({ length: reader.uvarint() }, () => ({
      id: reader.i64(),
      ttl: reader.varint(),
      renewedIndex: reader.uvarint(),
    }));
    const alarms = Array.from({ length: reader.uvarint() }, () => {
      const memberId = reader.u64();
      const alarm = alarmTypes[reader.u8() - 1];
      if (alarm === undefined) throw new RangeError('snapshot: unknown alarm');
      return { memberId, alarm };
    });
    for (const lease of leases) this.#store.leases.grant(lease.id, lease.ttl, lease.renewedIndex);
    this.#header = { appliedIndex, revision, compactRevision, leases, alarms };
  }

  #readRecords(reader: BinaryReader): void {
    while (reader.remaining > 0) {
      const key = reader.latin1();
      const versions: Version[] = [];
      for (let left = reader.uvarint(); left > 0; left--) versions.push(readVersion(reader, key));
      const newest = versions.at(-1);
      if (newest === undefined) throw new RangeError('snapshot: a key without versions');
      this.#store.restoreRecord(key, versions);
      if (newest.version !== 0) this.#store.leases.move(key, 0n, newest.lease);
      this.#keys++;
    }
  }
}
