import type { MemberInfo } from '../consensus.ts';
import type { Message, MsgSnap } from '../raft/message.ts';

/** Where a member listens for the others. */
export interface Peer {
  readonly id: bigint;
  readonly peerUrls: readonly string[];
}

/** What arrives from other members. */
export interface TransportHandlers {
  messages(messages: readonly Message[]): void;
  /** A member cannot be reached, or what was sent to it may be lost. Called once per such event. */
  unreachable(id: bigint): void;
  /** A member can be reached, at first or again. */
  reachable(id: bigint): void;
  /** A snapshot: resolves when it is taken in, rejects when it is not. */
  snapshot(message: MsgSnap, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** A member that was removed: nothing is taken from it. */
  readonly isRemoved: (id: bigint) => boolean;
  /** Another member says that this one was removed. */
  removed(): void;
  /** What this member knows of the cluster, for those who join. */
  members(): readonly MemberInfo[];
}

/**
 * Carries messages between members. It may lose them, and then says so where it knows; it keeps the order between two
 * members and never delivers one twice. Who sends a message can be answered even when it is not among the peers yet: a
 * member that joins, or was away for long, learns of some members only by what they send.
 */
export interface Transport extends AsyncDisposable {
  start(handlers: TransportHandlers): Promise<void>;
  /** The members there are, without this one. What was sent before to one that is gone still goes out. */
  setPeers(peers: readonly Peer[]): void;
  /** Since when the member can be reached, in monotonic milliseconds of the member's clock; undefined: it cannot. */
  activeSince(id: bigint): number | undefined;
  /** Never waits: what a peer's queue cannot hold is dropped and returned. */
  send(messages: readonly Message[]): readonly Message[];
  /** Resolves when the member has taken the snapshot in. */
  sendSnapshot(
    message: MsgSnap,
    content: AsyncIterable<Uint8Array>,
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
}
