/**
 * Responses in protobuf's JSON mapping, as etcd 3.4's gateway writes them: fields in snake_case in the order of their
 * numbers, defaults left out, 64-bit integers as strings. `encodeX` makes the text a server sends, `decodeX` reads it.
 */
import { Buffer } from 'node:buffer';
import { EtcdError } from './errors.ts';
import {
  arrayOf,
  booleanOf,
  bytesOf,
  field,
  idOf,
  integerOf,
  memberIdOf,
  objectOf,
  stringOf,
  stringsOf,
  type JsonObject,
} from './json-fields.ts';
import type {
  DeleteRangeResponse,
  KeyValue,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseTimeToLiveResponse,
  Member,
  MemberListResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  StatusResponse,
  TxnResponse,
  WatchEvent,
  WatchResponse,
} from './messages.ts';

const noBytes = Buffer.alloc(0);

function integer(name: string, value: number | bigint): string {
  return value === 0 || value === 0n ? '' : `,"${name}":"${value}"`;
}

function boolean(name: string, value: boolean): string {
  return value ? `,"${name}":true` : '';
}

function text(name: string, value: string): string {
  return value === '' ? '' : `,"${name}":${JSON.stringify(value)}`;
}

function list(name: string, items: readonly string[]): string {
  return items.length === 0 ? '' : `,"${name}":[${items.join(',')}]`;
}

/** Puts an object around members that each begin with a comma. */
function object(members: string): string {
  return `{${members.slice(1)}}`;
}

/** Inside a txn's responses only the revision is set. */
export function encodeHeader(header: ResponseHeader): string {
  return object(
    integer('cluster_id', header.clusterId) +
      integer('member_id', header.memberId) +
      integer('revision', header.revision) +
      integer('raft_term', header.raftTerm),
  );
}

export function decodeHeader(value: unknown): ResponseHeader {
  const source = objectOf(value, 'etcdserverpb.ResponseHeader');
  return {
    clusterId: memberIdOf(field(source, 'cluster_id', 'clusterId')),
    memberId: memberIdOf(field(source, 'member_id', 'memberId')),
    revision: integerOf(source.revision),
    raftTerm: integerOf(field(source, 'raft_term', 'raftTerm')),
  };
}

export function encodeKeyValue(kv: KeyValue): string {
  const value = kv.value.length === 0 ? '' : `,"value":"${kv.value.toString('base64')}"`;
  return `{"key":"${kv.key.toString('base64')}"${integer('create_revision', kv.createRevision)}${integer(
    'mod_revision',
    kv.modRevision,
  )}${integer('version', kv.version)}${value}${integer('lease', kv.lease)}}`;
}

export function decodeKeyValue(value: unknown): KeyValue {
  const source = objectOf(value, 'mvccpb.KeyValue');
  return {
    key: bytesOf(source.key) ?? noBytes,
    value: bytesOf(source.value) ?? noBytes,
    createRevision: integerOf(field(source, 'create_revision', 'createRevision')),
    modRevision: integerOf(field(source, 'mod_revision', 'modRevision')),
    version: integerOf(source.version),
    lease: idOf(source.lease),
  };
}

function header(response: { readonly header: ResponseHeader }): string {
  return `,"header":${encodeHeader(response.header)}`;
}

export function encodeRangeResponse(response: RangeResponse): string {
  return object(
    header(response) +
      list('kvs', response.kvs.map(encodeKeyValue)) +
      boolean('more', response.more) +
      integer('count', response.count),
  );
}

export function decodeRangeResponse(value: unknown): RangeResponse {
  const source = objectOf(value, 'etcdserverpb.RangeResponse');
  return {
    header: decodeHeader(source.header),
    kvs: arrayOf(source.kvs).map(decodeKeyValue),
    more: booleanOf(source.more),
    count: integerOf(source.count),
  };
}

export function encodePutResponse(response: PutResponse): string {
  return object(
    header(response) + (response.prevKv === undefined ? '' : `,"prev_kv":${encodeKeyValue(response.prevKv)}`),
  );
}

export function decodePutResponse(value: unknown): PutResponse {
  const source = objectOf(value, 'etcdserverpb.PutResponse');
  const prevKv = field(source, 'prev_kv', 'prevKv');
  return {
    header: decodeHeader(source.header),
    prevKv: prevKv === undefined ? undefined : decodeKeyValue(prevKv),
  };
}

export function encodeDeleteRangeResponse(response: DeleteRangeResponse): string {
  return object(
    header(response) + integer('deleted', response.deleted) + list('prev_kvs', response.prevKvs.map(encodeKeyValue)),
  );
}

