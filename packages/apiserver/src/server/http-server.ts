/** The HTTP server: request info, authentication, authorization, then the handler; every failure is a Status. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fastify, type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { newBadRequest, newStatusError, newUnauthorized } from '@naru/api';
import { withoutSchemas, type Clock, type Logger } from '@naru/component';
import type { AuditEntry, Auditor } from '../audit/auditor.ts';
import type { Authenticator, UserInfo } from '../authentication/authenticator.ts';
import { decide, type AuthorizationAttributes, type Authorizer, type Verdict } from '../authorization/authorizer.ts';
import { newForbiddenRequest } from '../authorization/forbidden.ts';
import type { ApiRequest, ApiResponse } from './api-request.ts';
import { writeApiResponse, writeError } from './api-responder.ts';
import { impersonatedUser } from './impersonation.ts';
import { answerClientError } from './client-errors.ts';
import { isTooDeep } from './json-depth.ts';
import { streamSubresources } from './kubelet-proxy.ts';
import type { ServerMetrics } from './metrics.ts';
import { Negotiator, type MediaType } from './negotiation.ts';
import { acceptUpgrades, isStreamUpgrade, isUpgrade } from './upgrade-tunnels.ts';
import { beginDeadline } from './request-deadline.ts';
import { requestInfoOf, splitUrl, type RequestInfo } from './request-info.ts';
import { TooManyRequests, writeTooManyRequests, type RequestLimiter } from './request-limiter.ts';

/** The largest body, as upstream has it. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024;
/** The request line and headers, as Go's server has it. */
const HEADER_BYTES_MAX = 1024 * 1024;
/** How long a client may take for its headers. */
const HEADERS_TIMEOUT_MS = 32_000;
/** How long a client may take to send a whole request. */
const REQUEST_TIMEOUT_MS = 60_000;
/** How long an idle connection is kept. */
const KEEP_ALIVE_TIMEOUT_MS = 90_000;

export interface TlsOptions {
  readonly cert: string;
  readonly key: string;
  /** Of client certificates; none are asked for without. */
  readonly clientCa?: string | undefined;
  /** Of front proxies' certificates. */
  readonly requestHeaderCa?: string | undefined;
}

export interface HttpServerOptions {
  readonly tls: TlsOptions | undefined;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly metrics: ServerMetrics;
  readonly auditor?: Auditor | undefined;
  readonly limiter: RequestLimiter;
  /** `--request-timeout`. */
  readonly requestTimeoutMs: number;
  /** The server is about to go: what has not begun is refused. */
  readonly isDraining: () => boolean;
  /** Resolves when the API can be served: before that not even authorization has what it decides from. */
  readonly whenReady: () => Promise<void> | undefined;
  /** Who answers instead of this server, by path; undefined: nobody does. */
  readonly delegate?: RequestDelegate | undefined;
  /** Answers requests to `/api…` and `/apis…`. */
  readonly handleApi: (request: ApiRequest) => Promise<ApiResponse>;
  /** Answers all other paths; false: there is no such path. */
  readonly handlePath: (
    info: RequestInfo,
    query: URLSearchParams,
    raw: IncomingMessage,
    response: ServerResponse,
  ) => Promise<boolean>;
}

/** Another server that some requests are passed on to. */
export interface RequestDelegate {
  serves(path: string): boolean;
  forward(
    path: string,
    request: {
      readonly raw: IncomingMessage;
      readonly response: ServerResponse;
      readonly user: UserInfo;
      readonly body: Buffer | undefined;
    },
  ): Promise<void>;
}

function isApiPath(path: string): boolean {
  return /^\/apis?(\/|$)/u.test(path);
}

/** What the filters found out about a request, by its raw request. */
interface Passed {
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  readonly release: () => void;
  readonly audit: AuditEntry | undefined;
}

/** Requests without an end of their own: they count as long-running and have no place in the limits. */
function isLongRunning(info: RequestInfo): boolean {
  return info.verb === 'watch' || ['log', 'attach', 'exec', 'portforward', 'proxy'].includes(info.subresource);
}

function isStreamByGet(info: RequestInfo): boolean {
  const { verb, group, resource, subresource } = info;
  return (
    verb === 'get' && group === '' && resource === 'pods' && streamSubresources.some((each) => each === subresource)
  );
}

