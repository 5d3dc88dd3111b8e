import {
  decodeWatchRequest,
  encodeWatchEvent,
  encodeWatchResponse,
  isEtcdError,
  type ResponseHeader,
  type WatchCreateRequest,
  type WatchEvent,
  type WatchResponse,
} from '@naru/etcd';
import { NO_END, type KeyRange } from '../mvcc/operation.ts';
import type { EventBatch, HubEvent, WatchHub, WatchSink, WatchStreamState } from '../watch/watch-hub.ts';
import type { AuthGuard, Credentials } from './auth-guard.ts';
import { keyValue } from './results.ts';

/** A stream with more than this waiting in its socket gets no events until it is drained. */
const SEND_BUFFER_BYTES_MAX = 1024 * 1024;
const WATCHES_MAX = 10_000;

/** Where a session's responses go: an HTTP response, or a gRPC stream. */
export interface WatchOutput<E> {
  readonly writableLength: number;
  readonly writable: boolean;
  write(response: E | Buffer): void;
}

/** How events and responses are put on the wire. */
export interface WatchEncoding<E> {
  /** Distinguishes what is encoded once for all watchers of a batch. */
  readonly name: string;
  event(event: WatchEvent): E;
  response(response: WatchResponse, events: readonly E[]): E;
}

/** The JSON gateway's: one line for a response. */
export const jsonLines: WatchEncoding<string> = {
  name: 'json',
  event: encodeWatchEvent,
  response: (response, events) => `{"result":${encodeWatchResponse(response, events)}}\n`,
};

export interface WatchSessionOptions<E = string> {
  readonly hub: WatchHub;
  readonly output: WatchOutput<E>;
  readonly encoding: WatchEncoding<E>;
  /** The header of a response at `revision`; 0: without one. */
  readonly header: (revision: number) => ResponseHeader;
  readonly currentRevision: () => number;
  /** Larger responses are split for watches that ask for fragments. */
  readonly fragmentBytesMax: number;
  /** Whose stream it is, and who decides what they may see; absent: everything. */
  readonly access?: { readonly guard: AuthGuard; readonly credentials: Credentials };
}

/** One watch stream: requests come in as parsed JSON or its like, responses go out in the stream's encoding. */
export class WatchSession<E extends string | Uint8Array> implements WatchSink, Disposable {
  readonly #options: WatchSessionOptions<E>;
  readonly #stream: WatchStreamState;
  readonly #fragmented = new Set<number>();
  #closed = false;

  constructor(options: WatchSessionOptions<E>) {
    this.#options = options;
    this.#stream = options.hub.open(this);
  }

  /** The next message must wait for the promise, if there is one. @throws EtcdError invalidRequest */
  receive(message: unknown): void | Promise<void> {
    const request = decodeWatchRequest(message);
    if (request === undefined) return undefined;
    if ('createRequest' in request) {
      const { access } = this.#options;
      if (access?.guard.enabled === true) return this.#createIfPermitted(request.createRequest, access);
      this.#create(request.createRequest);
    } else if ('cancelRequest' in request) this.#cancel(request.cancelRequest.watchId);
    else this.#options.hub.requestProgress(this.#stream);
    return undefined;
  }

  /** The client reads again. */
  drained(): void {
    this.#options.hub.drained(this.#stream);
  }

  get writable(): boolean {
    const { output } = this.#options;
    return output.writable && output.writableLength < SEND_BUFFER_BYTES_MAX;
  }

