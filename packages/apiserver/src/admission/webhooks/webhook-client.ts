/** Calls webhooks: by URL, or by Service, at its ClusterIP with the certificate of `NAME.NAMESPACE.svc`. */
import { rootCertificates } from 'node:tls';
import { services } from '@naru/api';
import { Agent, request } from 'undici';
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
  readonly url: string;
  readonly shownUrl: string;
  readonly serverName: string;
  readonly host: string;
}

export class WebhookClient {
  readonly #agents = new Map<string, Agent>();

  /** The answer to a POST. @throws Error with upstream's words when there is none. */
  async post(
    config: WebhookClientConfig,
    body: unknown,
    options: { readonly store: AdmissionStore; readonly timeoutMs: number },
  ): Promise<unknown> {
    const { store, timeoutMs } = options;
    const target = targetOf(config, store);
    const seconds = `${timeoutMs / 1000}s`;
    const withTimeout = (url: string): string => `${url}${url.includes('?') ? '&' : '?'}timeout=${seconds}`;
    const shown = `Post ${JSON.stringify(withTimeout(target.shownUrl))}`;
    let statusCode: number;
    let text: string;
    try {
      const answer = await request(withTimeout(target.url), {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', host: target.host },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
        dispatcher: this.#agentOf(config.caBundle, target.serverName),
      });
      statusCode = answer.statusCode;
      text = await readText(answer.body);
    } catch (error) {
      throw new Error(`${shown}: ${reasonOf(error)}`, { cause: error });
    }
    if (statusCode !== 200) throw new Error(text === '' ? `unexpected status code ${statusCode}` : text.trim());
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`couldn't get version/kind; json parse error: ${(error as Error).message}`, { cause: error });
    }
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

function targetOf({ url, service }: WebhookClientConfig, store: AdmissionStore): Target {
  if (service === undefined) {
    const parsed = new URL(url ?? '');
    if (parsed.protocol !== 'https:') throw new Error(`the scheme of ${JSON.stringify(url)} must be https`);
    return { url: parsed.href, shownUrl: url ?? '', serverName: parsed.hostname, host: parsed.host };
  }
  const { namespace, name, path = '/', port = DEFAULT_PORT } = service;
  const serverName = `${name}.${namespace}.svc`;
  const slashed = path.startsWith('/') ? path : `/${path}`;
  const found = store.get(services, namespace, name);
  if (found === undefined) throw new Error(`service ${JSON.stringify(name)} not found`);
  const { type, clusterIP = '', externalName = '', ports = [] } = found.spec ?? {};
  const address = type === 'ExternalName' ? externalName : clusterIP;
  if (address === '' || address === 'None') throw new Error(`no service address of ${JSON.stringify(serverName)}`);
  if (type !== 'ExternalName' && !ports.some((each) => each.port === port))
    throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
  const shownHost = `${serverName}:${port}`;
  const urlHost = address.includes(':') ? `[${address}]` : address;
  return {
    url: `https://${urlHost}:${port}${slashed}`,
    shownUrl: `https://${shownHost}${slashed}`,
    serverName,
    host: shownHost,
  };
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
