import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { newInternalError, type Status } from '@naru/api';
import type { WebSocket } from 'ws';
import { messageOf } from '../errors.ts';
import type { ExecProcess, TerminalSize } from '../runtime/runtime-service.ts';

/** Subprotocols of exec and attach, best first (k8s.io/apimachinery/pkg/util/remotecommand). */
export const channelProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;

/** The first byte of each message is its channel. */
const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** Unsent bytes from which on the program has to wait. */
const UNSENT_BYTES_MAX = 1024 * 1024;

export interface RemoteCommandStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** One exec or attach, whatever the client speaks, until the program ends or the client goes. */
export interface RemoteCommandConnection {
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
  /** Tells the client that all is set up, and takes its input from here on; undefined drops it. */
  open(input: RemoteCommandInput | undefined, streams: RemoteCommandStreams): void;
  /** Sends a stream to its end, no faster than the client takes it. */
  send(channel: 'stdout' | 'stderr', source: AsyncIterable<Buffer>): Promise<void>;
  /** The last word: how it ended. */
  finish(status: Status): void;
}

/** What a client's input goes to. */
export type RemoteCommandInput = Pick<ExecProcess, 'stdin' | 'resize'>;

/** The channels of a WebSocket. */
export class ChannelConnection implements RemoteCommandConnection {
  readonly #socket: WebSocket;
  readonly #gone = new AbortController();
  #stdin: Writable | undefined;
  #onResize: ((size: TerminalSize) => void) | undefined;

  constructor(socket: WebSocket, stop: AbortSignal) {
    this.#socket = socket;
    const leave = (): void => {
      this.#gone.abort();
      socket.terminate();
    };
    socket.on('error', leave);
    socket.once('close', leave);
    stop.addEventListener('abort', leave, { once: true });
    socket.once('close', () => stop.removeEventListener('abort', leave));
    // Nothing may be lost before somebody listens.
    socket.pause();
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  open(input: RemoteCommandInput | undefined, streams: RemoteCommandStreams): void {
    this.#stdin = streams.stdin ? input?.stdin : undefined;
    if (!streams.stdin) input?.stdin.end();
    this.#onResize = (size) => input?.resize(size);
    this.#socket.on('message', (data) => this.#onMessage(data as Buffer));
    this.#socket.resume();
    const first = streams.stdout ? channels.stdout : streams.stderr ? channels.stderr : channels.error;
    this.#socket.send(Buffer.of(first));
  }

  async send(channel: 'stdout' | 'stderr', source: AsyncIterable<Buffer>): Promise<void> {
    const head = Buffer.of(channels[channel]);
    for await (const chunk of source) {
      if (this.signal.aborted) return;
      const sent = new Promise<void>((resolve) =>
        this.#socket.send(Buffer.concat([head, chunk]), { binary: true }, () => resolve()),
      );
      if (this.#socket.bufferedAmount > UNSENT_BYTES_MAX) await sent;
    }
  }

  finish(status: Status): void {
    if (this.signal.aborted) return;
    // The client's own close has to be read.
    this.#socket.resume();
    this.#socket.send(Buffer.concat([Buffer.of(channels.error), Buffer.from(JSON.stringify(status))]));
    this.#socket.close(1000);
  }

  #onMessage(data: Buffer): void {
    const payload = data.subarray(1);
    switch (data[0]) {
      case channels.stdin:
        this.#write(payload);
        return;
      case channels.resize:
        this.#resize(payload);
        return;
      case channels.close:
        // Of v5: the client has no more for this channel.
        if (payload[0] === channels.stdin) this.#stdin?.end();
        return;
      default:
      // The client has nothing to say on the others.
    }
  }

  #write(payload: Buffer): void {
    const stdin = this.#stdin;
    if (stdin === undefined || stdin.writableEnded || stdin.destroyed || payload.length === 0) return;
    if (stdin.write(payload)) return;
    this.#socket.pause();
    const resume = (): void => this.#socket.resume();
    void Promise.race([once(stdin, 'drain'), once(stdin, 'close')]).then(resume, resume);
  }

  #resize(payload: Buffer): void {
    const size = parseSize(payload);
    if (size !== undefined) this.#onResize?.(size);
  }
}

/** A terminal's size as clients send it; undefined: it is none. */
export function parseSize(payload: Buffer): TerminalSize | undefined {
  try {
    const { Width, Height } = JSON.parse(payload.toString()) as { Width?: unknown; Height?: unknown };
    const isSize = (value: unknown): value is number => Number.isInteger(value) && Number(value) > 0;
    return isSize(Width) && isSize(Height) ? { width: Width, height: Height } : undefined;
  } catch {
    return undefined;
  }
}

/** The Status on the error channel of a program that ended with `exitCode`. */
export function exitStatus(exitCode: number): Status {
  if (exitCode === 0) return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' };
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

export function failureStatus(what: string, error: unknown): Status {
  return newInternalError(`${what}: ${messageOf(error)}`).status;
}
