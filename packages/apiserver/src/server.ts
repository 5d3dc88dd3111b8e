/** Wires the API server: store, caches, registries, security, HTTP. */
import type { ServerResponse } from 'node:http';
import { builtInResources, newStatusError } from '@naru/api';
import { type Clock, type Component, type Logger } from '@naru/component';
import { EtcdClient } from '@naru/etcd';
import type { FastifyInstance } from 'fastify';
import { createBootstrapObjects } from './bootstrap.ts';
import type { ApiserverConfig } from './config.ts';
import { bootstrapObjects } from './registry/bootstrap-objects.ts';
import { registrationFor } from './registry/registrations.ts';
import { ResourceStack, triggerFieldsOf } from './resource-stack.ts';
import { createSecurity } from './security.ts';
import type { ApiRequest, ApiResponse } from './server/api-request.ts';
import { CacheReads } from './server/cache-reads.ts';
import { aggregatedMediaType, Discovery, wantsAggregated } from './server/discovery.ts';
import { answerHealth, type HealthCheck } from './server/health.ts';
import { createHttpServer } from './server/http-server.ts';
import { KubeletProxy } from './server/kubelet-proxy.ts';
import { ServerMetrics } from './server/metrics.ts';
import type { RequestInfo } from './server/request-info.ts';
import { ResourceHandler } from './server/resource-handler.ts';
import { ServedResources } from './server/served-resource.ts';
import { SubresourceHandler } from './server/subresource-handler.ts';
import { versionDocument } from './server/version.ts';

export interface ApiServerOptions {
  readonly config: ApiserverConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: () => number;
}

/** How often watches that want bookmarks get one. */
const BOOKMARK_INTERVAL_MS = 60_000;

