/** Everything below HTTP: the store, the caches that follow it, and a registry for every kind. */
import { events, eventsEvents, type Resource } from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import type { EtcdClient } from '@naru/etcd-client';
import type { AdmissionPlugin } from './admission/admission.ts';
import { StoreFeed } from './cache/store-feed.ts';
import { WatchCache } from './cache/watch-cache.ts';
import { AdmissionCaches } from './registry/admission-caches.ts';
import { GenericRegistry, type GenericRegistryOptions } from './registry/generic-registry.ts';
import type { ObjectObserver } from './registry/object-observer.ts';
import type { StorageHooks } from './registry/storage-hooks.ts';
import type { ResourceRegistration } from './registry/strategy.ts';
import { EventLeases } from './storage/event-leases.ts';
import { resourcePrefix } from './storage/keys.ts';
import type { ObjectStore } from './storage/object-store.ts';

export interface ResourceStackOptions {
  readonly client: EtcdClient;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly eventTtlMs: number;
  readonly etcdPrefix: string;
  readonly registrations: readonly ResourceRegistration[];
  readonly hooksOf: (resource: Resource) => StorageHooks | undefined;
  readonly admission: readonly AdmissionPlugin[];
  readonly observers: readonly ObjectObserver[];
}

/** Fields by which many clients watch one value each: each kubelet its pods. */
const triggerFieldsByResource: Readonly<Record<string, readonly string[]>> = { pods: ['spec.nodeName'] };

export function triggerFieldsOf({ group, resource }: Resource): readonly string[] {
  return group === '' ? (triggerFieldsByResource[resource] ?? []) : [];
}

export class ResourceStack {
  readonly store: ObjectStore;
  readonly feed: StoreFeed;
  readonly caches: AdmissionCaches;
  readonly #registries = new Map<Resource, GenericRegistry>();
  readonly #custom = new Set<GenericRegistry>();
  readonly #options: ResourceStackOptions;

  constructor(options: ResourceStackOptions) {
    this.#options = options;
    const { client, clock, logger, etcdPrefix } = options;
    this.store = options.store;
    this.feed = new StoreFeed({ client, store: this.store, clock, logger, etcdPrefix });
    const leases = new EventLeases(client, () => clock.monotonic());
    const eventTtlSeconds = Math.ceil(options.eventTtlMs / 1000);
    const byPrefix = new Map<string, WatchCache>();
    this.caches = new AdmissionCaches(byPrefix, { store: this.store, etcdPrefix, clock });
    for (const registration of options.registrations) {
      const { resource, strategy } = registration;
      const prefix = resourcePrefix(resource, etcdPrefix);
      let cache = byPrefix.get(prefix);
      if (cache === undefined) {
        cache = new WatchCache({
          prefix,
          selectableFields: strategy.selectableFields ?? {},
          triggerFields: triggerFieldsOf(resource),
          onChange: observersOf(resource, options.observers),
        });
        byPrefix.set(prefix, cache);
        this.feed.add(cache);
      }
      const expires = resource === events || resource === eventsEvents;
      const lease = expires ? async (): Promise<bigint> => await leases.leaseFor(eventTtlSeconds) : undefined;
      this.#registries.set(resource, this.newRegistry(registration, cache, { lease }));
    }
  }

  registryOf(resource: Resource): GenericRegistry | undefined {
    return this.#registries.get(resource);
  }

  *registries(): Generator<GenericRegistry> {
    yield* this.#registries.values();
    yield* this.#custom;
  }

  /** A registry of a kind on a cache that others may share. */
  newRegistry(
    registration: ResourceRegistration,
    cache: WatchCache,
    own: Pick<GenericRegistryOptions, 'lease' | 'storageVersion' | 'equivalents' | 'versions'>,
  ): GenericRegistry {
    const { hooksOf, admission, random } = this.#options;
    return new GenericRegistry({
      registration,
      hooks: hooksOf(registration.resource),
      cache,
      store: this.store,
      admission,
      admissionStore: this.caches,
      random,
      ...own,
    });
  }

  /** Registries of custom resources come and go. */
  replaceCustom(before: readonly GenericRegistry[], now: readonly GenericRegistry[]): void {
    for (const registry of before) this.#custom.delete(registry);
    for (const registry of now) this.#custom.add(registry);
  }

  /** Ends when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.feed.run(signal);
  }
}

function observersOf(
  resource: Resource,
  observers: readonly ObjectObserver[],
): ConstructorParameters<typeof WatchCache>[0]['onChange'] {
  const interested = observers.filter((observer) =>
    observer.resources.some((each) => each.group === resource.group && each.resource === resource.resource),
  );
  if (interested.length === 0) return undefined;
  return (type, object) => {
    for (const observer of interested) observer.observe({ type, resource, object });
  };
}