export function decodeDeleteRangeResponse(value: unknown): DeleteRangeResponse {
  const source = objectOf(value, 'etcdserverpb.DeleteRangeResponse');
  return {
    header: decodeHeader(source.header),
    deleted: integerOf(source.deleted),
    prevKvs: arrayOf(field(source, 'prev_kvs', 'prevKvs')).map(decodeKeyValue),
  };
}

function encodeResponseOp(op: ResponseOp): string {
  if ('responseRange' in op) return `{"response_range":${encodeRangeResponse(op.responseRange)}}`;
  if ('responsePut' in op) return `{"response_put":${encodePutResponse(op.responsePut)}}`;
  if ('responseDeleteRange' in op)
    return `{"response_delete_range":${encodeDeleteRangeResponse(op.responseDeleteRange)}}`;
  return `{"response_txn":${encodeTxnResponse(op.responseTxn)}}`;
}

function decodeResponseOp(value: unknown): ResponseOp {
  const source = objectOf(value, 'etcdserverpb.ResponseOp');
  const range = field(source, 'response_range', 'responseRange');
  if (range !== undefined) return { responseRange: decodeRangeResponse(range) };
  const put = field(source, 'response_put', 'responsePut');
  if (put !== undefined) return { responsePut: decodePutResponse(put) };
  const deleteRange = field(source, 'response_delete_range', 'responseDeleteRange');
  if (deleteRange !== undefined) return { responseDeleteRange: decodeDeleteRangeResponse(deleteRange) };
  const txn = field(source, 'response_txn', 'responseTxn');
  if (txn !== undefined) return { responseTxn: decodeTxnResponse(txn) };
  throw new EtcdError('protocol', { message: 'etcdclient: a txn response without content' });
}

export function encodeTxnResponse(response: TxnResponse): string {
  return object(
    header(response) +
      boolean('succeeded', response.succeeded) +
      list('responses', response.responses.map(encodeResponseOp)),
  );
}

export function decodeTxnResponse(value: unknown): TxnResponse {
  const source = objectOf(value, 'etcdserverpb.TxnResponse');
  return {
    header: decodeHeader(source.header),
    succeeded: booleanOf(source.succeeded),
    responses: arrayOf(source.responses).map(decodeResponseOp),
  };
}

/** Compaction, lease revocation and other answers that are a header only. */
export function encodeHeaderResponse(response: { readonly header: ResponseHeader }): string {
  return object(header(response));
}

export function decodeHeaderResponse(value: unknown): { readonly header: ResponseHeader } {
  return { header: decodeHeader(objectOf(value, 'etcdserverpb.ResponseHeader').header) };
}

export function encodeWatchEvent(event: WatchEvent): string {
  return `{${event.type === 'DELETE' ? '"type":"DELETE",' : ''}"kv":${encodeKeyValue(event.kv)}${
    event.prevKv === undefined ? '' : `,"prev_kv":${encodeKeyValue(event.prevKv)}`
  }}`;
}

/**
 * `events` may be given already encoded, as when many watchers get the same ones.
 */
export function encodeWatchResponse(
  response: WatchResponse,
  events: readonly string[] = response.events.map(encodeWatchEvent),
): string {
  return object(
    header(response) +
      integer('watch_id', response.watchId) +
      boolean('created', response.created) +
      boolean('canceled', response.canceled) +
      integer('compact_revision', response.compactRevision) +
      text('cancel_reason', response.cancelReason) +
      boolean('fragment', response.fragment) +
      list('events', events),
  );
}

function decodeWatchEvent(value: unknown): WatchEvent {
  const source = objectOf(value, 'mvccpb.Event');
  const prevKv = field(source, 'prev_kv', 'prevKv');
  return {
    type: source.type === 'DELETE' || source.type === 1 ? 'DELETE' : 'PUT',
    kv: decodeKeyValue(source.kv),
    ...(prevKv === undefined ? {} : { prevKv: decodeKeyValue(prevKv) }),
  };
}

export function decodeWatchResponse(value: unknown): WatchResponse {
  const source = objectOf(value, 'etcdserverpb.WatchResponse');
  return {
    header: decodeHeader(source.header),
    watchId: integerOf(field(source, 'watch_id', 'watchId')),
    created: booleanOf(source.created),
    canceled: booleanOf(source.canceled),
    compactRevision: integerOf(field(source, 'compact_revision', 'compactRevision')),
    cancelReason: stringOf(field(source, 'cancel_reason', 'cancelReason')),
    fragment: booleanOf(source.fragment),
    events: arrayOf(source.events).map(decodeWatchEvent),
  };
}

