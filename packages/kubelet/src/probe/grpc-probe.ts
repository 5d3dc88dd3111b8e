import { connect, constants } from 'node:http2';
import { messageOf } from '../errors.ts';
import type { ProbeAnswer } from './http-probe.ts';

const SERVING = 1;
const statusNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/**
 * grpc.health.v1.Health/Check over plain HTTP/2.
 *
 *   message  = compressed(1 byte, 0) length(4 bytes, big endian) body
 *   request  = field 1 (string service)
 *   response = field 1 (enum status: 1 is SERVING)
 */
export async function probeGrpc(
  target: { readonly host: string; readonly port: number; readonly service: string; readonly userAgent: string },
  timeoutMs: number,
): Promise<ProbeAnswer> {
  const authority = `http://${target.host}:${target.port}`;
  const session = connect(authority);
  try {
    return await new Promise<ProbeAnswer>((resolve) => {
      const fail = (output: string): void => resolve({ result: 'failure', output });
      const timer = setTimeout(
        () => fail(`timeout: failed to connect service "${target.host}:${target.port}" within ${timeoutMs / 1000}s`),
        timeoutMs,
      );
      session.once('error', (error) => {
        clearTimeout(timer);
        fail(`error: failed to connect: ${messageOf(error)}`);
      });
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
        'content-type': 'application/grpc',
        te: 'trailers',
        'user-agent': target.userAgent,
      });
      const chunks: Buffer[] = [];
      let grpcStatus: string | undefined;
      stream.on('response', (headers) => (grpcStatus = headers['grpc-status'] as string | undefined));
      stream.on('trailers', (trailers) => (grpcStatus = trailers['grpc-status'] as string | undefined));
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      // After the session's own error, which says why.
      stream.on('error', (error) => setImmediate(() => fail(`error: health rpc failed: ${messageOf(error)}`)));
      stream.on('close', () => {
        clearTimeout(timer);
        if (grpcStatus !== '0') {
          setImmediate(() => fail(`error: health rpc failed with code ${grpcStatus ?? 'none'}`));
          return;
        }
        const status = decodeStatus(Buffer.concat(chunks));
        if (status === SERVING) resolve({ result: 'success', output: 'service healthy' });
        else fail(`service unhealthy (responded with "${statusNames[status] ?? status}")`);
      });
      stream.end(encodeRequest(target.service));
    });
  } finally {
    session.destroy();
  }
}

function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const body = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0x0a), varint(name.length), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function decodeStatus(message: Buffer): number {
  const body = message.subarray(5);
  return body[0] === 0x08 ? (body[1] ?? 0) : 0;
}
