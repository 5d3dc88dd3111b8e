import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { http } from './http.ts';
import type { Logger } from './logger.ts';

/** A named health check: throws, or rejects, when it does not hold. */
export type HealthCheck = () => void | Promise<void>;

export interface HealthServerOptions {
  /** Address to bind; port 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** `/readyz`; without any it is as `/livez`. */
  readonly readyChecks?: Readonly<Record<string, HealthCheck>>;
  /** `/healthz` and `/livez`. */
  readonly liveChecks?: Readonly<Record<string, HealthCheck>>;
  readonly registry?: Registry;
  readonly logger: Logger;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const TEXT = 'text/plain; charset=utf-8';

/**
 * `/healthz`, `/livez`, `/readyz` (`?verbose`) and `/metrics` of a component that serves nothing else. Plain node:http: four
 * fixed paths need no framework, whose loading would be a third of such a process's start.
 */
export class HealthServer implements AsyncDisposable {
  readonly registry: Registry;
  readonly #server: Server;
  readonly #options: HealthServerOptions;

  constructor(options: HealthServerOptions) {
    this.#options = options;
    this.registry = options.registry ?? new Registry();
    if (options.registry === undefined) collectDefaultMetrics({ register: this.registry });
    this.#server = http.createServer((request, response) => void this.#handle(request, response));
  }

  /** Binds and logs one `listening` line. Returns the port. */
  async start(): Promise<number> {
    const { host, logger } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port, host, resolve);
    });
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : this.#options.port;
    logger.info({ host, port, purpose: 'health' }, 'listening');
    return port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, type, body } = await this.#answer(request).catch((error: unknown) => {
      this.#options.logger.error({ err: error, url: request.url }, 'health request failed');
      return { status: 500, type: TEXT, body: 'internal error\n' };
    });
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return { status: 405, type: TEXT, body: 'method not allowed\n' };
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    const { liveChecks = {}, readyChecks = liveChecks } = this.#options;
    switch (path) {
      case '/healthz':
      case '/livez':
        return await runChecks(path, liveChecks, query);
      case '/readyz':
        return await runChecks(path, readyChecks, query);
      case '/metrics':
        return { status: 200, type: this.registry.contentType, body: await this.registry.metrics() };
      default:
        return { status: 404, type: TEXT, body: '404 page not found\n' };
    }
  }
}

async function runChecks(path: string, checks: Readonly<Record<string, HealthCheck>>, query: string): Promise<Answer> {
  const lines: string[] = [];
  let healthy = true;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      lines.push(`[+]${name} ok`);
    } catch {
      healthy = false;
      lines.push(`[-]${name} failed: reason withheld`);
    }
  }
  const verbose = !healthy || new URLSearchParams(query).has('verbose');
  const text = `${lines.join('\n')}\n${path.slice(1)} check ${healthy ? 'passed' : 'failed'}\n`;
  return { status: healthy ? 200 : 500, type: TEXT, body: verbose ? text : 'ok' };
}
