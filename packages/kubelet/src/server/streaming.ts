import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { http } from '@naru/component';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { WebSocketServer, type WebSocket } from 'ws';
import { portsOf, serveChannelPortForward } from './channel-port-forward.ts';
import { ChannelConnection, channelProtocols, exitStatus, failureStatus } from './remote-command.ts';
import type { RemoteCommandConnection, RemoteCommandStreams } from './remote-command.ts';
import { portForwardProtocol, portForwardTunnel, servePortForward, startForwarding } from './port-forward.ts';
import { openSpdySession, SpdyConnection, spdyCommandProtocol } from './spdy-remote-command.ts';
import { StreamRefusal, type StreamTargets } from './stream-targets.ts';

/** Streams at a time; more are refused. */
const STREAMS_MAX = 256;
/** A message of a client is at most this long; kubectl's have 32 KiB. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** Unsent bytes from which on a pod has to wait. */
const UNSENT_BYTES_MAX = 1024 * 1024;
/** How soon a connection is found out whose other side vanished. */
const KEEP_ALIVE_MS = 30_000;

export interface StreamingOptions {
  readonly targets: StreamTargets;
  readonly stop: AbortSignal;
}

interface ContainerRoute {
  Params: { namespace: string; pod: string; container: string };
}

interface PodRoute {
  Params: { namespace: string; pod: string };
}

interface Upgrade {
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** Adds the routes of the kubelet's API that become streams: /exec, /attach and /portForward. */
export function serveStreams(app: FastifyInstance, options: StreamingOptions): void {
  new Streaming(options).addTo(app);
}

class Streaming {
  readonly #options: StreamingOptions;
  readonly #webSockets: WebSocketServer;
  readonly #upgrades = new WeakMap<IncomingMessage, Upgrade>();
  readonly #tunnels = new WeakSet<IncomingMessage>();
  #open = 0;

