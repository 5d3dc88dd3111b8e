/** A group version that an extension API server serves: how it is asked, and what it said of itself. */
import { isConditionTrue, type APIService } from '@naru/api';
import type { Agent } from 'undici';
import type { UserInfo } from '../authentication/authenticator.ts';
import { remoteServiceOf, type GroupVersion } from './api-services.ts';
import {
  aggregatorUser,
  newAgent,
  originOf,
  tlsOf,
  userHeaders,
  type ProxyClientCertificate,
} from './remote-client.ts';
import type { ServiceResolver } from './service-resolver.ts';

/** How long the server may take to say what it serves. */
const DOCUMENT_TIMEOUT_MS = 10_000;
/** Longest document that is read. */
const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024;

export interface RemoteDiscovery {
  /** Resources as aggregated discovery has them. */
  readonly resources: readonly object[];
  /** `/openapi/v3`'s entry, where there is one. */
  readonly openApiV3: { readonly serverRelativeURL: string } | undefined;
  /** The whole of `/openapi/v2`; undefined: there is none. */
  readonly openApiV2: Readonly<Record<string, unknown>> | undefined;
}

export interface RemoteApiOptions {
  readonly apiService: APIService;
  readonly certificate: ProxyClientCertificate;
  readonly resolver: ServiceResolver;
}

export class RemoteApi {
  /** The newest; its spec stays what it was. */
  apiService: APIService;
  readonly groupVersion: GroupVersion;
  readonly #options: RemoteApiOptions;
  readonly #agent: Agent;
  readonly tls: ReturnType<typeof tlsOf>;

  constructor(options: RemoteApiOptions) {
    this.#options = options;
    this.apiService = options.apiService;
    const { group = '', version = '' } = options.apiService.spec ?? {};
    this.groupVersion = { group, version };
    this.tls = tlsOf(options.apiService, options.certificate);
    this.#agent = newAgent(this.tls);
  }

  get agent(): Agent {
    return this.#agent;
  }

  get isAvailable(): boolean {
    return isConditionTrue(this.apiService.status?.conditions, 'Available');
  }

  get path(): string {
    const { group, version } = this.groupVersion;
    return group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  }

  /** Where the server is. @throws StatusError. */
  origin(): string {
    const service = remoteServiceOf(this.apiService);
    if (service === undefined) throw new Error('the APIService has no service');
    return originOf(this.#options.resolver.resolve(service));
  }

  /** What a JSON document of the server says; undefined: it has none. @throws Error. */
  async document(
    path: string,
    options: { readonly accept?: string; readonly user?: UserInfo } = {},
  ): Promise<Record<string, unknown> | undefined> {
    const { accept = 'application/json', user = aggregatorUser } = options;
    const answer = await this.#agent.request({
      origin: this.origin(),
      path,
      method: 'GET',
      headers: { accept, ...userHeaders(user) },
      signal: AbortSignal.timeout(DOCUMENT_TIMEOUT_MS),
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > DOCUMENT_BYTES_MAX) throw new Error(`${path} is larger than ${DOCUMENT_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
    if (answer.statusCode === 404 || answer.statusCode === 406) return undefined;
    if (answer.statusCode !== 200) throw new Error(`${path} answers ${answer.statusCode}`);
    return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
  }

  /** @throws Error. */
  async discover(): Promise<RemoteDiscovery> {
    const list = await this.document(this.path);
    if (list === undefined) throw new Error(`${this.path} is not there`);
    const v3 = await this.document('/openapi/v3').catch(() => undefined);
    const paths = (v3?.['paths'] ?? {}) as Record<string, { serverRelativeURL?: string }>;
    const { serverRelativeURL } = paths[this.path.slice(1)] ?? {};
    const openApiV2 = await this.document('/openapi/v2').catch(() => undefined);
    return {
      resources: aggregatedResources((list['resources'] ?? []) as LegacyResource[], this.groupVersion),
      openApiV3: serverRelativeURL === undefined ? undefined : { serverRelativeURL },
      openApiV2,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

interface LegacyResource {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced?: boolean;
  readonly group?: string;
  readonly version?: string;
  readonly kind: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

/** The legacy form as the aggregated one: subresources below their resource. */
function aggregatedResources(list: readonly LegacyResource[], { group, version }: GroupVersion): object[] {
  const kindOf = (each: LegacyResource): object => ({
    group: each.group ?? group,
    version: each.version ?? version,
    kind: each.kind,
  });
  return list
    .filter(({ name }) => !name.includes('/'))
    .map((each) => {
      const subresources = list
        .filter(({ name }) => name.startsWith(`${each.name}/`))
        .map((sub) => ({
          subresource: sub.name.slice(each.name.length + 1),
          responseKind: kindOf(sub),
          verbs: sub.verbs ?? [],
        }));
      const { shortNames = [], categories = [] } = each;
      return {
        resource: each.name,
        responseKind: kindOf(each),
        scope: each.namespaced === true ? 'Namespaced' : 'Cluster',
        singularResource: each.singularName ?? '',
        verbs: each.verbs ?? [],
        ...(shortNames.length === 0 ? {} : { shortNames }),
        ...(categories.length === 0 ? {} : { categories }),
        ...(subresources.length === 0 ? {} : { subresources }),
      };
    });
}
