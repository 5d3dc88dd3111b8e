import { apiVersionOf, events, formatTime, isStatusError, type CoreEvent, type KubeObject } from '@naru/api';
import { systemClock, type Clock, type Logger } from '@naru/component';
import type { Client } from './client.ts';

/** What happened to an object. */
export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** Why, in one UpperCamelCase word. */
  readonly reason: string;
  readonly message: string;
}

export interface EventRecorderOptions {
  readonly client: Client;
  /** Who reports: `kubelet`, `deployment-controller`. */
  readonly component: string;
  /** The node's name, for reporters that run on one. */
  readonly host?: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Events that wait to be sent; more are dropped. */
const QUEUE_LENGTH_MAX = 1000;
/** Events that are remembered in order to count duplicates, and sources in order to limit them: upstream's LRU sizes. */
const REMEMBERED_MAX = 4096;
/** From this number of similar events within the interval on, they are combined into one: upstream's. */
const SIMILAR_MAX = 10;
const SIMILAR_INTERVAL_MS = 600_000;
/** Events of one source about one object: a burst, then one in five minutes: upstream's. */
const BURST = 25;
const REFILL_MS = 300_000;
const TRIES_MAX = 3;
const RETRY_MS = 2000;

interface Recorded {
  readonly name: string;
  readonly count: number;
  readonly firstTimestamp: string;
}

interface Similar {
  readonly messages: Set<string>;
  readonly startedMs: number;
}

/**
 * Reports core/v1 Events. `event` never waits and never fails: events are sent one after the other in the background;
 * what is over the bounds is dropped. Duplicates only raise the count of the first.
 */
export class EventRecorder implements AsyncDisposable {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #queue: CoreEvent[] = [];
  readonly #recorded = new Map<string, Recorded>();
  readonly #similar = new Map<string, Similar>();
  readonly #tokens = new Map<string, { tokens: number; atMs: number }>();
  readonly #stop = new AbortController();
  #sending: Promise<void> | undefined;
  #sequence = 0;
  #dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** How many events were dropped, as the queue was full or the source too loud. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Notes an event about `object`. `fieldPath` names a part of it, such as `spec.containers{web}`. */
  event(object: KubeObject, note: EventNote, options: { readonly fieldPath?: string } = {}): void {
    if (this.#stop.signal.aborted) return;
    const event = this.#build(object, note, options.fieldPath);
    if (this.#queue.length >= QUEUE_LENGTH_MAX || !this.#takeToken(event)) {
      this.#dropped++;
      return;
    }
    this.#queue.push(event);
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  /** Resolves when all events noted so far are sent or given up. */
  async flushed(): Promise<void> {
    await this.#sending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the event recorder is disposed'));
    await this.#sending;
  }

  #build(object: KubeObject, note: EventNote, fieldPath: string | undefined): CoreEvent {
    const { name = '', namespace, uid, resourceVersion } = object.metadata;
    const now = formatTime(this.#clock.now());
    const where = namespace === undefined || namespace === '' ? 'default' : namespace;
    const suffix = (BigInt(Math.floor(this.#clock.now())) * 1_000_000n + BigInt(this.#sequence++ % 1_000_000)).toString(
      16,
    );
    const { component, host } = this.#options;
    return {
      apiVersion: apiVersionOf(events),
      kind: events.kind,
      metadata: { name: `${name}.${suffix}`, namespace: where },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(fieldPath === undefined ? {} : { fieldPath }),
      },
      type: note.type,
      reason: note.reason,
      message: note.message.slice(0, 1024),
      source: { component, ...(host === undefined ? {} : { host }) },
      reportingComponent: component,
      reportingInstance: host ?? '',
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    };
  }

  async #send(): Promise<void> {
    // The first event of a burst must not be sent within the caller's turn.
    await Promise.resolve();
    for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
      if (this.#stop.signal.aborted) return;
      const combined = this.#combine(event);
      for (let tries = 1; ; tries++) {
        try {
          await this.#record(combined);
          break;
        } catch (error) {
          if (this.#stop.signal.aborted) return;
          // What the server refuses it will refuse again: the namespace is being deleted, the event is not valid.
          if (isStatusError(error) || tries === TRIES_MAX) {
            this.#options.logger.debug({ err: error, reason: event.reason }, 'event not recorded');
            break;
          }
          await this.#clock.sleep(RETRY_MS, { signal: this.#stop.signal }).catch(() => {});
        }
      }
    }
  }

  /** One event for many that differ in their message only. */
  #combine(event: CoreEvent): CoreEvent {
    const key = similarKey(event);
    const nowMs = this.#clock.monotonic();
    let similar = this.#similar.get(key);
    if (similar === undefined || nowMs - similar.startedMs > SIMILAR_INTERVAL_MS)
      similar = { messages: new Set(), startedMs: nowMs };
    remember(this.#similar, key, similar);
    if (similar.messages.size < SIMILAR_MAX) similar.messages.add(event.message ?? '');
    if (similar.messages.size < SIMILAR_MAX) return event;
    return { ...event, message: `(combined from similar events): ${event.message}` };
  }

  async #record(event: CoreEvent): Promise<void> {
    const { client } = this.#options;
    const options = { namespace: event.metadata.namespace, signal: this.#stop.signal };
    const key = duplicateKey(event);
    const known = this.#recorded.get(key);
    if (known !== undefined) {
      const count = known.count + 1;
      const patch = { count, lastTimestamp: event.lastTimestamp, message: event.message };
      try {
        await client.patch(events, known.name, 'strategic', patch, options);
        remember(this.#recorded, key, { ...known, count });
        return;
      } catch (error) {
        if (!isStatusError(error) || error.code !== 404) throw error;
        // It has expired: begin again.
      }
    }
    await client.create(events, event, options);
    remember(this.#recorded, key, {
      name: event.metadata.name ?? '',
      count: 1,
      firstTimestamp: String(event.firstTimestamp),
    });
  }

  #takeToken(event: CoreEvent): boolean {
    const key = sourceKey(event);
    const nowMs = this.#clock.monotonic();
    const bucket = this.#tokens.get(key) ?? { tokens: BURST, atMs: nowMs };
    const tokens = Math.min(BURST, bucket.tokens + (nowMs - bucket.atMs) / REFILL_MS);
    remember(this.#tokens, key, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    return tokens >= 1;
  }
}

function sourceKey({ source, involvedObject: { kind, namespace, name, uid, apiVersion } }: CoreEvent): string {
  return JSON.stringify([source?.component, source?.host, kind, namespace, name, uid, apiVersion]);
}

function similarKey(event: CoreEvent): string {
  return `${sourceKey(event)}${JSON.stringify([event.type, event.reason, event.reportingComponent])}`;
}

function duplicateKey(event: CoreEvent): string {
  const message = event.message?.startsWith('(combined from similar events)') === true ? '' : event.message;
  return `${similarKey(event)}${JSON.stringify([event.involvedObject.fieldPath, message])}`;
}

/** Sets the key as the latest used, and forgets the longest unused beyond the bound. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED_MAX) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
