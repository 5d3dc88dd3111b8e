import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { Socket } from 'node:net';
import { SpdyHeaders } from '../../src/server/spdy-headers.ts';

const FIN = 1;
const FRAME_HEAD_BYTES = 8;

/** Frames of SPDY/3.1 as client-go writes and reads them. */
export class SpdyFrames {
  readonly #headers = new SpdyHeaders();
  #received: Buffer = Buffer.alloc(0);

  async synStream(id: number, headers: Readonly<Record<string, string>>): Promise<Buffer> {
    const block = await this.#headers.encode(new Map(Object.entries(headers)));
    const head = Buffer.from([0x80, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, id, 0, 0, 0, 0, 0, 0]);
    head.writeUIntBE(10 + block.length, 5, 3);
    return Buffer.concat([head, block]);
  }

  data(id: number, payload: Buffer, isLast = false): Buffer {
    const head = Buffer.from([0, 0, 0, id, isLast ? FIN : 0, 0, 0, 0]);
    head.writeUIntBE(payload.length, 5, 3);
    return Buffer.concat([head, payload]);
  }

  receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
  }

  /** What came in data frames of a stream, and whether it ended. */
  stream(id: number): { readonly bytes: Buffer; readonly ended: boolean } {
    const all = this.#received;
    const parts: Buffer[] = [];
    let ended = false;
    for (let at = 0; at + FRAME_HEAD_BYTES <= all.length;) {
      const length = all.readUIntBE(at + 5, 3);
      const body = all.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length);
      if (all.readUInt32BE(at) === id) {
        parts.push(body);
        ended ||= all[at + 4] === FIN;
      }
      at += FRAME_HEAD_BYTES + length;
    }
    return { bytes: Buffer.concat(parts), ended };
  }
}

/** A connection of a client that speaks SPDY itself, as kubectl before 1.31. */
export class SpdyClient {
  readonly frames = new SpdyFrames();
  readonly closed: Promise<unknown>;
  readonly protocol: string | undefined;
  readonly #socket: Socket;

  private constructor(socket: Socket, protocol: string | undefined) {
    this.#socket = socket;
    this.protocol = protocol;
    this.closed = once(socket, 'close');
    socket.on('data', (chunk: Buffer) => this.frames.receive(chunk));
  }

  static async open(port: number, path: string, protocols: readonly string[]): Promise<SpdyClient> {
    const handshake = request({
      host: '127.0.0.1',
      port,
      path,
      method: 'POST',
      headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': [...protocols] },
      rejectUnauthorized: false,
    });
    handshake.end();
    const [answer, socket, head] = (await once(handshake, 'upgrade')) as [IncomingMessage, Socket, Buffer];
    const client = new SpdyClient(socket, answer.headers['x-stream-protocol-version'] as string | undefined);
    client.frames.receive(head);
    return client;
  }

  async openStream(id: number, headers: Readonly<Record<string, string>>): Promise<void> {
    this.#socket.write(await this.frames.synStream(id, headers));
  }

  write(id: number, payload: Buffer, isLast = false): void {
    this.#socket.write(this.frames.data(id, payload, isLast));
  }
}
