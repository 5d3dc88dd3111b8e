import { setTimeout as delay } from 'node:timers/promises';
import { isEtcdError, type WatchCreateRequest, type WatchResponse } from '@naru/etcd';
import { EtcdClient } from '@naru/etcd-client';
import type { KvEvent, WatchEventRecord, WatchRecord, WatchRequestRecord, WatchResponseRecord } from '@naru/testkit';
import { recordOf } from './traffic.ts';

/** How often a watcher asks how far it has come. */
const PROGRESS_MS = 700;
const KEEP_ALIVE_MS = 2000;
/** Every key, as etcd has it. */
const ALL = { key: '\0', rangeEnd: '\0' } as const;

type Wish = Partial<Omit<WatchRequestRecord, 'startRevision'>> & { readonly key: string };

/** One that goes on elsewhere whenever its stream is lost, and writes down what it is told. */
class Watcher {
  readonly name: string;
  readonly wish: Wish;
  /** One for each stream. */
  readonly watches: { name: string; request: WatchRequestRecord; responses: WatchResponseRecord[] }[] = [];
  resumed = 0;
  compacted = 0;
  #next: number;
  readonly problems: string[] = [];
  readonly #signal: AbortSignal;
  readonly done: Promise<void>;

  constructor(options: {
    readonly name: string;
    readonly wish: Wish;
    readonly startRevision: number;
    /** Where it watches for the nth time. */
    readonly url: (n: number) => string;
    readonly signal: AbortSignal;
  }) {
    this.name = options.name;
    this.wish = options.wish;
    this.#next = options.startRevision;
    this.#signal = options.signal;
    this.done = this.#run(options.url);
  }

  /** All its events before this revision were told, as far as it knows. */
  get next(): number {
    return this.#next;
  }

