import type { ClientRequest } from 'node:http';
import { backoffMs, http, https, type Cancel, type Clock, type Logger } from '@naru/component';
import { ByteWriter } from '../codec/bytes.ts';
import type { Message } from '../raft/message.ts';
import type { WalMetadata } from '../wal/record.ts';
import { writeFrame } from './message-codec.ts';
import {
  CLUSTER_HEADER,
  FROM_HEADER,
  idText,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_TIMEOUT_MS,
  PEER_URLS_HEADER,
  STREAM_PATH,
  TO_HEADER,
  type PeerTls,
} from './peer-protocol.ts';

/** Bytes that may wait for a peer that reads slowly; more is dropped, and Raft sends it again when it is needed. */
export const QUEUE_BYTES_MAX = 32 << 20;
const BACKOFF = { baseMs: 20, maxMs: 1000, jitter: 0.2 };
const CONNECT_TIMEOUT_MS = 2000;

export interface PeerStreamOptions {
  readonly ids: WalMetadata;
  readonly peerId: bigint;
  readonly urls: readonly string[];
  readonly tls: PeerTls;
  /** Where this member listens for the others. */
  readonly ownUrls: readonly string[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** The stream is open. */
  readonly onReachable: () => void;
  /** The stream broke, or could not be made: what was sent may be lost. */
  readonly onUnreachable: () => void;
  /** The peer says that this member was removed. */
  readonly onRemoved: () => void;
}

/** Starts a request to a peer, whose body the caller writes. */
export function openRequest(
  options: Pick<PeerStreamOptions, 'ids' | 'peerId' | 'tls' | 'ownUrls'>,
  url: string,
  path: string,
): ClientRequest {
  const target = new URL(path, url);
  const headers = {
    'content-type': 'application/octet-stream',
    [CLUSTER_HEADER]: idText(options.ids.clusterId),
    [FROM_HEADER]: idText(options.ids.memberId),
    [TO_HEADER]: idText(options.peerId),
    [PEER_URLS_HEADER]: options.ownUrls.join(),
  };
  // A connection of its own: nothing else may wait behind a body that does not end.
  const common = { method: 'POST', headers, agent: false } as const;
  return target.protocol === 'https:'
    ? https.request(target, { ...common, ...options.tls })
    : http.request(target, common);
}

/** The stream to one peer: made again with backoff whenever it breaks. */
export class PeerStream {
  readonly #options: PeerStreamOptions;
  #request: ClientRequest | undefined;
  #isOpen = false;
  #failures = 0;
  #urlIndex = 0;
  #lastHeard = 0;
  #openedAt: number | undefined;
  #cancelTimer: Cancel | undefined;
  #closed = false;

  constructor(options: PeerStreamOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Since when the stream is open, in milliseconds of the clock; undefined: it is not. */
  get openSince(): number | undefined {
    return this.#isOpen ? this.#openedAt : undefined;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#request?.writableLength ?? 0;
  }

  /** @returns whether the messages are on their way; false when there is no stream, or its queue is full */
  send(messages: readonly Message[]): boolean {
    const request = this.#request;
    if (!this.#isOpen || request === undefined || request.writableLength > QUEUE_BYTES_MAX) return false;
    const writer = new ByteWriter(messages.length * 64);
    for (const message of messages) writeFrame(writer, message);
    request.write(writer.view());
    return true;
  }

  /** Tries to open the stream now, if it waits for its next try. */
  retry(): void {
    if (this.#request !== undefined || this.#closed) return;
    this.#cancelTimer?.();
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#isOpen = false;
    this.#cancelTimer?.();
    this.#request?.destroy();
  }

  /** Sends what is queued, then closes: what a removed member is told last is that it is removed. */
  finish(): void {
    const request = this.#request;
    if (!this.#isOpen || request === undefined) {
      this.close();
      return;
    }
    this.#closed = true;
    this.#isOpen = false;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#options.clock.after(KEEPALIVE_TIMEOUT_MS, () => request.destroy());
    request.end();
  }

  #connect(): void {
    const { clock, peerId, logger, urls } = this.#options;
    const url = urls[this.#urlIndex++ % urls.length];
    if (this.#closed || url === undefined) return;
    const request = openRequest(this.#options, url, STREAM_PATH);
    this.#request = request;
    const cancelTimeout = clock.after(CONNECT_TIMEOUT_MS, () => request.destroy(new Error('connect timed out')));
    let ended = false;
    const end = (reason: unknown): void => {
      if (ended) return;
      ended = true;
      cancelTimeout();
      this.#ended(url, reason);
    };
    request.on('error', end);
    request.on('close', () => end(new Error('stream closed')));
    request.on('response', (response) => {
      cancelTimeout();
      response.on('error', end);
      if (response.statusCode !== 200) {
        response.resume();
        request.destroy(new Error(`peer answered ${response.statusCode}`));
        if (response.statusCode === 410) this.#options.onRemoved();
        return;
      }
      this.#isOpen = true;
      this.#failures = 0;
      this.#lastHeard = clock.monotonic();
      this.#openedAt = this.#lastHeard;
      logger.info({ peer: idText(peerId), url }, 'peer stream open');
      response.on('data', () => {
        this.#lastHeard = clock.monotonic();
      });
      response.on('end', () => end(new Error('stream ended by peer')));
      this.#keepAlive(request);
      this.#options.onReachable();
    });
    request.flushHeaders();
    request.socket?.setNoDelay(true);
    request.on('socket', (socket) => socket.setNoDelay(true));
  }

  #keepAlive(request: ClientRequest): void {
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(KEEPALIVE_INTERVAL_MS, () => {
      if (this.#request !== request || !this.#isOpen) return;
      if (clock.monotonic() - this.#lastHeard > KEEPALIVE_TIMEOUT_MS) {
        request.destroy(new Error('peer does not answer'));
        return;
      }
      if (request.writableLength === 0) request.write(Buffer.alloc(4));
      this.#keepAlive(request);
    });
  }

  #ended(url: string, reason: unknown): void {
    this.#isOpen = false;
    this.#request?.destroy();
    this.#request = undefined;
    if (this.#closed) {
      this.#cancelTimer?.();
      return;
    }
    const { clock, random, peerId, logger, onUnreachable } = this.#options;
    // The first of a row of failures is news, the others are the same.
    const log = this.#failures === 0 ? logger.warn.bind(logger) : logger.debug.bind(logger);
    log({ peer: idText(peerId), url, reason: reason instanceof Error ? reason.message : reason }, 'peer stream lost');
    this.#cancelTimer?.();
    this.#cancelTimer = clock.after(backoffMs(this.#failures++, { ...BACKOFF, random }), () => this.#connect());
    onUnreachable();
  }
}
