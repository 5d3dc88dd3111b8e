/** Requests that a kubelet answers: the container logs of a pod, and streams to and from its containers. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import {
  newBadRequest,
  newInternalError,
  newNotFound,
  newStatusError,
  nodes,
  type Pod,
  type UnstructuredObject,
} from '@naru/api';
import { Agent, type Dispatcher } from 'undici';
import type { AdmissionStore } from '../admission/admission.ts';
import { booleanOf } from './list-options.ts';
import { kubeletPortOf, nodeAddressOf } from './proxy-target.ts';
import { ResourceProxy } from './resource-proxy.ts';
import { UpgradeTunnels } from './upgrade-tunnels.ts';

/** Subresources of pods that are streams. */
export const streamSubresources = ['attach', 'exec', 'portforward'] as const;
export type StreamSubresource = (typeof streamSubresources)[number];

export interface KubeletProxyOptions {
  readonly store: AdmissionStore;
  /** `--kubelet-client-certificate`, `--kubelet-client-key`, `--kubelet-certificate-authority`. */
  readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string };
  /** `--kubelet-preferred-address-types`. */
  readonly addressTypes: readonly string[];
  /** `--kubelet-timeout`. */
  readonly connectTimeoutMs: number;
  readonly random: () => number;
}

/** Query parameters of pods/log that the kubelet knows too. */
const logParameters = ['follow', 'previous', 'sinceSeconds', 'sinceTime', 'timestamps', 'tailLines', 'limitBytes'];

export class KubeletProxy implements AsyncDisposable {
  readonly #options: KubeletProxyOptions;
  readonly #agent: Agent;
  readonly #tunnels: UpgradeTunnels;
  /** The `proxy` subresources. */
  readonly resources: ResourceProxy;

