import {
  decodeWatchRequest,
  encodeWatchEvent,
  encodeWatchResponse,
  type ResponseHeader,
  type WatchCreateRequest,
  type WatchResponse,
} from '@naru/etcd';
import { NO_END } from '../mvcc/operation.ts';
import type { EventBatch, HubEvent, WatchHub, WatchSink, WatchStreamState } from '../watch/watch-hub.ts';
import { keyValue } from './results.ts';

/** A stream with more than this waiting in its socket gets no events until it is drained. */
const SEND_BUFFER_BYTES_MAX = 1024 * 1024;
const WATCHES_MAX = 10_000;

/** Where a session's lines go: an HTTP response. */
export interface LineOutput {
  readonly writableLength: number;
  readonly writable: boolean;
  write(line: string | Buffer): void;
}

export interface WatchSessionOptions {
  readonly hub: WatchHub;
  readonly output: LineOutput;
  /** The header of a response at `revision`; 0: without one. */
  readonly header: (revision: number) => ResponseHeader;
  readonly currentRevision: () => number;
  /** Larger responses are split for watches that ask for fragments. */
  readonly fragmentBytesMax: number;
}

/** One watch stream of the gateway: requests come in as parsed JSON, responses go out as lines. */
export class WatchSession implements WatchSink, Disposable {
  readonly #options: WatchSessionOptions;
  readonly #stream: WatchStreamState;
  readonly #fragmented = new Set<number>();

  constructor(options: WatchSessionOptions) {
    this.#options = options;
    this.#stream = options.hub.open(this);
  }

  /** @throws EtcdError invalidRequest */
  receive(message: unknown): void {
    const request = decodeWatchRequest(message);
    if (request === undefined) return;
    if ('createRequest' in request) this.#create(request.createRequest);
    else if ('cancelRequest' in request) this.#cancel(request.cancelRequest.watchId);
    else this.#options.hub.requestProgress(this.#stream);
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
    const key = `line/${watchId}`;
    let line = batch.cache.get(key) as Buffer | undefined;
    if (line === undefined) {
      line = Buffer.from(this.#line({ watchId, revision: batch.revision }, encodedEvents(batch)));
      batch.cache.set(key, line);
    }
    this.#options.output.write(line);
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
    this.#options.hub.close(this.#stream);
  }

  #create(request: WatchCreateRequest): void {
    const revision = this.#options.currentRevision();
    const refuse = (cancelReason: string): void =>
      this.#send({ watchId: -1, revision, created: true, canceled: true, cancelReason });
    // An empty key is the least one.
    const key = request.key.length === 0 ? '\0' : request.key.toString('latin1');
    const end = request.rangeEnd?.toString('latin1') ?? '';
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
    const events = encodedEvents(batch);
    const max = this.#options.fragmentBytesMax;
    if (events.reduce((sum, each) => sum + each.length, 0) <= max) return false;
    let from = 0;
    let bytes = 0;
    for (const [i, event] of events.entries()) {
      if (bytes > 0 && bytes + event.length > max) {
        const fragment = { watchId, revision: batch.revision, fragment: true };
        this.#options.output.write(this.#line(fragment, events.slice(from, i)));
        from = i;
        bytes = 0;
      }
      bytes += event.length;
    }
    this.#options.output.write(this.#line({ watchId, revision: batch.revision }, events.slice(from)));
    return true;
  }

  #send(fields: LineFields): void {
    this.#options.output.write(this.#line(fields, []));
  }

  #line(fields: LineFields, events: string[]): string {
    const { revision, ...rest } = fields;
    const response = { ...emptyResponse, ...rest, header: this.#options.header(revision ?? 0) };
    return `{"result":${encodeWatchResponse(response, events)}}\n`;
  }
}

type LineFields = Partial<Omit<WatchResponse, 'header' | 'events'>> & { readonly revision?: number };

const emptyResponse = {
  watchId: 0,
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: '',
  fragment: false,
  events: [],
} as const;

function encodedEvents(batch: EventBatch): string[] {
  let events = batch.cache.get('events') as string[] | undefined;
  if (events === undefined) batch.cache.set('events', (events = batch.events.map(encodeEvent)));
  return events;
}

function encodeEvent(event: HubEvent): string {
  const { change, previous } = event;
  return encodeWatchEvent({
    type: change.version === 0 ? 'DELETE' : 'PUT',
    kv: keyValue(change),
    prevKv: previous === undefined ? undefined : keyValue(previous),
  });
}
