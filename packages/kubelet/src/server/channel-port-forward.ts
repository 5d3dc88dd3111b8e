import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { WebSocket } from 'ws';

/** Unsent bytes from which on the pod has to wait. */
const UNSENT_BYTES_MAX = 1024 * 1024;
/** Ports of one request, each with two channels of the 255. */
const PORTS_MAX = 64;

/** The ports that a request names, or why it names none. */
export function portsOf(query: URLSearchParams): readonly number[] | string {
  const given = query.getAll('port').flatMap((each) => each.split(','));
  if (given.length === 0) return 'query parameter "port" is required';
  if (given.length > PORTS_MAX) return `at most ${PORTS_MAX} ports can be forwarded at once`;
  const wrong = given.find((each) => !/^\d+$/u.test(each) || Number(each) < 1 || Number(each) > 65_535);
  return wrong === undefined ? given.map(Number) : `${JSON.stringify(wrong)} is not a port`;
}

/**
 * Port-forward as clients speak it that have no SPDY (v4.channel.k8s.io): one connection for each port, on two channels:
 * 2i for its bytes, 2i + 1 for why it could not be forwarded. Each begins with the port, two bytes, the lower first.
 */
export function serveChannelPortForward(
  socket: WebSocket,
  options: { readonly address: string; readonly podName: string; readonly ports: readonly number[] },
): void {
  const connections = options.ports.map((port, i) => forward(socket, { ...options, port, channel: 2 * i }));
  socket.on('message', (data: Buffer) => {
    const target = connections[(data[0] ?? 0) / 2];
    if (target === undefined || target.destroyed || data.length === 1 || target.write(data.subarray(1))) return;
    socket.pause();
    const resume = (): void => socket.resume();
    void Promise.race([once(target, 'drain'), once(target, 'close')]).then(resume, resume);
  });
  let open = connections.length;
  for (const each of connections)
    each.once('close', () => {
      if (--open === 0) socket.close(1000);
    });
  socket.once('close', () => {
    for (const each of connections) each.destroy();
  });
}

function forward(
  socket: WebSocket,
  options: { readonly address: string; readonly podName: string; readonly port: number; readonly channel: number },
): Socket {
  const { address, podName, port, channel } = options;
  const head = Buffer.alloc(2);
  head.writeUInt16LE(port);
  const send = (to: number, bytes: Buffer, sent?: () => void): void =>
    socket.send(Buffer.concat([Buffer.of(to), bytes]), { binary: true }, () => sent?.());
  send(channel, head);
  send(channel + 1, head);
  const connection = connect({ host: address, port });
  connection.on('data', (chunk) => {
    if (socket.bufferedAmount <= UNSENT_BYTES_MAX) send(channel, chunk);
    else {
      connection.pause();
      send(channel, chunk, () => connection.resume());
    }
  });
  connection.once('error', (error) =>
    send(channel + 1, Buffer.from(`error forwarding port ${port} to pod ${podName}: ${error.message}`)),
  );
  return connection;
}
