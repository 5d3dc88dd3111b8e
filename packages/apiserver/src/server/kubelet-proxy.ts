/** Requests that a kubelet answers: the container logs of a pod. */
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import {
  newBadRequest,
  newInternalError,
  newNotFound,
  newStatusError,
  nodes,
  type Node,
  type Pod,
  type UnstructuredObject,
} from '@naru/api';
import { Agent, type Dispatcher } from 'undici';
import type { AdmissionStore } from '../admission/admission.ts';
import { booleanOf } from './list-options.ts';

/** The kubelet's port where its Node does not say. */
const KUBELET_PORT = 10250;

export interface KubeletProxyOptions {
  readonly store: AdmissionStore;
  /** `--kubelet-client-certificate`, `--kubelet-client-key`, `--kubelet-certificate-authority`. */
  readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string };
  /** `--kubelet-preferred-address-types`. */
  readonly addressTypes: readonly string[];
  /** `--kubelet-timeout`. */
  readonly connectTimeoutMs: number;
}

/** Query parameters of pods/log that the kubelet knows too. */
const logParameters = ['follow', 'previous', 'sinceSeconds', 'sinceTime', 'timestamps', 'tailLines', 'limitBytes'];

export class KubeletProxy implements AsyncDisposable {
  readonly #options: KubeletProxyOptions;
  readonly #agent: Agent;

  constructor(options: KubeletProxyOptions) {
    this.#options = options;
    const { tls, connectTimeoutMs } = options;
    this.#agent = new Agent({
      connect: { ...tls, rejectUnauthorized: tls.ca !== undefined, timeout: connectTimeoutMs },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
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
    if (answer.statusCode !== 200) throw await refusalOf(answer);
    response.statusCode = 200;
    response.setHeader('content-type', 'text/plain');
    if (booleanOf(query, 'follow') === true) response.flushHeaders();
    // A client that goes away, or a kubelet that does, ends the stream: there is nothing to tell any more.
    await pipeline(answer.body, response).catch(() => response.destroy());
  }

  async #request(nodeName: string, path: string, response: ServerResponse): Promise<Dispatcher.ResponseData> {
    const node = this.#options.store.get(nodes, '', nodeName);
    if (node === undefined) throw newNotFound(nodes, nodeName);
    const host = addressOf(node, this.#options.addressTypes);
    const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
    const origin = `https://${host}:${port === 0 ? KUBELET_PORT : port}`;
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    try {
      return await this.#agent.request({ origin, path, method: 'GET', signal: abort.signal });
    } catch (error) {
      throw newInternalError(`Get "${origin}${path}": ${(error as Error).message}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

function addressOf(node: Node, types: readonly string[]): string {
  const addresses = node.status?.addresses ?? [];
  for (const type of types) {
    const found = addresses.find((each) => each.type === type);
    if (found !== undefined) return found.address;
  }
  throw newInternalError(`no preferred addresses found; known addresses: ${JSON.stringify(addresses)}`);
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

async function refusalOf(answer: Dispatcher.ResponseData): Promise<Error> {
  const text = (await answer.body.text()).trim();
  switch (answer.statusCode) {
    case 400:
      return newBadRequest(text);
    case 404:
      return newStatusError('NotFound', text === '' ? 'the server could not find the requested resource' : text, {});
    default:
      return newInternalError(text === '' ? `the kubelet answered with status ${answer.statusCode}` : text);
  }
}
