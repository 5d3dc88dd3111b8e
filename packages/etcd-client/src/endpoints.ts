import { Pool, type Dispatcher } from 'undici';
import { EtcdError } from '@naru/etcd';

/** PEM texts; `cert` and `key` are the client's own, for mutual TLS. */
export interface EtcdTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** How long a TCP and TLS handshake may take before the next endpoint is tried. */
const CONNECT_TIMEOUT_MS = 2000;

/** Errors of a connection that was never made: nothing was sent, so even a write may go to another endpoint. */
const notConnected: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

/** True when `error` says that no connection was made, hence that no request was sent. */
export function isNotConnected(error: unknown): boolean {
  return error instanceof Error && notConnected.has(String((error as NodeJS.ErrnoException).code));
}

export interface EndpointsOptions {
  readonly urls: readonly string[];
  readonly tls?: EtcdTls | undefined;
  /** Connections kept to one endpoint. */
  readonly connectionsMax: number;
}

/**
 * The members' client URLs, one keep-alive pool each, and which of them is in use. All calls go to one endpoint until it
 * fails: connections stay warm and a member that is down costs one attempt, not one in three.
 */
export class Endpoints implements AsyncDisposable {
  readonly urls: readonly string[];
  readonly connect: Readonly<Record<string, unknown>>;
  readonly #pools: readonly Pool[];
  #current: number;

  constructor(options: EndpointsOptions, random: () => number) {
    if (options.urls.length === 0)
      throw new EtcdError('unavailable', { message: 'etcdclient: no available endpoints' });
    this.urls = options.urls.map((url) => new URL(url).origin);
    const { ca, cert, key } = options.tls ?? {};
    this.connect = {
      timeout: CONNECT_TIMEOUT_MS,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    this.#pools = this.urls.map(
      (url) => new Pool(url, { connections: options.connectionsMax, pipelining: 1, connect: this.connect }),
    );
    this.#current = Math.floor(random() * this.urls.length);
  }

  /** The indexes of all endpoints, the one in use first. */
  *order(): Generator<number> {
    const first = this.#current;
    for (let i = 0; i < this.urls.length; i++) yield (first + i) % this.urls.length;
  }

  pool(index: number): Dispatcher {
    const pool = this.#pools[index];
    if (pool === undefined) throw new RangeError('no such endpoint');
    return pool;
  }

  /** Moves on from an endpoint that failed, unless another call has done so already. */
  markFailed(index: number): void {
    if (this.#current === index) this.#current = (index + 1) % this.urls.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pools.map(async (pool) => await pool.destroy()));
  }
}
