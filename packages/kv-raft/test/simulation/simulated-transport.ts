import type { Clock } from '@naru/component';
import type { SimulatedNetwork } from '@naru/testkit';
import { ByteWriter } from '../../src/codec/bytes.ts';
import { FrameDecoder, writeFrame } from '../../src/peer/message-codec.ts';
import type { Peer, Transport, TransportHandlers } from '../../src/peer/transport.ts';
import type { Message, MsgSnap } from '../../src/raft/message.ts';

type Payload =
  | { readonly type: 'frames'; readonly bytes: Buffer }
  | { readonly type: 'snapshot'; readonly id: number; readonly message: MsgSnap; readonly bytes: Buffer }
  | { readonly type: 'answer'; readonly id: number; readonly ok: boolean }
  /** As a peer's status 410: the receiver is no member any more. */
  | { readonly type: 'removed' };

export type MemberNetwork = SimulatedNetwork<Payload>;

const SNAPSHOT_TIMEOUT_MS = 3000;

/** Members' messages over a simulated network, in the bytes that they have on a real one. */
export class SimulatedTransport implements Transport {
  readonly #name: string;
  readonly #network: MemberNetwork;
  readonly #clock: Clock;
  readonly #onSend: (message: Message) => void;
  readonly #names = new Map<bigint, string>();
  readonly #unreachable = new Set<bigint>();
  readonly #snapshots = new Map<number, (ok: boolean) => void>();
  #handlers: TransportHandlers | undefined;
  #snapshotId = 0;

  constructor(options: {
    readonly name: string;
    readonly network: MemberNetwork;
    readonly clock: Clock;
    /** Told of each message, whether it arrives or not. */
    readonly onSend: (message: Message) => void;
  }) {
    this.#name = options.name;
    this.#onSend = options.onSend;
    this.#network = options.network;
    this.#clock = options.clock;
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.#handlers = handlers;
    // Everything arrives by the process's clock: nothing while it is paused, nothing after its end.
    this.#network.attach(this.#name, (from, payload) => {
      this.#clock.after(0, () => this.#receive(from, payload));
    });
    await Promise.resolve();
  }

  setPeers(peers: readonly Peer[]): void {
    this.#names.clear();
    for (const { id, peerUrls } of peers) this.#names.set(id, (peerUrls[0] ?? '').replace('http://', ''));
  }

  /** Whoever runs is connected, and has been for long. */
  activeSince(id: bigint): number | undefined {
    return this.#network.isAttached(this.#names.get(id) ?? '') ? Number.NEGATIVE_INFINITY : undefined;
  }

  send(messages: readonly Message[]): readonly Message[] {
    const dropped: Message[] = [];
    for (const message of messages) {
      this.#onSend(message);
      const writer = new ByteWriter();
      writeFrame(writer, message);
      const bytes = Buffer.from(writer.view());
      const atMostOnce = message.type === 'MsgProp';
      const to = this.#names.get(message.to);
      if (to !== undefined && this.#network.send(this.#name, to, { type: 'frames', bytes }, { atMostOnce })) {
        if (this.#unreachable.delete(message.to)) this.#clock.after(1, () => this.#handlers?.reachable(message.to));
        continue;
      }
      dropped.push(message);
      this.#unreachable.add(message.to);
      this.#clock.after(1, () => this.#handlers?.unreachable(message.to));
    }
    return dropped;
  }

  async sendSnapshot(message: MsgSnap, content: AsyncIterable<Uint8Array>): Promise<void> {
    this.#onSend(message);
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(Buffer.from(part));
    const to = this.#names.get(message.to);
    const id = ++this.#snapshotId;
    const ok = await new Promise<boolean>((resolve) => {
      this.#snapshots.set(id, resolve);
      this.#clock.after(SNAPSHOT_TIMEOUT_MS, () => resolve(false));
      const payload = { type: 'snapshot', id, message, bytes: Buffer.concat(parts) } as const;
      if (to === undefined || !this.#network.send(this.#name, to, payload, { atMostOnce: true })) resolve(false);
    });
    this.#snapshots.delete(id);
    if (!ok) throw new Error('snapshot not delivered');
  }

  #receive(from: string, payload: Payload): void {
    switch (payload.type) {
      case 'frames': {
        const { messages } = new FrameDecoder().push(payload.bytes);
        if (messages.some((message) => this.#handlers?.isRemoved(message.from) === true)) {
          this.#network.send(this.#name, from, { type: 'removed' });
          return;
        }
        for (const message of messages) if (!this.#names.has(message.from)) this.#names.set(message.from, from);
        this.#handlers?.messages(messages);
        return;
      }
      case 'snapshot': {
        const { id, message, bytes } = payload;
        const answer = (ok: boolean): void => {
          this.#network.send(this.#name, from, { type: 'answer', id, ok });
        };
        this.#handlers?.snapshot(message, piecesOf(bytes)).then(
          () => answer(true),
          () => answer(false),
        );
        return;
      }
      case 'answer':
        this.#snapshots.get(payload.id)?.(payload.ok);
        return;
      case 'removed':
        this.#handlers?.removed();
        return;
      default:
        payload satisfies never;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#handlers = undefined;
    this.#network.detach(this.#name);
    await Promise.resolve();
  }
}

async function* piecesOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700);
}
