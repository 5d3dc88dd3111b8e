import type { KeyValue, ResponseOp } from '@naru/etcd';
import type { Version } from '../../src/mvcc/version.ts';
import type { CommandResult } from '../../src/server/state-machine.ts';
import type { ModelKv } from '../mvcc/model.ts';

/** What a state machine answered, in the model's words; undefined for what the model does not know. */
export function resultInModelWords(result: CommandResult): unknown {
  switch (result.type) {
    case 'error':
      return { error: result.code };
    case 'range':
      return { revision: result.revision, count: result.count, more: result.more, kvs: result.versions.map(modelKv) };
    case 'put':
      return { revision: result.revision, previous: optional(result.previous) };
    case 'deleteRange':
      return { revision: result.revision, deleted: result.deleted, previous: result.previous.map(modelKv) };
    case 'txn':
      return { succeeded: result.succeeded, results: result.results.map(resultInModelWords) };
    case 'done':
      return { revision: result.revision };
    case 'renewed':
      return { revision: result.revision, ttl: result.ttl };
    default:
      return undefined;
  }
}

export function modelKv(version: Version): ModelKv {
  const { key, create, main, version: number, lease, value } = version;
  return { key, value, create, mod: main, version: number, lease };
}

function optional(version: Version | undefined): ModelKv | undefined {
  return version === undefined ? undefined : modelKv(version);
}

/** A key as a client got it. */
export function clientKv(kv: KeyValue): ModelKv {
  return {
    key: kv.key.toString('latin1'),
    value: kv.value.toString(),
    create: kv.createRevision,
    mod: kv.modRevision,
    version: kv.version,
    lease: kv.lease,
  };
}

/** What a client got of one operation of a txn. */
export function responseInModelWords(response: ResponseOp): unknown {
  if ('responsePut' in response) {
    const { header, prevKv } = response.responsePut;
    return { revision: header.revision, previous: prevKv === undefined ? undefined : clientKv(prevKv) };
  }
  if ('responseRange' in response) {
    const { header, count, more, kvs } = response.responseRange;
    return { revision: header.revision, count, more, kvs: kvs.map(clientKv) };
  }
  if ('responseDeleteRange' in response) {
    const { header, deleted, prevKvs } = response.responseDeleteRange;
    return { revision: header.revision, deleted, previous: prevKvs.map(clientKv) };
  }
  const { succeeded, responses } = response.responseTxn;
  return { succeeded, results: responses.map(responseInModelWords) };
}
