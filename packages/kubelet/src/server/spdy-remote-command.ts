import { once } from 'node:events';
import type { Duplex, Writable } from 'node:stream';
import type { Status } from '@naru/api';
import {
  parseSize,
  type RemoteCommandConnection,
  type RemoteCommandInput,
  type RemoteCommandStreams,
} from './remote-command.ts';
import { SpdySession, type SpdyStream } from './spdy-session.ts';

/** Protocols of exec and attach over SPDY that report the exit code (`X-Stream-Protocol-Version`). */
export const spdyCommandProtocol = 'v4.channel.k8s.io';
/** How long the client may take to open its streams, as upstream has it. */
const STREAMS_TIMEOUT_MS = 30_000;

/** Sends and receives SPDY over a socket that was HTTP's; ends with it. */
export function openSpdySession(
  socket: Duplex,
  options: { readonly head: Buffer; readonly stop: AbortSignal; readonly onStream: (stream: SpdyStream) => void },
): SpdySession {
  const { head, stop, onStream } = options;
  const session = new SpdySession({
    send(bytes) {
      if (socket.destroyed || socket.write(bytes)) return undefined;
      return Promise.race([once(socket, 'drain'), once(socket, 'close')]).then(
        () => undefined,
        () => undefined,
      );
    },
    onStream,
  });
  const leave = (): void => void socket.destroy();
  stop.addEventListener('abort', leave, { once: true });
  socket.once('close', () => {
    stop.removeEventListener('abort', leave);
    session[Symbol.dispose]();
  });
  let received = Promise.resolve();
  const receive = (bytes: Buffer): void => {
    // One chunk at a time: the rest waits at the client.
    socket.pause();
    received = received.then(async () => await session.receive(bytes)).then(() => void socket.resume(), leave);
  };
  socket.on('data', receive);
  if (head.length > 0) receive(head);
  return session;
}

type StreamType = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize';

/** Exec and attach of kubectl before 1.31: a SPDY stream for each of error, stdin, stdout, stderr and resize. */
export class SpdyConnection implements RemoteCommandConnection {
  readonly #socket: Duplex;
  readonly #gone = new AbortController();
  readonly #streams = new Map<string, SpdyStream>();
  #onStream: () => void = () => undefined;

  private constructor(socket: Duplex) {
    this.#socket = socket;
    socket.once('close', () => this.#gone.abort());
  }

  /** Resolves when the client has opened all of its streams. Rejects when it does not. */
  static async accept(
    socket: Duplex,
    wanted: RemoteCommandStreams,
    options: { readonly head: Buffer; readonly stop: AbortSignal },
  ): Promise<SpdyConnection> {
    const connection = new SpdyConnection(socket);
    const types: StreamType[] = ['error'];
    for (const type of ['stdin', 'stdout', 'stderr'] as const) if (wanted[type]) types.push(type);
    if (wanted.tty) types.push('resize');
    const complete = Promise.withResolvers<void>();
    const timer = setTimeout(() => socket.destroy(), STREAMS_TIMEOUT_MS);
    socket.once('close', () => complete.reject(new Error('the client went before its streams were there')));
    connection.#onStream = () => {
      if (types.every((each) => connection.#streams.has(each))) complete.resolve();
    };
    openSpdySession(socket, {
      ...options,
      onStream: (stream) => {
        connection.#streams.set(stream.headers.get('streamtype') ?? '', stream);
        connection.#onStream();
      },
    });
    await complete.promise.finally(() => clearTimeout(timer));
    return connection;
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  open(input: RemoteCommandInput | undefined, streams: RemoteCommandStreams): void {
    if (!streams.stdin) input?.stdin.end();
    const stdin = this.#streams.get('stdin');
    if (stdin !== undefined && input !== undefined) {
      stdin.onData = (chunk) => writeTo(input.stdin, chunk);
      stdin.onEnd = () => input.stdin.end();
    }
    const resize = this.#streams.get('resize');
    if (resize !== undefined)
      resize.onData = (chunk) => {
        const size = parseSize(chunk);
        if (size !== undefined) input?.resize(size);
        return undefined;
      };
  }

  async send(channel: 'stdout' | 'stderr', source: AsyncIterable<Buffer>): Promise<void> {
    const stream = this.#streams.get(channel);
    for await (const chunk of source) {
      if (this.signal.aborted) return;
      await stream?.write(chunk);
    }
    stream?.end();
  }

  finish(status: Status): void {
    if (this.signal.aborted) return;
    const error = this.#streams.get('error');
    // Nothing on the error stream is success in v4, too; upstream says it all the same.
    void error?.write(Buffer.from(JSON.stringify(status)));
    for (const stream of this.#streams.values()) stream.end();
    this.#socket.end();
  }
}

function writeTo(stdin: Writable, chunk: Buffer): Promise<void> | undefined {
  if (stdin.writableEnded || stdin.destroyed || stdin.write(chunk)) return undefined;
  return Promise.race([once(stdin, 'drain'), once(stdin, 'close')]).then(
    () => undefined,
    () => undefined,
  );
}
