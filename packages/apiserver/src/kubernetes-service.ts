/**
 * The `kubernetes` Service in `default` and its Endpoints and EndpointSlice: the API servers that are alive. Each keeps a key
 * of its own with a lease under `/registry/masterleases/`, so that a server that died disappears when its lease ends.
 */
import {
  cloneJson,
  endpoints,
  equalJson,
  endpointSlices,
  isAlreadyExists,
  isConflict,
  isNotFound,
  services,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import type { EtcdClient } from '@naru/etcd-client';
import { randomUUID } from 'node:crypto';
import { loopbackContext } from './bootstrap.ts';
import type { ResourceStack } from './resource-stack.ts';
import { prefixEnd } from './storage/keys.ts';

/** How often a server renews its lease and looks at the others'. */
const RECONCILE_INTERVAL_MS = 10_000;
/** How long a server that says nothing is taken for alive. */
const LEASE_TTL_SECONDS = 15;
const SERVICE = 'kubernetes';
const NAMESPACE = 'default';

export interface KubernetesServiceOptions {
  readonly stack: ResourceStack;
  readonly client: EtcdClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly etcdPrefix: string;
  /** This server's address and port. */
  readonly address: string;
  readonly port: () => number;
  readonly clusterIp: string;
}

export class KubernetesService {
  readonly #options: KubernetesServiceOptions;
  readonly #prefix: string;
  /** Servers that share an address and a port, by SO_REUSEPORT, are told apart. */
  readonly #id = randomUUID();
  #lease: bigint | undefined;

  constructor(options: KubernetesServiceOptions) {
    this.#options = options;
    this.#prefix = `${options.etcdPrefix}/masterleases/`;
  }

  /** Reconciles until the signal aborts, then takes this server out. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      try {
        await this.reconcile();
      } catch (error) {
        logger.warn({ err: error }, 'reconciling the kubernetes service failed');
      }
      await clock.sleep(RECONCILE_INTERVAL_MS, { signal }).catch(() => undefined);
    }
    try {
      await this.#leave();
    } catch (error) {
      logger.warn({ err: error }, 'leaving the kubernetes service failed');
    }
  }

  async reconcile(): Promise<void> {
    await this.#keepAlive();
    await this.#ensureService();
    await this.#writeEndpoints(await this.#liveServers());
  }

  get #ownKey(): string {
    return `${this.#prefix}${this.#options.address}/${this.#id}`;
  }

  async #keepAlive(): Promise<void> {
    const { client } = this.#options;
    if (this.#lease !== undefined && (await client.leaseKeepAlive(this.#lease)).ttl > 0) return;
    const { id } = await client.leaseGrant({ ttl: LEASE_TTL_SECONDS });
    const { address, port } = this.#options;
    const value = Buffer.from(JSON.stringify({ address, port: port() }));
    await client.put({ key: Buffer.from(this.#ownKey), value, lease: id });
    this.#lease = id;
  }

  async #leave(): Promise<void> {
    const { client } = this.#options;
    if (this.#lease === undefined) return;
    await client.leaseRevoke(this.#lease);
    this.#lease = undefined;
    await this.#writeEndpoints(await this.#liveServers());
  }

  async #liveServers(): Promise<{ readonly address: string; readonly port: number }[]> {
    const range = { key: Buffer.from(this.#prefix), rangeEnd: Buffer.from(prefixEnd(this.#prefix)) };
    const { kvs } = await this.#options.client.range(range);
    return kvs.map(({ value }) => JSON.parse(value.toString()) as { readonly address: string; readonly port: number });
  }

  async #ensureService(): Promise<void> {
    const { clusterIp, port } = this.#options;
    await this.#write(services, SERVICE, () => ({
      kind: 'Service',
      apiVersion: 'v1',
      metadata: {
        name: SERVICE,
        namespace: NAMESPACE,
        labels: { component: 'apiserver', provider: 'kubernetes' },
      },
      spec: {
        type: 'ClusterIP',
        clusterIP: clusterIp,
        clusterIPs: [clusterIp],
        ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort: port() }],
        sessionAffinity: 'None',
      },
    }));
  }

  async #writeEndpoints(servers: readonly { readonly address: string; readonly port: number }[]): Promise<void> {
    const addresses = [...new Set(servers.map((each) => each.address))].sort();
    const port = servers[0]?.port ?? this.#options.port();
    const subsets = [
      {
        addresses: addresses.map((ip) => ({ ip })),
        ports: [{ name: 'https', port, protocol: 'TCP' }],
      },
    ];
    await this.#write(
      endpoints,
      SERVICE,
      () => ({
        kind: 'Endpoints',
        apiVersion: 'v1',
        metadata: {
          name: SERVICE,
          namespace: NAMESPACE,
          labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
        },
        subsets: addresses.length === 0 ? [] : subsets,
      }),
      ['subsets'],
    );
    await this.#write(
      endpointSlices,
      SERVICE,
      () => ({
        kind: 'EndpointSlice',
        apiVersion: 'discovery.k8s.io/v1',
        metadata: { name: SERVICE, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': SERVICE } },
        addressType: 'IPv4',
        endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
        ports: [{ name: 'https', port, protocol: 'TCP' }],
      }),
      ['endpoints', 'ports'],
    );
  }

  /** Creates the object, or gives it these fields. Another server may do the same at the same time. */
  async #write(
    resource: Resource,
    name: string,
    make: () => UnstructuredObject,
    fields: readonly string[] = [],
  ): Promise<void> {
    const { stack, clock } = this.#options;
    const registry = stack.registryOf(resource);
    if (registry === undefined) return;
    const context = loopbackContext(NAMESPACE, clock.now());
    const wanted = make();
    try {
      const cached = registry.cache.get(registry.keyOf(NAMESPACE, name));
      if (cached === undefined) {
        await registry.create(wanted, context);
        return;
      }
      const current = registry.cache.parsed(cached);
      if (fields.every((field) => equalJson(current[field], wanted[field]))) return;
      await registry.update(name, '', (old) => withFields(old, wanted, fields), context);
    } catch (error) {
      if (!isAlreadyExists(error) && !isConflict(error) && !isNotFound(error)) throw error;
    }
  }
}

function withFields(
  old: UnstructuredObject,
  wanted: UnstructuredObject,
  fields: readonly string[],
): UnstructuredObject {
  return Object.assign(cloneJson(old), Object.fromEntries(fields.map((field) => [field, wanted[field]])));
}
