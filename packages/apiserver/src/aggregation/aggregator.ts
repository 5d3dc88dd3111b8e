/**
 * Serves what extension API servers serve (k8s.io/kube-aggregator): follows the APIServices, says which of them are available,
 * and passes requests for their group versions on.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import {
  apiServices,
  customResourceDefinitions,
  endpointSlices,
  equalJson,
  formatTime,
  isConflict,
  isNotFound,
  services,
  setCondition,
  type APIService,
  type CustomResourceDefinition,
  type UnstructuredObject,
} from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import type { Dispatcher } from 'undici';
import type { UserInfo } from '../authentication/authenticator.ts';
import { loopbackContext } from '../bootstrap.ts';
import type { ObjectChange, ObjectObserver } from '../registry/object-observer.ts';
import type { ResourceStack } from '../resource-stack.ts';
import { answerHeaders, forwardedHeaders } from '../server/resource-proxy.ts';
import { UpgradeTunnels } from '../server/upgrade-tunnels.ts';
import { apiServiceName, remoteServiceOf } from './api-services.ts';
import { AutoRegistration } from './auto-registration.ts';
import { availabilityOf } from './availability.ts';
import type { RemoteGroupVersion } from './merged-documents.ts';
import { RemoteApi, type RemoteDiscovery } from './remote-api.ts';
import { userHeaders, type ProxyClientCertificate } from './remote-client.ts';
import { ReconcileQueue } from './reconcile-queue.ts';
import type { ServiceResolver } from './service-resolver.ts';

/** How often available servers are asked whether they still are, and what they serve. */
const RESYNC_MS = 30_000;
const RETRY = { baseMs: 5, maxMs: 30_000 } as const;
const CONNECT_TIMEOUT_MS = 30_000;

export interface AggregatorOptions {
  readonly stack: ResourceStack;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly certificate: ProxyClientCertificate;
  readonly resolver: ServiceResolver;
  /** Discovery and OpenAPI are to be made anew. */
  readonly onChange: () => void;
}

export interface ForwardedRequest {
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  readonly user: UserInfo;
  readonly body: Buffer | undefined;
}

interface Remote {
  readonly api: RemoteApi;
  discovery: RemoteDiscovery | undefined;
  /** What the server was last asked told what it serves. */
  isCurrent: boolean;
}

const groupVersionPath = /^\/apis\/(?<group>[^/?]+)\/(?<version>[^/?]+)(?:[/?]|$)/u;

export class Aggregator {
  readonly #options: AggregatorOptions;
  readonly #registration: AutoRegistration;
  readonly #queue: ReconcileQueue;
  /** By the APIService's name. */
  readonly #remotes = new Map<string, Remote>();
  readonly #tunnels = new UpgradeTunnels({ tls: {}, connectTimeoutMs: CONNECT_TIMEOUT_MS });

