/*
 * Members talk HTTP/1.1 (with TLS: mutual). Each has one long request to each other, by which it sends:
 *
 *   POST /raft/stream      request:  frame*, chunked, without end; a frame of length 0 asks for a sign of life
 *                          response: 200 at once, then one byte for each such sign
 *   POST /raft/snapshot    request:  frame (a MsgSnap), then the snapshot's bytes
 *                          response: 204 when the snapshot is on the receiver's disk
 *
 *   GET /members           response: the members as JSON, and the cluster's id as a header; for who joins
 *   GET /members/hashkv?revision=R    response: the hash of the keys at R as JSON; 400 with etcd's error otherwise
 *
 * The first two carry the headers below. 400: malformed; 409: the receiver is another member; 410: the sender was removed;
 * 412: another cluster.
 */
export const STREAM_PATH = '/raft/stream';
export const SNAPSHOT_PATH = '/raft/snapshot';
export const MEMBERS_PATH = '/members';
export const HASH_PATH = '/members/hashkv';
export const CLUSTER_HEADER = 'x-etcd-cluster-id';
export const FROM_HEADER = 'x-server-from';
export const TO_HEADER = 'x-raft-to';
/** The sender's peer URLs, comma-separated: the receiver may not know it yet, and has to answer. */
export const PEER_URLS_HEADER = 'x-peerurls';

/** A sender without anything to send asks for a sign of life this often. */
export const KEEPALIVE_INTERVAL_MS = 1000;
/** Either side gives a stream up when it hears nothing for this long. */
export const KEEPALIVE_TIMEOUT_MS = 5000;

export function idText(id: bigint): string {
  return id.toString(16);
}

/** PEM texts of the peer certificates. */
export interface PeerTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}
