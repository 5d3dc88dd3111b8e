import { fastify, type FastifyInstance } from 'fastify';
import { Registry, collectDefaultMetrics } from 'prom-client';
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

/** `/healthz`, `/livez`, `/readyz` (`?verbose`) and `/metrics` of a component that serves nothing else. */
export class HealthServer implements AsyncDisposable {
  readonly registry: Registry;
  readonly #app: FastifyInstance;
  readonly #options: HealthServerOptions;

  constructor(options: HealthServerOptions) {
    this.#options = options;
    this.registry = options.registry ?? new Registry();
    if (options.registry === undefined) collectDefaultMetrics({ register: this.registry });
    this.#app = fastify({ logger: false, forceCloseConnections: true });
    const live = options.liveChecks ?? {};
    for (const path of ['/healthz', '/livez']) this.#route(path, live);
    this.#route('/readyz', options.readyChecks ?? live);
    this.#app.get('/metrics', async (_request, reply) => {
      void reply.type(this.registry.contentType);
      return await this.registry.metrics();
    });
  }

  /** Binds and logs one `listening` line. Returns the port. */
  async start(): Promise<number> {
    await this.#app.listen({ host: this.#options.host, port: this.#options.port });
    const address = this.#app.server.address();
    const port = typeof address === 'object' && address !== null ? address.port : this.#options.port;
    this.#options.logger.info({ host: this.#options.host, port, purpose: 'health' }, 'listening');
    return port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#app.close();
  }

  #route(path: string, checks: Readonly<Record<string, HealthCheck>>): void {
    this.#app.get(path, async (request, reply) => {
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
      void reply.type('text/plain; charset=utf-8').code(healthy ? 200 : 500);
      const verbose = !healthy || Object.hasOwn(request.query as object, 'verbose');
      return verbose ? `${lines.join('\n')}\n${path.slice(1)} check ${healthy ? 'passed' : 'failed'}\n` : 'ok';
    });
  }
}
