/**
 * Requests in protobuf's JSON mapping. `encodeX` writes the text that a client sends (fields in snake_case, defaults
 * left out); `decodeX` reads what JSON.parse made of a body and throws an EtcdError `invalidRequest` with the gateway's text.
 */
import { Buffer } from 'node:buffer';
import { EtcdError } from './errors.ts';
import {
  arrayOf,
  booleanOf,
  bytesOf,
  enumOf,
  field,
  idOf,
  integerOf,
  objectOf,
  type JsonObject,
} from './json-fields.ts';
import type {
  CompactionRequest,
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  LeaseGrantRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  SortOrder,
  SortTarget,
  TxnRequest,
  WatchCreateRequest,
  WatchFilter,
  WatchRequest,
} from './messages.ts';

export const sortOrders: readonly [SortOrder, ...SortOrder[]] = ['NONE', 'ASCEND', 'DESCEND'];
export const sortTargets: readonly [SortTarget, ...SortTarget[]] = ['KEY', 'VERSION', 'CREATE', 'MOD', 'VALUE'];
export const compareResults: readonly [CompareResult, ...CompareResult[]] = ['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL'];
export const compareTargets: readonly [CompareTarget['target'], ...CompareTarget['target'][]] = [
  'VERSION',
  'CREATE',
  'MOD',
  'VALUE',
  'LEASE',
];
export const watchFilters: readonly [WatchFilter, ...WatchFilter[]] = ['NOPUT', 'NODELETE'];

const noBytes = Buffer.alloc(0);

/** `"name":"base64"`, or nothing for empty bytes. Base64 needs no escaping. */
function bytes(name: string, value: Buffer | undefined): string {
  return value === undefined || value.length === 0 ? '' : `,"${name}":"${value.toString('base64')}"`;
}

function integer(name: string, value: number | bigint | undefined): string {
  return value === undefined || value === 0 || value === 0n ? '' : `,"${name}":"${value}"`;
}

function boolean(name: string, value: boolean | undefined): string {
  return value === true ? `,"${name}":true` : '';
}

function enumeration(name: string, value: string | undefined, fallback: string): string {
  return value === undefined || value === fallback ? '' : `,"${name}":"${value}"`;
}

/** Puts an object around members that each begin with a comma. */
function object(members: string): string {
  return `{${members.slice(1)}}`;
}

export function encodeRangeRequest(request: RangeRequest): string {
  return object(
    bytes('key', request.key) +
      bytes('range_end', request.rangeEnd) +
      integer('limit', request.limit) +
      integer('revision', request.revision) +
      enumeration('sort_order', request.sortOrder, 'NONE') +
      enumeration('sort_target', request.sortTarget, 'KEY') +
      boolean('serializable', request.serializable) +
      boolean('keys_only', request.keysOnly) +
      boolean('count_only', request.countOnly) +
      integer('min_mod_revision', request.minModRevision) +
      integer('max_mod_revision', request.maxModRevision) +
      integer('min_create_revision', request.minCreateRevision) +
      integer('max_create_revision', request.maxCreateRevision),
  );
}

export function decodeRangeRequest(value: unknown): RangeRequest {
  const source = objectOf(value, 'etcdserverpb.RangeRequest');
  return {
    key: bytesOf(source.key) ?? noBytes,
    rangeEnd: bytesOf(field(source, 'range_end', 'rangeEnd')),
    limit: integerOf(source.limit),
    revision: integerOf(source.revision),
    sortOrder: enumOf(field(source, 'sort_order', 'sortOrder'), sortOrders, 'etcdserverpb.RangeRequest_SortOrder'),
    sortTarget: enumOf(field(source, 'sort_target', 'sortTarget'), sortTargets, 'etcdserverpb.RangeRequest_SortTarget'),
    serializable: booleanOf(source.serializable),
    keysOnly: booleanOf(field(source, 'keys_only', 'keysOnly')),
    countOnly: booleanOf(field(source, 'count_only', 'countOnly')),
    minModRevision: integerOf(field(source, 'min_mod_revision', 'minModRevision')),
    maxModRevision: integerOf(field(source, 'max_mod_revision', 'maxModRevision')),
    minCreateRevision: integerOf(field(source, 'min_create_revision', 'minCreateRevision')),
    maxCreateRevision: integerOf(field(source, 'max_create_revision', 'maxCreateRevision')),
  };
}

