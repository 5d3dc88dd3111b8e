import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { EtcdError, decodeLeaseRequest, encodeLeaseKeepAliveResponse, grpcCodes, isEtcdError } from '@naru/etcd';
import { credentialsOf, type AuthGuard } from './auth-guard.ts';
import { JsonSplitter } from './json-splitter.ts';
import type { LeaseServer } from './lease-server.ts';
import { jsonLines, WatchSession, type WatchSessionOptions } from './watch-session.ts';

export interface StreamHandlers {
  readonly lease: LeaseServer;
  readonly watch: Omit<WatchSessionOptions, 'output' | 'encoding' | 'access'>;
  readonly guard: AuthGuard;
}

/** Handles one message of a stream; a promise holds up the next one. */
type Receive = (message: unknown) => void | Promise<void>;

/** Routes whose request is a stream of JSON objects and whose response is a stream of lines, both at once. */
export function addStreams(app: FastifyInstance, handlers: StreamHandlers, requestBytesMax: number): void {
  void app.register(async (scope) => {
    const open = new Set<ServerResponse>();
    const noteOpen = ({ raw }: FastifyReply): void => {
      open.add(raw);
      raw.once('close', () => open.delete(raw));
    };
    // A server that stops ends its streams: their clients go elsewhere.
    scope.addHook('preClose', (done) => {
      for (const raw of open) raw.end(() => raw.socket?.destroySoon());
      done();
    });
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    scope.post('/v3/watch', (request, reply) => {
      reply.hijack();
      noteOpen(reply);
      const session = new WatchSession({
        ...handlers.watch,
        output: reply.raw,
        encoding: jsonLines,
        access: { guard: handlers.guard, credentials: credentialsOf(request.headers) },
      });
      reply.raw.on('drain', () => session.drained());
      reply.raw.once('close', () => session[Symbol.dispose]());
      void receive(request, reply, requestBytesMax, (message) => session.receive(message));
    });
    for (const path of ['/v3/lease/keepalive', '/v3/kv/lease/keepalive'])
      scope.post(path, (request, reply) => {
        reply.hijack();
        noteOpen(reply);
        const keepAlive: Receive = async (message) => {
          const response = await handlers.lease.keepAlive(decodeLeaseRequest(message).id);
          reply.raw.write(`{"result":${encodeLeaseKeepAliveResponse(response)}}\n`);
        };
        void receive(request, reply, requestBytesMax, keepAlive).then(() => reply.raw.end());
      });
  });
}

/** Feeds the request's messages to `handle`; an error is the stream's last line and ends it. Never rejects. */
async function receive(request: FastifyRequest, reply: FastifyReply, bytesMax: number, handle: Receive): Promise<void> {
  const { raw } = reply;
  raw.setHeader('content-type', 'application/json');
  raw.on('error', () => raw.destroy());
  const splitter = new JsonSplitter(bytesMax);
  try {
    for await (const chunk of request.raw as AsyncIterable<Buffer>)
      for (const text of splitter.push(chunk)) await handle(JSON.parse(text));
    if (!splitter.idle) throw new SyntaxError('unexpected EOF');
  } catch (error) {
    if (raw.destroyed) return;
    const known = isEtcdError(error)
      ? error
      : new EtcdError('invalidRequest', { message: error instanceof Error ? error.message : String(error) });
    if (!raw.headersSent) raw.statusCode = known.httpStatus;
    raw.end(encodeStreamError(known));
  }
}

function encodeStreamError(error: EtcdError): string {
  return `{"error":{"grpc_code":${grpcCodes[error.grpcCode]},"http_code":${error.httpStatus},"message":${JSON.stringify(
    error.message,
  )},"http_status":${JSON.stringify(httpStatusTexts[error.httpStatus] ?? '')}}}\n`;
}

const httpStatusTexts: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  412: 'Precondition Failed',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};
