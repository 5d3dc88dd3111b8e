/**
 * @naru/etcd's responses as the objects that protobufjs encodes: names of rpc.proto, 64-bit ids as pairs of 32 bits,
 * defaults left out.
 */
import type * as etcd from '@naru/etcd';
import type { AuthAnswer } from '../server/auth-methods.ts';

export type ProtoObject = Record<string, unknown>;

/** A 64-bit id, exactly. */
function long(id: bigint): object | undefined {
  if (id === 0n) return undefined;
  return { low: Number(BigInt.asIntN(32, id)), high: Number(BigInt.asIntN(32, id >> 32n)) };
}

function integer(value: number): number | undefined {
  return value === 0 ? undefined : value;
}

function bytes(value: Buffer): Buffer | undefined {
  return value.length === 0 ? undefined : value;
}

export function header(value: etcd.ResponseHeader): ProtoObject {
  return {
    cluster_id: long(value.clusterId),
    member_id: long(value.memberId),
    revision: integer(value.revision),
    raft_term: integer(value.raftTerm),
  };
}

export function onlyHeader(response: { readonly header: etcd.ResponseHeader }): ProtoObject {
  return { header: header(response.header) };
}

function keyValue(kv: etcd.KeyValue): ProtoObject {
  return {
    key: bytes(kv.key),
    create_revision: integer(kv.createRevision),
    mod_revision: integer(kv.modRevision),
    version: integer(kv.version),
    value: bytes(kv.value),
    lease: long(kv.lease),
  };
}

export function rangeResponse(response: etcd.RangeResponse): ProtoObject {
  return {
    header: header(response.header),
    kvs: response.kvs.map(keyValue),
    more: response.more || undefined,
    count: integer(response.count),
  };
}

export function putResponse(response: etcd.PutResponse): ProtoObject {
  return {
    header: header(response.header),
    prev_kv: response.prevKv === undefined ? undefined : keyValue(response.prevKv),
  };
}

export function deleteRangeResponse(response: etcd.DeleteRangeResponse): ProtoObject {
  return {
    header: header(response.header),
    deleted: integer(response.deleted),
    prev_kvs: response.prevKvs.map(keyValue),
  };
}

function responseOp(op: etcd.ResponseOp): ProtoObject {
  if ('responseRange' in op) return { response_range: rangeResponse(op.responseRange) };
  if ('responsePut' in op) return { response_put: putResponse(op.responsePut) };
  if ('responseDeleteRange' in op) return { response_delete_range: deleteRangeResponse(op.responseDeleteRange) };
  return { response_txn: txnResponse(op.responseTxn) };
}

export function txnResponse(response: etcd.TxnResponse): ProtoObject {
  return {
    header: header(response.header),
    succeeded: response.succeeded || undefined,
    responses: response.responses.map(responseOp),
  };
}

export function leaseGrantResponse(response: etcd.LeaseGrantResponse): ProtoObject {
  return { header: header(response.header), ID: long(response.id), TTL: integer(response.ttl) };
}

export function leaseTimeToLiveResponse(response: etcd.LeaseTimeToLiveResponse): ProtoObject {
  return {
    header: header(response.header),
    ID: long(response.id),
    TTL: integer(response.ttl),
    grantedTTL: integer(response.grantedTtl),
    keys: response.keys,
  };
}

export function leaseLeasesResponse(response: etcd.LeaseLeasesResponse): ProtoObject {
  return { header: header(response.header), leases: response.leases.map((id) => ({ ID: long(id) })) };
}

export function statusResponse(response: etcd.StatusResponse): ProtoObject {
  return {
    header: header(response.header),
    version: response.version,
    dbSize: integer(response.dbSize),
    leader: long(response.leader),
    raftIndex: integer(response.raftIndex),
    raftTerm: integer(response.raftTerm),
    raftAppliedIndex: integer(response.raftAppliedIndex),
    errors: response.errors,
    dbSizeInUse: integer(response.dbSizeInUse),
    isLearner: response.isLearner || undefined,
  };
}

function memberOf(member: etcd.Member): ProtoObject {
  return {
    ID: long(member.id),
    name: member.name,
    peerURLs: member.peerUrls,
    clientURLs: member.clientUrls,
    isLearner: member.isLearner || undefined,
  };
}

/** Of all methods of the Cluster service. */
export function memberResponse(response: etcd.MemberChangeResponse): ProtoObject {
  return {
    header: header(response.header),
    member: response.member === undefined ? undefined : memberOf(response.member),
    members: response.members.map(memberOf),
  };
}

const alarmNumbers = { NONE: 0, NOSPACE: 1, CORRUPT: 2 } as const satisfies Record<etcd.AlarmType, number>;

export function alarmResponse(response: etcd.AlarmResponse): ProtoObject {
  return {
    alarms: response.alarms.map(({ memberId, alarm }) => ({ memberID: long(memberId), alarm: alarmNumbers[alarm] })),
  };
}

export function watchEvent(event: etcd.WatchEvent): ProtoObject {
  return {
    type: event.type === 'PUT' ? 0 : 1,
    kv: keyValue(event.kv),
    prev_kv: event.prevKv === undefined ? undefined : keyValue(event.prevKv),
  };
}

/** Without the events. */
export function watchResponse(response: etcd.WatchResponse): ProtoObject {
  return {
    header: header(response.header),
    watch_id: integer(response.watchId),
    created: response.created || undefined,
    canceled: response.canceled || undefined,
    compact_revision: integer(response.compactRevision),
    cancel_reason: response.cancelReason || undefined,
    fragment: response.fragment || undefined,
  };
}

const permissionNumbers = { READ: 0, WRITE: 1, READWRITE: 2 } as const satisfies Record<
  etcd.AuthPermissionType,
  number
>;

export function authAnswer(answer: AuthAnswer): ProtoObject {
  const head = onlyHeader(answer);
  switch (answer.kind) {
    case 'header':
      return head;
    case 'roles':
    case 'users':
      return { ...head, [answer.kind]: answer.names };
    case 'permissions':
      return {
        ...head,
        perm: answer.permissions.map(({ permType, key, rangeEnd }) => ({
          permType: permissionNumbers[permType],
          key: bytes(key),
          range_end: bytes(rangeEnd),
        })),
      };
    case 'token':
      return { ...head, token: answer.token };
    case 'status':
      return { ...head, enabled: answer.enabled || undefined, authRevision: answer.authRevision };
    default:
      return answer satisfies never;
  }
}