  events(watchId: number, batch: EventBatch): void {
    if (this.#fragmented.has(watchId) && this.#sendFragments(watchId, batch)) return;
    const key = `${this.#options.encoding.name}/response/${watchId}`;
    let response = batch.cache.get(key) as Buffer | undefined;
    if (response === undefined) {
      response = Buffer.from(this.#response({ watchId, revision: batch.revision }, this.#encodedEvents(batch)));
      batch.cache.set(key, response);
    }
    this.#options.output.write(response);
  }

  compacted(watchId: number, compactRevision: number): void {
    this.#fragmented.delete(watchId);
    // etcd tells no revision and no reason beside the compact revision.
    this.#send({ watchId, canceled: true, compactRevision });
  }

  progress(watchId: number, revision: number): void {
    this.#send({ watchId, revision });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#options.hub.close(this.#stream);
  }

  /** Looked at when a watch is created; as in etcd it goes on when the right is taken away. */
  async #createIfPermitted(
    request: WatchCreateRequest,
    { guard, credentials }: NonNullable<WatchSessionOptions['access']>,
  ): Promise<void> {
    let refused: unknown;
    try {
      await guard.check(credentials, ({ auth }, info) => auth.refuseRange(info, rangeOf(request), 'read'));
    } catch (error) {
      refused = error;
    }
    if (this.#closed) return;
    if (refused === undefined) this.#create(request);
    else if (isEtcdError(refused)) {
      const revision = this.#options.currentRevision();
      const cancelReason = CANCELED_FOR_PERMISSION;
      this.#send({ watchId: request.watchId ?? 0, revision, created: true, canceled: true, cancelReason });
    } else throw refused;
  }

  #create(request: WatchCreateRequest): void {
    const revision = this.#options.currentRevision();
    const refuse = (cancelReason: string): void =>
      this.#send({ watchId: -1, revision, created: true, canceled: true, cancelReason });
    const { key, end } = rangeOf(request);
    const wanted = request.watchId ?? 0;
    if (end !== '' && end !== NO_END && end <= key) return refuse('mvcc: watcher range is empty');
    if (this.#stream.watchers.has(wanted) && wanted !== 0)
      return refuse('mvcc: duplicate watch ID provided on the WatchStream');
    if (this.#stream.watchers.size >= WATCHES_MAX) return refuse(`at most ${WATCHES_MAX} watches on one stream`);
    // Nothing is sent before this call returns, so the answer comes before the first event.
    const watchId = this.#options.hub.create(this.#stream, wanted, {
      range: { key, end },
      startRevision: Math.max(0, request.startRevision ?? 0),
      filters: request.filters ?? [],
      prevKv: request.prevKv ?? false,
      progressNotify: request.progressNotify ?? false,
    });
    if (watchId === undefined) return refuse('mvcc: duplicate watch ID provided on the WatchStream');
    if (request.fragment === true) this.#fragmented.add(watchId);
    this.#send({ watchId, revision, created: true });
    return undefined;
  }

  #cancel(watchId: number): void {
    if (!this.#options.hub.cancel(this.#stream, watchId)) return;
    this.#fragmented.delete(watchId);
    this.#send({ watchId, revision: this.#options.currentRevision(), canceled: true });
  }

  /** False if the batch is small enough for one response. */
  #sendFragments(watchId: number, batch: EventBatch): boolean {
    const events = this.#encodedEvents(batch);
    const max = this.#options.fragmentBytesMax;
    if (events.reduce((sum, each) => sum + each.length, 0) <= max) return false;
    let from = 0;
    let bytes = 0;
    for (const [i, event] of events.entries()) {
      if (bytes > 0 && bytes + event.length > max) {
        const fragment = { watchId, revision: batch.revision, fragment: true };
        this.#options.output.write(this.#response(fragment, events.slice(from, i)));
        from = i;
        bytes = 0;
      }
      bytes += event.length;
    }
    this.#options.output.write(this.#response({ watchId, revision: batch.revision }, events.slice(from)));
    return true;
  }

  #send(fields: ResponseFields): void {
    this.#options.output.write(this.#response(fields, []));
  }

  #response(fields: ResponseFields, events: readonly E[]): E {
    const { revision, ...rest } = fields;
    const response = { ...emptyResponse, ...rest, header: this.#options.header(revision ?? 0) };
    return this.#options.encoding.response(response, events);
  }

  #encodedEvents(batch: EventBatch): readonly E[] {
    const { encoding } = this.#options;
    const key = `${encoding.name}/events`;
    let events = batch.cache.get(key) as readonly E[] | undefined;
    if (events === undefined) {
      events = batch.events.map((each) => encoding.event(watchEvent(each)));
      batch.cache.set(key, events);
    }
    return events;
  }
}

/** What a watch tells that may not be: etcd's text of the error, whatever the reason. */
const CANCELED_FOR_PERMISSION = 'rpc error: code = PermissionDenied desc = etcdserver: permission denied';

function rangeOf(request: WatchCreateRequest): KeyRange {
  // An empty key is the least one.
  const key = request.key.length === 0 ? '\0' : request.key.toString('latin1');
  return { key, end: request.rangeEnd?.toString('latin1') ?? '' };
}

type ResponseFields = Partial<Omit<WatchResponse, 'header' | 'events'>> & { readonly revision?: number };

const emptyResponse = {
  watchId: 0,
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: '',
  fragment: false,
  events: [],
} as const;

function watchEvent({ change, previous }: HubEvent): WatchEvent {
  return {
    type: change.version === 0 ? 'DELETE' : 'PUT',
    kv: keyValue(change),
    prevKv: previous === undefined ? undefined : keyValue(previous),
  };
}
