import { once } from 'node:events';
import { connect } from 'node:net';
import { SpdySession, type SpdyStream } from './spdy-session.ts';

/** Subprotocol of the WebSocket that carries SPDY. */
export const portForwardTunnel = 'SPDY/3.1+portforward.k8s.io';

/** The protocol over SPDY itself (`X-Stream-Protocol-Version`). */
export const portForwardProtocol = 'portforward.k8s.io';

export interface PortForwardTarget {
  /** Where the pod listens. */
  readonly address: string;
  /** Namespace and name, for messages. */
  readonly podName: string;
}

export interface PortForwardOptions extends PortForwardTarget {
  readonly send: (bytes: Buffer) => Promise<void> | undefined;
}

/**
 * Serves one `kubectl port-forward`: for each connection of a local client, kubectl opens two streams with one requestID,
 * `data` for its bytes and `error` for why it could not be forwarded.
 */
export function servePortForward(options: PortForwardOptions): SpdySession {
  return new SpdySession({ send: options.send, onStream: startForwarding(options) });
}

/** What to do with each stream that the client opens. */
export function startForwarding(target: PortForwardTarget): (stream: SpdyStream) => void {
  const waiting = new Map<string, SpdyStream>();
  return (stream) => {
    const requestId = stream.headers.get('requestid') ?? String(stream.id);
    const other = waiting.get(requestId);
    if (other === undefined) {
      waiting.set(requestId, stream);
      stream.onReset = () => waiting.delete(requestId);
      return;
    }
    waiting.delete(requestId);
    const [data, error] = stream.headers.get('streamtype') === 'data' ? [stream, other] : [other, stream];
    forward(data, error, target);
  };
}

function forward(data: SpdyStream, error: SpdyStream, options: PortForwardTarget): void {
  const port = Number(data.headers.get('port'));
  const close = (): void => {
    data.end();
    error.end();
  };
  const fail = (why: string): void => {
    void error.write(Buffer.from(`error forwarding port ${port} to pod ${options.podName}: ${why}`));
    close();
  };
  error.onReset = () => undefined;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    fail(`${JSON.stringify(data.headers.get('port') ?? '')} is not a port`);
    return;
  }
  const socket = connect({ host: options.address, port, allowHalfOpen: true });
  data.onData = (chunk) => {
    if (socket.destroyed || socket.write(chunk)) return undefined;
    return Promise.race([once(socket, 'drain'), once(socket, 'close')]).then(
      () => undefined,
      () => undefined,
    );
  };
  data.onEnd = () => socket.end();
  data.onReset = () => socket.destroy();
  socket.on('data', (chunk) => {
    const sent = data.write(chunk);
    if (sent === undefined) return;
    socket.pause();
    void sent.then(() => socket.resume());
  });
  socket.once('end', () => data.end());
  socket.once('error', (reason) => fail(reason.message));
  socket.once('close', close);
}
