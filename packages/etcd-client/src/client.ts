import * as etcd from '@naru/etcd';
import { EtcdError, isEtcdError, type EtcdErrorCode } from '@naru/etcd';
import type {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  MemberListResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  StatusResponse,
  TxnRequest,
  TxnResponse,
  WatchCreateRequest,
} from '@naru/etcd';
import { Endpoints, isNotConnected, type EtcdTls } from './endpoints.ts';
import { post } from './post.ts';
import { WatchStream } from './watch-stream.ts';
import { errorOf } from './wire-error.ts';

export interface EtcdClientOptions {
  /** The members' client URLs, such as `https://127.0.0.1:2379`. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls | undefined;
  /** Connections per endpoint for requests; watches have their own. Default 64. */
  readonly connectionsMax?: number | undefined;
  /** How long one request may wait for its answer, per endpoint. Default 10 s: longer than the server's own limit of 7 s. */
  readonly requestTimeoutMs?: number | undefined;
  /** Picks the first endpoint. Default Math.random. */
  readonly random?: (() => number) | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface WatchOptions extends CallOptions {
  /** A quiet stream is probed with a progress request after this time, and given up after twice of it. Default 10 s. */
  readonly keepAliveMs?: number | undefined;
}

/** What a request may do when its answer is lost: a read goes to the next endpoint, a write's fate is unknown. */
type Effect = 'read' | 'write';

const CONNECTIONS_MAX = 64;
const REQUEST_TIMEOUT_MS = 10_000;

/** Answers to a write that leave open whether it was applied. */
const fateUnknown: ReadonlySet<EtcdErrorCode> = new Set([
  'timeout',
  'timeoutDueToLeaderFail',
  'timeoutDueToConnectionLost',
  'leaderChanged',
  'stopped',
]);

/**
 * An etcd v3 client over the JSON gateway. Calls reject with an EtcdError, or with the signal's reason. A connection that
 * cannot be made sends any call to the next endpoint; a lost answer does so for reads only: a write whose fate is
 * unknown rejects with code `unknownFate` and is never sent twice.
 */
export class EtcdClient implements AsyncDisposable {
  readonly #endpoints: Endpoints;
  readonly #requestTimeoutMs: number;
  readonly #watches = new Set<WatchStream>();

  constructor(options: EtcdClientOptions) {
    this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
    this.#endpoints = new Endpoints(
      { urls: options.endpoints, tls: options.tls, connectionsMax: options.connectionsMax ?? CONNECTIONS_MAX },
      options.random ?? Math.random,
    );
  }

  async range(request: RangeRequest, options: CallOptions = {}): Promise<RangeResponse> {
    const answer = await this.#call('/v3/kv/range', etcd.encodeRangeRequest(request), 'read', options);
    return etcd.decodeRangeResponse(answer);
  }

  async put(request: PutRequest, options: CallOptions = {}): Promise<PutResponse> {
    const answer = await this.#call('/v3/kv/put', etcd.encodePutRequest(request), 'write', options);
    return etcd.decodePutResponse(answer);
  }

