/** Calls webhooks: by URL, or by Service, where it leads, with the certificate of `NAME.NAMESPACE.svc`. */
import { rootCertificates } from 'node:tls';
import { Agent, request } from 'undici';
import { originOf } from '../../aggregation/remote-client.ts';
import { ServiceResolver, type ServiceResolverOptions } from '../../aggregation/service-resolver.ts';
import type { AdmissionStore } from '../admission.ts';

export interface WebhookClientConfig {
  readonly url?: string;
  readonly service?: {
    readonly namespace: string;
    readonly name: string;
    readonly path?: string;
    readonly port?: number;
  };
  /** PEM, in base64. */
  readonly caBundle?: string;
}

/** Connection pools that are kept: one per authority and server name. */
const AGENTS_MAX = 64;
/** Longest answer that is read. */
const ANSWER_BYTES_MAX = 3 * 1024 * 1024;
const DEFAULT_PORT = 443;

interface Target {
  /** Whom the URL names: `NAME:PORT`. */
  readonly host: string;
  readonly serverName: string;
  /** Path and query. */
  readonly path: string;
  /** Where the host is. @throws StatusError. */
  readonly origin: () => string;
}

export class WebhookClient {
  readonly #routing: Omit<ServiceResolverOptions, 'store'>;
  readonly #agents = new Map<string, Agent>();

  constructor(routing: Omit<ServiceResolverOptions, 'store'>) {
    this.#routing = routing;
  }

  /** The answer to a POST. @throws Error with upstream's words when there is none. */
  async post(
    config: WebhookClientConfig,
    body: unknown,
    options: { readonly store: AdmissionStore; readonly timeoutMs: number },
  ): Promise<unknown> {
    const { store, timeoutMs } = options;
    const { host, serverName, path: plainPath, origin } = this.#targetOf(config, store);
    const path = `${plainPath}${plainPath.includes('?') ? '&' : '?'}timeout=${timeoutMs / 1000}s`;
    let statusCode: number;
    let text: string;
    try {
      const answer = await request(`${origin()}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', host },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
        dispatcher: this.#agentOf(config.caBundle, serverName),
      });
      statusCode = answer.statusCode;
      text = await readText(answer.body);
    } catch (error) {
      throw new Error(`Post ${JSON.stringify(`https://${host}${path}`)}: ${reasonOf(error)}`, { cause: error });
    }
    if (statusCode !== 200) throw new Error(text === '' ? `unexpected status code ${statusCode}` : text.trim());
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`couldn't get version/kind; json parse error: ${(error as Error).message}`, { cause: error });
    }
  }

  #targetOf({ url, service }: WebhookClientConfig, store: AdmissionStore): Target {
    if (service === undefined) {
      const parsed = new URL(url ?? '');
      if (parsed.protocol !== 'https:') throw new Error(`the scheme of ${JSON.stringify(url)} must be https`);
      const { host, hostname: serverName, pathname, search, origin } = parsed;
      return { host, serverName, path: `${pathname}${search}`, origin: () => origin };
    }
    const { namespace, name, path = '/', port = DEFAULT_PORT } = service;
    const serverName = `${name}.${namespace}.svc`;
    const resolver = new ServiceResolver({ ...this.#routing, store });
    return {
      host: `${serverName}:${port}`,
      serverName,
      path: path.startsWith('/') ? path : `/${path}`,
      origin: () => originOf(resolver.resolve({ namespace, name, port })),
    };
  }

  #agentOf(caBundle: string | undefined, serverName: string): Agent {
    const key = `${serverName} ${caBundle ?? ''}`;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    if (this.#agents.size >= AGENTS_MAX) {
      const [oldest] = this.#agents.keys();
      if (oldest !== undefined) {
        void this.#agents.get(oldest)?.close();
        this.#agents.delete(oldest);
      }
    }
    const ca =
      caBundle === undefined || caBundle === '' ? rootCertificates : Buffer.from(caBundle, 'base64').toString();
    const agent = new Agent({ connect: { ca: ca as string | string[], servername: serverName } });
    this.#agents.set(key, agent);
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#agents.values()].map(async (agent) => await agent.destroy()));
    this.#agents.clear();
  }
}

async function readText(body: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > ANSWER_BYTES_MAX) throw new Error('the answer is too large');
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'context deadline exceeded';
  return error.cause instanceof Error ? error.cause.message : error.message;
}
