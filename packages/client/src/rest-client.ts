import {
  apiVersionOf,
  newStatusError,
  pathOf,
  StatusError,
  statusReasons,
  type DeleteOptions,
  type KubeList,
  type KubeObject,
  type Resource,
  type Status,
  type StatusReason,
} from '@naru/api';
import type { TlsMaterial } from '@naru/component';
import { Agent } from 'undici';
import { patchTypes } from './client.ts';
import type {
  CallOptions,
  Client,
  ListOptions,
  NamespaceOptions,
  PatchOptions,
  PatchType,
  SubresourceOptions,
  WatchEvent,
  WatchOptions,
} from './client.ts';
import { splitLines } from './split-lines.ts';

export interface RestClientOptions {
  /** `https://127.0.0.1:6443`, with a path prefix if the API has one. */
  readonly server: string;
  /** The cluster's CA, and the client's certificate where that is its identity. */
  readonly tls?: TlsMaterial;
  readonly bearerToken?: string;
  /** Name that the server's certificate must have, where it is not the URL's host. */
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly userAgent?: string;
  /** Connections for calls; watches have one each beyond these. Further calls wait. Default 32. */
  readonly connections?: number;
  /** How long a call may wait for its answer to begin, and between two parts of it. Default 60 s. */
  readonly requestTimeoutMs?: number;
  /** How much longer than its `timeoutSeconds` a watch may be silent until it is dropped. Default 30 s. */
  readonly watchGraceMs?: number;
}

/** A watch line longer than this ends the watch: objects are at most 3 MiB, and events carry one. */
const WATCH_LINE_BYTES_MAX = 16 * 1024 * 1024;
/** What a watch without `timeoutSeconds` may be silent for: upstream's longest default timeout. */
const WATCH_TIMEOUT_SECONDS_MAX = 3600;

/** The Client over HTTP/1.1: keep-alive connections for calls, one connection per watch. */
export class RestClient implements Client, AsyncDisposable {
  readonly #options: RestClientOptions;
  readonly #origin: string;
  readonly #prefix: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #calls: Agent;
  readonly #watches: Agent;