export function encodePutRequest(request: PutRequest): string {
  return object(
    bytes('key', request.key) +
      bytes('value', request.value) +
      integer('lease', request.lease) +
      boolean('prev_kv', request.prevKv) +
      boolean('ignore_value', request.ignoreValue) +
      boolean('ignore_lease', request.ignoreLease),
  );
}

export function decodePutRequest(value: unknown): PutRequest {
  const source = objectOf(value, 'etcdserverpb.PutRequest');
  return {
    key: bytesOf(source.key) ?? noBytes,
    value: bytesOf(source.value),
    lease: idOf(source.lease),
    prevKv: booleanOf(field(source, 'prev_kv', 'prevKv')),
    ignoreValue: booleanOf(field(source, 'ignore_value', 'ignoreValue')),
    ignoreLease: booleanOf(field(source, 'ignore_lease', 'ignoreLease')),
  };
}

export function encodeDeleteRangeRequest(request: DeleteRangeRequest): string {
  return object(bytes('key', request.key) + bytes('range_end', request.rangeEnd) + boolean('prev_kv', request.prevKv));
}

export function decodeDeleteRangeRequest(value: unknown): DeleteRangeRequest {
  const source = objectOf(value, 'etcdserverpb.DeleteRangeRequest');
  return {
    key: bytesOf(source.key) ?? noBytes,
    rangeEnd: bytesOf(field(source, 'range_end', 'rangeEnd')),
    prevKv: booleanOf(field(source, 'prev_kv', 'prevKv')),
  };
}

function encodeCompare(compare: Compare): string {
  const head =
    enumeration('result', compare.result, 'EQUAL') +
    enumeration('target', compare.target, 'VERSION') +
    bytes('key', compare.key) +
    bytes('range_end', compare.rangeEnd);
  switch (compare.target) {
    case 'VERSION':
      return object(`${head},"version":"${compare.version}"`);
    case 'CREATE':
      return object(`${head},"create_revision":"${compare.createRevision}"`);
    case 'MOD':
      return object(`${head},"mod_revision":"${compare.modRevision}"`);
    case 'VALUE':
      return object(`${head},"value":"${compare.value.toString('base64')}"`);
    case 'LEASE':
      return object(`${head},"lease":"${compare.lease}"`);
    default:
      return compare satisfies never;
  }
}

function decodeCompare(value: unknown): Compare {
  const source = objectOf(value, 'etcdserverpb.Compare');
  const range = {
    result: enumOf(source.result, compareResults, 'etcdserverpb.Compare_CompareResult'),
    key: bytesOf(source.key) ?? noBytes,
    rangeEnd: bytesOf(field(source, 'range_end', 'rangeEnd')),
  };
  const target = enumOf(source.target, compareTargets, 'etcdserverpb.Compare_CompareTarget');
  switch (target) {
    case 'VERSION':
      return { ...range, target, version: integerOf(source.version) };
    case 'CREATE':
      return { ...range, target, createRevision: integerOf(field(source, 'create_revision', 'createRevision')) };
    case 'MOD':
      return { ...range, target, modRevision: integerOf(field(source, 'mod_revision', 'modRevision')) };
    case 'VALUE':
      return { ...range, target, value: bytesOf(source.value) ?? noBytes };
    case 'LEASE':
      return { ...range, target, lease: idOf(source.lease) };
    default:
      return target satisfies never;
  }
}

function encodeRequestOp(op: RequestOp): string {
  if ('requestRange' in op) return `{"request_range":${encodeRangeRequest(op.requestRange)}}`;
  if ('requestPut' in op) return `{"request_put":${encodePutRequest(op.requestPut)}}`;
  if ('requestDeleteRange' in op) return `{"request_delete_range":${encodeDeleteRangeRequest(op.requestDeleteRange)}}`;
  return `{"request_txn":${encodeTxnRequest(op.requestTxn)}}`;
}

function decodeRequestOp(value: unknown): RequestOp {
  const source = objectOf(value, 'etcdserverpb.RequestOp');
  const range = field(source, 'request_range', 'requestRange');
  if (range !== undefined) return { requestRange: decodeRangeRequest(range) };
  const put = field(source, 'request_put', 'requestPut');
  if (put !== undefined) return { requestPut: decodePutRequest(put) };
  const deleteRange = field(source, 'request_delete_range', 'requestDeleteRange');
  if (deleteRange !== undefined) return { requestDeleteRange: decodeDeleteRangeRequest(deleteRange) };
  const txn = field(source, 'request_txn', 'requestTxn');
  if (txn !== undefined) return { requestTxn: decodeTxnRequest(txn) };
  throw new EtcdError('keyNotFound');
}