  constructor(options: StreamingOptions) {
    this.#options = options;
    this.#webSockets = new WebSocketServer({
      noServer: true,
      maxPayload: MESSAGE_BYTES_MAX,
      perMessageDeflate: false,
      handleProtocols: (offered) => channelProtocols.find((each) => offered.has(each)) ?? false,
    });
    this.#webSockets.on('headers', (lines, raw) => {
      if (this.#tunnels.has(raw)) lines.push(`Sec-WebSocket-Protocol: ${portForwardTunnel}`);
    });
  }

  addTo(app: FastifyInstance): void {
    app.server.on('upgrade', (raw: IncomingMessage, socket: Socket, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      this.#upgrades.set(raw, { socket, head });
      // Authentication and routing are the same as of any request; a refusal is an answer like any other.
      const response = new http.ServerResponse(raw);
      response.shouldKeepAlive = false;
      response.assignSocket(socket);
      response.once('finish', () => socket.end());
      app.routing(raw, response);
    });
    for (const method of ['GET', 'POST'] as const) {
      app.route<ContainerRoute>({
        method,
        url: '/exec/:namespace/:pod/:container',
        handler: async (request, reply) => await this.#answer(reply, async () => await this.#exec(request, reply)),
      });
      app.route<ContainerRoute>({
        method,
        url: '/attach/:namespace/:pod/:container',
        handler: async (request, reply) => await this.#answer(reply, async () => await this.#attach(request, reply)),
      });
      app.route<PodRoute>({
        method,
        url: '/portForward/:namespace/:pod',
        handler: async (request, reply) =>
          await this.#answer(reply, async () => await this.#portForward(request, reply)),
      });
    }
  }

  async #answer(reply: FastifyReply, run: () => Promise<void>): Promise<FastifyReply> {
    try {
      await run();
      return reply;
    } catch (error) {
      if (!(error instanceof StreamRefusal)) throw error;
      return await reply.code(error.status).type('text/plain; charset=utf-8').send(`${error.message}\n`);
    }
  }

  async #exec(request: FastifyRequest<ContainerRoute>, reply: FastifyReply): Promise<void> {
    const query = queryOf(request);
    const command = query.getAll('command');
    if (command.length === 0) throw new StreamRefusal(400, 'you must specify at least one command for the container');
    const streams = streamsOf(query);
    const { targets } = this.#options;
    const id = await targets.container(request.params);
    const connection = await this.#channels(request, reply, streams);
    try {
      const process = await targets.exec(id, command, { tty: streams.tty });
      if (connection.signal.aborted) process.kill();
      connection.signal.addEventListener('abort', () => process.kill(), { once: true });
      connection.open(process, streams);
      const send = async (name: 'stdout' | 'stderr'): Promise<void> => {
        if (streams[name]) await connection.send(name, process[name]);
        else process[name].resume();
      };
      const [, , exitCode] = await Promise.all([send('stdout'), send('stderr'), process.exited]);
      connection.finish(exitStatus(exitCode));
    } catch (error) {
      connection.finish(failureStatus('error executing command in container', error));
    }
  }

  async #attach(request: FastifyRequest<ContainerRoute>, reply: FastifyReply): Promise<void> {
    const streams = streamsOf(queryOf(request));
    const { targets } = this.#options;
    const id = await targets.container(request.params);
    const connection = await this.#channels(request, reply, streams);
    try {
      const attachment = await targets.attach(id, streams);
      const { stdin } = attachment;
      connection.open(stdin === undefined ? undefined : { stdin, resize: (size) => attachment.resize(size) }, streams);
      if (connection.signal.aborted) stdin?.destroy();
      connection.signal.addEventListener('abort', () => stdin?.destroy(), { once: true });
      const send = async (name: 'stdout' | 'stderr'): Promise<void> => {
        if (streams[name]) await connection.send(name, attachment.output(name, connection.signal));
      };
      await Promise.all([send('stdout'), send('stderr')]);
      connection.finish(exitStatus(0));
    } catch (error) {
      connection.finish(failureStatus('error attaching to container', error));
    }
  }

  async #portForward(request: FastifyRequest<PodRoute>, reply: FastifyReply): Promise<void> {
    const { namespace, pod } = request.params;
    const address = await this.#options.targets.podAddress(namespace, pod);
    const { raw } = request;
    const { 'sec-websocket-protocol': offered = '', ...headers } = raw.headers;
    if (offered.split(',').some((each) => each.trim() === portForwardTunnel)) {
      // Its slash is against RFC 6455, so the library must not see it.
      this.#tunnels.add(raw);
      raw.headers = headers;
    }
    const target = { address, podName: `${namespace}/${pod}` };
    if (isSpdy(raw)) {
      const { socket, head } = this.#upgradeToSpdy(request, reply, portForwardProtocol);
      openSpdySession(socket, { head, stop: this.#options.stop, onStream: startForwarding(target) });
      return;
    }
    const isTunnel = this.#tunnels.has(raw);
    const ports = isTunnel ? [] : portsOf(queryOf(request));
    if (typeof ports === 'string') throw new StreamRefusal(400, ports);
    const socket = await this.#upgrade(request, reply);
    const { stop } = this.#options;
    const leave = (): void => socket.terminate();
    stop.addEventListener('abort', leave, { once: true });
    socket.on('error', leave);
    socket.once('close', () => stop.removeEventListener('abort', leave));
    if (isTunnel) tunnel(socket, target);
    else serveChannelPortForward(socket, { ...target, ports });
  }

  async #channels(
    request: FastifyRequest,
    reply: FastifyReply,
    streams: RemoteCommandStreams,
  ): Promise<RemoteCommandConnection> {
    const { stop } = this.#options;
    if (!isSpdy(request.raw)) return new ChannelConnection(await this.#upgrade(request, reply), stop);
    const { socket, head } = this.#upgradeToSpdy(request, reply, spdyCommandProtocol);
    return await SpdyConnection.accept(socket, streams, { head, stop });
  }

  /** Makes the request a WebSocket. Rejects with a StreamRefusal. */
  async #upgrade(request: FastifyRequest, reply: FastifyReply): Promise<WebSocket> {
    const { raw } = request;
    if (raw.headers.upgrade === undefined) throw new StreamRefusal(400, 'Upgrade request required');
    if (raw.method !== 'GET' || raw.headers.upgrade?.toLowerCase() !== 'websocket')
      throw new StreamRefusal(400, `unable to upgrade connection: ${raw.headers.upgrade ?? ''} is not spoken here`);
    const { socket, head } = this.#takeSocket(request, reply);
    return await new Promise<WebSocket>((resolve) => {
      this.#webSockets.handleUpgrade(raw, socket, head, resolve);
    });
  }

  /** Makes the request SPDY/3.1. @throws StreamRefusal. */
  #upgradeToSpdy(request: FastifyRequest, reply: FastifyReply, protocol: string): Upgrade {
    const offered = String(request.raw.headers['x-stream-protocol-version'] ?? '').split(',');
    if (!offered.some((each) => each.trim() === protocol))
      throw new StreamRefusal(
        403,
        `unable to upgrade: unable to negotiate protocol: client supports ${offered.join(',')}, server supports ${protocol}`,
      );
    const upgrade = this.#takeSocket(request, reply);
    const lines = [
      'HTTP/1.1 101 Switching Protocols',
      'Connection: Upgrade',
      'Upgrade: SPDY/3.1',
      `X-Stream-Protocol-Version: ${protocol}`,
    ];
    upgrade.socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    return upgrade;
  }

  /** The connection is no HTTP any more. @throws StreamRefusal. */
  #takeSocket({ raw }: FastifyRequest, reply: FastifyReply): Upgrade {
    const upgrade = this.#upgrades.get(raw);
    if (upgrade === undefined) throw new StreamRefusal(400, 'Upgrade request required');
    if (this.#open >= STREAMS_MAX)
      throw new StreamRefusal(429, `unable to upgrade connection: ${STREAMS_MAX} streams are open already`);
    this.#open++;
    upgrade.socket.once('close', () => this.#open--);
    void reply.hijack();
    reply.raw.detachSocket(upgrade.socket as Socket);
    return upgrade;
  }
}

