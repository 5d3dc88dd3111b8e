/** Connections that stop being HTTP: taken from clients, and joined with connections to kubelets. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { Duplex } from 'node:stream';
import { newBadRequest, newInternalError, newStatusError } from '@naru/api';
import { http, https } from '@naru/component';
import type { FastifyInstance } from 'fastify';

/** Streams at a time; more are refused. */
const TUNNELS_MAX = 1024;
/** What a kubelet says instead of an upgrade is read this far. */
const REFUSAL_BYTES_MAX = 16 * 1024;
/** How long a client may take to close a connection whose upgrade was refused. */
const LINGER_MS = 5000;
/** How soon a connection is found out whose other side vanished. */
const KEEP_ALIVE_MS = 30_000;

/** Headers of a request for an upgrade that the other side has to see. */
const forwardedHeaders = /^(connection|upgrade|sec-websocket-.*|x-stream-protocol-version)$/u;

/** Other upgrades, such as to HTTP/2, are offers that a server may ignore. */
export function isStreamUpgrade(request: IncomingMessage): boolean {
  return /\/(attach|exec|portforward|proxy)([/?]|$)/u.test(request.url ?? '') && isUpgrade(request);
}

export function isUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade !== undefined && /(^|,)\s*upgrade\s*(,|$)/iu.test(headers.connection ?? '');
}

/** Sends requests for an upgrade the way of all requests; who handles one takes over the response's socket. */
export function acceptUpgrades(app: FastifyInstance): void {
  app.server.on('upgrade', (raw: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    if (head.length > 0) socket.unshift(head);
    const response = new http.ServerResponse(raw);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once('finish', () => {
      // Who is refused may have sent more, which nobody reads: without that, the client's end would not be seen.
      socket.end();
      socket.resume();
      socket.setTimeout(LINGER_MS, () => socket.destroy());
    });
    app.routing(raw, response);
  });
}

export interface UpgradeTunnelsOptions {
  readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string };
  readonly connectTimeoutMs: number;
}

/** How a tunnel's other side is asked, where that is no kubelet's stream. */
export interface TunnelOptions {
  readonly tls: ConnectionOptions;
  readonly headers: Readonly<Record<string, string[]>>;
}

export interface UpgradeRefusal {
  readonly code: number;
  readonly text: string;
}

/** Passes bytes between clients and kubelets, or what runs in the cluster, whatever their protocol. */
export class UpgradeTunnels {
  readonly #options: UpgradeTunnelsOptions;
  readonly #sockets = new Set<Duplex>();

  constructor(options: UpgradeTunnelsOptions) {
    this.#options = options;
  }

  /**
   * Asks `url` for the upgrade that the client asks for, and joins the connections if it agrees. Returns its answer if it
   * does not. @throws StatusError before anything is written.
   */
  async join(
    url: string,
    raw: IncomingMessage,
    response: ServerResponse,
    options?: TunnelOptions,
  ): Promise<UpgradeRefusal | undefined> {
    const { socket } = response;
    if (!isUpgrade(raw) || socket === null) throw newBadRequest('Upgrade request required');
    if (this.#sockets.size >= TUNNELS_MAX)
      throw newStatusError('TooManyRequests', `${TUNNELS_MAX} streams are open already`);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const answer = await this.#ask(url, raw, socket, options);
    if (!('socket' in answer)) return answer;
    response.statusCode = 101;
    const lines = [`HTTP/1.1 101 ${answer.message.statusMessage ?? 'Switching Protocols'}`];
    const { rawHeaders } = answer.message;
    for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (answer.head.length > 0) socket.write(answer.head);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    joinSockets(socket, answer.socket);
    return undefined;
  }

  /** Cuts all streams. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #ask(
    url: string,
    raw: IncomingMessage,
    client: Duplex,
    options: TunnelOptions | undefined,
  ): Promise<UpgradeRefusal | { readonly message: IncomingMessage; readonly socket: Duplex; readonly head: Buffer }> {
    const { connectTimeoutMs } = this.#options;
    const tls = options?.tls ?? this.#options.tls;
    const { method = 'GET' } = raw;
    const ofUpgrade = Object.fromEntries(Object.entries(raw.headers).filter(([name]) => forwardedHeaders.test(name)));
    const headers = { ...options?.headers, ...ofUpgrade };
    const ask = url.startsWith('https:') ? https.request : http.request;
    return await new Promise((resolve, reject) => {
      const fail = (message: string, cause?: Error): void =>
        reject(newInternalError(`error dialing backend: ${method} ${JSON.stringify(url)}: ${message}`, { cause }));
      const request = ask(url, {
        method,
        headers,
        agent: false,
        rejectUnauthorized: tls.ca !== undefined,
        ...tls,
      });
      const timer = setTimeout(() => request.destroy(new Error('timed out')), connectTimeoutMs);
      const leave = (): void => void request.destroy();
      client.once('close', leave);
      request.once('close', () => {
        clearTimeout(timer);
        client.off('close', leave);
      });
      request.once('error', (error) => fail(error.message, error));
      request.once('upgrade', (message, socket, head) => {
        clearTimeout(timer);
        client.off('close', leave);
        if (client.destroyed) socket.destroy();
        resolve({ message, socket, head });
      });
      request.once('response', (message) => {
        readRefusal(message).then(resolve, (error: Error) => fail(error.message, error));
      });
      request.end();
    });
  }
}

async function readRefusal(message: IncomingMessage): Promise<UpgradeRefusal> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > REFUSAL_BYTES_MAX) break;
  }
  return { code: message.statusCode ?? 500, text: Buffer.concat(chunks).toString() };
}

/** Copies both ways; the end of one is the end of the other, after what was on the way. */
function joinSockets(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.once('close', () => {
      if (!to.destroyed) to.end(() => to.destroy());
    });
  }
}
