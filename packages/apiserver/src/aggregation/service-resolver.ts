/** Where a Service that extends the API, or a webhook, is reached (k8s.io/apiserver/pkg/util/proxy). */
import { endpointSlices, newNotFound, newStatusError, services, type EndpointSlice } from '@naru/api';
import type { AdmissionStore } from '../admission/admission.ts';

export interface ServiceReference {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

export interface ServiceAddress {
  readonly host: string;
  readonly port: number;
}

export interface ServiceResolverOptions {
  readonly store: AdmissionStore;
  /** `--enable-aggregator-routing`: to endpoints instead of the ClusterIP. */
  readonly endpointRouting: boolean;
  readonly random: () => number;
}

export class ServiceResolver {
  readonly #options: ServiceResolverOptions;

  constructor(options: ServiceResolverOptions) {
    this.#options = options;
  }

  /** One of its addresses. @throws StatusError NotFound or ServiceUnavailable. */
  resolve({ namespace, name, port }: ServiceReference): ServiceAddress {
    const { store, endpointRouting, random } = this.#options;
    const service = store.get(services, namespace, name);
    if (service === undefined) throw newNotFound({ group: '', resource: 'service' }, name);
    const { type = 'ClusterIP', clusterIP = '', externalName = '', ports = [] } = service.spec ?? {};
    if (type === 'ExternalName') return { host: externalName, port };
    const found = ports.find((each) => each.port === port);
    if (found === undefined)
      throw newStatusError('ServiceUnavailable', `no service port ${port} found for service ${JSON.stringify(name)}`);
    if (!endpointRouting && clusterIP !== '' && clusterIP !== 'None') return { host: clusterIP, port };
    const all = readyEndpoints(store, { namespace, service: name, portName: found.name ?? '' });
    const chosen = all[Math.floor(random() * all.length)];
    if (chosen === undefined)
      throw newStatusError('ServiceUnavailable', `no endpoints available for service ${JSON.stringify(name)}`);
    return chosen;
  }
}

export function slicesOf(
  store: AdmissionStore,
  { namespace, service }: { readonly namespace: string; readonly service: string },
): readonly EndpointSlice[] {
  return store
    .list(endpointSlices, namespace)
    .filter((each) => each.metadata.labels?.['kubernetes.io/service-name'] === service);
}

/** Addresses of a Service's ready endpoints. */
export function readyEndpoints(
  store: AdmissionStore,
  { namespace, service, portName }: { readonly namespace: string; readonly service: string; readonly portName: string },
): ServiceAddress[] {
  return slicesOf(store, { namespace, service }).flatMap((slice) => {
    const port = (slice.ports ?? []).find((each) => (each.name ?? '') === portName)?.port;
    if (port === undefined) return [];
    return (slice.endpoints ?? [])
      .filter((each) => each.conditions?.ready !== false)
      .flatMap((each) => each.addresses.slice(0, 1).map((host) => ({ host, port })));
  });
}