function isSpdy({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'spdy/3.1';
}

/** Port-forward's SPDY inside a WebSocket. */
function tunnel(socket: WebSocket, target: { readonly address: string; readonly podName: string }): void {
  const session = servePortForward({
    ...target,
    send(bytes) {
      const sent = new Promise<void>((resolve) => socket.send(bytes, { binary: true }, () => resolve()));
      return socket.bufferedAmount > UNSENT_BYTES_MAX ? sent : undefined;
    },
  });
  socket.once('close', () => session[Symbol.dispose]());
  let received = Promise.resolve();
  socket.on('message', (data) => {
    // One message at a time: the rest waits at the client.
    socket.pause();
    received = received
      .then(async () => await session.receive(data as Buffer))
      .then(
        () => socket.resume(),
        () => socket.terminate(),
      );
  });
}

function queryOf(request: FastifyRequest): URLSearchParams {
  const { url = '' } = request.raw;
  const mark = url.indexOf('?');
  return new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1));
}

/** As upstream's kubelet has them: a terminal has no stderr of its own. Rejects a request for nothing. */
function streamsOf(query: URLSearchParams): RemoteCommandStreams {
  const isSet = (name: string): boolean => query.get(name) === '1' || query.get(name) === 'true';
  const tty = isSet('tty');
  const streams = { tty, stdin: isSet('input'), stdout: isSet('output'), stderr: isSet('error') && !tty };
  if (!streams.stdin && !streams.stdout && !streams.stderr)
    throw new StreamRefusal(400, 'you must specify at least 1 of stdin, stdout, stderr');
  return streams;
}
