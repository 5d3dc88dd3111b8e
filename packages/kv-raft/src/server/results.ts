/** From the store's results to etcd's messages. */
import type {
  DeleteRangeResponse,
  KeyValue,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  TxnResponse,
} from '@naru/etcd';
import type { DeleteRangeResult, OperationResult, PutResult, RangeResult, TxnResult } from '../mvcc/operation.ts';
import type { Version } from '../mvcc/version.ts';

const noValue = Buffer.alloc(0);

export function keyValue(version: Version, keysOnly = false): KeyValue {
  return {
    key: Buffer.from(version.key, 'latin1'),
    value: keysOnly ? noValue : Buffer.from(version.value, 'latin1'),
    createRevision: version.create,
    modRevision: version.main,
    version: version.version,
    lease: version.lease,
  };
}

export function rangeResponse(result: RangeResult, header: ResponseHeader): RangeResponse {
  return {
    header,
    kvs: result.versions.map((version) => keyValue(version, result.keysOnly)),
    more: result.more,
    count: result.count,
  };
}

export function putResponse(result: PutResult, header: ResponseHeader): PutResponse {
  return { header, prevKv: result.previous === undefined ? undefined : keyValue(result.previous) };
}

export function deleteRangeResponse(result: DeleteRangeResult, header: ResponseHeader): DeleteRangeResponse {
  return { header, deleted: result.deleted, prevKvs: result.previous.map((version) => keyValue(version)) };
}

export function txnResponse(result: TxnResult, header: ResponseHeader): TxnResponse {
  return { header, succeeded: result.succeeded, responses: result.results.map(responseOp) };
}

function responseOp(result: OperationResult): ResponseOp {
  // Within a txn etcd fills in the revision only.
  const header = { clusterId: 0n, memberId: 0n, revision: result.revision, raftTerm: 0 };
  switch (result.type) {
    case 'range':
      return { responseRange: rangeResponse(result, header) };
    case 'put':
      return { responsePut: putResponse(result, header) };
    case 'deleteRange':
      return { responseDeleteRange: deleteRangeResponse(result, header) };
    case 'txn':
      return { responseTxn: txnResponse(result, header) };
    default:
      return result satisfies never;
  }
}