  constructor(options: AggregatorOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#registration = new AutoRegistration(options);
    this.#queue = new ReconcileQueue({
      clock,
      retry: RETRY,
      reconcile: async (name) => await this.#reconcile(name),
      failed: (name, error) => logger.debug({ err: error, name }, 'an extension server is not available'),
    });
  }

  static readonly observed: ObjectObserver['resources'] = [
    apiServices,
    services,
    endpointSlices,
    customResourceDefinitions,
  ];

  observe({ type, resource, object }: ObjectChange): void {
    const { namespace = '', name = '', labels } = object.metadata;
    switch (resource.resource) {
      case 'apiservices':
        this.#follow(name, type === 'DELETED' ? undefined : object);
        this.#registration.mark(name);
        this.#queue.mark(name);
        return;
      case 'customresourcedefinitions': {
        const { group, versions } = (object as CustomResourceDefinition).spec;
        for (const version of versions) this.#registration.mark(apiServiceName({ group, version: version.name }));
        return;
      }
      case 'services':
        this.#serviceChanged(namespace, name);
        return;
      default:
        if (this.#remotes.size > 0) this.#serviceChanged(namespace, labels?.['kubernetes.io/service-name'] ?? '');
    }
  }

  #serviceChanged(namespace: string, name: string): void {
    for (const [key, { api }] of this.#remotes) {
      const service = remoteServiceOf(api.apiService);
      if (service?.namespace === namespace && service.name === name) this.#queue.mark(key);
    }
  }

  #follow(name: string, apiService: APIService | undefined): void {
    const before = this.#remotes.get(name);
    if (apiService === undefined || remoteServiceOf(apiService) === undefined) {
      if (before === undefined) return;
      this.#remotes.delete(name);
      void before.api[Symbol.asyncDispose]();
    } else if (before !== undefined && equalJson(before.api.apiService.spec, apiService.spec)) {
      before.api.apiService = apiService;
    } else {
      const { certificate, resolver } = this.#options;
      const api = new RemoteApi({ apiService, certificate, resolver });
      this.#remotes.set(name, { api, discovery: undefined, isCurrent: false });
      void before?.api[Symbol.asyncDispose]();
    }
    this.#options.onChange();
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const resync = async (): Promise<void> => {
      while (!signal.aborted) {
        for (const name of this.#remotes.keys()) this.#queue.mark(name);
        await this.#options.clock.sleep(RESYNC_MS, { signal }).catch(() => undefined);
      }
    };
    await Promise.all([this.#registration.run(signal), this.#queue.run(signal), resync()]);
    await Promise.all([...this.#remotes.values()].map(async ({ api }) => await api[Symbol.asyncDispose]()));
  }

  /** @throws Error where the server is not available: it is asked again. */
  async #reconcile(name: string): Promise<void> {
    const { stack, certificate, resolver } = this.#options;
    const apiService = stack.caches.get(apiServices, '', name);
    if (apiService === undefined) return;
    const available = await availabilityOf(apiService, { store: stack.caches, certificate, resolver });
    await this.#writeCondition(name, available);
    const remote = this.#remotes.get(name);
    if (remote === undefined) return;
    const before = [remote.discovery, remote.isCurrent];
    let failure: unknown;
    try {
      if (available.status === 'True') remote.discovery = await remote.api.discover();
    } catch (error) {
      failure = error;
    }
    remote.isCurrent = available.status === 'True' && failure === undefined;
    if (!equalJson(before, [remote.discovery, remote.isCurrent])) this.#options.onChange();
    if (available.reason === 'FailedDiscoveryCheck') throw new Error(available.message);
    if (failure !== undefined) throw failure;
  }

  async #writeCondition(name: string, available: Awaited<ReturnType<typeof availabilityOf>>): Promise<void> {
    const { stack, clock } = this.#options;
    const registry = stack.registryOf(apiServices);
    if (registry === undefined) return;
    const now = clock.now();
    const withCondition = (old: UnstructuredObject): UnstructuredObject => {
      const { status } = old as unknown as APIService;
      const conditions = setCondition(status?.conditions, { type: 'Available', ...available }, formatTime(now));
      return { ...old, status: { ...status, conditions } };
    };
    const current = stack.caches.get(apiServices, '', name) as unknown as UnstructuredObject | undefined;
    if (current === undefined || equalJson(withCondition(current), current)) return;
    try {
      await registry.update(name, 'status', withCondition, loopbackContext('', now, 'status'));
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  /** The server that is asked for paths below a group version; undefined: this one. */
  #remoteOf(path: string): Remote | undefined {
    if (this.#remotes.size === 0) return undefined;
    const { group = '', version = '' } = groupVersionPath.exec(path)?.groups ?? {};
    return group === '' ? undefined : this.#remotes.get(apiServiceName({ group, version }));
  }

  serves(path: string): boolean {
    return this.#remoteOf(path) !== undefined;
  }

  /** Passes a request on that `serves` is true of. What fails is told as upstream tells it: as text. */
  async forward(path: string, { raw, response, user, body }: ForwardedRequest): Promise<void> {
    const remote = this.#remoteOf(path);
    let origin: string;
    try {
      if (remote?.api.isAvailable !== true) throw new Error('service unavailable');
      origin = remote.api.origin();
    } catch {
      refuse(response, 503, 'service unavailable');
      return;
    }
    const headers = { ...withoutRemoteUser(forwardedHeaders(raw, undefined)), ...userHeaders(user) };
    const { url = '', method = 'GET' } = raw;
    if (raw.headers.upgrade !== undefined) {
      const refusal = await this.#tunnels.join(`${origin}${url}`, raw, response, { headers, tls: remote.api.tls });
      if (refusal !== undefined) refuse(response, refusal.code, refusal.text);
      return;
    }
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    let answer: Dispatcher.ResponseData;
    try {
      const request = { origin, path: url, method, headers, body: body ?? null, signal: abort.signal };
      answer = await remote.api.agent.request(request);
    } catch (error) {
      refuse(response, 503, `error trying to reach service: ${reasonOf(error)}`);
      return;
    }
    response.writeHead(answer.statusCode, answerHeaders(answer.headers));
    // Watches tell that they have begun before anything happens.
    response.flushHeaders();
    await pipeline(answer.body, response).catch(() => response.destroy());
  }

  /** The document of a remote group version at `/openapi/v3`; undefined: it is no remote one, or has none. */
  async openApiV3(path: string): Promise<object | undefined> {
    const remote = this.#remoteOf(path);
    if (remote?.discovery?.openApiV3 === undefined || !remote.api.isAvailable) return undefined;
    return await remote.api.document(remote.discovery.openApiV3.serverRelativeURL).catch(() => undefined);
  }

  /** What others serve, for discovery. */
  groupVersions(): RemoteGroupVersion[] {
    return [...this.#remotes.values()].map(({ api, discovery, isCurrent }) => {
      const { groupPriorityMinimum = 0, versionPriority = 0 } = api.apiService.spec ?? {};
      return {
        ...api.groupVersion,
        groupPriority: groupPriorityMinimum,
        versionPriority,
        resources: discovery?.resources ?? [],
        isCurrent,
        openApiV3: discovery?.openApiV3,
        openApiV2: discovery?.openApiV2,
      };
    });
  }

  /** Cuts what has no end of its own. */
  closeStreams(): void {
    this.#tunnels.close();
  }
}

function refuse(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' });
  response.end(`${text}\n`);
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}

/** Nobody but this server says who asks. */
function withoutRemoteUser(headers: Record<string, string[]>): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !/^x-remote-(user|uid|group|extra-.*)$/u.test(name)),
  );
}