  async #run(url: (n: number) => string): Promise<void> {
    for (let n = 0; !this.#signal.aborted; n++) {
      await using client = new EtcdClient({ endpoints: [url(n)] });
      try {
        await this.#watch(client);
      } catch (error) {
        if (!isEtcdError(error)) throw error;
        if (error.code !== 'unavailable' && error.code !== 'noLeader')
          this.problems.push(`${this.name}: ${error.message}`);
        this.resumed++;
        await delay(50);
      }
    }
  }

  async #watch(client: EtcdClient): Promise<void> {
    const request: WatchRequestRecord = {
      prevKv: false,
      noPut: false,
      noDelete: false,
      fragment: false,
      ...this.wish,
      startRevision: this.#next,
    };
    const responses: WatchResponseRecord[] = [];
    const stream = client.watch(wireRequest(request), { signal: this.#signal, keepAliveMs: KEEP_ALIVE_MS });
    const timer = setInterval(() => stream.requestProgress(), PROGRESS_MS);
    try {
      for await (const response of stream) {
        if (responses.length === 0) this.watches.push({ name: this.name, request, responses });
        const record = responseRecord(response);
        responses.push(record);
        if (record.kind === 'created' && this.#next === 0) this.#next = record.revision + 1;
        const last = record.events.at(-1)?.kv.modRevision;
        if (last !== undefined && !record.fragment) this.#next = last + 1;
        if (record.kind === 'progress') this.#next = Math.max(this.#next, record.revision + 1);
        if (record.kind !== 'canceled') continue;
        if (record.compactRevision === 0) return;
        this.compacted++;
        this.#next = record.compactRevision;
        return;
      }
    } finally {
      clearInterval(timer);
    }
  }
}

function wireRequest(request: WatchRequestRecord): WatchCreateRequest {
  const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
  return {
    key: bytes(request.key),
    ...(request.rangeEnd === undefined ? {} : { rangeEnd: bytes(request.rangeEnd) }),
    startRevision: request.startRevision,
    prevKv: request.prevKv,
    filters: [...(request.noPut ? (['NOPUT'] as const) : []), ...(request.noDelete ? (['NODELETE'] as const) : [])],
    fragment: request.fragment,
    progressNotify: true,
  };
}

function responseRecord(response: WatchResponse): WatchResponseRecord {
  const { created, canceled, events } = response;
  return {
    revision: response.header.revision,
    kind: created ? 'created' : canceled ? 'canceled' : events.length > 0 ? 'events' : 'progress',
    events: events.map(({ type, kv, prevKv }): WatchEventRecord => {
      const told = recordOf(kv);
      // Of a DELETE the rest says nothing.
      const event: KvEvent = {
        type,
        kv: type === 'PUT' ? told : { ...told, value: '', createRevision: 0, version: 0, lease: '' },
      };
      return prevKv === undefined ? event : { ...event, prevKv: recordOf(prevKv) };
    }),
    fragment: response.fragment,
    compactRevision: response.compactRevision,
  };
}

/** What is watched: everything at each member, and parts with filters. */
export class Watchers {
  readonly #all: Watcher[] = [];
  readonly #late: Watcher[] = [];
  readonly #stop = new AbortController();
  readonly #urls: () => readonly string[];

  constructor(urls: () => readonly string[], count: number) {
    this.#urls = urls;
    for (let i = 0; i < count; i++) this.#all.push(this.#start(`all ${i}`, { ...ALL, prevKv: true }, i, 2));
    const wishes: readonly Wish[] = [
      { key: 'k1' },
      { key: 'k', rangeEnd: 'l', noPut: true, prevKv: true },
      { key: 'k', rangeEnd: 'l', noDelete: true },
      { key: 'p', rangeEnd: 'q', fragment: true },
    ];
    for (const [i, wish] of wishes.entries()) this.#late.push(this.#start(`part ${i}`, wish, i, i % 2 === 0 ? 2 : 0));
  }

  #start(name: string, wish: Wish, first: number, startRevision: number): Watcher {
    const url = (n: number): string => {
      const urls = this.#urls();
      return urls[(first + n) % urls.length] ?? '';
    };
    return new Watcher({ name, wish, startRevision, url, signal: this.#stop.signal });
  }

  /** One more, that begins in the past. */
  add(startRevision: number): void {
    const n = this.#late.length;
    this.#late.push(this.#start(`late ${n}`, { ...ALL, prevKv: n % 2 === 0 }, n, startRevision));
  }

  get #watchers(): readonly Watcher[] {
    return [...this.#all, ...this.#late];
  }

  /** All have been told everything before this revision. */
  get next(): number {
    return Math.min(...this.#watchers.map((each) => each.next));
  }

  /** Those of everything. */
  get nextOfAll(): number {
    return Math.min(...this.#all.map((each) => each.next));
  }

  get resumed(): number {
    return this.#watchers.reduce((sum, each) => sum + each.resumed, 0);
  }

  get problems(): readonly string[] {
    return this.#watchers.flatMap((each) => each.problems);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#watchers.map(async (each) => await each.done));
  }

  /** What was told of revisions up to `lastRevision`. */
  records(lastRevision: number): readonly WatchRecord[] {
    return this.#watchers.flatMap((each) =>
      each.watches.map((watch) => {
        const end = watch.responses.findIndex(({ kind, revision, events }) =>
          kind === 'progress' ? revision > lastRevision : (events.at(-1)?.kv.modRevision ?? 0) > lastRevision,
        );
        return { ...watch, responses: end === -1 ? watch.responses : watch.responses.slice(0, end) };
      }),
    );
  }

  /** The events of each revision, as those who watch everything were told. */
  *tellings(lastRevision: number): Generator<readonly [number, readonly KvEvent[]]> {
    const records = this.records(lastRevision).filter((each) => each.name.startsWith('all '));
    for (const { responses } of records)
      for (const { events } of responses) {
        const byRevision = Map.groupBy(events, (each) => each.kv.modRevision);
        for (const [revision, each] of byRevision) yield [revision, each.map(({ type, kv }) => ({ type, kv }))];
      }
  }
}
