import { createHash } from 'node:crypto';
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import type { MemberInfo, MembershipChange, MembershipErrorCode } from '../consensus.ts';
import { encodeConfChange, type ConfChange, type ConfChangeSingle } from '../raft/conf-change.ts';
import type { EntryType } from '../raft/message.ts';
import { encodePeerUrls, type MemberAttributes, type PeerUrlsUpdate, type RequestId } from './envelope.ts';

/** Learners that a cluster may have: each costs the leader as much as a voter. As etcd has it. */
export const LEARNERS_MAX = 1;

/** A member as `--initial-cluster` has it. */
export interface InitialMember {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

function idOf(...parts: readonly (string | Buffer)[]): bigint {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest().readBigUInt64BE(0);
}

/** A member's id, as etcd derives it: from its peer URLs and the cluster's token. */
export function memberIdOf(peerUrls: readonly string[], token: string): bigint {
  return idOf([...peerUrls].sort().join(''), token);
}

/** A cluster's id, as etcd derives it: from the ids of its first members. */
export function clusterIdOf(memberIds: readonly bigint[]): bigint {
  const writer = new ByteWriter();
  for (const id of [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))) writer.u64(id);
  return idOf(writer.view());
}

/*
 * conf-change context := instance:u64 request:u64 member                all big-endian
 * membership          := count:u32 member* removed-count:u32 id:u64*
 * member              := id:u64 text(name) urls(peer) urls(client) learner:u8
 * urls                := count:u32 text*
 */
function writeMember(writer: ByteWriter, member: MemberInfo): void {
  writer.u64(member.id).text(member.name);
  for (const urls of [member.peerUrls, member.clientUrls]) {
    writer.u32(urls.length);
    for (const url of urls) writer.text(url);
  }
  writer.u8(member.isLearner ? 1 : 0);
}

function readMember(reader: ByteReader): MemberInfo {
  const [id, name] = [reader.u64(), reader.text()];
  const urls = (): string[] => Array.from({ length: reader.count(4) }, () => reader.text());
  return { id, name, peerUrls: urls(), clientUrls: urls(), isLearner: reader.u8() === 1 };
}

/** What a change of the configuration carries besides ids: who asked, and the member that is added. */
export interface ConfChangeContext {
  readonly id: RequestId;
  readonly member: MemberInfo | undefined;
}

export function encodeConfChangeContext(context: ConfChangeContext): Uint8Array {
  const writer = new ByteWriter().u64(context.id.instance).u53(context.id.request);
  if (context.member !== undefined) writeMember(writer, context.member);
  return writer.view();
}

/** @returns undefined for a change without a context: the one with which a joint configuration is left */
export function decodeConfChangeContext(bytes: Uint8Array): ConfChangeContext | undefined {
  const reader = new ByteReader(bytes);
  if (reader.remaining === 0) return undefined;
  const id = { instance: reader.u64(), request: reader.u53() };
  return { id, member: reader.remaining > 0 ? readMember(reader) : undefined };
}

/** How a change of the members goes into the log, and the id of the member that it is about. */
export function proposalOf(
  change: MembershipChange,
  random: () => number,
): { readonly id: bigint; readonly type: EntryType; readonly encode: (id: RequestId) => Uint8Array } {
  if (change.type === 'update') {
    const { id, peerUrls } = change;
    return { id, type: 'normal', encode: (request) => encodePeerUrls(request, { id, peerUrls }) };
  }
  // Not the URLs alone make the id: those of a removed member may come back, its id may not.
  const id = change.type === 'add' ? memberIdOf(change.peerUrls, `${random()}/${random()}`) : change.id;
  const added =
    change.type === 'add'
      ? { id, name: '', peerUrls: change.peerUrls, clientUrls: [], isLearner: change.isLearner }
      : undefined;
  const type = change.type === 'remove' ? 'remove' : added?.isLearner === true ? 'add-learner' : 'add-voter';
  const encode = (request: RequestId): Uint8Array => {
    const context = encodeConfChangeContext({ id: request, member: added });
    return encodeConfChange({ transition: 'auto', changes: [{ type, id }], context });
  };
  return { id, type: 'conf-change', encode };
}