export class ApiServer implements Component {
  readonly #options: ApiServerOptions;
  readonly #client: EtcdClient;
  readonly #stack: ResourceStack;
  readonly #discovery: Discovery;
  readonly #handler: ResourceHandler;
  readonly #kubelets: KubeletProxy;
  readonly #metrics = new ServerMetrics();
  readonly #http: FastifyInstance;
  readonly #stop = new AbortController();
  /** Aborts when watches are to end. */
  readonly #shutdown = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #bootstrapped = false;
  #port = 0;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    const { config, logger, clock, random } = options;
    this.#client = new EtcdClient({ endpoints: config.etcdServers, tls: config.etcdTls });
    const security = createSecurity(config, { clock, random });
    this.#stack = new ResourceStack({
      client: this.#client,
      clock,
      logger,
      random,
      eventTtlMs: config.eventTtlMs,
      etcdPrefix: config.etcdPrefix,
      registrations: builtInResources.filter((each) => each.stored).map(registrationFor),
      hooksOf: () => undefined,
      admissionOf: () => security.admission,
      observers: security.observers,
    });
    const reads = new CacheReads(this.#stack.feed, this.#stack.store);
    const resources = this.#serve();
    this.#discovery = new Discovery([...resources.all()].map((each) => each.resource));
    this.#kubelets = new KubeletProxy({ store: this.#stack.caches, ...config.kubelet });
    this.#handler = new ResourceHandler({
      resources,
      reads,
      clock,
      logger,
      random,
      minRequestTimeoutMs: config.minRequestTimeoutMs,
      shutdown: this.#shutdown.signal,
      subresources: new SubresourceHandler({ reads, kubelets: this.#kubelets }),
    });
    this.#http = createHttpServer({
      tls: config.tls,
      authenticator: security.authenticator,
      authorizer: security.authorizer,
      logger,
      clock,
      metrics: this.#metrics,
      maxRequestsInflight: config.maxRequestsInflight,
      maxMutatingRequestsInflight: config.maxMutatingRequestsInflight,
      handleApi: async (request) => await this.#handleApi(request),
      handlePath: async (info, query, response) => await this.#handlePath(info, query, response),
    });
  }

  get port(): number {
    return this.#port;
  }

  #serve(): ServedResources {
    const resources = new ServedResources();
    for (const resource of builtInResources) {
      const registry = this.#stack.registryOf(resource);
      if (registry === undefined) continue;
      const selectable = new Set(['metadata.name', ...Object.keys(registry.strategy.selectableFields ?? {})]);
      if (resource.namespaced) selectable.add('metadata.namespace');
      resources.add({
        resource,
        registry,
        virtual: undefined,
        virtualSubresources: new Map(),
        selectable,
        triggerFields: triggerFieldsOf(resource),
      });
    }
    return resources;
  }

  /** Listens at once, so that health can be asked; serves the API when the caches are filled. */
  async start(): Promise<void> {
    const { config, logger, clock } = this.#options;
    const { signal } = this.#stop;
    this.#running = Promise.all([this.#stack.run(signal), this.#sendBookmarks(signal)]);
    await this.#http.ready();
    const { server } = this.#http;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: config.bindAddress, port: config.port, reusePort: config.port !== 0 }, resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    logger.info({ host: config.bindAddress, port: this.#port, purpose: 'api' }, 'listening');
    await this.#stack.feed.waitFor(0);
    await createBootstrapObjects(this.#stack, bootstrapObjects(), { clock, logger });
    this.#bootstrapped = true;
    logger.info('ready');
  }

  async #sendBookmarks(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(BOOKMARK_INTERVAL_MS, { signal }).catch(() => undefined);
      for (const registry of this.#stack.registries()) registry.cache.bookmark(this.#stack.feed.revision);
    }
  }

  async #handleApi(request: ApiRequest): Promise<ApiResponse> {
    const { info, raw, response } = request;
    if (info.isResourceRequest) return await this.#handler.handle(request);
    const document = this.#discovery.documentAt(info.path, raw, this.#address());
    if (document === undefined)
      throw newStatusError('NotFound', 'the server could not find the requested resource', {});
    if (info.verb !== 'get' && info.verb !== 'head')
      throw newStatusError('MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
    response.setHeader('vary', 'Accept');
    if (wantsAggregated(raw) && /^\/apis?\/?$/u.test(info.path)) {
      response.setHeader('content-type', aggregatedMediaType);
      response.end(JSON.stringify(document));
      return { type: 'streamed' };
    }
    return { type: 'value', code: 200, value: document };
  }

  #address(): string {
    return `${this.#options.config.advertiseAddress}:${this.#port}`;
  }

  async #handlePath(info: RequestInfo, query: URLSearchParams, response: ServerResponse): Promise<boolean> {
    const [, root = '', ...rest] = info.path.split('/');
    switch (root) {
      case 'healthz':
      case 'livez':
      case 'readyz': {
        const answer = await answerHealth(root, rest.join('/'), this.#checks(root), query);
        if (answer === undefined) return false;
        response.writeHead(answer.code, { 'content-type': 'text/plain; charset=utf-8' });
        response.end(answer.text);
        return true;
      }
      case 'metrics':
        response.setHeader('content-type', this.#metrics.registry.contentType);
        response.end(await this.#metrics.registry.metrics());
        return true;
      case 'version':
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(versionDocument()));
        return true;
      default:
        return false;
    }
  }

  #checks(endpoint: 'healthz' | 'livez' | 'readyz'): ReadonlyMap<string, HealthCheck> {
    const checks = new Map<string, HealthCheck>([['ping', () => undefined]]);
    const fail = (condition: boolean, what: string): void => {
      if (!condition) throw new Error(what);
    };
    if (endpoint !== 'livez')
      checks.set('etcd', async () => {
        await this.#stack.store.currentRevision();
      });
    if (endpoint === 'livez') return checks;
    checks.set('informer-sync', () => fail(this.#stack.feed.synced, 'the caches are not filled'));
    checks.set('poststarthook/start-bootstrap', () => fail(this.#bootstrapped, 'bootstrap objects are missing'));
    if (endpoint === 'readyz') checks.set('shutdown', () => fail(!this.#shutdown.signal.aborted, 'shutting down'));
    return checks;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { config, clock } = this.#options;
    // readyz fails first, so that nobody new comes; then watches end and what is being worked on is finished.
    this.#shutdown.abort();
    if (config.shutdownDelayMs > 0) await clock.sleep(config.shutdownDelayMs);
    await this.#http.close();
    this.#stop.abort();
    await this.#running;
    await this.#kubelets[Symbol.asyncDispose]();
    await this.#client[Symbol.asyncDispose]();
  }
}
