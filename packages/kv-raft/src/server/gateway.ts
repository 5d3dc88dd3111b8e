import { Readable } from 'node:stream';
import { fastify, type FastifyInstance, type FastifyReply } from 'fastify';
import * as etcd from '@naru/etcd';
import { withoutSchemas, type Logger } from '@naru/component';
import { EtcdError, isEtcdError } from '@naru/etcd';
import { credentialsOf, type AuthGuard, type Credentials } from './auth-guard.ts';
import { adminOnly, authMethods, encodeAuthAnswer } from './auth-methods.ts';
import type { AuthServer } from './auth-server.ts';
import { clusterMethods, type ClusterServer } from './cluster-server.ts';
import type { KvServer } from './kv-server.ts';
import type { LeaseServer } from './lease-server.ts';
import type { MaintenanceServer } from './maintenance-server.ts';
import { alpnProtocols } from '../grpc/shared-port.ts';
import { addStreams, type StreamHandlers } from './streams.ts';
import { CLUSTER_VERSION, ETCD_VERSION } from './version.ts';

/** Bytes that a request body may have beyond its command's limit in base64: field names and the like. */
const BODY_OVERHEAD_BYTES = 64 * 1024;

export interface GatewayOptions {
  readonly auth: AuthServer;
  readonly guard: AuthGuard;
  readonly cluster: ClusterServer;
  readonly kv: KvServer;
  readonly lease: LeaseServer;
  readonly maintenance: MaintenanceServer;
  readonly streams: StreamHandlers;
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly requestBytesMax: number;
  readonly https?: { readonly cert: string; readonly key: string; readonly ca?: string; readonly requestCert: boolean };
  readonly logger: Logger;
}

/** The etcd v3 JSON gateway, with the paths, bodies and errors of etcd 3.4's. Not yet listening. */
export function createGateway(options: GatewayOptions): FastifyInstance {
  const bodyLimit = Math.ceil((options.requestBytesMax * 4) / 3) + BODY_OVERHEAD_BYTES;
  // While it closes, what comes in on open connections is still answered.
  const base = {
    bodyLimit,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    schemaController: withoutSchemas,
  } as const;
  const { https } = options;
  const app =
    https === undefined
      ? fastify(base)
      : (fastify({
          ...base,
          https: {
            ...https,
            ALPNProtocols: [...alpnProtocols],
            rejectUnauthorized: https.requestCert,
            minVersion: 'TLSv1.2',
          },
        }) as unknown as FastifyInstance);
  // Any content type is read as JSON, as etcd does; curl says application/x-www-form-urlencoded.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    try {
      // An empty body is the empty message.
      done(null, (body as string).trim() === '' ? {} : JSON.parse(body as string));
    } catch (error) {
      done(jsonError(error), undefined);
    }
  });
  app.setErrorHandler((error, request, reply) => sendError(reply, error, options.logger, request.url));
  app.setNotFoundHandler((_request, reply) => {
    void reply.code(404).type('text/plain; charset=utf-8').send('Not Found\n');
  });
  const { guard } = options;
  app.addHook('onRoute', (route) => {
    if (!adminOnly.has(route.url)) return;
    route.preHandler = async (request) => await guard.checkAdmin(credentialsOf(request.headers));
  });
  app.addHook('preHandler', async (request) => {
    if (request.method === 'POST') options.cluster.checkServes(request.url, request.body);
  });
  addCalls(app, options);
  addStreams(app, options.streams, options.requestBytesMax);
  addPlain(app, options);
  return app;
}

type Call = (body: unknown, credentials: Credentials) => Promise<string> | string;