/** WebSockets begin with GET, but to read pods is not to run programs in them: as upstream since 1.35. */
async function authorizeStream(authorizer: Authorizer, attributes: AuthorizationAttributes): Promise<void> {
  const { decision, reason } = await decide(authorizer, attributes);
  if (decision !== 'allow') throw newForbiddenRequest(attributes, reason);
}

export function createHttpServer(options: HttpServerOptions): FastifyInstance {
  const { tls, logger } = options;
  const shouldUpgradeCallback = (raw: IncomingMessage): boolean =>
    isStreamUpgrade(raw) || (isUpgrade(raw) && options.delegate?.serves(splitUrl(raw.url ?? '').path) === true);
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    clientErrorHandler: answerClientError,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    return503OnClosing: false,
    schemaController: withoutSchemas,
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
      refuse(error, request.raw, reply),
    ...(tls === undefined
      ? { http: { shouldUpgradeCallback, maxHeaderSize: HEADER_BYTES_MAX } }
      : { https: { ...tlsOptions(tls), shouldUpgradeCallback, maxHeaderSize: HEADER_BYTES_MAX } }),
  } as Parameters<typeof fastify>[0]) as unknown as FastifyInstance;
  const filters = new RequestFilters(options);
  const refuse = (error: unknown, raw: IncomingMessage, reply: FastifyReply): void => {
    void reply.hijack();
    if (error instanceof TooManyRequests) {
      writeTooManyRequests(reply.raw, error);
      return;
    }
    const { path } = splitUrl(raw.url ?? '');
    writeError(reply.raw, refusalOf(error), { logger, path });
  };
  app.server.headersTimeout = HEADERS_TIMEOUT_MS;
  app.server.requestTimeout = REQUEST_TIMEOUT_MS;
  // More than a number would be left out silently; their bytes are limited.
  app.server.maxHeadersCount = 0;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.addHook('onRequest', async (request, reply) => await filters.pass(request, reply));
  app.setErrorHandler((error, request, reply) => refuse(error, request.raw, reply));
  app.setNotFoundHandler((request, reply) => notFound(request, reply));
  for (const method of ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'] as const)
    app.route({ method, url: '*', handler: async (request, reply) => await filters.handle(request, reply) });
  acceptUpgrades(app);
  return app;
}

function tlsOptions(tls: TlsOptions): object {
  const { cert, key, clientCa, requestHeaderCa } = tls;
  const authorities = [...new Set([clientCa, requestHeaderCa])].filter((each) => each !== undefined);
  return {
    cert,
    key,
    minVersion: 'TLSv1.2',
    // Whoever has no certificate, or none that this CA signed, is the authenticators' affair: 401, not a broken handshake.
    ...(authorities.length === 0 ? {} : { ca: authorities, requestCert: true, rejectUnauthorized: false }),
    ALPNProtocols: ['http/1.1'],
  };
}

function notFound(_request: FastifyRequest, reply: FastifyReply): void {
  void reply.hijack();
  writeNotFound(reply.raw);
}

/** Upstream's answer where nothing is served at all. */
export function writeNotFound(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' });
  response.end('404 page not found\n');
}

/** fastify's refusals in upstream's words. */
function refusalOf(error: unknown): unknown {
  switch ((error as FastifyError).code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return newStatusError('RequestEntityTooLarge', `Request entity too large: limit is ${BODY_BYTES_MAX}`);
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return newBadRequest((error as Error).message);
    // The client is gone: nobody reads this, and nothing has failed.
    case 'ECONNRESET':
      return newBadRequest('unexpected EOF');
    default:
      return error;
  }
}

/** Another server may take it at once. */
function newShuttingDown(): Error {
  return newStatusError('ServiceUnavailable', 'apiserver is shutting down', { retryAfterSeconds: 1 });
}

class RequestFilters {
  readonly #options: HttpServerOptions;
  readonly #negotiator = new Negotiator();
  readonly #passed = new WeakMap<IncomingMessage, Passed>();

  constructor(options: HttpServerOptions) {
    this.#options = options;
  }

