import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { systemClock, type Clock, type Logger } from '@naru/component';
import { ByteWriter } from '../codec/bytes.ts';
import type { Message, MsgSnap } from '../raft/message.ts';
import type { WalMetadata } from '../wal/record.ts';
import type { HashAnswer } from './cluster-client.ts';
import { writeFrame } from './message-codec.ts';
import { SNAPSHOT_PATH, type PeerTls } from './peer-protocol.ts';
import { PeerServer } from './peer-server.ts';
import { openRequest, PeerStream } from './peer-stream.ts';
import type { Peer, Transport, TransportHandlers } from './transport.ts';

export interface HttpTransportOptions {
  readonly ids: WalMetadata;
  /** Upstream's `--listen-peer-urls`. */
  readonly listenUrls: readonly string[];
  /** Where the others reach this member, as it tells them; default `listenUrls`. */
  readonly advertiseUrls?: readonly string[];
  readonly tls?: PeerTls;
  /** Upstream's `--peer-client-cert-auth`. */
  readonly clientCertAuth?: boolean;
  /** The hash of this member's keys at a revision, for the others to compare. @throws EtcdError */
  readonly hashKv?: (revision: number) => Promise<HashAnswer>;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Members that may be answered without being among the peers. */
const REMOTES_MAX = 16;

/** The members' network: HTTP streams, with mutual TLS where the URLs say https. */
export class HttpTransport implements Transport {
  readonly #options: HttpTransportOptions;
  readonly #streams = new Map<bigint, { readonly urls: string; readonly stream: PeerStream }>();
  #peers = new Map<bigint, Peer>();
  /** Who has connected, but is not among the peers yet. */
  readonly #remotes = new Map<bigint, Peer>();
  #server: PeerServer | undefined;
  #handlers: TransportHandlers | undefined;
  #ports: readonly number[] = [];

  constructor(options: HttpTransportOptions) {
    this.#options = options;
  }

  /** The ports that it listens on, as `listenUrls` has them. */
  get ports(): readonly number[] {
    return this.#ports;
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.#handlers = handlers;
    const { ids, listenUrls, tls = {}, clientCertAuth = false, hashKv, logger } = this.#options;
    const { isRemoved } = handlers;
    const onConnected = this.#connected.bind(this);
    const options = { ids, listenUrls, tls, clientCertAuth, logger, isRemoved, hashKv, onConnected };
    this.#server = new PeerServer(options, handlers);
    this.#ports = await this.#server.start();
  }

  setPeers(peers: readonly Peer[]): void {
    this.#peers = new Map(peers.map((peer) => [peer.id, peer]));
    for (const id of this.#remotes.keys())
      if (this.#peers.has(id) || this.#handlers?.isRemoved(id) === true) this.#remotes.delete(id);
    for (const [id, { urls, stream }] of this.#streams) {
      const peer = this.#peerOf(id);
      if (peer?.peerUrls.join() === urls) continue;
      if (peer === undefined) stream.finish();
      else stream.close();
      this.#streams.delete(id);
    }
    for (const peer of peers) this.#openTo(peer);
    this.#server?.dropRemoved();
  }

  #peerOf(id: bigint): Peer | undefined {
    return this.#peers.get(id) ?? this.#remotes.get(id);
  }

  #openTo({ id, peerUrls }: Peer): void {
    if (this.#streams.has(id) || peerUrls.length === 0) return;
    this.#streams.set(id, { urls: peerUrls.join(), stream: this.#open(id, peerUrls) });
  }

  #connected(id: bigint, urls: readonly string[]): void {
    // Who connects is there: a stream to it that waits to be tried again need not wait.
    this.#streams.get(id)?.stream.retry();
    if (this.#peers.has(id) || this.#remotes.size >= REMOTES_MAX || !urls.every(isHttpUrl)) return;
    const known = this.#remotes.get(id);
    if (known?.peerUrls.join() === urls.join()) return;
    this.#remotes.set(id, { id, peerUrls: urls });
    this.#streams.get(id)?.stream.close();
    this.#streams.delete(id);
    this.#openTo({ id, peerUrls: urls });
  }

  activeSince(id: bigint): number | undefined {
    return this.#streams.get(id)?.stream.openSince;
  }

  #open(peerId: bigint, urls: readonly string[]): PeerStream {
    const { ids, tls = {}, logger, clock = systemClock, random = Math.random } = this.#options;
    const onReachable = (): void => this.#handlers?.reachable(peerId);
    const onUnreachable = (): void => this.#handlers?.unreachable(peerId);
    const onRemoved = (): void => this.#handlers?.removed();
    const ownUrls = this.#ownUrls;
    const told = { onReachable, onUnreachable, onRemoved };
    return new PeerStream({ ids, peerId, urls, tls, ownUrls, clock, random, logger, ...told });
  }

  get #ownUrls(): readonly string[] {
    return this.#options.advertiseUrls ?? this.#options.listenUrls;
  }

  send(messages: readonly Message[]): readonly Message[] {
    const byPeer = new Map<bigint, Message[]>();
    for (const message of messages) {
      const queue = byPeer.get(message.to);
      if (queue === undefined) byPeer.set(message.to, [message]);
      else queue.push(message);
    }
    const dropped: Message[] = [];
    for (const [id, queue] of byPeer) {
      if (this.#streams.get(id)?.stream.send(queue) === true) continue;
      dropped.push(...queue);
      // Not within the caller's turn: it is told what was dropped, and may be in the middle of a transition.
      if (queue.some(({ type }) => type === 'MsgApp')) queueMicrotask(() => this.#handlers?.unreachable(id));
    }
    return dropped;
  }

  async sendSnapshot(
    message: MsgSnap,
    content: AsyncIterable<Uint8Array>,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const { ids, tls = {} } = this.#options;
    const url = this.#peerOf(message.to)?.peerUrls[0];
    if (url === undefined) throw new Error('no address of the member is known');
    const request = openRequest({ ids, peerId: message.to, tls, ownUrls: this.#ownUrls }, url, SNAPSHOT_PATH);
    const responded = once(request, 'response', options) as Promise<[IncomingMessage]>;
    // The receiver may answer before it has read everything: then its answer counts, not the broken pipe.
    const sent = pipeline(snapshotBody(message, content), request, options);
    sent.catch(() => undefined);
    try {
      const [response] = await responded;
      response.resume();
      if (response.statusCode !== 204) throw new Error(`peer answered ${response.statusCode} to the snapshot`);
      await sent;
    } finally {
      request.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#handlers = undefined;
    for (const { stream } of this.#streams.values()) stream.close();
    this.#streams.clear();
    await this.#server?.[Symbol.asyncDispose]();
  }
}

function isHttpUrl(url: string): boolean {
  return /^https?:/u.test(url) && URL.canParse(url);
}

async function* snapshotBody(message: MsgSnap, content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const writer = new ByteWriter();
  writeFrame(writer, message);
  yield writer.view();
  yield* content;
}
