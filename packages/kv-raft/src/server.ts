import { systemClock, type Clock, type Component, type TlsMaterial } from '@naru/component';
import type { FastifyInstance } from 'fastify';
import { MemberRemovedError, type Consensus } from './consensus.ts';
import { LazyGrpcServer } from './grpc/lazy-grpc-server.ts';
import { sharePort } from './grpc/shared-port.ts';
import { createGateway, type GatewayOptions } from './server/gateway.ts';
import { Replica, Services, type ServicesOptions } from './server/services.ts';
import type { CommandResult, KvStateMachine } from './server/state-machine.ts';

/** Where to listen; port 0 takes a free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export interface ServerOptions extends Omit<ServicesOptions, 'clock'> {
  readonly listenClient: readonly ListenAddress[];
  readonly listenMetrics: readonly ListenAddress[];
  /** For addresses with TLS. */
  readonly tls?: TlsMaterial & { readonly clientCertAuth: boolean };
  /** Starts this member's consensus over its state machine; resolves when what was durable is restored. */
  readonly startConsensus: (
    machine: KvStateMachine,
    events: { readonly onSync: (ms: number) => void },
  ) => Promise<Consensus<CommandResult>>;
  /** Hands leadership over before a leader stops, while it still serves. Default: nothing. */
  readonly transferLeadership?: () => Promise<void>;
  /** How long a simple token lives without use. Default: 5 minutes. */
  readonly authTokenTtlMs?: number;
  readonly clock?: Clock;
}

/** How long requests may go on when the member stops. */
const DRAIN_TIMEOUT_MS = 2000;
const DRAIN_POLL_MS = 50;

/** Stops listening and waits for the requests in flight, but not for connections that carry none. */
async function drain(app: FastifyInstance): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), DRAIN_POLL_MS);
  const force = setTimeout(() => app.server.closeAllConnections(), DRAIN_TIMEOUT_MS);
  try {
    await app.close();
  } finally {
    clearInterval(idle);
    clearTimeout(force);
  }
}

/** A running member: the store over its consensus, served by the gateway. */
export class Server implements Component {
  readonly #options: ServerOptions;
  readonly #consensus: Consensus<CommandResult>;
  readonly #services: Services;
  readonly #gateways: FastifyInstance[] = [];
  readonly #clientAddresses: ListenAddress[] = [];

  private constructor(options: ServerOptions, consensus: Consensus<CommandResult>, services: Services) {
    this.#options = options;
    this.#consensus = consensus;
    this.#services = services;
  }

  /** Starts the member and resolves when it listens; it need not know a leader yet. */
  static async start(options: ServerOptions): Promise<Server> {
    const clock = options.clock ?? systemClock;
    const replica = new Replica(clock, { authTokenTtlMs: options.authTokenTtlMs });
    // The log is there before what counts its syncs.
    const syncs = { note: (_ms: number): void => {} };
    const consensus = await options.startConsensus(replica.machine, { onSync: (ms) => syncs.note(ms) });
    const services = new Services(replica, consensus, { ...options, clock });
    syncs.note = (ms) => services.metrics.walSynced(ms);
    const server = new Server(options, consensus, services);
    try {
      for (const address of options.listenClient) server.#clientAddresses.push(await server.#listen(address, 'client'));
      for (const address of options.listenMetrics) await server.#listen(address, 'metrics');
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get failed(): Promise<never> {
    return this.#consensus.failed.catch((error: unknown) => {
      if (error instanceof MemberRemovedError) return new Promise<never>(() => {});
      throw error;
    });
  }

  /** This member was removed from its cluster: it ends well, as etcd does. */
  get ended(): Promise<void> {
    return this.#consensus.failed.catch((error: unknown) => {
      if (!(error instanceof MemberRemovedError)) return new Promise<never>(() => {});
      this.#options.logger.warn('data-dir used by this member must be removed');
      return undefined;
    });
  }

  /** Where clients are served, in the order of `listenClient`, with real ports. */
  get clientAddresses(): readonly ListenAddress[] {
    return this.#clientAddresses;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#consensus.isLeader) await this.#options.transferLeadership?.();
    await Promise.all(this.#gateways.map(async (each) => await drain(each)));
    this.#services[Symbol.dispose]();
    await this.#consensus[Symbol.asyncDispose]();
  }

  async #listen(address: ListenAddress, purpose: 'client' | 'metrics'): Promise<ListenAddress> {
    const { logger } = this.#options;
    const options = this.#gatewayOptions(address);
    const app = createGateway(options);
    this.#gateways.push(app);
    const { cluster, auth, guard, kv, lease, maintenance, requestBytesMax, streams } = options;
    const services = { cluster, auth, guard, kv, lease, maintenance, watch: streams.watch };
    const grpc = new LazyGrpcServer({
      ...services,
      requestBytesMax,
      clientCertAuth: this.#options.tls?.clientCertAuth ?? false,
      clock: this.#options.clock ?? systemClock,
      logger,
    });
    const shared = sharePort(app.server, (socket) => grpc.accept(socket));
    app.addHook('preClose', async () => {
      shared[Symbol.dispose]();
      await grpc[Symbol.asyncDispose]();
    });
    await app.listen({ host: address.host, port: address.port });
    const bound = app.server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
    logger.info({ host: address.host, port, purpose }, 'listening');
    return { ...address, port };
  }

  #gatewayOptions(address: ListenAddress): GatewayOptions {
    const { cluster, auth, guard, kv, lease, maintenance, metrics, proposer, replica } = this.#services;
    const { requestBytesMax, logger, tls } = this.#options;
    const watch = {
      hub: replica.hub,
      header: (revision: number) => proposer.header(revision),
      currentRevision: () => replica.machine.store.revision,
      fragmentBytesMax: requestBytesMax,
    };
    const https =
      address.tls && tls?.cert !== undefined && tls.key !== undefined
        ? {
            cert: tls.cert,
            key: tls.key,
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            requestCert: tls.clientCertAuth,
          }
        : undefined;
    return {
      cluster,
      auth,
      guard,
      kv,
      lease,
      maintenance,
      streams: { lease, watch, guard },
      metrics: async () => await metrics.text(),
      requestBytesMax,
      ...(https === undefined ? {} : { https }),
      logger,
    };
  }
}