  /** Runs before the body is read. */
  async pass(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { authenticator, authorizer, metrics, clock, auditor, limiter } = this.#options;
    const { raw } = request;
    const { path, query } = splitUrl(raw.url ?? '/');
    let info: RequestInfo;
    try {
      info = requestInfoOf(raw.method ?? 'GET', path, query);
    } catch {
      throw newBadRequest(`invalid URL escape in ${JSON.stringify(path)}`);
    }
    const longRunning = isLongRunning(info);
    if (!longRunning) beginDeadline(reply.raw, { path: info.path, query }, this.#options);
    if (this.#options.isDraining() && isApiPath(info.path)) throw newShuttingDown();
    const begun = clock.monotonic();
    const dryRun = query.has('dryRun');
    if (longRunning) metrics.longRunningStarted(info);
    reply.raw.once('close', () => {
      const seconds = (clock.monotonic() - begun) / 1000;
      metrics.finished(info, { code: reply.raw.statusCode, seconds, dryRun, longRunning });
    });
    const caller = await authenticator.authenticate(raw);
    const audited = { info, raw, response: reply.raw, longRunning };
    if (caller === undefined) {
      auditor?.begin({ ...audited, user: undefined });
      throw newUnauthorized();
    }
    if (isApiPath(info.path)) await this.#options.whenReady();
    const impersonation = impersonatedUser(raw.headers, caller, authorizer);
    const impersonated = impersonation === undefined ? undefined : await impersonation;
    const user = impersonated ?? caller;
    const audit = auditor?.begin({ ...audited, user: caller, impersonated });
    const attributes: AuthorizationAttributes = { user, ...info };
    const verdict = decide(authorizer, attributes);
    this.#enforce(verdict instanceof Promise ? await verdict : verdict, attributes, audit);
    if (isStreamByGet(info)) await authorizeStream(authorizer, { user, ...info, verb: 'create' });
    const release = await limiter.take({ info, user, query, response: reply.raw, longRunning });
    if (reply.raw.closed) release();
    else reply.raw.once('close', release);
    this.#passed.set(raw, { info, query, user, release, audit });
  }

  /** Authorizes what a request turns out to be. */
  async #authorize(attributes: AuthorizationAttributes): Promise<void> {
    this.#enforce(await decide(this.#options.authorizer, attributes), attributes);
  }

  #enforce({ decision, reason }: Verdict, attributes: AuthorizationAttributes, audit?: AuditEntry): void {
    audit?.annotate('authorization.k8s.io/decision', decision === 'allow' ? 'allow' : 'forbid');
    audit?.annotate('authorization.k8s.io/reason', reason);
    if (decision !== 'allow') throw newForbiddenRequest(attributes, reason);
  }

  async handle(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { raw } = request;
    const passed = this.#passed.get(raw);
    if (passed === undefined) throw newUnauthorized();
    const { info, query, user, audit, release } = passed;
    audit?.received(request.body instanceof Buffer ? request.body : undefined);
    const { handleApi, handlePath, delegate, logger, clock } = this.#options;
    const response = reply.raw;
    void reply.hijack();
    let encoding: MediaType['encoding'] = 'json';
    try {
      if (request.body instanceof Buffer && isTooDeep(request.body)) throw newBadRequest('exceeded max depth');
      if (delegate?.serves(info.path) === true) {
        const body = request.body instanceof Buffer ? request.body : undefined;
        // What the other server does is none of this one's work.
        if (info.verb === 'watch') release();
        await delegate.forward(info.path, { raw, response, user, body });
      } else if (isApiPath(info.path)) {
        // Discovery has forms of its own, and falls back to JSON.
        const mediaType = info.isResourceRequest
          ? this.#negotiator.choose(raw.headers.accept)
          : this.#negotiator.chooseAny(raw.headers.accept);
        encoding = mediaType.encoding;
        const body = request.body instanceof Buffer ? request.body : undefined;
        const authorize = async (verb: string): Promise<void> => await this.#authorize({ user, ...info, verb });
        const nowMs = clock.now();
        const api = { info, query, user, raw, response, body, mediaType, nowMs, authorize, audit, warnings: [] };
        writeApiResponse(api, await handleApi(api));
        // A watch takes its place only until it has begun.
        if (info.verb === 'watch') release();
      } else if (!(await handlePath(info, query, raw, response))) writeNotFound(response);
    } catch (error) {
      writeError(response, error, { logger, encoding, path: info.path });
    }
  }
}
