/** Whether an APIService's server can be reached (kube-aggregator/pkg/controllers/status). */
import { services, type APIService } from '@naru/api';
import { request, type Agent } from 'undici';
import type { AdmissionStore } from '../admission/admission.ts';
import { apiServiceName, remoteServiceOf } from './api-services.ts';
import {
  aggregatorUser,
  newAgent,
  originOf,
  tlsOf,
  userHeaders,
  type ProxyClientCertificate,
} from './remote-client.ts';
import { slicesOf, type ServiceResolver } from './service-resolver.ts';

/** Each check asks this often at once: endpoints may differ. */
const ATTEMPTS = 5;
const CHECK_TIMEOUT_MS = 5000;

export interface Availability {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

export interface AvailabilityOptions {
  readonly store: AdmissionStore;
  readonly resolver: ServiceResolver;
  readonly certificate: ProxyClientCertificate;
}

const unavailable = (reason: string, message: string): Availability => ({ status: 'False', reason, message });

/** The condition `Available` as it is to be. */
export async function availabilityOf(apiService: APIService, options: AvailabilityOptions): Promise<Availability> {
  const service = remoteServiceOf(apiService);
  if (service === undefined)
    return { status: 'True', reason: 'Local', message: 'Local APIServices are always available' };
  const { namespace, name, port } = service;
  const found = options.store.get(services, namespace, name);
  const what = `service/${name} in ${JSON.stringify(namespace)}`;
  if (found === undefined) return unavailable('ServiceNotFound', `${what} is not present`);
  if ((found.spec?.type ?? 'ClusterIP') === 'ClusterIP') {
    const servicePort = (found.spec?.ports ?? []).find((each) => each.port === port);
    if (servicePort === undefined) return unavailable('ServicePortError', `${what} is not listening on port ${port}`);
    const slices = slicesOf(options.store, { namespace, service: name });
    if (slices.length === 0) return unavailable('EndpointsNotFound', `cannot find endpointslices for ${what}`);
    const { name: portName = '' } = servicePort;
    const hasEndpoint = slices.some(
      ({ endpoints = [], ports = [] }) =>
        endpoints.some((each) => each.conditions?.ready !== false) &&
        ports.some((each) => (each.name ?? '') === portName && each.port !== undefined),
    );
    if (!hasEndpoint)
      return unavailable(
        'MissingEndpoints',
        `endpointslices for ${what} have no addresses with port name ${JSON.stringify(portName)}`,
      );
  }
  const failure = await discoveryFailure(apiService, options);
  return failure === undefined
    ? { status: 'True', reason: 'Passed', message: 'all checks passed' }
    : unavailable('FailedDiscoveryCheck', failure);
}

/** Why the server does not say what it serves. Whom it is does not matter here: nothing that it says is believed. */
async function discoveryFailure(
  apiService: APIService,
  { resolver, certificate }: AvailabilityOptions,
): Promise<string | undefined> {
  const service = remoteServiceOf(apiService);
  if (service === undefined) return undefined;
  const { group = '', version = '' } = apiService.spec ?? {};
  const isLegacy = apiServiceName({ group, version }) === 'v1.';
  const path = isLegacy ? `/api/${version}` : `/apis/${group}/${version}`;
  const agent = newAgent({ ...tlsOf(apiService, certificate), rejectUnauthorized: false });
  try {
    const attempts = Array.from(
      { length: ATTEMPTS },
      async () => await check(`${originOf(resolver.resolve(service))}${path}`, agent),
    );
    await Promise.any(attempts);
    return undefined;
  } catch (error) {
    const last = (error as AggregateError).errors.at(-1) as Error | undefined;
    return last?.message ?? 'unknown error';
  } finally {
    await agent.destroy();
  }
}

async function check(url: string, agent: Agent): Promise<void> {
  const failing = (why: string): Error => new Error(`failing or missing response from ${url}: ${why}`);
  let statusCode: number;
  try {
    const answer = await request(url, {
      headers: userHeaders(aggregatorUser),
      dispatcher: agent,
      signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
    });
    ({ statusCode } = answer);
    await answer.body.dump();
  } catch (error) {
    const { cause, message, name } = error as Error;
    const why =
      name === 'TimeoutError' ? 'context deadline exceeded' : cause instanceof Error ? cause.message : message;
    throw failing(`Get ${JSON.stringify(url)}: ${why}`);
  }
  if (statusCode < 200 || statusCode >= 300) throw failing(`bad status from ${url}: ${statusCode}`);
}
