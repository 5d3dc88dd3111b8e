/** A service that answers reviews (TokenReview, SubjectAccessReview), as a file in kubeconfig format describes it. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { rootCertificates } from 'node:tls';
import { backoffMs, UsageError, type Clock } from '@naru/component';
import { Agent, request } from 'undici';
import { parse } from 'yaml';

export interface ReviewWebhookConfig {
  readonly server: string;
  /** PEM; undefined: whom the system trusts. */
  readonly ca?: string | undefined;
  readonly insecure: boolean;
  readonly serverName?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly token?: string | undefined;
}

/** How long one call may take, unless its configuration says otherwise. */
const TIMEOUT_MS = 30_000;
/** Longest answer that is read. */
const ANSWER_BYTES_MAX = 3 * 1024 * 1024;
/** Calls for one question, as upstream tries. */
const TRIES_MAX = 5;
const RETRY = { baseMs: 500, maxMs: 5000 };

interface Kubeconfig {
  readonly clusters?: readonly { readonly name?: string; readonly cluster?: Readonly<Record<string, unknown>> }[];
  readonly users?: readonly { readonly name?: string; readonly user?: Readonly<Record<string, unknown>> }[];
  readonly contexts?: readonly {
    readonly name?: string;
    readonly context?: { readonly cluster?: string; readonly user?: string };
  }[];
  readonly 'current-context'?: string;
}

/** Reads the file that a flag names. @throws UsageError. */
export async function readReviewWebhookConfig(flag: string, path: string): Promise<ReviewWebhookConfig> {
  try {
    const config = (parse(await readFile(path, 'utf8')) ?? {}) as Kubeconfig;
    const current = config['current-context'];
    const context = config.contexts?.find(({ name }) => name === current)?.context;
    if (context === undefined) throw new Error(`no context ${JSON.stringify(current ?? '')}`);
    const cluster = config.clusters?.find(({ name }) => name === context.cluster)?.cluster ?? {};
    const user = config.users?.find(({ name }) => name === context.user)?.user ?? {};
    const { server } = cluster;
    if (typeof server !== 'string' || !URL.canParse(server)) throw new Error('the cluster has no server');
    const pem = async (of: Readonly<Record<string, unknown>>, field: string): Promise<string | undefined> => {
      const [data, file] = [of[`${field}-data`], of[field]];
      if (typeof data === 'string') return Buffer.from(data, 'base64').toString();
      return typeof file === 'string' ? await readFile(resolve(dirname(path), file), 'utf8') : undefined;
    };
    const serverName = cluster['tls-server-name'];
    const token = user['token'] ?? (await pem(user, 'tokenFile'))?.trim();
    return {
      server,
      ca: await pem(cluster, 'certificate-authority'),
      insecure: cluster['insecure-skip-tls-verify'] === true,
      serverName: typeof serverName === 'string' ? serverName : undefined,
      cert: await pem(user, 'client-certificate'),
      key: await pem(user, 'client-key'),
      token: typeof token === 'string' ? token : undefined,
    };
  } catch (error) {
    throw new UsageError(`--${flag}: ${(error as Error).message}`);
  }
}

export class ReviewWebhook {
  readonly #config: ReviewWebhookConfig;
  readonly #clock: Clock;
  readonly #agent: Agent;
  readonly #timeoutMs: number;

  constructor(config: ReviewWebhookConfig, clock: Clock, timeoutMs = TIMEOUT_MS) {
    this.#config = config;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    const { ca, insecure, serverName, cert, key } = config;
    const connect = {
      ca: (ca ?? rootCertificates) as string | string[],
      rejectUnauthorized: !insecure,
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
    };
    this.#agent = new Agent({ connect });
  }

  /** The review with its status. @throws Error after some tries. */
  async review(review: object): Promise<Readonly<Record<string, unknown>>> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#ask(review);
      } catch (error) {
        if (tries === TRIES_MAX || (error as { isFinal?: boolean }).isFinal === true) throw error;
        await this.#clock.sleep(backoffMs(tries - 1, RETRY));
      }
    }
  }

  async #ask(review: object): Promise<Readonly<Record<string, unknown>>> {
    const { server, token } = this.#config;
    const { statusCode, body } = await request(server, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(review),
      signal: AbortSignal.timeout(this.#timeoutMs),
      dispatcher: this.#agent,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) throw new Error('the answer of the webhook is too large');
      chunks.push(chunk);
    }
    if (statusCode < 200 || statusCode > 299) {
      const error = new Error(`the webhook answers ${statusCode}`);
      // What it does not want now it will not want later, unless it has too much to do.
      throw Object.assign(error, { isFinal: statusCode < 500 && statusCode !== 429 });
    }
    return JSON.parse(Buffer.concat(chunks).toString()) as Readonly<Record<string, unknown>>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}