export function encodeLeaseGrantResponse(response: LeaseGrantResponse): string {
  return object(header(response) + integer('ID', response.id) + integer('TTL', response.ttl));
}

export function decodeLeaseGrantResponse(value: unknown): LeaseGrantResponse {
  const source = objectOf(value, 'etcdserverpb.LeaseGrantResponse');
  return { header: decodeHeader(source.header), id: idOf(source.ID), ttl: integerOf(source.TTL) };
}

export function encodeLeaseKeepAliveResponse(response: LeaseKeepAliveResponse): string {
  return object(header(response) + integer('ID', response.id) + integer('TTL', response.ttl));
}

export const decodeLeaseKeepAliveResponse: (value: unknown) => LeaseKeepAliveResponse = decodeLeaseGrantResponse;

export function encodeLeaseTimeToLiveResponse(response: LeaseTimeToLiveResponse): string {
  return object(
    header(response) +
      integer('ID', response.id) +
      integer('TTL', response.ttl) +
      integer('grantedTTL', response.grantedTtl) +
      list(
        'keys',
        response.keys.map((key) => `"${key.toString('base64')}"`),
      ),
  );
}

export function decodeLeaseTimeToLiveResponse(value: unknown): LeaseTimeToLiveResponse {
  const source = objectOf(value, 'etcdserverpb.LeaseTimeToLiveResponse');
  return {
    header: decodeHeader(source.header),
    id: idOf(source.ID),
    ttl: integerOf(source.TTL),
    grantedTtl: integerOf(source.grantedTTL),
    keys: arrayOf(source.keys).map((key) => bytesOf(key) ?? noBytes),
  };
}

export function encodeLeaseLeasesResponse(response: LeaseLeasesResponse): string {
  return object(
    header(response) +
      list(
        'leases',
        response.leases.map((id) => `{"ID":"${id}"}`),
      ),
  );
}

export function decodeLeaseLeasesResponse(value: unknown): LeaseLeasesResponse {
  const source = objectOf(value, 'etcdserverpb.LeaseLeasesResponse');
  return {
    header: decodeHeader(source.header),
    leases: arrayOf(source.leases).map((each) => idOf(objectOf(each, 'etcdserverpb.LeaseStatus').ID)),
  };
}

export function encodeStatusResponse(response: StatusResponse): string {
  return object(
    header(response) +
      text('version', response.version) +
      integer('dbSize', response.dbSize) +
      integer('leader', response.leader) +
      integer('raftIndex', response.raftIndex) +
      integer('raftTerm', response.raftTerm) +
      integer('raftAppliedIndex', response.raftAppliedIndex) +
      list(
        'errors',
        response.errors.map((each) => JSON.stringify(each)),
      ) +
      integer('dbSizeInUse', response.dbSizeInUse) +
      boolean('isLearner', response.isLearner),
  );
}

export function decodeStatusResponse(value: unknown): StatusResponse {
  const source = objectOf(value, 'etcdserverpb.StatusResponse');
  return {
    header: decodeHeader(source.header),
    version: stringOf(source.version),
    dbSize: integerOf(source.dbSize),
    dbSizeInUse: integerOf(source.dbSizeInUse),
    leader: memberIdOf(source.leader),
    raftIndex: integerOf(source.raftIndex),
    raftTerm: integerOf(source.raftTerm),
    raftAppliedIndex: integerOf(source.raftAppliedIndex),
    errors: stringsOf(source.errors),
    isLearner: booleanOf(source.isLearner),
  };
}

export function encodeMember(member: Member): string {
  const urls = (each: readonly string[]): string[] => each.map((url) => JSON.stringify(url));
  return object(
    integer('ID', member.id) +
      text('name', member.name) +
      list('peerURLs', urls(member.peerUrls)) +
      list('clientURLs', urls(member.clientUrls)) +
      boolean('isLearner', member.isLearner),
  );
}

function decodeMember(value: unknown): Member {
  const source: JsonObject = objectOf(value, 'etcdserverpb.Member');
  return {
    id: memberIdOf(source.ID),
    name: stringOf(source.name),
    peerUrls: stringsOf(source.peerURLs),
    clientUrls: stringsOf(source.clientURLs),
    isLearner: booleanOf(source.isLearner),
  };
}

export function encodeMemberListResponse(response: MemberListResponse): string {
  return object(header(response) + list('members', response.members.map(encodeMember)));
}

export function decodeMemberListResponse(value: unknown): MemberListResponse {
  const source = objectOf(value, 'etcdserverpb.MemberListResponse');
  return { header: decodeHeader(source.header), members: arrayOf(source.members).map(decodeMember) };
}