export function encodeTxnRequest(request: TxnRequest): string {
  const list = (name: string, items: readonly string[]): string =>
    items.length === 0 ? '' : `,"${name}":[${items.join(',')}]`;
  return object(
    list('compare', (request.compare ?? []).map(encodeCompare)) +
      list('success', (request.success ?? []).map(encodeRequestOp)) +
      list('failure', (request.failure ?? []).map(encodeRequestOp)),
  );
}

export function decodeTxnRequest(value: unknown): TxnRequest {
  const source = objectOf(value, 'etcdserverpb.TxnRequest');
  return {
    compare: arrayOf(source.compare).map(decodeCompare),
    success: arrayOf(source.success).map(decodeRequestOp),
    failure: arrayOf(source.failure).map(decodeRequestOp),
  };
}

export function encodeCompactionRequest(request: CompactionRequest): string {
  return object(integer('revision', request.revision) + boolean('physical', request.physical));
}

export function decodeCompactionRequest(value: unknown): CompactionRequest {
  const source = objectOf(value, 'etcdserverpb.CompactionRequest');
  return { revision: integerOf(source.revision), physical: booleanOf(source.physical) };
}

export function encodeWatchRequest(request: WatchRequest): string {
  if ('cancelRequest' in request)
    return `{"cancel_request":${object(integer('watch_id', request.cancelRequest.watchId))}}`;
  if ('progressRequest' in request) return '{"progress_request":{}}';
  const create = request.createRequest;
  const filters = create.filters ?? [];
  const members =
    bytes('key', create.key) +
    bytes('range_end', create.rangeEnd) +
    integer('start_revision', create.startRevision) +
    boolean('progress_notify', create.progressNotify) +
    (filters.length === 0 ? '' : `,"filters":${JSON.stringify(filters)}`) +
    boolean('prev_kv', create.prevKv) +
    integer('watch_id', create.watchId) +
    boolean('fragment', create.fragment);
  return `{"create_request":${object(members)}}`;
}

function decodeWatchCreateRequest(source: JsonObject): WatchCreateRequest {
  return {
    key: bytesOf(source.key) ?? noBytes,
    rangeEnd: bytesOf(field(source, 'range_end', 'rangeEnd')),
    startRevision: integerOf(field(source, 'start_revision', 'startRevision')),
    progressNotify: booleanOf(field(source, 'progress_notify', 'progressNotify')),
    filters: arrayOf(source.filters).map((each) =>
      enumOf(each, watchFilters, 'etcdserverpb.WatchCreateRequest_FilterType'),
    ),
    prevKv: booleanOf(field(source, 'prev_kv', 'prevKv')),
    watchId: integerOf(field(source, 'watch_id', 'watchId')),
    fragment: booleanOf(source.fragment),
  };
}

/** Undefined when none of the three requests is set: etcd ignores such a message. */
export function decodeWatchRequest(value: unknown): WatchRequest | undefined {
  const source = objectOf(value, 'etcdserverpb.WatchRequest');
  const create = field(source, 'create_request', 'createRequest');
  if (create !== undefined)
    return { createRequest: decodeWatchCreateRequest(objectOf(create, 'etcdserverpb.WatchCreateRequest')) };
  const cancel = field(source, 'cancel_request', 'cancelRequest');
  if (cancel !== undefined) {
    const watchId = field(objectOf(cancel, 'etcdserverpb.WatchCancelRequest'), 'watch_id', 'watchId');
    return { cancelRequest: { watchId: integerOf(watchId) } };
  }
  return field(source, 'progress_request', 'progressRequest') === undefined ? undefined : { progressRequest: {} };
}

export function encodeLeaseGrantRequest(request: LeaseGrantRequest): string {
  return object(integer('TTL', request.ttl) + integer('ID', request.id));
}

export function decodeLeaseGrantRequest(value: unknown): LeaseGrantRequest {
  const source = objectOf(value, 'etcdserverpb.LeaseGrantRequest');
  return { ttl: integerOf(source.TTL), id: idOf(source.ID) };
}

/** Requests that name a lease: revoke, keepalive, timetolive. */
export function decodeLeaseRequest(value: unknown): { readonly id: bigint; readonly keys: boolean } {
  const source = objectOf(value, 'etcdserverpb.LeaseTimeToLiveRequest');
  return { id: idOf(source.ID), keys: booleanOf(source.keys) };
}

export function encodeLeaseRequest(request: { readonly id: bigint; readonly keys?: boolean | undefined }): string {
  return object(integer('ID', request.id) + boolean('keys', request.keys));
}
