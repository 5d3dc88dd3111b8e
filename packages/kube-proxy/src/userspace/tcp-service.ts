import { createServer, connect, type Server, type Socket } from 'node:net';
import type { Clock, Logger } from '@naru/component';
import type { Backend, ListenerPlan } from '../plan/listener-plan.ts';
import { Balancer } from './balancer.ts';
import type { ServiceSocket, SocketAddress } from './service-socket.ts';

/** Connections of one listener, unless told; further ones are dropped. */
const CONNECTIONS_MAX = 10_000;
const BACKLOG = 1024;
/** How long the dial of an endpoint may take, by the number of those that failed before it. */
const DIAL_TIMEOUTS_MS = [1000, 2000, 4000] as const;
const KEEP_ALIVE_MS = 60_000;

/** One TCP address of a Service: accepts, dials a backend, passes bytes both ways. */
export class TcpService implements ServiceSocket {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #servicePort: string;
  readonly #connectionsMax: number;
  readonly #balancer = new Balancer();
  readonly #clients = new Set<Socket>();
  #server: Server | undefined;

  constructor(
    plan: ListenerPlan,
    options: { readonly clock: Clock; readonly logger: Logger; readonly connectionsMax?: number },
  ) {
    this.#connectionsMax = options.connectionsMax ?? CONNECTIONS_MAX;
    this.#servicePort = plan.servicePort;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** Clients that are served. */
  get connections(): number {
    return this.#clients.size;
  }

  setBackends(backends: readonly Backend[], affinityMs: number | undefined): void {
    this.#balancer.update(backends, affinityMs);
  }

  async listen({ address, port, reusePort }: SocketAddress): Promise<number> {
    const server = createServer(
      {
        allowHalfOpen: true,
        pauseOnConnect: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_MS,
      },
      (client) => this.#accept(client),
    );
    server.maxConnections = this.#connectionsMax;
    server.on('drop', () => this.#logger.warn({ servicePort: this.#servicePort }, 'too many connections, one dropped'));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port, reusePort, exclusive: true, backlog: BACKLOG }, () => {
        server.off('error', reject);
        server.on('error', (error) =>
          this.#logger.warn({ err: error, servicePort: this.#servicePort }, 'accept failed'),
        );
        resolve();
      });
    });
    const bound = server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : port;
  }

  /** New connections are refused from now on; those under way go on until they end. */
  close(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  destroy(): void {
    this.close();
    for (const client of this.#clients) client.resetAndDestroy();
  }

  #accept(client: Socket): void {
    this.#clients.add(client);
    client.once('close', () => this.#clients.delete(client));
    client.on('error', (error) =>
      this.#logger.debug({ err: error, servicePort: this.#servicePort }, 'client connection failed'),
    );
    this.#dial(client, new Set());
  }

  /** Dials backends until one answers; each is tried once. */
  #dial(client: Socket, tried: Set<string>): void {
    const backend = client.destroyed
      ? undefined
      : this.#balancer.pick(client.remoteAddress ?? '', this.#clock.monotonic(), tried);
    if (backend === undefined) {
      if (!client.destroyed)
        this.#logger.warn({ servicePort: this.#servicePort, tried: [...tried] }, 'no endpoint answered');
      client.resetAndDestroy();
      return;
    }
    tried.add(backend.key);
    const upstream = connect({
      host: backend.address,
      port: backend.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    const timeoutMs = DIAL_TIMEOUTS_MS[Math.min(tried.size, DIAL_TIMEOUTS_MS.length) - 1] ?? 4000;
    // When this process itself was held up, the answer may be there already: it is looked at first.
    const cancelTimeout = this.#clock.after(timeoutMs, () =>
      setImmediate(() => {
        if (upstream.connecting) upstream.destroy(new Error('dial timed out'));
      }),
    );
    const onFailure = (error: Error): void => {
      cancelTimeout();
      client.off('close', onClientClose);
      this.#logger.debug({ err: error, servicePort: this.#servicePort, endpoint: backend.key }, 'dial failed');
      this.#dial(client, tried);
    };
    const onClientClose = (): void => {
      cancelTimeout();
      upstream.off('error', onFailure);
      upstream.on('error', () => undefined);
      upstream.destroy();
    };
    client.once('close', onClientClose);
    upstream.once('error', onFailure);
    upstream.once('connect', () => {
      cancelTimeout();
      upstream.off('error', onFailure);
      client.off('close', onClientClose);
      join(client, upstream);
    });
  }
}

/** Passes bytes and ends both ways, each end by itself; whatever breaks one side breaks the other. */
function join(client: Socket, upstream: Socket): void {
  const link = (from: Socket, to: Socket): void => {
    from.pipe(to);
    from.once('error', () => {
      // After its end all of its bytes are on their way and must still arrive.
      if (from.readableEnded) to.destroySoon();
      else to.resetAndDestroy();
    });
    from.once('close', () => {
      if (!from.readableEnded && !to.destroyed) to.resetAndDestroy();
    });
  };
  link(client, upstream);
  link(upstream, client);
  if (client.destroyed) upstream.destroy();
}
