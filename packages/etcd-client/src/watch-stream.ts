import { Buffer } from 'node:buffer';
import { PassThrough } from 'node:stream';
import { Client, type Dispatcher } from 'undici';
import { isNotConnected, type Endpoints } from './endpoints.ts';
import { EtcdError } from '@naru/etcd';
import type { WatchCreateRequest, WatchRequest, WatchResponse } from '@naru/etcd';
import { encodeWatchRequest } from '@naru/etcd';
import { decodeWatchResponse } from '@naru/etcd';
import { errorOf } from './wire-error.ts';

const KEEP_ALIVE_MS = 10_000;
/** The largest response line that is read: a revision's events with previous values, base64. */
const LINE_BYTES_MAX = 256 * 1024 * 1024;
const NEWLINE = 0x0a;

export interface WatchStreamOptions {
  readonly signal?: AbortSignal | undefined;
  readonly keepAliveMs?: number | undefined;
  readonly onClosed: (stream: WatchStream) => void;
}

/**
 * One watch stream: a connection of its own, requests going up as JSON messages in one streaming body while responses come
 * down as lines. It can carry many watches (`create`). Iterate over it once; the iteration is the backpressure.
 *
 * The answer to `requestProgress` has `watchId` -1. On kv-raft its revision is safe: all events up to it were sent before.
 * etcd before 3.4.25 answers at once, even while events are still on their way.
 */
export class WatchStream implements AsyncIterable<WatchResponse>, Disposable {
  readonly #endpoints: Endpoints;
  readonly #options: WatchStreamOptions;
  #upload = new PassThrough();
  /** What was asked before the stream was open, for the next endpoint if one refuses. */
  #unsent: string[] | undefined = [];
  readonly #abort = new AbortController();
  readonly #onAbort = (): void => this.close();
  #lastReceived = 0;
  /** False while the consumer is busy: then silence is its own doing. */
  #reading = true;

  constructor(endpoints: Endpoints, request: WatchCreateRequest, options: WatchStreamOptions) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.create(request);
    if (options.signal?.aborted === true) this.close();
    else options.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Adds a watch; its first response has `created` and its `watchId`. */
  create(request: WatchCreateRequest): void {
    this.#send({ createRequest: request });
  }

  /** Ends one watch; its last response has `canceled`. */
  cancel(watchId: number): void {
    this.#send({ cancelRequest: { watchId } });
  }

  /** Asks for a response that tells how far all watches of this stream have come. */
  requestProgress(): void {
    this.#send({ progressRequest: {} });
  }

  /** Ends the stream and the iteration, without an error. */
  close(): void {
    if (this.#abort.signal.aborted) return;
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#abort.abort();
    this.#upload.destroy();
    this.#options.onClosed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchResponse, void, undefined> {
    let client: Client | undefined;
    let keepAlive: NodeJS.Timeout | undefined;
    try {
      if (this.#abort.signal.aborted) return;
      let answer: Dispatcher.ResponseData;
      ({ client, answer } = await this.#open());
      if (answer.statusCode !== 200) throw errorOf(JSON.parse(await answer.body.text()) as unknown, answer.statusCode);
      keepAlive = this.#startKeepAlive(client);
      for await (const line of linesOf(answer.body, (reading) => this.#onReading(reading))) {
        const message = JSON.parse(line.toString()) as { readonly result?: unknown };
        if (message.result === undefined) throw errorOf(message, answer.statusCode);
        yield decodeWatchResponse(message.result);
      }
      if (!this.#abort.signal.aborted) throw new Error('the server ended the stream');
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (error instanceof EtcdError && error.code !== 'unknown') throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new EtcdError('unavailable', { message: `etcdclient: watch stream lost: ${reason}`, cause: error });
    } finally {
      clearInterval(keepAlive);
      this.close();
      await client?.destroy();
    }
  }

  #onReading(reading: boolean): void {
    this.#reading = reading;
    this.#lastReceived = performance.now();
  }

  #send(request: WatchRequest): void {
    const line = `${encodeWatchRequest(request)}\n`;
    this.#unsent?.push(line);
    if (this.#upload.writable) this.#upload.write(line);
  }

  async #open(): Promise<{ readonly client: Client; readonly answer: Dispatcher.ResponseData }> {
    let last: unknown;
    for (const index of this.#endpoints.order()) {
      const client = new Client(this.#endpoints.urls[index] ?? '', {
        connect: this.#endpoints.connect,
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const timer = setTimeout(
        () => void client.destroy(new Error('the server does not answer')),
        2 * this.#keepAliveMs,
      );
      try {
        const answer = await client.request({
          method: 'POST',
          path: '/v3/watch',
          headers: { 'content-type': 'application/json' },
          body: this.#upload,
          // Without `connection: close` a Go server waits for the end of the body before it answers.
          reset: true,
          signal: this.#abort.signal,
        });
        this.#unsent = undefined;
        return { client, answer };
      } catch (error) {
        await client.destroy();
        this.#endpoints.markFailed(index);
        if (!isNotConnected(error)) throw error;
        last = error;
        this.#upload = new PassThrough();
        for (const line of this.#unsent ?? []) this.#upload.write(line);
      } finally {
        clearTimeout(timer);
      }
    }
    throw last;
  }

  get #keepAliveMs(): number {
    return this.#options.keepAliveMs ?? KEEP_ALIVE_MS;
  }

  #startKeepAlive(client: Client): NodeJS.Timeout {
    this.#lastReceived = performance.now();
    const timer = setInterval(() => {
      if (!this.#reading) return;
      const quietMs = performance.now() - this.#lastReceived;
      if (quietMs >= 2 * this.#keepAliveMs)
        void client.destroy(new Error(`nothing received for ${Math.round(quietMs)} ms`));
      else if (quietMs >= this.#keepAliveMs) this.requestProgress();
    }, this.#keepAliveMs / 2);
    return timer.unref();
  }
}

/** Splits a stream into lines. Calls `onReading` with true before it waits for a chunk and with false after it came. */
async function* linesOf(body: AsyncIterable<Buffer>, onReading: (reading: boolean) => void): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    onReading(false);
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const tail = chunk.subarray(start, end);
      const line = parts.length === 0 ? tail : Buffer.concat([...parts, tail]);
      parts = [];
      length = 0;
      start = end + 1;
      if (line.length > 0) yield line;
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      length += chunk.length - start;
      if (length > LINE_BYTES_MAX) throw new EtcdError('protocol', { message: 'etcdclient: watch response too large' });
    }
    onReading(true);
  }
}
