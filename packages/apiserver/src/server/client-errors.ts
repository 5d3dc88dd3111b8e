import type { Socket } from 'node:net';

/** Answers of Go's server to what is no request, by the parser's error. */
const statusByCode: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** Says what was wrong, where the client still listens, and ends the connection. */
export function answerClientError(error: Error, socket: Socket): void {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable || socket.bytesWritten > 0) {
    // What is on its way there may be another request's answer.
    socket.destroy();
    return;
  }
  const status = statusByCode[code] ?? '400 Bad Request';
  const head = `HTTP/1.1 ${status}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n`;
  socket.end(head + status, () => socket.destroy());
}