  async deleteRange(request: DeleteRangeRequest, options: CallOptions = {}): Promise<DeleteRangeResponse> {
    const body = etcd.encodeDeleteRangeRequest(request);
    return etcd.decodeDeleteRangeResponse(await this.#call('/v3/kv/deleterange', body, 'write', options));
  }

  async txn(request: TxnRequest, options: CallOptions = {}): Promise<TxnResponse> {
    const answer = await this.#call('/v3/kv/txn', etcd.encodeTxnRequest(request), 'write', options);
    return etcd.decodeTxnResponse(answer);
  }

  async compact(request: CompactionRequest, options: CallOptions = {}): Promise<CompactionResponse> {
    const body = etcd.encodeCompactionRequest(request);
    return etcd.decodeHeaderResponse(await this.#call('/v3/kv/compaction', body, 'write', options));
  }

  /**
   * Opens a stream with one watch; iterate over it for the responses, the first of which has `created`. It ends without
   * an error only when `signal` aborts or it is disposed of; a lost connection throws `unavailable`: watch again from
   * the last revision seen plus one.
   */
  watch(request: WatchCreateRequest, options: WatchOptions = {}): WatchStream {
    const stream = new WatchStream(this.#endpoints, request, {
      ...options,
      onClosed: (closed) => this.#watches.delete(closed),
    });
    this.#watches.add(stream);
    return stream;
  }

  async leaseGrant(request: LeaseGrantRequest, options: CallOptions = {}): Promise<LeaseGrantResponse> {
    const body = etcd.encodeLeaseGrantRequest(request);
    return etcd.decodeLeaseGrantResponse(await this.#call('/v3/lease/grant', body, 'write', options));
  }

  async leaseRevoke(id: bigint, options: CallOptions = {}): Promise<LeaseRevokeResponse> {
    const body = etcd.encodeLeaseRequest({ id });
    return etcd.decodeHeaderResponse(await this.#call('/v3/lease/revoke', body, 'write', options));
  }

  /** Renews the lease once. A `ttl` of 0 says that it is gone. */
  async leaseKeepAlive(id: bigint, options: CallOptions = {}): Promise<LeaseKeepAliveResponse> {
    const answer = await this.#call('/v3/lease/keepalive', etcd.encodeLeaseRequest({ id }), 'read', options);
    return etcd.decodeLeaseKeepAliveResponse(answer);
  }

  async leaseTimeToLive(
    request: { readonly id: bigint; readonly keys?: boolean },
    options: CallOptions = {},
  ): Promise<LeaseTimeToLiveResponse> {
    const body = etcd.encodeLeaseRequest(request);
    return etcd.decodeLeaseTimeToLiveResponse(await this.#call('/v3/lease/timetolive', body, 'read', options));
  }

  async leaseLeases(options: CallOptions = {}): Promise<LeaseLeasesResponse> {
    return etcd.decodeLeaseLeasesResponse(await this.#call('/v3/lease/leases', '{}', 'read', options));
  }

  /** The state of whichever member answers. */
  async status(options: CallOptions = {}): Promise<StatusResponse> {
    return etcd.decodeStatusResponse(await this.#call('/v3/maintenance/status', '{}', 'read', options));
  }

  async memberList(options: CallOptions = {}): Promise<MemberListResponse> {
    return etcd.decodeMemberListResponse(await this.#call('/v3/cluster/member/list', '{}', 'read', options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch.close();
    await this.#endpoints[Symbol.asyncDispose]();
  }

  async #call(path: string, body: string, effect: Effect, options: CallOptions): Promise<unknown> {
    options.signal?.throwIfAborted();
    let last: unknown;
    for (const index of this.#endpoints.order()) {
      try {
        return await this.#send(index, path, body, options);
      } catch (error) {
        if (options.signal?.aborted === true) throw options.signal.reason;
        if (isEtcdError(error)) {
          const lost = fateUnknown.has(error.code);
          if (effect === 'write' && lost)
            throw new EtcdError('unknownFate', { message: unknownFateMessage(error.message), cause: error });
          if (!lost && error.code !== 'noLeader') throw error;
          if (effect === 'write') throw error;
        } else if (!isNotConnected(error) && effect === 'write') {
          this.#endpoints.markFailed(index);
          throw new EtcdError('unknownFate', { message: unknownFateMessage(messageOf(error)), cause: error });
        }
        this.#endpoints.markFailed(index);
        last = error;
      }
    }
    if (isEtcdError(last)) throw last;
    throw new EtcdError('unavailable', {
      message: `etcdclient: no endpoint of ${this.#endpoints.urls.join(', ')} can be reached: ${messageOf(last)}`,
      cause: last,
    });
  }

  async #send(index: number, path: string, body: string, options: CallOptions): Promise<unknown> {
    const dispatcher = this.#endpoints.pool(index);
    const answer = await post(dispatcher, { path, body, signal: options.signal, timeoutMs: this.#requestTimeoutMs });
    return parseAnswer(answer.text, answer.statusCode);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function unknownFateMessage(reason: string): string {
  return `etcdclient: the answer to a write was lost, it may or may not have been applied: ${reason}`;
}

/** The message in a unary answer, or the last one of a streamed answer. */
function parseAnswer(text: string, statusCode: number): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new EtcdError('protocol', {
      message: `etcdclient: HTTP ${statusCode} with a body that is not JSON: ${text.slice(0, 200)}`,
      cause: error,
    });
  }
  if (statusCode >= 400 || (typeof value === 'object' && value !== null && 'error' in value))
    throw errorOf(value, statusCode);
  return typeof value === 'object' && value !== null && 'result' in value ? value.result : value;
}
