/** Wires the API server: store, caches, registries, security, HTTP. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { builtInResources, customResourceDefinitions, newStatusError, podDisruptionBudgets, services } from '@naru/api';
import { backoffMs, type Clock, type Component, type Logger } from '@naru/component';
import { EtcdClient } from '@naru/etcd-client';
import type { FastifyInstance } from 'fastify';
import { Aggregator } from './aggregation/aggregator.ts';
import { ServiceResolver } from './aggregation/service-resolver.ts';
import { WebhookClient } from './admission/webhooks/webhook-client.ts';
import { AuditLog } from './audit/audit-log.ts';
import { Auditor } from './audit/auditor.ts';
import type { Authenticator } from './authentication/authenticator.ts';
import { publishAuthentication } from './authentication-config-map.ts';
import type { Authorizer } from './authorization/authorizer.ts';
import { createBootstrapObjects } from './bootstrap.ts';
import { FlowControl } from './flowcontrol/flow-control.ts';
import { PolicyTypeChecks } from './admission/policies/policy-type-checks.ts';
import { CustomResources } from './custom-resources/custom-resources.ts';
import type { ApiserverConfig } from './config.ts';
import { KubernetesService } from './kubernetes-service.ts';
import { createServiceAllocation, type ServiceAllocation } from './registry/allocator/service-allocation.ts';
import { createComponentStatuses } from './registry/component-statuses.ts';
import { bootstrapObjects } from './registry/bootstrap-objects.ts';
import type { ObjectObserver } from './registry/object-observer.ts';
import { registrationFor } from './registry/registrations.ts';
import { ResourceStack } from './resource-stack.ts';
import { runCompactor } from './storage/compactor.ts';
import { ObjectStore } from './storage/object-store.ts';
import { createAccessControl, createIdentity, type Identity } from './security.ts';
import { serveResources } from './served-resources.ts';
import type { ApiRequest, ApiResponse } from './server/api-request.ts';
import { CacheReads } from './server/cache-reads.ts';
import { ApiDocuments } from './server/api-documents.ts';
import { answerHealth, type HealthCheck } from './server/health.ts';
import { createHttpServer, writeNotFound } from './server/http-server.ts';
import { KubeletProxy } from './server/kubelet-proxy.ts';
import { ServerMetrics } from './server/metrics.ts';
import { noSuchResource, verbNotAllowed } from './server/refusals.ts';
import type { RequestInfo } from './server/request-info.ts';
import { ResourceHandler } from './server/resource-handler.ts';
import type { ServedResources } from './server/served-resource.ts';
import { SubresourceHandler } from './server/subresource-handler.ts';
import { viewOf } from './server/version-view.ts';
import { kubernetesVersion, versionDocument } from './server/version.ts';

export interface ApiServerOptions {
  readonly config: ApiserverConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: () => number;
}

/** How often watches that want bookmarks get one. */
const BOOKMARK_INTERVAL_MS = 60_000;

/** How long requests may go on when the server stops. */
const DRAIN_MS = 5000;
/** How long the store may take to say that it is there. */
const STORE_CHECK_MS = 2000;
/** How long a request waits for a server that has just started. */
const READY_WAIT_MS = 10_000;

function notReady(): Error {
  return newStatusError('ServiceUnavailable', 'the server is not ready yet, please try again', {
    retryAfterSeconds: 1,
  });
}

