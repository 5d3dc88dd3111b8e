import { Agent, request } from 'undici';

/** How much of an answer a probe reads, as upstream. */
const BODY_BYTES_MAX = 10 * 1024;
const REDIRECTS_MAX = 10;

export interface ProbeAnswer {
  readonly result: 'success' | 'failure';
  readonly output: string;
}

export interface HttpTarget {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

/** Sends probes over connections of their own; servers' certificates are not checked, as upstream. */
export class HttpProber implements AsyncDisposable {
  readonly #agent = new Agent({ pipelining: 0, connect: { rejectUnauthorized: false } });
  readonly #userAgent: string;

  constructor(options: { readonly userAgent: string }) {
    this.#userAgent = options.userAgent;
  }

  /** 200 to 399 is success. Redirects to the same host are followed; one to another host is success. */
  async probe(target: HttpTarget, timeoutMs: number): Promise<ProbeAnswer> {
    const url = new URL(`${target.scheme}://${target.host}:${target.port}`);
    const path = target.path.startsWith('/') ? target.path : `/${target.path}`;
    let next = new URL(path, url);
    const signal = AbortSignal.timeout(timeoutMs);
    const headers: Record<string, string> = { 'user-agent': this.#userAgent, accept: '*/*', connection: 'close' };
    for (const { name, value } of target.headers) headers[name.toLowerCase()] = value;
    try {
      for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
        const {
          statusCode,
          headers: answered,
          body,
        } = await request(next, {
          dispatcher: this.#agent,
          headers,
          signal,
          reset: true,
        });
        const text = await readSome(body);
        const { location } = answered;
        if (statusCode >= 300 && statusCode < 400 && typeof location === 'string') {
          const to = new URL(location, next);
          if (to.host !== url.host)
            return { result: 'success', output: `Probe terminated redirects, Response body: ${text}` };
          next = to;
          continue;
        }
        if (statusCode >= 200 && statusCode < 400) return { result: 'success', output: text };
        return { result: 'failure', output: `HTTP probe failed with statuscode: ${statusCode}` };
      }
      return { result: 'failure', output: `Get "${next.href}": stopped after ${REDIRECTS_MAX} redirects` };
    } catch (error) {
      return { result: 'failure', output: `Get "${next.href}": ${describeNetworkError(error, target)}` };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

async function readSome(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= BODY_BYTES_MAX) break;
  }
  return Buffer.concat(chunks).subarray(0, BODY_BYTES_MAX).toString('utf8');
}

/** A failure to connect in the words that upstream's users know. */
export function describeNetworkError(error: unknown, target: { readonly host: string; readonly port: number }): string {
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  const dial = `dial tcp ${target.host}:${target.port}`;
  if (name === 'TimeoutError' || name === 'AbortError')
    return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
  switch (code) {
    case 'ECONNREFUSED':
      return `${dial}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `${dial}: connect: no route to host`;
    case 'ENOTFOUND':
      return `dial tcp: lookup ${target.host}: no such host`;
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'EOF';
    default:
      return message ?? String(error);
  }
}
