import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  newAlreadyExists,
  newBadRequest,
  newExpired,
  newModifiedConflict,
  newNotFound,
  StatusError,
  type UnstructuredObject,
} from '@naru/api';

interface Change {
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly collection: string;
  readonly object: UnstructuredObject;
}

interface Watcher {
  readonly collection: string;
  readonly namespace: string;
  readonly response: ServerResponse;
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
}

/** Answers a request in the place of the server: return true when it is answered. */
export type FakeReactor = (request: FakeRequest, response: ServerResponse) => boolean;

interface Target {
  readonly group: string;
  /** Group, version and resource. */
  readonly collection: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

/**
 * The least API server that clients can be tested against where a real one is too much: objects of any resource in
 * memory, lists in pages, watches from a revision, optimistic concurrency. It knows no schemas, defaults or selectors.
 */
export class FakeApiServer implements AsyncDisposable {
  /** Requests in the order in which they came. */
  readonly requests: FakeRequest[] = [];
  /** Asked before each request is served. */
  reactor: FakeReactor | undefined;
  readonly #server: Server;
  readonly #objects = new Map<string, UnstructuredObject>();
  #log: Change[] = [];
  #compacted = 0;
  #revision = 1;
  readonly #watchers = new Set<Watcher>();
  /** Changes that watchers do not see yet; undefined when they see them at once. */
  #held: Change[] | undefined;
  /** Lists that continue: the objects at the first page's revision. */
  readonly #snapshots = new Map<number, readonly UnstructuredObject[]>();

  constructor() {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        const status =
          error instanceof StatusError ? error.status : { kind: 'Status', code: 500, message: String(error) };
        respond(response, status.code ?? 500, status);
      });
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get revision(): number {
    return this.#revision;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Ends all watches, as a server does on their timeout. */
  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
  }

  /** Watchers see no more changes until `releaseWatches`: their caches fall behind. */
  holdWatches(): void {
    this.#held ??= [];
  }

  releaseWatches(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const change of held) for (const watcher of this.#watchers) deliver(watcher, change);
  }

  /** Breaks all connections, as a server does that dies. */
  breakConnections(): void {
    this.#server.closeAllConnections();
  }

  /** Forgets history: watches from before now are refused with 410, and so are lists that continue. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#log = [];
    this.#snapshots.clear();
  }

  /** Sends a bookmark with the present revision to all watchers. */
  bookmark(): void {
    for (const { response } of this.#watchers)
      response.write(
        `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(this.#revision) } } })}\n`,
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const call: FakeRequest = {
      method: request.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      body: text === '' ? undefined : JSON.parse(text),
      headers: request.headers,
    };
    this.requests.push(call);
    if (this.reactor?.(call, response) === true) return;
    const target = parsePath(url.pathname);
    if (call.method === 'GET' && target.name === '' && url.searchParams.get('watch') === 'true')
      this.#watch(target, call, response);
    else if (call.method === 'GET' && target.name === '') this.#list(target, call, response);
    else respond(response, call.method === 'POST' ? 201 : 200, this.#one(target, call));
  }

  #one(target: Target, call: FakeRequest): unknown {
    const key = `${target.collection}/${target.namespace}/${target.name}`;
    const stored = this.#objects.get(key);
    if (call.method === 'POST' && target.name === '') return this.#create(target, call.body as UnstructuredObject);
    if (stored === undefined) throw newNotFound(target, target.name);
    const body = call.body as UnstructuredObject | undefined;
    switch (call.method) {
      case 'GET':
        return stored;
      case 'PUT': {
        const given = body?.metadata.resourceVersion;
        if (given !== undefined && given !== stored.metadata.resourceVersion)
          throw newModifiedConflict(target, target.name);
        return this.#commit('MODIFIED', target.collection, key, { ...(body as UnstructuredObject) });
      }
      case 'PATCH':
        return this.#commit('MODIFIED', target.collection, key, merge(stored, body) as UnstructuredObject);
      case 'DELETE':
        this.#commit('DELETED', target.collection, key, { ...stored });
        return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' };
      default:
        throw newBadRequest(`${call.method} ${call.path}`);
    }
  }

  #create(target: Target, object: UnstructuredObject): UnstructuredObject {
    const name = object.metadata.name ?? `${object.metadata.generateName}${this.#revision}`;
    const key = `${target.collection}/${target.namespace}/${name}`;
    if (this.#objects.has(key)) throw newAlreadyExists(target, name);
    const metadata = {
      ...object.metadata,
      name,
      ...(target.namespace === '' ? {} : { namespace: target.namespace }),
      uid: `uid-${this.#revision + 1}`,
    };
    return this.#commit('ADDED', target.collection, key, { ...object, metadata });
  }

  #commit(type: Change['type'], collection: string, key: string, changed: UnstructuredObject): UnstructuredObject {
    const revision = ++this.#revision;
    const object = { ...changed, metadata: { ...changed.metadata, resourceVersion: String(revision) } };
    if (type === 'DELETED') this.#objects.delete(key);
    else this.#objects.set(key, object);
    const change: Change = { revision, type, collection, object };
    this.#log.push(change);
    if (this.#held === undefined) for (const watcher of this.#watchers) deliver(watcher, change);
    else this.#held.push(change);
    return object;
  }

  #list(target: Target, { query }: FakeRequest, response: ServerResponse): void {
    const limit = Number(query.get('limit') ?? 0);
    const token = query.get('continue');
    const [revision = this.#revision, offset = 0] = token === null ? [] : token.split('.').map(Number);
    const all = token === null ? this.#matching(target) : this.#snapshots.get(revision);
    if (all === undefined) throw newExpired('The provided continue parameter is too old');
    const end = limit === 0 ? all.length : offset + limit;
    const more = end < all.length;
    if (more) this.#snapshots.set(revision, all);
    respond(response, 200, {
      kind: 'List',
      apiVersion: 'v1',
      metadata: { resourceVersion: String(revision), ...(more ? { continue: `${revision}.${end}` } : {}) },
      items: all.slice(offset, end),
    });
  }

  #matching({ collection, namespace }: Target): readonly UnstructuredObject[] {
    return [...this.#objects]
      .filter(([key]) => key.startsWith(namespace === '' ? `${collection}/` : `${collection}/${namespace}/`))
      .map(([, object]) => object);
  }

  #watch(target: Target, { query }: FakeRequest, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion') ?? 0);
    if (from < this.#compacted) throw newExpired(`too old resource version: ${from} (${this.#compacted})`);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watcher: Watcher = { collection: target.collection, namespace: target.namespace, response };
    for (const change of this.#log) if (change.revision > from) deliver(watcher, change);
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }
}

function deliver({ collection, namespace, response }: Watcher, { type, object, ...change }: Change): void {
  if (change.collection !== collection) return;
  if (namespace !== '' && object.metadata.namespace !== namespace) return;
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function respond(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function parsePath(path: string): Target {
  const parts = path.split('/').slice(1).map(decodeURIComponent);
  const [group, version, rest] =
    parts[0] === 'api' ? ['', parts[1], parts.slice(2)] : [parts[1] ?? '', parts[2], parts.slice(3)];
  const namespaced = rest[0] === 'namespaces' && rest.length > 2;
  const [resource = '', name = '', subresource = ''] = namespaced ? rest.slice(2) : rest;
  const namespace = namespaced ? (rest[1] ?? '') : '';
  return { group, collection: `${group}/${version}/${resource}`, resource, namespace, name, subresource };
}

/** JSON merge patch, which stands in for all types of patch. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete merged[field];
    else merged[field] = merge(merged[field], value);
  }
  return merged;
}
