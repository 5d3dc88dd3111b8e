import type { Container, Pod, Probe } from '@naru/api';
import { messageOf, RuntimeError } from '../errors.ts';
import type { RuntimeService } from '../runtime/runtime-service.ts';
import { probeGrpc } from './grpc-probe.ts';
import { HttpProber, type HttpTarget, type ProbeAnswer } from './http-probe.ts';
import { probeTcp } from './tcp-probe.ts';

/** How often a probe that could not be carried out is tried before that counts, as upstream. */
const TRIES_MAX = 3;
const OUTPUT_CHARS_MAX = 1024;

export interface ProbeTarget {
  readonly pod: Pod;
  readonly container: Container;
  readonly containerId: string;
  readonly podIP: string;
}

/** An answer, or `error`: the probe could not be carried out, and says nothing. */
export interface Probed {
  readonly result: 'success' | 'failure' | 'error';
  readonly output: string;
}

export type HttpGet = NonNullable<Probe['httpGet']>;

/** A port by number, or by the name that the container gives it. */
export function resolvePort(port: number | string | object, container: Container): number {
  const number = Number(port);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  if (named === undefined) throw new Error(`couldn't find port: ${JSON.stringify(port)}`);
  return named;
}

export function httpTarget(action: HttpGet, target: Pick<ProbeTarget, 'container' | 'podIP'>): HttpTarget {
  const { host, path = '/', port, scheme, httpHeaders = [] } = action;
  return {
    scheme: scheme?.toUpperCase() === 'HTTPS' ? 'https' : 'http',
    host: host === undefined || host === '' ? target.podIP : host,
    port: resolvePort(port, target.container),
    path,
    headers: httpHeaders,
  };
}

/** Carries out single probes. */
export class Prober implements AsyncDisposable {
  readonly #runtime: RuntimeService;
  readonly #http: HttpProber;
  readonly #userAgent: string;

  constructor(options: { readonly runtime: RuntimeService; readonly userAgent: string }) {
    this.#runtime = options.runtime;
    this.#userAgent = options.userAgent;
    this.#http = new HttpProber({ userAgent: options.userAgent });
  }

  async probe(probe: Probe, target: ProbeTarget, timeoutMs: number): Promise<Probed> {
    let output = '';
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      try {
        const answer = await this.#run(probe, target, timeoutMs);
        return { ...answer, output: answer.output.slice(0, OUTPUT_CHARS_MAX) };
      } catch (error) {
        output = messageOf(error);
      }
    }
    return { result: 'error', output };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]();
  }

  async #run(probe: Probe, target: ProbeTarget, timeoutMs: number): Promise<ProbeAnswer> {
    const { exec, httpGet, tcpSocket, grpc } = probe;
    const { container, podIP } = target;
    if (exec !== undefined) return await this.#exec(exec.command ?? [], target.containerId, timeoutMs);
    if (httpGet !== undefined) return await this.#http.probe(httpTarget(httpGet, target), timeoutMs);
    if (tcpSocket !== undefined) {
      const host = tcpSocket.host === undefined || tcpSocket.host === '' ? podIP : tcpSocket.host;
      return await probeTcp(host, resolvePort(tcpSocket.port, container), timeoutMs);
    }
    if (grpc !== undefined)
      return await probeGrpc(
        { host: podIP, port: grpc.port, service: grpc.service ?? '', userAgent: this.#userAgent },
        timeoutMs,
      );
    throw new Error('missing probe handler');
  }

  async #exec(command: readonly string[], containerId: string, timeoutMs: number): Promise<ProbeAnswer> {
    try {
      const answer = await this.#runtime.execSync(containerId, command, { timeoutSeconds: timeoutMs / 1000 });
      const output = Buffer.concat([answer.stdout, answer.stderr]).toString('utf8');
      return { result: answer.exitCode === 0 ? 'success' : 'failure', output };
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      if (error.code === 'deadline-exceeded')
        return { result: 'failure', output: `command ${JSON.stringify(command.join(' '))} timed out` };
      if (error.code === 'start-failed') return { result: 'failure', output: error.message };
      throw error;
    }
  }
}
