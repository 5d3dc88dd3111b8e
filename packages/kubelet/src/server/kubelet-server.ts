import type { TLSSocket } from 'node:tls';
import { once } from 'node:events';
import type { Pod } from '@naru/api';
import { withoutSchemas, type Logger, type TlsMaterial } from '@naru/component';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Registry } from 'prom-client';
import { readLog } from '../log/log-reader.ts';
import { serveStreams } from './streaming.ts';
import type { StreamTargets } from './stream-targets.ts';
import type { Caller, KubeletAuthorizer } from './kubelet-authorizer.ts';
import { parseLogQuery, type LogQuery } from './log-query.ts';

export interface KubeletServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string };
  /** With a CA, callers must have a certificate of it; without, anybody may call, as upstream. */
  readonly clientCA?: TlsMaterial['ca'] | undefined;
  /** Asked about each call of a certified caller; without, all of them may do everything. */
  readonly authorizer?: Pick<KubeletAuthorizer, 'allows'> | undefined;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly pods: () => readonly Pod[];
  /** Where a container's log is, and whether it may still grow; a message if there is none. */
  readonly containerLog: (
    target: { readonly namespace: string; readonly pod: string; readonly container: string },
    options: { readonly previous: boolean },
  ) => Promise<ContainerLog | { readonly status: number; readonly message: string }>;
  readonly streamTargets: StreamTargets;
}

export interface ContainerLog {
  readonly path: string;
  readonly isRunning: () => Promise<boolean>;
}

/** The common name is the user's, the organizations are the groups. */
function callerOf(socket: TLSSocket): Caller {
  const { CN, O } = socket.getPeerCertificate().subject as { readonly [field in 'CN' | 'O']?: string | string[] };
  return { name: [CN ?? ''].flat()[0] ?? '', groups: [O ?? []].flat() };
}

interface LogRoute {
  Params: { namespace: string; pod: string; container: string };
}

/**
 * The kubelet's own HTTPS API: /healthz, /pods, /metrics, /containerLogs, and the streams to and from
 * containers.
 */
export class KubeletServer implements AsyncDisposable {
  readonly #app: FastifyInstance;
  readonly #options: KubeletServerOptions;
  readonly #stop = new AbortController();

  constructor(options: KubeletServerOptions) {
    this.#options = options;
    const { tls, clientCA } = options;
    const authenticate = clientCA !== undefined && clientCA !== '';
    this.#app = fastify({
      logger: false,
      forceCloseConnections: true,
      schemaController: withoutSchemas,
      https: {
        ...tls,
        minVersion: 'TLSv1.2',
        ...(authenticate ? { ca: clientCA, requestCert: true, rejectUnauthorized: false } : {}),
      },
    });
    if (authenticate) this.#app.addHook('onRequest', async (request, reply) => await this.#admit(request, reply));
    this.#app.setNotFoundHandler(async (_request, reply) => {
      await reply.code(404).type('text/plain; charset=utf-8').send('404 page not found\n');
    });
    this.#app.get('/healthz', async (_request, reply) => {
      void reply.type('text/plain; charset=utf-8');
      return 'ok';
    });
    this.#app.get('/pods', async () => ({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items: options.pods() }));
    this.#app.get('/metrics', async (_request, reply) => {
      void reply.type(options.registry.contentType);
      return await options.registry.metrics();
    });
    this.#app.get<LogRoute>(
      '/containerLogs/:namespace/:pod/:container',
      async (request, reply) => await this.#containerLogs(request, reply),
    );
    serveStreams(this.#app, { targets: options.streamTargets, stop: this.#stop.signal });
  }

  /** Who calls, and may they? Streams come this way too, before they are upgraded. */
  async #admit(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const refuse = async (code: number, message: string): Promise<void> => {
      await reply.code(code).type('text/plain; charset=utf-8').send(message);
    };
    const socket = request.raw.socket as TLSSocket;
    if (!socket.authorized) {
      await refuse(401, 'Unauthorized');
      return;
    }
    const { authorizer, logger } = this.#options;
    if (authorizer === undefined) return;
    const caller = callerOf(socket);
    const [path = ''] = request.url.split('?', 1);
    try {
      if (!(await authorizer.allows(caller, request.method, path))) await refuse(403, 'Forbidden');
    } catch (error) {
      logger.warn({ err: error, user: caller.name }, 'cannot ask whether a call is allowed');
      await refuse(500, 'Authorization error');
    }
  }

  /** Binds and logs one `listening` line. Returns the port. */
  async start(): Promise<number> {
    const { host, port, logger } = this.#options;
    await this.#app.listen({ host, port });
    const address = this.#app.server.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    logger.info({ host, port: bound }, 'listening');
    return bound;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the server is disposed'));
    await this.#app.close();
  }

  async #containerLogs(request: FastifyRequest<LogRoute>, reply: FastifyReply): Promise<FastifyReply> {
    const text = async (code: number, message: string): Promise<FastifyReply> =>
      await reply.code(code).type('text/plain; charset=utf-8').send(`${message}\n`);
    const query = parseLogQuery(request.query as Readonly<Record<string, unknown>>, Date.now());
    if (typeof query === 'string') return await text(400, query);
    const log = await this.#options.containerLog(request.params, { previous: query.previous });
    if ('status' in log) return await text(log.status, log.message);
    reply.hijack();
    await this.#stream(log, query, reply);
    return reply;
  }

  async #stream(log: ContainerLog, query: LogQuery, reply: FastifyReply): Promise<void> {
    const { raw } = reply;
    const closed = new AbortController();
    raw.once('close', () => closed.abort());
    const signal = AbortSignal.any([closed.signal, this.#stop.signal]);
    try {
      raw.writeHead(200, { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' });
      const onOpen = (): void => raw.flushHeaders();
      for await (const chunk of readLog(log.path, { ...query, isRunning: log.isRunning, onOpen, signal }))
        if (!raw.write(chunk)) await once(raw, 'drain', { signal });
      raw.end();
    } catch (error) {
      if (!signal.aborted) {
        this.#options.logger.warn({ err: error }, 'cannot read container log');
        raw.destroy();
      } else raw.end();
    }
  }
}