function addCalls(app: FastifyInstance, options: GatewayOptions): void {
  const { kv, lease, maintenance } = options;
  const grant: Call = async (body, who) =>
    etcd.encodeLeaseGrantResponse(await lease.grant(etcd.decodeLeaseGrantRequest(body), who));
  const revoke: Call = async (body, who) =>
    etcd.encodeHeaderResponse(await lease.revoke(etcd.decodeLeaseRequest(body).id, who));
  const timeToLive: Call = async (body, who) =>
    etcd.encodeLeaseTimeToLiveResponse(await lease.timeToLive(etcd.decodeLeaseRequest(body), who));
  const leases: Call = async () => etcd.encodeLeaseLeasesResponse(await lease.leases());
  const calls: Record<string, Call> = {
    '/v3/kv/range': async (body, who) => etcd.encodeRangeResponse(await kv.range(etcd.decodeRangeRequest(body), who)),
    '/v3/kv/put': async (body, who) => etcd.encodePutResponse(await kv.put(etcd.decodePutRequest(body), who)),
    '/v3/kv/deleterange': async (body, who) =>
      etcd.encodeDeleteRangeResponse(await kv.deleteRange(etcd.decodeDeleteRangeRequest(body), who)),
    '/v3/kv/txn': async (body, who) => etcd.encodeTxnResponse(await kv.txn(etcd.decodeTxnRequest(body), who)),
    '/v3/kv/compaction': async (body, who) =>
      etcd.encodeHeaderResponse(await kv.compact(etcd.decodeCompactionRequest(body), who)),
    '/v3/lease/grant': grant,
    '/v3/lease/revoke': revoke,
    '/v3/kv/lease/revoke': revoke,
    '/v3/lease/timetolive': timeToLive,
    '/v3/kv/lease/timetolive': timeToLive,
    '/v3/lease/leases': leases,
    '/v3/kv/lease/leases': leases,
    '/v3/maintenance/status': () => etcd.encodeStatusResponse(maintenance.status()),
    '/v3/maintenance/hash': async (body) => {
      const { header, hash } = await maintenance.hashKv(etcd.decodeHashRequest(body).revision);
      return `{"header":${etcd.encodeHeader(header)},"hash":${hash}}`;
    },
    '/v3/maintenance/alarm': async (body, who) =>
      etcd.encodeAlarmResponse(await maintenance.alarm(etcd.decodeAlarmRequest(body), who)),
    '/v3/maintenance/transfer-leadership': async (body) =>
      etcd.encodeHeaderResponse(await maintenance.moveLeader(etcd.decodeMoveLeaderRequest(body).targetId)),
    // There is nothing to do: memory is given back by compaction.
    '/v3/maintenance/defragment': () => '{}',
  };
  for (const { gateway, run } of authMethods(options.auth))
    calls[gateway] = async (body, who) => encodeAuthAnswer(await run(body, who));
  for (const { gateway, run } of clusterMethods(options.cluster))
    calls[gateway] = async (body) => etcd.encodeMemberChangeResponse(await run(body));
  for (const [path, call] of Object.entries(calls))
    app.post(path, async (request, reply) => {
      const text = await call(request.body ?? {}, credentialsOf(request.headers));
      // Past fastify: Node puts head and text into one write, where fastify's bytes would be a second one.
      reply.hijack();
      reply.raw.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
      reply.raw.end(text);
    });
  app.post('/v3/maintenance/snapshot', async (_request, reply) => {
    await reply.header('content-type', 'application/json').send(Readable.from(snapshotLines(maintenance)));
    return reply;
  });
}

/** A backup, one line for each piece. */
async function* snapshotLines(maintenance: MaintenanceServer): AsyncGenerator<string> {
  for await (const { blob, remainingBytes } of maintenance.snapshot()) {
    const remaining = remainingBytes === 0 ? '' : `"remaining_bytes":"${remainingBytes}",`;
    yield `{"result":{${remaining}"blob":"${Buffer.from(blob).toString('base64')}"}}\n`;
  }
}

/** As bytes: to a text fastify would add a charset, which etcd's content type lacks. */
function sendJson(reply: FastifyReply, text: string): void {
  void reply.header('content-type', 'application/json').send(Buffer.from(text));
}

function addPlain(app: FastifyInstance, options: GatewayOptions): void {
  app.get('/version', async (_request, reply) => {
    sendJson(reply, `{"etcdserver":"${ETCD_VERSION}","etcdcluster":"${CLUSTER_VERSION}"}`);
    return reply;
  });
  app.get('/health', async (_request, reply) => {
    void reply.type('text/plain; charset=utf-8');
    try {
      await options.maintenance.checkHealth();
      return '{"health":"true"}';
    } catch (error) {
      options.logger.warn({ err: error }, 'health check failed');
      void reply.code(503);
      return '{"health":"false"}';
    }
  });
  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await options.metrics();
    void reply.type(contentType);
    return text;
  });
}

/** Node's complaint about a body; of one that is cut short, in the words of Go's JSON decoder. */
function jsonError(error: unknown): EtcdError {
  const message = error instanceof Error ? error.message : String(error);
  const cut = /end of JSON|Unterminated/u.test(message);
  return new EtcdError('invalidRequest', { message: cut ? 'unexpected EOF' : message, cause: error });
}

function sendError(reply: FastifyReply, error: unknown, logger: Logger, url: string): void {
  let known = isEtcdError(error) ? error : undefined;
  if (known === undefined && typeof error === 'object' && error !== null && 'statusCode' in error) {
    const { statusCode } = error as { readonly statusCode: unknown };
    if (statusCode === 413) known = new EtcdError('requestTooLarge');
    else if (typeof statusCode === 'number' && statusCode < 500)
      known = new EtcdError('invalidRequest', { message: (error as unknown as Error).message });
  }
  if (known === undefined) {
    logger.error({ err: error, url }, 'request failed');
    known = new EtcdError('unknown', { message: 'etcdserver: internal error' });
  }
  sendJson(reply.code(known.httpStatus), encodeError(known));
}

/** The gateway's error body. */
export function encodeError(error: EtcdError): string {
  const message = JSON.stringify(error.message);
  return `{"error":${message},"message":${message},"code":${etcd.grpcCodes[error.grpcCode]}}`;
}