  constructor(options: KubeletProxyOptions) {
    this.#options = options;
    const { tls, connectTimeoutMs } = options;
    this.#agent = new Agent({
      connect: { ...tls, rejectUnauthorized: tls.ca !== undefined, timeout: connectTimeoutMs },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#tunnels = new UpgradeTunnels({ tls, connectTimeoutMs });
    this.resources = new ResourceProxy({ ...options, tunnels: this.#tunnels });
  }

  /** Streams a container's log into the response. @throws StatusError before anything is written. */
  async proxyLogs(object: UnstructuredObject, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const pod = object as unknown as Pod;
    const container = containerOf(pod, query.get('container') ?? '');
    const node = pod.spec?.nodeName ?? '';
    if (node === '') {
      // Upstream answers with an empty log while a pod has no node.
      response.setHeader('content-type', 'text/plain');
      response.end();
      return;
    }
    const parameters = new URLSearchParams();
    for (const name of logParameters) {
      const value = query.get(name);
      if (value !== null) parameters.set(name, value);
    }
    const { namespace = '', name = '' } = pod.metadata;
    const path = `/containerLogs/${namespace}/${name}/${container}?${parameters.toString()}`;
    const answer = await this.#request(node, path, response);
    if (answer.statusCode !== 200) throw refusalOf(answer.statusCode, await answer.body.text());
    response.statusCode = 200;
    response.setHeader('content-type', 'text/plain');
    if (booleanOf(query, 'follow') === true) response.flushHeaders();
    // A client that goes away, or a kubelet that does, ends the stream: there is nothing to tell any more.
    await pipeline(answer.body, response).catch(() => response.destroy());
  }

  /** Joins the client's connection with one to the kubelet. @throws StatusError before anything is written. */
  async proxyStream(
    object: UnstructuredObject,
    stream: { readonly subresource: StreamSubresource; readonly query: URLSearchParams },
    raw: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const pod = object as unknown as Pod;
    const { name = '' } = pod.metadata;
    const path = streamPath(pod, stream);
    const nodeName = pod.spec?.nodeName ?? '';
    if (nodeName === '') throw newBadRequest(`pod ${name} does not have a host assigned`);
    const refusal = await this.#tunnels.join(`${this.#originOf(nodeName)}/${path}`, raw, response);
    if (refusal !== undefined) throw refusalOf(refusal.code, refusal.text);
  }

  /** Cuts all streams. */
  closeStreams(): void {
    this.#tunnels.close();
  }

  #originOf(nodeName: string): string {
    const node = this.#options.store.get(nodes, '', nodeName);
    if (node === undefined) throw newNotFound(nodes, nodeName);
    return `https://${nodeAddressOf(node, this.#options.addressTypes)}:${kubeletPortOf(node)}`;
  }

  async #request(nodeName: string, path: string, response: ServerResponse): Promise<Dispatcher.ResponseData> {
    const origin = this.#originOf(nodeName);
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    try {
      return await this.#agent.request({ origin, path, method: 'GET', signal: abort.signal });
    } catch (error) {
      throw newInternalError(`Get "${origin}${path}": ${(error as Error).message}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closeStreams();
    await Promise.all([this.#agent.destroy(), this.resources[Symbol.asyncDispose]()]);
  }
}

/** The container that a log request means. @throws StatusError BadRequest. */
function containerOf(pod: Pod, wanted: string): string {
  const { name = '' } = pod.metadata;
  const containers = (pod.spec?.containers ?? []).map((each) => each.name);
  const inits = (pod.spec?.initContainers ?? []).map((each) => each.name);
  const ephemerals = (pod.spec?.ephemeralContainers ?? []).map((each) => each.name);
  if (wanted !== '') {
    if ([...containers, ...inits, ...ephemerals].includes(wanted)) return wanted;
    throw newBadRequest(`container ${wanted} is not valid for pod ${name}`);
  }
  const [first] = containers;
  if (containers.length === 1 && first !== undefined) return first;
  const names = (list: readonly string[]): string => `[${list.join(' ')}]`;
  const choices = [
    `choose one of: ${names(containers)}`,
    ...(inits.length === 0 ? [] : [`or one of the init containers: ${names(inits)}`]),
    ...(ephemerals.length === 0 ? [] : [`or one of the ephemeral containers: ${names(ephemerals)}`]),
  ];
  throw newBadRequest(`a container name must be specified for pod ${name}, ${choices.join(' ')}`);
}

/** The kubelet's path for a stream, and its names of the options. @throws StatusError BadRequest. */
function streamPath(
  pod: Pod,
  stream: { readonly subresource: StreamSubresource; readonly query: URLSearchParams },
): string {
  const { subresource, query } = stream;
  const { namespace = '', name = '' } = pod.metadata;
  if (subresource === 'portforward') {
    const ports = query.getAll('ports').flatMap((each) => each.split(','));
    const asked = new URLSearchParams(ports.map((each): [string, string] => ['port', each]));
    return `portForward/${namespace}/${name}${ports.length === 0 ? '' : `?${asked.toString()}`}`;
  }
  const container = containerOf(pod, query.get('container') ?? '');
  const parameters = new URLSearchParams();
  if (booleanOf(query, 'stdin') === true) parameters.set('input', '1');
  if (booleanOf(query, 'stdout') !== false) parameters.set('output', '1');
  if (booleanOf(query, 'stderr') !== false) parameters.set('error', '1');
  if (booleanOf(query, 'tty') === true) parameters.set('tty', '1');
  if (subresource === 'exec') for (const word of query.getAll('command')) parameters.append('command', word);
  return `${subresource}/${namespace}/${name}/${container}?${parameters.toString()}`;
}

function refusalOf(code: number, body: string): Error {
  const text = body.trim();
  switch (code) {
    case 400:
      return newBadRequest(text);
    case 429:
      return newStatusError('TooManyRequests', text);
    case 404:
      return newStatusError('NotFound', text === '' ? 'the server could not find the requested resource' : text, {});
    default:
      return newInternalError(text === '' ? `the kubelet answered with status ${code}` : text);
  }
}
