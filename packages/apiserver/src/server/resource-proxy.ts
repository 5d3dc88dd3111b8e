/** `pods/proxy`, `services/proxy`, `nodes/proxy`: passes requests on to what runs in the cluster (k8s.io/apimachinery/pkg/util/proxy). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { newStatusError } from '@naru/api';
import { Agent, type Dispatcher } from 'undici';
import type { ApiRequest } from './api-request.ts';
import { ProxyTargets, type ProxyTarget, type ProxyTargetsOptions } from './proxy-target.ts';
import type { UpgradeTunnels } from './upgrade-tunnels.ts';

export interface ResourceProxyOptions extends ProxyTargetsOptions {
  /** Of the server, for kubelets only. */
  readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string };
  readonly connectTimeoutMs: number;
  readonly tunnels: UpgradeTunnels;
}

/** Headers that are about one connection only, and what told the API server who asks. */
const notForwarded =
  /^(connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|host|authorization|impersonate-.*|content-length|expect)$/u;
const proxiedPath =
  /^(?<prefix>\/api\/v1\/(?:namespaces\/[^/]+\/)?(?:pods|services|nodes)\/[^/]+\/proxy)(?<rest>\/[^?]*)?(?<query>\?.*)?$/u;

export class ResourceProxy implements AsyncDisposable {
  readonly #options: ResourceProxyOptions;
  readonly #targets: ProxyTargets;
  readonly #kubelets: Agent;
  /** Certificates of what runs in the cluster are its own affair, as upstream has it. */
  readonly #others: Agent;

  constructor(options: ResourceProxyOptions) {
    this.#options = options;
    this.#targets = new ProxyTargets(options);
    const { tls, connectTimeoutMs } = options;
    const forever = { headersTimeout: 0, bodyTimeout: 0 };
    this.#kubelets = new Agent({
      connect: { ...tls, rejectUnauthorized: tls.ca !== undefined, timeout: connectTimeoutMs },
      ...forever,
    });
    this.#others = new Agent({ connect: { rejectUnauthorized: false, timeout: connectTimeoutMs }, ...forever });
  }

  /** Answers with what the target says. @throws StatusError before anything is written. */
  async proxy({ info, raw, response, body }: ApiRequest): Promise<void> {
    const { prefix = '', rest = '', query = '' } = proxiedPath.exec(raw.url ?? '')?.groups ?? {};
    if (rest === '' && (raw.method === 'GET' || raw.method === 'HEAD')) {
      response.writeHead(301, { location: `${prefix}/${query}` }).end();
      return;
    }
    const target = this.#targets.find(info.resource, info.namespace, info.name);
    const origin = `${target.scheme}://${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
    const path = `${rest === '' ? '/' : rest}${query}`;
    const headers = forwardedHeaders(raw, `${prefix}${rest}`);
    if (raw.headers.upgrade !== undefined) {
      const { tls } = this.#options;
      const refusal = await this.#options.tunnels.join(`${origin}${path}`, raw, response, {
        headers,
        tls: target.isKubelet ? tls : {},
      });
      if (refusal === undefined) return;
      response.writeHead(refusal.code, { 'content-type': 'text/plain; charset=utf-8' }).end(refusal.text);
      return;
    }
    const answer = await this.#request(target, { origin, path, headers, body: body ?? null }, raw, response);
    response.writeHead(answer.statusCode, answerHeaders(answer.headers, { prefix, origin, path: rest }));
    // A client that goes away, or a target that does, ends the answer: there is nothing to tell any more.
    await pipeline(answer.body, response).catch(() => response.destroy());
  }

  async #request(
    target: ProxyTarget,
    request: { origin: string; path: string; headers: Record<string, string[]>; body: Buffer | null },
    raw: IncomingMessage,
    response: ServerResponse,
  ): Promise<Dispatcher.ResponseData> {
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    const method = raw.method ?? 'GET';
    try {
      const agent = target.isKubelet ? this.#kubelets : this.#others;
      return await agent.request({ ...request, method, signal: abort.signal });
    } catch (error) {
      const message = `error trying to reach service: ${(error as Error).message}`;
      throw newStatusError('ServiceUnavailable', message, undefined, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#kubelets.destroy(), this.#others.destroy()]);
  }
}

/** Headers of a request that is passed on; `uri` is where it came to, where paths are not the same there. */
export function forwardedHeaders(raw: IncomingMessage, uri: string | undefined): Record<string, string[]> {
  const headers: Record<string, string[]> = {};
  for (const [name, values] of Object.entries(raw.headersDistinct))
    if (!notForwarded.test(name) && values !== undefined) headers[name] = values;
  if (uri !== undefined) headers['x-forwarded-uri'] = [uri];
  headers['x-forwarded-host'] = [raw.headers.host ?? ''];
  headers['x-forwarded-proto'] = ['encrypted' in raw.socket ? 'https' : 'http'];
  const before = headers['x-forwarded-for'] ?? [];
  headers['x-forwarded-for'] = [[...before, raw.socket.remoteAddress ?? ''].join(', ')];
  return headers;
}

interface Place {
  readonly prefix: string;
  readonly origin: string;
  readonly path: string;
}

/** Headers of an answer that is passed on; `place` is where its redirects lead, where paths are not the same there. */
export function answerHeaders(
  headers: Dispatcher.ResponseData['headers'],
  place?: Place,
): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || /^(connection|keep-alive|proxy-.*|trailer|transfer-encoding|upgrade)$/u.test(name))
      continue;
    const isRedirect = place !== undefined && name === 'location' && typeof value === 'string';
    kept[name] = isRedirect ? rewriteLocation(value, place) : value;
  }
  return kept;
}

/** A redirect within the target is one within the proxied path; others are left alone. */
export function rewriteLocation(location: string, { prefix, origin, path }: Place): string {
  let url: URL;
  try {
    url = new URL(location, `${origin}${path}`);
  } catch {
    return location;
  }
  if (url.origin !== new URL(origin).origin) return location;
  return `${prefix}${url.pathname}${url.search}${url.hash}`;
}
