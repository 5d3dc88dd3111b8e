/**
 * The etcd v3 messages as callers see them: names as in etcd's rpc.proto in camelCase, bytes as Buffers, revisions,
 * versions, counts and seconds as safe-integer numbers, 64-bit ids (lease, member, cluster) as bigints, enums as their names.
 * A request's optional field that is absent has the protobuf default: 0, false, empty, the first enum name.
 */
export interface ResponseHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The store's revision when the request was applied. 0 where etcd leaves it out. */
  readonly revision: number;
  readonly raftTerm: number;
}

export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 1 at creation, one more with each put. */
  readonly version: number;
  /** 0n: no lease. */
  readonly lease: bigint;
}

export type SortOrder = 'NONE' | 'ASCEND' | 'DESCEND';
export type SortTarget = 'KEY' | 'VERSION' | 'CREATE' | 'MOD' | 'VALUE';

export interface RangeRequest {
  readonly key: Buffer;
  /** Absent: the key alone. One zero byte: all keys from `key` on. Otherwise [key, rangeEnd). */
  readonly rangeEnd?: Buffer | undefined;
  /** 0: no limit. */
  readonly limit?: number | undefined;
  /** 0: the newest. */
  readonly revision?: number | undefined;
  readonly sortOrder?: SortOrder | undefined;
  readonly sortTarget?: SortTarget | undefined;
  /** Answered from the member's own state, perhaps stale; false: linearizable. */
  readonly serializable?: boolean | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly countOnly?: boolean | undefined;
  readonly minModRevision?: number | undefined;
  readonly maxModRevision?: number | undefined;
  readonly minCreateRevision?: number | undefined;
  readonly maxCreateRevision?: number | undefined;
}

export interface RangeResponse {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  /** Keys in the range, regardless of `limit`. */
  readonly count: number;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value?: Buffer | undefined;
  readonly lease?: bigint | undefined;
  readonly prevKv?: boolean | undefined;
  readonly ignoreValue?: boolean | undefined;
  readonly ignoreLease?: boolean | undefined;
}

export interface PutResponse {
  readonly header: ResponseHeader;
  readonly prevKv?: KeyValue | undefined;
}

export interface DeleteRangeRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer | undefined;
  readonly prevKv?: boolean | undefined;
}

export interface DeleteRangeResponse {
  readonly header: ResponseHeader;
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}

export type CompareResult = 'EQUAL' | 'GREATER' | 'LESS' | 'NOT_EQUAL';

/** What is compared of each key in the range; a missing key has version, create and mod revision 0. */
export type CompareTarget =
  | { readonly target: 'VERSION'; readonly version: number }
  | { readonly target: 'CREATE'; readonly createRevision: number }
  | { readonly target: 'MOD'; readonly modRevision: number }
  | { readonly target: 'VALUE'; readonly value: Buffer }
  | { readonly target: 'LEASE'; readonly lease: bigint };

export type Compare = CompareTarget & {
  readonly result: CompareResult;
  readonly key: Buffer;
  readonly rangeEnd?: Buffer | undefined;
};

export type RequestOp =
  | { readonly requestRange: RangeRequest }
  | { readonly requestPut: PutRequest }
  | { readonly requestDeleteRange: DeleteRangeRequest }
  | { readonly requestTxn: TxnRequest };

/** Applied as one: `success` if all comparisons hold, otherwise `failure`. */
export interface TxnRequest {
  readonly compare?: readonly Compare[] | undefined;
  readonly success?: readonly RequestOp[] | undefined;
  readonly failure?: readonly RequestOp[] | undefined;
}

export type ResponseOp =
  | { readonly responseRange: RangeResponse }
  | { readonly responsePut: PutResponse }
  | { readonly responseDeleteRange: DeleteRangeResponse }
  | { readonly responseTxn: TxnResponse };

export interface TxnResponse {
  readonly header: ResponseHeader;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export interface CompactionRequest {
  readonly revision: number;
  /** Answer only when the space is given back. */
  readonly physical?: boolean | undefined;
}

export interface CompactionResponse {
  readonly header: ResponseHeader;
}

export type WatchFilter = 'NOPUT' | 'NODELETE';

export interface WatchCreateRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer | undefined;
  /** First revision of interest; 0: from now on. */
  readonly startRevision?: number | undefined;
  /** An empty response now and then while there are no events. */
  readonly progressNotify?: boolean | undefined;
  readonly filters?: readonly WatchFilter[] | undefined;
  readonly prevKv?: boolean | undefined;
  /** 0: the server chooses. */
  readonly watchId?: number | undefined;
  /** Lets the server split one revision's events over several responses. */
  readonly fragment?: boolean | undefined;
}

export type WatchRequest =
  | { readonly createRequest: WatchCreateRequest }
  | { readonly cancelRequest: { readonly watchId: number } }
  | { readonly progressRequest: Record<string, never> };

export interface WatchEvent {
  readonly type: 'PUT' | 'DELETE';
  /** Of a DELETE only key and modRevision are set. */
  readonly kv: KeyValue;
  readonly prevKv?: KeyValue | undefined;
}

export interface WatchResponse {
  readonly header: ResponseHeader;
  /** -1: the answer to a progress request, about all watches of the stream. */
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not 0: the watch was canceled because its start was compacted; this is the least revision to start from. */
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

export interface LeaseGrantRequest {
  /** Seconds. */
  readonly ttl: number;
  /** 0n: the server chooses. */
  readonly id?: bigint | undefined;
}

export interface LeaseGrantResponse {
  readonly header: ResponseHeader;
  readonly id: bigint;
  readonly ttl: number;
}

export interface LeaseRevokeResponse {
  readonly header: ResponseHeader;
}

export interface LeaseKeepAliveResponse {
  readonly header: ResponseHeader;
  readonly id: bigint;
  /** Seconds; 0: there is no such lease any more. */
  readonly ttl: number;
}

export interface LeaseTimeToLiveResponse {
  readonly header: ResponseHeader;
  readonly id: bigint;
  /** Seconds left; -1: there is no such lease. */
  readonly ttl: number;
  readonly grantedTtl: number;
  readonly keys: readonly Buffer[];
}

export interface LeaseLeasesResponse {
  readonly header: ResponseHeader;
  readonly leases: readonly bigint[];
}

export interface StatusResponse {
  readonly header: ResponseHeader;
  readonly version: string;
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  readonly leader: bigint;
  readonly raftIndex: number;
  readonly raftTerm: number;
  readonly raftAppliedIndex: number;
  readonly errors: readonly string[];
  readonly isLearner: boolean;
}

export interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberListResponse {
  readonly header: ResponseHeader;
  readonly members: readonly Member[];
}

export type AlarmType = 'NONE' | 'NOSPACE' | 'CORRUPT';
export type AlarmAction = 'GET' | 'ACTIVATE' | 'DEACTIVATE';

export interface AlarmRequest {
  readonly action: AlarmAction;
  /** 0n: all members. */
  readonly memberId: bigint;
  readonly alarm: AlarmType;
}

export interface AlarmMember {
  readonly memberId: bigint;
  readonly alarm: AlarmType;
}

export interface AlarmResponse {
  readonly alarms: readonly AlarmMember[];
}

export type AuthPermissionType = 'READ' | 'WRITE' | 'READWRITE';

/** A role's right on one key (no `rangeEnd`), a range, or with one zero byte as its end all keys from `key` on. */
export interface AuthPermission {
  readonly permType: AuthPermissionType;
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}