export class ApiServer implements Component {
  readonly #options: ApiServerOptions;
  readonly #client: EtcdClient;
  readonly #stack: ResourceStack;
  readonly #documents: ApiDocuments;
  readonly #custom: CustomResources;
  readonly #policyTypes: PolicyTypeChecks;
  readonly #aggregator: Aggregator;
  readonly #webhooks: WebhookClient;
  readonly #followConfiguration: (signal: AbortSignal) => Promise<void>;
  readonly #allocation: ServiceAllocation;
  readonly #handler: ResourceHandler;
  readonly #kubelets: KubeletProxy;
  readonly #issuerDiscovery: Identity['issuerDiscovery'];
  readonly #metrics = new ServerMetrics();
  readonly #flowControl: FlowControl;
  readonly #http: FastifyInstance;
  #auditLog: AuditLog | undefined;
  readonly #stop = new AbortController();
  /** Aborts when the server is to stop: from then on it is not ready. */
  readonly #shutdown = new AbortController();
  /** Aborts when watches are to end, and nothing is begun any more: after the delay. */
  readonly #draining = new AbortController();
  /** What runs beside the requests until `#stop`. */
  #running: Promise<void>[] = [];
  #bootstrapped = false;
  readonly #ready = Promise.withResolvers<void>();
  #port = 0;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    const { config, logger, clock, random } = options;
    this.#client = new EtcdClient({ endpoints: config.etcdServers, tls: config.etcdTls });
    const store = new ObjectStore(this.#client, config.encryption);
    this.#allocation = createServiceAllocation({
      store,
      clusterIpRange: config.serviceClusterIpRange,
      nodePortRange: config.serviceNodePortRange,
      random,
      clock,
      logger,
    });
    this.#webhooks = new WebhookClient({ endpointRouting: config.aggregator.endpointRouting, random });
    const { authorizer, admission, follow } = createAccessControl(options, this.#webhooks);
    this.#flowControl = new FlowControl({
      ...options,
      metrics: this.#metrics,
      stack: () => this.#stack,
      countOf: (info) => resources.get(info.group, info.version, info.resource)?.registry?.cache.size,
    });
    this.#stack = new ResourceStack({
      client: this.#client,
      store,
      clock,
      logger,
      random,
      eventTtlMs: config.eventTtlMs,
      etcdPrefix: config.etcdPrefix,
      registrations: builtInResources.filter((each) => each.stored && viewOf(each) === undefined).map(registrationFor),
      hooksOf: (resource) => (resource === services ? this.#allocation.hooks : undefined),
      admission,
      observers: [authorizer, ...this.#observers()],
    });
    const identity = createIdentity(options, authorizer, this.#stack.caches);
    const { etcdServers, etcdTls } = config;
    const statuses = createComponentStatuses({ etcdServers, etcdTls, store: this.#stack.caches, clock });
    const resources = serveResources(this.#stack, identity, clock, [statuses]);
    this.#followConfiguration = async (signal) => {
      await Promise.all([follow(signal), identity.follow(signal)]);
    };
    this.#issuerDiscovery = identity.issuerDiscovery;
    this.#custom = this.#newCustomResources(resources);
    this.#policyTypes = new PolicyTypeChecks({ stack: this.#stack, clock, logger });
    this.#aggregator = this.#newAggregator();
    this.#documents = new ApiDocuments({
      resources: () => [...resources.all()].map((each) => each.resource),
      remotes: () => this.#aggregator.groupVersions(),
      version: kubernetesVersion,
    });
    resources.onChange(() => this.#documents.forget());
    this.#kubelets = new KubeletProxy({ store: this.#stack.caches, random, ...config.kubelet });
    const reads = new CacheReads(this.#stack.feed, store);
    this.#handler = new ResourceHandler({
      resources,
      reads,
      clock,
      random,
      minRequestTimeoutMs: config.minRequestTimeoutMs,
      shutdown: this.#draining.signal,
      subresources: new SubresourceHandler({
        reads,
        kubelets: this.#kubelets,
        budgets: this.#stack.registryOf(podDisruptionBudgets),
      }),
      untilServed: async (group, resource) => await this.#custom.untilServed(group, resource),
    });
    this.#http = this.#createHttp(identity.authenticator, authorizer);
  }

  #createHttp(authenticator: Authenticator, authorizer: Authorizer): FastifyInstance {
    const { config, logger, clock } = this.#options;
    return createHttpServer({
      tls: config.tls,
      authenticator,
      authorizer,
      logger,
      clock,
      metrics: this.#metrics,
      auditor: this.#newAuditor(),
      requestTimeoutMs: config.requestTimeoutMs,
      isDraining: () => this.#draining.signal.aborted,
      limiter: this.#flowControl.limiter,
      whenReady: () => (this.#bootstrapped ? undefined : this.#untilReady()),
      delegate: this.#aggregator,
      handleApi: async (request) => await this.#handleApi(request),
      handlePath: async (info, query, raw, response) => await this.#handlePath(info, query, raw, response),
    });
  }

  #newAggregator(): Aggregator {
    const { config, logger, clock, random } = this.#options;
    const { endpointRouting, ...certificate } = config.aggregator;
    const resolver = new ServiceResolver({ store: this.#stack.caches, endpointRouting, random });
    const onChange = (): void => this.#documents.forget();
    return new Aggregator({ stack: this.#stack, clock, logger, certificate, resolver, onChange });
  }

  /** What follows objects but is made after the caches. */
  #observers(): readonly ObjectObserver[] {
    return [
      { resources: [customResourceDefinitions], observe: (change) => this.#custom.observe(change) },
      { resources: Aggregator.observed, observe: (change) => this.#aggregator.observe(change) },
      { resources: PolicyTypeChecks.observed, observe: (change) => this.#policyTypes.observe(change) },
      ...this.#flowControl.observers,
    ];
  }

  #newCustomResources(resources: ServedResources): CustomResources {
    const { config, logger, clock } = this.#options;
    const { etcdPrefix } = config;
    return new CustomResources({
      stack: this.#stack,
      resources,
      clock,
      logger,
      etcdPrefix,
      webhooks: this.#webhooks,
    });
  }

  #newAuditor(): Auditor | undefined {
    const { config, logger, clock } = this.#options;
    if (config.audit === undefined) return undefined;
    const { policy, log } = config.audit;
    this.#auditLog = new AuditLog({ ...log, clock, logger });
    return new Auditor(policy, this.#auditLog, clock);
  }

  get stopDelayMs(): number {
    return this.#options.config.shutdownDelayMs;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens at once, so that health can be asked; serves the API when the caches are filled. */
  async start(abort?: AbortSignal): Promise<void> {
    const { config, logger, clock } = this.#options;
    const { signal } = this.#stop;
    const background = [
      this.#stack.run(signal),
      this.#custom.run(signal),
      this.#followConfiguration(signal),
      this.#sendBookmarks(signal),
      runCompactor({ client: this.#client, clock, logger, intervalMs: config.compactionIntervalMs }, signal),
    ];
    this.#running = background;
    await this.#http.ready();
    const { server } = this.#http;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: config.bindAddress, port: config.port, reusePort: config.port !== 0 }, resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    logger.info({ host: config.bindAddress, port: this.#port, purpose: 'api' }, 'listening');
    await this.#bootstrap(abort);
    background.push(this.#allocation.repair.run(signal), this.#aggregator.run(signal), this.#flowControl.run(signal));
    background.push(this.#policyTypes.run(signal));
    if (config.reconcilesEndpoints) background.push(this.#joinService());
    logger.info('ready');
  }

  /** Tries for as long as it takes: the store may start after this server. */
  async #bootstrap(abort: AbortSignal | undefined): Promise<void> {
    const { logger, clock } = this.#options;
    for (let failures = 0; ; failures++) {
      try {
        await this.#stack.feed.waitFor(0);
        await this.#custom.settled();
        await createBootstrapObjects(this.#stack, bootstrapObjects(), { clock, logger });
        await this.#flowControl.bootstrap();
        await publishAuthentication(this.#stack, this.#options.config, clock.now());
        this.#bootstrapped = true;
        this.#ready.resolve();
        return;
      } catch (error) {
        abort?.throwIfAborted();
        logger.warn({ err: error }, 'waiting for the store');
        const delay = backoffMs(failures, { baseMs: 100, maxMs: 2000 });
        await clock.sleep(delay, abort === undefined ? {} : { signal: abort }).catch(() => undefined);
        abort?.throwIfAborted();
      }
    }
  }

  /** @throws StatusError ServiceUnavailable when that takes too long. */
  async #untilReady(): Promise<void> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#options.clock.after(READY_WAIT_MS, () => late.reject(notReady()));
    await Promise.race([this.#ready.promise, late.promise]).finally(cancel);
  }

  async #joinService(): Promise<void> {
    const { config, logger, clock } = this.#options;
    const service = new KubernetesService({
      stack: this.#stack,
      client: this.#client,
      clock,
      logger,
      etcdPrefix: config.etcdPrefix,
      address: config.advertiseAddress,
      port: () => this.#port,
      clusterIp: this.#allocation.kubernetesServiceAddress,
    });
    await service.run(this.#shutdown.signal);
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
    if (info.verb !== 'get' && info.verb !== 'head') throw verbNotAllowed();
    if (this.#documents.answerAggregated(info.path, raw, response)) return { type: 'streamed' };
    const value = this.#documents.discovery(info.path, this.#address());
    if (value === undefined) {
      const [, root = '', group = ''] = info.path.split('/');
      const isKnown = root === 'api' || this.#documents.discovery(`/apis/${group}`, this.#address()) !== undefined;
      if (isKnown) throw noSuchResource();
      writeNotFound(response);
      return { type: 'streamed' };
    }
    response.setHeader('vary', 'Accept');
    return { type: 'value', code: 200, value };
  }

  #address(): string {
    return `${this.#options.config.advertiseAddress}:${this.#port}`;
  }

  async #handlePath(
    info: RequestInfo,
    query: URLSearchParams,
    raw: IncomingMessage,
    response: ServerResponse,
  ): Promise<boolean> {
    const [, root = '', ...rest] = info.path.split('/');
    switch (root) {
      case '':
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ paths: this.#paths() }, undefined, 2));
        return true;
      case 'healthz':
      case 'livez':
      case 'readyz': {
        const answer = await answerHealth(root, rest.join('/'), this.#checks(root), query);
        if (answer === undefined) return false;
        response.writeHead(answer.code, { 'content-type': 'text/plain; charset=utf-8' });
        response.end(answer.text);
        return true;
      }
      case '.well-known':
      case 'openid':
        return this.#answerIssuer(info.path, response);
      case 'openapi':
        return await this.#answerOpenApi(info.path, raw, response);
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

  /** What there is to ask for, as `/` says. */
  #paths(): readonly string[] {
    const health = (['healthz', 'livez', 'readyz'] as const).flatMap((endpoint) => [
      `/${endpoint}`,
      ...[...this.#checks(endpoint).keys()].map((check) => `/${endpoint}/${check}`),
    ]);
    const issuer = this.#issuerDiscovery === undefined ? [] : ['/.well-known/openid-configuration', '/openid/v1/jwks'];
    const others = ['/metrics', '/openapi/v2', '/openapi/v3', '/openapi/v3/', '/version'];
    return [...this.#documents.paths(), ...health, ...issuer, ...others].toSorted();
  }

  async #answerOpenApi(path: string, raw: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const remote = /^\/openapi\/v3(\/apis\/.+)$/u.exec(path)?.[1];
    const document = remote === undefined ? undefined : await this.#aggregator.openApiV3(remote);
    if (document === undefined) return this.#documents.answerOpenApi(path, raw, response);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(document));
    return true;
  }

  /** What others need to check ServiceAccount tokens. */
  #answerIssuer(path: string, response: ServerResponse): boolean {
    const discovery = this.#issuerDiscovery?.(`https://${this.#address()}/openid/v1/jwks`);
    const isKeys = path === '/openid/v1/jwks';
    if (discovery === undefined || (!isKeys && path !== '/.well-known/openid-configuration')) return false;
    response.setHeader('content-type', isKeys ? 'application/jwk-set+json' : 'application/json');
    response.setHeader('cache-control', 'public, max-age=3600');
    response.end(isKeys ? discovery.keys : discovery.configuration);
    return true;
  }

  #checks(endpoint: 'healthz' | 'livez' | 'readyz'): ReadonlyMap<string, HealthCheck> {
    const checks = new Map<string, HealthCheck>([['ping', () => undefined]]);
    const fail = (condition: boolean, what: string): void => {
      if (!condition) throw new Error(what);
    };
    if (endpoint !== 'livez') checks.set('etcd', async () => await this.#checkStore());
    if (endpoint === 'livez') return checks;
    checks.set('informer-sync', () => fail(this.#stack.feed.synced, 'the caches are not filled'));
    checks.set('poststarthook/start-bootstrap', () => fail(this.#bootstrapped, 'bootstrap objects are missing'));
    if (endpoint === 'readyz') checks.set('shutdown', () => fail(!this.#shutdown.signal.aborted, 'shutting down'));
    return checks;
  }

  async #checkStore(): Promise<void> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#options.clock.after(STORE_CHECK_MS, () => late.reject(new Error('the store does not answer')));
    await Promise.race([this.#stack.store.currentRevision(), late.promise]).finally(cancel);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { config, clock } = this.#options;
    // readyz fails first, so that nobody new comes; then watches end and what is being worked on is finished.
    this.#shutdown.abort();
    if (config.shutdownDelayMs > 0 && this.#bootstrapped) await clock.sleep(config.shutdownDelayMs);
    this.#draining.abort();
    // What has no end of its own, such as a log that is followed, is cut after a while.
    const cancel = clock.after(DRAIN_MS, () => {
      this.#kubelets.closeStreams();
      this.#aggregator.closeStreams();
      this.#http.server.closeAllConnections();
    });
    await this.#http.close();
    cancel();
    this.#stop.abort();
    await Promise.all(this.#running);
    await this.#kubelets[Symbol.asyncDispose]();
    await this.#webhooks[Symbol.asyncDispose]();
    await this.#auditLog?.[Symbol.asyncDispose]();
    await this.#client[Symbol.asyncDispose]();
  }
}