  constructor(options: RestClientOptions) {
    this.#options = options;
    const url = new URL(options.server);
    this.#origin = url.origin;
    this.#prefix = url.pathname.replace(/\/$/u, '');
    this.#headers = {
      accept: 'application/json',
      'user-agent': options.userAgent ?? 'naru',
      ...(options.bearerToken === undefined ? {} : { authorization: `Bearer ${options.bearerToken}` }),
    };
    const connect = {
      ...options.tls,
      ...(options.tlsServerName === undefined ? {} : { servername: options.tlsServerName }),
      ...(options.insecureSkipTlsVerify === true ? { rejectUnauthorized: false } : {}),
    };
    const timeoutMs = options.requestTimeoutMs ?? 60_000;
    this.#calls = new Agent({
      connect,
      connections: options.connections ?? 32,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      allowH2: false,
    });
    this.#watches = new Agent({ connect, connections: null, headersTimeout: timeoutMs, allowH2: false });
  }

  async get<T extends KubeObject>(resource: Resource<T>, name: string, options: SubresourceOptions = {}): Promise<T> {
    const path = pathOf(resource, { namespace: options.namespace, name, subresource: options.subresource });
    return (await this.#call('GET', path, options)) as T;
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    const path = `${pathOf(resource, { namespace: options.namespace })}${queryOf(listQuery(options))}`;
    const list = (await this.#call('GET', path, options)) as KubeList<T>;
    // Items of typed lists come without their type meta; callers may count on it.
    const apiVersion = apiVersionOf(resource);
    for (const item of list.items) {
      item.apiVersion ??= apiVersion;
      item.kind ??= resource.kind;
    }
    return list;
  }

  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions = {}): AsyncGenerator<WatchEvent<T>> {
    const query = queryOf({
      watch: 'true',
      ...listQuery(options),
      allowWatchBookmarks: options.allowWatchBookmarks,
      sendInitialEvents: options.sendInitialEvents,
      // Bookmarks that end the initial events are only sent to those who ask for both.
      resourceVersionMatch: options.sendInitialEvents === true ? 'NotOlderThan' : undefined,
      timeoutSeconds: options.timeoutSeconds,
    });
    const silentMs =
      (options.timeoutSeconds ?? WATCH_TIMEOUT_SECONDS_MAX) * 1000 + (this.#options.watchGraceMs ?? 30_000);
    const { statusCode, body } = await this.#watches.request({
      origin: this.#origin,
      path: `${this.#prefix}${pathOf(resource, { namespace: options.namespace })}${query}`,
      method: 'GET',
      headers: this.#headers,
      bodyTimeout: silentMs,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (statusCode !== 200) throw statusErrorOf(statusCode, await body.text());
    try {
      for await (const line of splitLines(body, WATCH_LINE_BYTES_MAX)) {
        const event = JSON.parse(line) as { readonly type: string; readonly object: unknown };
        if (event.type === 'ERROR') throw new StatusError(event.object as Status);
        yield event as WatchEvent<T>;
      }
    } finally {
      // Whoever stops reading early ends the request; its connection is not kept.
      body.on('error', () => {}).destroy();
    }
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T, options: NamespaceOptions = {}): Promise<T> {
    const namespace = options.namespace ?? object.metadata.namespace;
    return (await this.#call('POST', pathOf(resource, { namespace }), { ...options, body: object })) as T;
  }

  async createSubresource<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    subresource: string,
    body: KubeObject,
    options: NamespaceOptions = {},
  ): Promise<KubeObject> {
    const path = pathOf(resource, { namespace: options.namespace, name, subresource });
    return (await this.#call('POST', path, { ...options, body })) as KubeObject;
  }

  async update<T extends KubeObject>(resource: Resource<T>, object: T, options: SubresourceOptions = {}): Promise<T> {
    const { name, namespace } = object.metadata;
    const path = pathOf(resource, {
      namespace: options.namespace ?? namespace,
      name: name ?? '',
      subresource: options.subresource,
    });
    return (await this.#call('PUT', path, { ...options, body: object })) as T;
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    type: PatchType,
    patch: unknown,
    options: PatchOptions = {},
  ): Promise<T> {
    const path = pathOf(resource, { namespace: options.namespace, name, subresource: options.subresource });
    const query = queryOf({ fieldManager: options.fieldManager, force: options.force });
    return (await this.#call('PATCH', `${path}${query}`, {
      ...options,
      body: patch,
      contentType: patchTypes[type],
    })) as T;
  }

  async delete<T extends KubeObject>(
    resource: Resource<T>,
    name: string,
    options: NamespaceOptions & { readonly body?: DeleteOptions } = {},
  ): Promise<void> {
    await this.#call('DELETE', pathOf(resource, { namespace: options.namespace, name }), options);
  }

  async deleteCollection<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions & { readonly body?: DeleteOptions } = {},
  ): Promise<void> {
    const path = `${pathOf(resource, { namespace: options.namespace })}${queryOf(listQuery(options))}`;
    await this.#call('DELETE', path, options);
  }

  async raw(method: string, path: string, options: CallOptions & { readonly body?: unknown } = {}): Promise<unknown> {
    return await this.#call(method, path, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#watches.destroy()]);
  }

  async #call(
    method: string,
    path: string,
    options: CallOptions & { readonly body?: unknown; readonly contentType?: string },
  ): Promise<unknown> {
    const { statusCode, headers, body } = await this.#calls.request({
      origin: this.#origin,
      path: `${this.#prefix}${path}`,
      method,
      headers:
        options.body === undefined
          ? this.#headers
          : { ...this.#headers, 'content-type': options.contentType ?? 'application/json' },
      body: options.body === undefined ? null : JSON.stringify(options.body),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const text = await body.text();
    if (statusCode < 200 || statusCode > 299) throw statusErrorOf(statusCode, text, headers['retry-after']);
    return String(headers['content-type'] ?? '').startsWith('application/json') ? JSON.parse(text) : text;
  }
}

/** The failure that a body tells, or one made of the code where it tells none. */
function statusErrorOf(code: number, text: string, retryAfter?: string | string[]): StatusError {
  try {
    const status = JSON.parse(text) as Partial<Status> | null;
    if (status?.kind === 'Status') return new StatusError({ code, ...(status as Status) });
  } catch {
    // Not JSON: a proxy's page, or a body cut short.
  }
  const reasons = Object.entries(statusReasons) as [StatusReason, number][];
  const reason = reasons.find(([, each]) => each === code)?.[0] ?? (code < 500 ? 'BadRequest' : 'InternalError');
  const seconds = Number(retryAfter);
  const error = newStatusError(
    reason,
    `the server responded with the status code ${code} but did not return more information: ${text.slice(0, 200)}`,
    Number.isFinite(seconds) ? { retryAfterSeconds: seconds } : undefined,
  );
  return new StatusError({ ...error.status, code });
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

function listQuery(options: ListOptions): Query {
  return {
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    limit: options.limit,
    continue: options.continue,
    resourceVersion: options.resourceVersion,
  };
}

/** `?a=1&b=2` of what is set, or nothing. */
function queryOf(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== '') parameters.set(name, String(value));
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}
