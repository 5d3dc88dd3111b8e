/** Where requests to `pods/NAME/proxy`, `services/NAME/proxy` and `nodes/NAME/proxy` go. */
import { BlockList, isIP } from 'node:net';
import {
  newBadRequest,
  newInternalError,
  newNotFound,
  newStatusError,
  nodes,
  pods,
  services,
  type Node,
} from '@naru/api';
import type { AdmissionStore } from '../admission/admission.ts';
import { readyEndpoints } from '../aggregation/service-resolver.ts';

/** The kubelet's port where its Node does not say. */
export const KUBELET_PORT = 10250;

export interface ProxyTarget {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  /** The kubelet itself, which wants to know who asks. */
  readonly isKubelet: boolean;
}

/** `[SCHEME:]NAME[:PORT]`. */
interface ProxyName {
  readonly scheme: '' | 'http' | 'https';
  readonly name: string;
  readonly port: string;
}

/** @throws StatusError BadRequest. */
function parseProxyName(text: string): ProxyName {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length === 1) return { scheme: '', name: first, port: '' };
  if (parts.length === 2) return { scheme: '', name: first, port: second };
  if (parts.length === 3 && (first === '' || first === 'http' || first === 'https'))
    return { scheme: first, name: second, port: third };
  throw newBadRequest(`invalid proxy request ${JSON.stringify(text)}`);
}

/** Addresses that belong to the server's own machine or to nobody; endpoints are what users say. */
const notAllowed = new BlockList();
notAllowed.addAddress('127.0.0.1', 'ipv4');
notAllowed.addAddress('::1', 'ipv6');
notAllowed.addAddress('::', 'ipv6');
notAllowed.addSubnet('0.0.0.0', 8, 'ipv4');
notAllowed.addSubnet('169.254.0.0', 16, 'ipv4');
notAllowed.addSubnet('224.0.0.0', 4, 'ipv4');
notAllowed.addSubnet('fe80::', 10, 'ipv6');

function checkAddress(address: string): string {
  const family = isIP(address);
  if (family === 0 || notAllowed.check(address, family === 6 ? 'ipv6' : 'ipv4'))
    throw newBadRequest('address not allowed');
  return address;
}

function portNumberOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/u.test(text) || port < 1 || port > 65_535) throw newBadRequest(`invalid port ${JSON.stringify(text)}`);
  return port;
}

export interface ProxyTargetsOptions {
  readonly store: AdmissionStore;
  readonly addressTypes: readonly string[];
  readonly random: () => number;
}

export class ProxyTargets {
  readonly #options: ProxyTargetsOptions;

  constructor(options: ProxyTargetsOptions) {
    this.#options = options;
  }

  /** @throws StatusError NotFound, BadRequest or ServiceUnavailable. */
  find(resource: string, namespace: string, text: string): ProxyTarget {
    const name = parseProxyName(text);
    switch (resource) {
      case 'pods':
        return this.#pod(namespace, name);
      case 'services':
        return this.#service(namespace, name);
      default:
        return this.#node(name);
    }
  }

  #pod(namespace: string, { scheme, name, port }: ProxyName): ProxyTarget {
    const pod = this.#options.store.get(pods, namespace, name);
    if (pod === undefined) throw newNotFound(pods, name);
    const first = (pod.spec?.containers ?? []).flatMap((each) => each.ports ?? [])[0]?.containerPort;
    const address = pod.status?.podIP ?? '';
    if (address === '') throw newBadRequest('address not allowed');
    return {
      scheme: scheme === '' ? 'http' : scheme,
      host: checkAddress(address),
      port: port === '' ? (first ?? (scheme === 'https' ? 443 : 80)) : portNumberOf(port),
      isKubelet: false,
    };
  }

  #service(namespace: string, { scheme, name, port }: ProxyName): ProxyTarget {
    const service = this.#options.store.get(services, namespace, name);
    if (service === undefined) throw newNotFound(services, name);
    const ports = service.spec?.ports ?? [];
    const wanted =
      port === '' && ports.length === 1
        ? ports[0]
        : ports.find((each) => (each.name ?? '') === port || String(each.port) === port);
    if (wanted === undefined)
      throw newStatusError(
        'ServiceUnavailable',
        `no service port ${JSON.stringify(port)} found for service ${JSON.stringify(name)}`,
      );
    const { store } = this.#options;
    const found = readyEndpoints(store, { namespace, service: name, portName: wanted.name ?? '' });
    const chosen = found[Math.floor(this.#options.random() * found.length)];
    if (chosen === undefined)
      throw newStatusError('ServiceUnavailable', `no endpoints available for service ${JSON.stringify(name)}`);
    return {
      scheme: scheme === '' ? 'http' : scheme,
      host: checkAddress(chosen.host),
      port: chosen.port,
      isKubelet: false,
    };
  }

  #node({ scheme, name, port }: ProxyName): ProxyTarget {
    const node = this.#options.store.get(nodes, '', name);
    if (node === undefined) throw newNotFound(nodes, name);
    const host = nodeAddressOf(node, this.#options.addressTypes);
    const kubeletPort = kubeletPortOf(node);
    if (port === '' || port === String(kubeletPort))
      return { scheme: 'https', host, port: kubeletPort, isKubelet: true };
    return { scheme: scheme === '' ? 'http' : scheme, host, port: portNumberOf(port), isKubelet: false };
  }
}

export function kubeletPortOf(node: Node): number {
  const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
  return port === 0 ? KUBELET_PORT : port;
}

/** The first address of a node that is of a wanted type. @throws StatusError InternalError. */
export function nodeAddressOf(node: Node, types: readonly string[]): string {
  const addresses = node.status?.addresses ?? [];
  for (const type of types) {
    const found = addresses.find((each) => each.type === type);
    if (found !== undefined) return found.address;
  }
  throw newInternalError(`no preferred addresses found; known addresses: ${JSON.stringify(addresses)}`);
}
