import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer, type TLSSocket } from 'node:tls';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** How long a client may take to show which protocol it speaks. */
const SNIFF_TIMEOUT_MS = 60_000;

/** The protocols for a TLS server's ALPN. HTTP/1.1 comes first: only who speaks nothing else gets HTTP/2, as gRPC's clients do. */
export const alpnProtocols: readonly string[] = ['http/1.1', 'h2'];

/**
 * Lets HTTP/2 connections share the port of an HTTP/1.1 server: over TLS by ALPN, otherwise by HTTP/2's preface.
 * `accept` takes them with all that they have sent. Dispose of it when the server stops: connections that have not sent
 * anything are closed, and so is whatever comes until the server listens no more: nobody would wait for its end.
 */
export function sharePort(server: Server, accept: (socket: Socket) => void): Disposable {
  const isTls = server instanceof TlsServer;
  const event = isTls ? 'secureConnection' : 'connection';
  const listeners = server.listeners(event) as ((socket: Socket) => void)[];
  const acceptHttp1 = (socket: Socket): void => {
    for (const listener of listeners) listener.call(server, socket);
  };
  const silent = new Set<Socket>();
  let stopped = false;
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => {
    if (stopped) {
      socket.destroy();
      return;
    }
    if (isTls) {
      if ((socket as TLSSocket).alpnProtocol === 'h2') accept(socket);
      else acceptHttp1(socket);
      return;
    }
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
    sniff(socket, (isHttp2) => {
      silent.delete(socket);
      if (isHttp2) accept(socket);
      else acceptHttp1(socket);
    });
  });
  return {
    [Symbol.dispose]: () => {
      stopped = true;
      for (const socket of silent) socket.destroy();
    },
  };
}

/** Reads until it is clear whether it is the preface, and puts back what was read. */
function sniff(socket: Socket, decide: (isHttp2: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const onError = (): void => void socket.destroy();
  const timeout = setTimeout(onError, SNIFF_TIMEOUT_MS);
  timeout.unref();
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, PREFACE.length);
    const matches = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
    if (matches && length < PREFACE.length) return;
    clearTimeout(timeout);
    socket.off('readable', onReadable);
    socket.off('error', onError);
    socket.off('end', onError);
    socket.off('close', onClose);
    socket.unshift(seen);
    decide(matches);
  };
  const onClose = (): void => clearTimeout(timeout);
  socket.on('error', onError);
  socket.on('end', onError);
  socket.on('close', onClose);
  socket.on('readable', onReadable);
}