/** The members by what the log says of them: replicated state, like the state machine's, and part of every snapshot. */
export class Membership {
  readonly #members = new Map<bigint, MemberInfo>();
  /** Ids are never used again, so that a removed member stays out whatever it believes. */
  readonly #removed = new Set<bigint>();
  #sorted: readonly MemberInfo[] | undefined;

  /** By id. The same array until something changes: every response's header asks for the status. */
  get members(): readonly MemberInfo[] {
    this.#sorted ??= [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    return this.#sorted;
  }

  get(id: bigint): MemberInfo | undefined {
    return this.#members.get(id);
  }

  isRemoved(id: bigint): boolean {
    return this.#removed.has(id);
  }

  /** Why `change` is not made. Every member says the same, as it depends on the log only. */
  refusal(change: ConfChange, context: ConfChangeContext | undefined): MembershipErrorCode | undefined {
    for (const single of change.changes) {
      const code = this.#refusalOf(single, context?.member?.id === single.id ? context.member : undefined);
      if (code !== undefined) return code;
    }
    return undefined;
  }

  #refusalOf({ type, id }: ConfChangeSingle, added: MemberInfo | undefined): MembershipErrorCode | undefined {
    const known = this.#members.get(id);
    if (this.#removed.has(id)) return 'member-not-found';
    if (added === undefined) {
      if (known === undefined) return 'member-not-found';
      return type === 'add-voter' && !known.isLearner ? 'not-learner' : undefined;
    }
    if (known !== undefined) return 'member-exists';
    if (this.#isTaken(added.peerUrls)) return 'peer-urls-exist';
    const learners = this.members.filter(({ isLearner }) => isLearner).length;
    return type === 'add-learner' && learners >= LEARNERS_MAX ? 'too-many-learners' : undefined;
  }

  #isTaken(urls: readonly string[], by?: bigint): boolean {
    return this.members.some(({ id, peerUrls }) => id !== by && peerUrls.some((url) => urls.includes(url)));
  }

  /** Changes where a member listens for the others. @returns why not */
  applyPeerUrls({ id, peerUrls }: PeerUrlsUpdate): MembershipErrorCode | undefined {
    const member = this.#members.get(id);
    if (member === undefined) return 'member-not-found';
    if (this.#isTaken(peerUrls, id)) return 'peer-urls-exist';
    this.#sorted = undefined;
    this.#members.set(id, { ...member, peerUrls });
    return undefined;
  }

  applyConfChange(change: ConfChange, context: ConfChangeContext | undefined): void {
    this.#sorted = undefined;
    for (const { type, id } of change.changes) {
      if (type === 'remove') {
        this.#members.delete(id);
        this.#removed.add(id);
        continue;
      }
      const known = this.#members.get(id) ?? (context?.member?.id === id ? context.member : undefined);
      const member = known ?? { id, name: '', peerUrls: [], clientUrls: [], isLearner: false };
      this.#members.set(id, { ...member, isLearner: type === 'add-learner' });
    }
  }

  applyAttributes({ id, name, clientUrls }: MemberAttributes): void {
    const member = this.#members.get(id);
    this.#sorted = undefined;
    if (member !== undefined) this.#members.set(id, { ...member, name, clientUrls });
  }

  encode(): Uint8Array {
    const writer = new ByteWriter();
    const members = this.members;
    writer.u32(members.length);
    for (const member of members) writeMember(writer, member);
    writer.u32(this.#removed.size);
    for (const id of this.#removed) writer.u64(id);
    return writer.view();
  }

  /** Takes the place of what is known. @throws DecodeError, and then nothing has changed */
  restore(bytes: Uint8Array): void {
    const reader = new ByteReader(bytes);
    const members = Array.from({ length: reader.count(1) }, () => readMember(reader));
    const removed = Array.from({ length: reader.count(8) }, () => reader.u64());
    this.#sorted = undefined;
    this.#members.clear();
    this.#removed.clear();
    for (const member of members) this.#members.set(member.id, member);
    for (const id of removed) this.#removed.add(id);
  }
}
