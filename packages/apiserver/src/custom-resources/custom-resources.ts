/**
 * Serves the kinds that CustomResourceDefinitions define. Every server follows the definitions by its watch cache and does
 * the same: it accepts names, serves what is established, and deletes the objects of definitions that go. All of it is
 * level-based and idempotent, so that any number of servers can do it at once.
 */
import {
  builtInResources,
  customResourceDefinitions,
  equalJson,
  formatTime,
  isConditionTrue,
  isNotFound,
  type CustomResourceDefinition,
  type UnstructuredObject,
} from '@naru/api';
import { backoffMs, type Clock, type Logger } from '@naru/component';
import { loopbackContext } from '../bootstrap.ts';
import type { EquivalentResources } from '../admission/admission.ts';
import type { WebhookClient } from '../admission/webhooks/webhook-client.ts';
import { WatchCache } from '../cache/watch-cache.ts';
import { deleteObject } from '../registry/deletion.ts';
import type { GenericRegistry } from '../registry/generic-registry.ts';
import type { ObjectChange } from '../registry/object-observer.ts';
import { selectableFieldsOf } from '../registry/strategies/custom-resource.ts';
import { cleanupFinalizer } from '../registry/strategies/definitions/custom-resource-definition.ts';
import { definitionStatus } from '../registry/strategies/definitions/definition-status.ts';
import type { ResourceStack } from '../resource-stack.ts';
import type { ServedResource, ServedResources } from '../server/served-resource.ts';
import { resourcePrefix } from '../storage/keys.ts';
import { conversionWebhook } from './conversion-webhook.ts';
import { customVersionsOf, selectablePathsOf, type CustomVersion } from './custom-version.ts';
import { VersionConversion } from './version-conversion.ts';

/** How long a request for an unknown resource waits for the definitions to be worked on. */
const SETTLE_MS = 3000;
const RETRY = { baseMs: 100, maxMs: 5000 } as const;

export interface CustomResourcesOptions {
  readonly stack: ResourceStack;
  readonly resources: ServedResources;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly etcdPrefix: string;
  /** Calls conversion webhooks. */
  readonly webhooks: WebhookClient;
}

interface ServedVersionOptions {
  /** The definition is being deleted. */
  readonly isTerminating: boolean;
  readonly equivalents: EquivalentResources | undefined;
  readonly conversion: VersionConversion;
}

interface ServedDefinition {
  readonly cache: WatchCache;
  readonly versions: readonly ServedResource[];
  /** Of the version that is stored, which need not be served. */
  readonly storage: GenericRegistry;
  /** What the served resources are made of. */
  readonly source: unknown;
}

export class CustomResources {
  readonly #options: CustomResourcesOptions;
  readonly #dirty = new Set<string>();
  /** By name of the definition. */
  readonly #served = new Map<string, ServedDefinition>();
  /** Uids of the definitions whose objects are being deleted. */
  readonly #finalizing = new Map<string, Promise<void>>();
  #wake = Promise.withResolvers<void>();
  /** Resolved while nothing is to be done. */
  #settled = Promise.withResolvers<void>();
  #isSettled = true;

  constructor(options: CustomResourcesOptions) {
    this.#options = options;
  }

  observe({ object }: Pick<ObjectChange, 'object'>): void {
    this.#markDirty(object.metadata.name ?? '');
  }

  #markDirty(name: string): void {
    if (this.#isSettled) this.#settled = Promise.withResolvers<void>();
    this.#isSettled = false;
    this.#dirty.add(name);
    this.#wake.resolve();
  }

  /** Resolves when all that is known of the definitions is served, or it takes too long. */
  async settled(): Promise<void> {
    if (this.#isSettled) return;
    const late = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(SETTLE_MS, () => late.resolve());
    await Promise.race([this.#settled.promise, late.promise]).finally(cancel);
  }

  /** For requests to what is not served: resolves when a definition that was there before the request is. */
  async untilServed(group: string, resource: string): Promise<void> {
    // Groups without a dot are nobody's.
    if (!group.includes('.')) return;
    const { stack } = this.#options;
    await stack.feed.waitFor(await stack.store.currentRevision());
    if (this.#definition(`${resource}.${group}`) !== undefined) await this.settled();
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true });
    for (let failures = 0; !signal.aborted;) {
      await this.#wake.promise;
      this.#wake = Promise.withResolvers<void>();
      if (signal.aborted) break;
      for (const name of this.#dirty) {
        try {
          // What changes from here on marks it again.
          this.#dirty.delete(name);
          await this.#reconcile(name, signal);
          failures = 0;
        } catch (error) {
          if (signal.aborted) break;
          this.#dirty.add(name);
          this.#options.logger.warn({ err: error, name }, 'serving a custom resource failed');
          const { clock } = this.#options;
          await clock.sleep(backoffMs(failures++, RETRY), { signal }).catch(() => undefined);
        }
      }
      this.#isSettled = this.#dirty.size === 0;
      if (this.#isSettled) this.#settled.resolve();
      else this.#wake.resolve();
    }
    await Promise.all(this.#finalizing.values());
  }

  #definition(name: string): CustomResourceDefinition | undefined {
    return this.#options.stack.caches.get(customResourceDefinitions, '', name);
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const definition = this.#definition(name);
    if (definition === undefined) {
      this.#unserve(name);
      // Names may be free for others now.
      const group = name.slice(name.indexOf('.') + 1);
      for (const other of this.#options.stack.caches.list(customResourceDefinitions))
        if (other.spec.group === group && !isConditionTrue(other.status?.conditions, 'NamesAccepted'))
          this.#markDirty(other.metadata.name ?? '');
      return;
    }
    // With the status that it should have, the cache tells of it again.
    if (await this.#updateStatus(definition)) return;
    if (isConditionTrue(definition.status?.conditions, 'Established')) await this.#serve(name, definition, signal);
    if (definition.metadata.deletionTimestamp !== undefined) this.#finalize(definition, signal);
  }

  /** True: it was not as it should be, and is written; then the cache has the new one. */
  async #updateStatus(definition: CustomResourceDefinition): Promise<boolean> {
    const { stack, clock } = this.#options;
    const statusOf = (each: CustomResourceDefinition): CustomResourceDefinition['status'] =>
      definitionStatus(each, stack.caches.list(customResourceDefinitions), builtInResources, formatTime(clock.now()));
    const registry = this.#definitionRegistry();
    if (equalJson(statusOf(definition), definition.status)) return false;
    try {
      const make = (old: UnstructuredObject): UnstructuredObject => ({
        ...old,
        metadata: { ...old.metadata },
        status: statusOf(old as unknown as CustomResourceDefinition),
      });
      const context = loopbackContext('', clock.now(), 'status');
      const { object } = await registry.update(definition.metadata.name ?? '', 'status', make, context);
      await stack.feed.waitFor(Number(object.metadata.resourceVersion));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await stack.feed.waitFor(await stack.store.currentRevision());
    }
    return true;
  }

  #definitionRegistry(): GenericRegistry {
    const registry = this.#options.stack.registryOf(customResourceDefinitions);
    if (registry === undefined) throw new Error('customresourcedefinitions are not served');
    return registry;
  }

  async #serve(name: string, definition: CustomResourceDefinition, signal: AbortSignal): Promise<void> {
    const { stack, resources, etcdPrefix, webhooks: client } = this.#options;
    const { spec, status, metadata } = definition;
    const isTerminating = metadata.deletionTimestamp !== undefined;
    const source = [spec, status?.acceptedNames, status?.storedVersions, metadata.uid];
    const before = this.#served.get(name);
    const isSame = before !== undefined && equalJson(before.source, source);
    const wasTerminating = before?.versions.some((each) => each.terminating === true) ?? false;
    if (isSame && wasTerminating === isTerminating) return;
    const convert = conversionWebhook(definition, { client, store: stack.caches });
    const conversion = new VersionConversion({ definition, convert });
    const versions = customVersionsOf(definition, conversion);
    const equivalents = conversion.equivalents(versions.filter((each) => each.served).map(({ resource }) => resource));
    const stored = versions.find((each) => each.storage);
    if (stored === undefined) return this.#unserve(name);
    const cache = isSame ? before.cache : this.#newCache(resourcePrefix(stored.resource, etcdPrefix), definition);
    // Watches of what was served so far end when the new cache takes over.
    if (!isSame) await stack.feed.fill(cache, signal);
    const served = versions
      .filter((each) => each.served)
      .map((each) => this.#servedVersion(each, cache, { isTerminating, equivalents, conversion }));
    const { storageVersion } = stored;
    const storage = stack.newRegistry(stored.registration, cache, {
      storageVersion,
      equivalents,
      versions: conversion,
    });
    stack.replaceCustom(registriesOf(before), registriesOf({ versions: served }));
    resources.replace(before?.versions ?? [], served);
    this.#served.set(name, { cache, versions: served, storage, source });
    this.#options.logger.info({ name, versions: served.map(({ resource }) => resource.version) }, 'serving');
  }

  #newCache(prefix: string, definition: CustomResourceDefinition): WatchCache {
    return new WatchCache({ prefix, selectableFields: selectableFieldsOf(selectablePathsOf(definition)) });
  }

  #servedVersion(
    version: CustomVersion,
    cache: WatchCache,
    { isTerminating: terminating, equivalents, conversion }: ServedVersionOptions,
  ): ServedResource {
    const { resource, registration, storageVersion, readView, converter, scale, selectable, deprecation } = version;
    return {
      resource,
      registry: this.#options.stack.newRegistry(registration, cache, {
        storageVersion,
        equivalents,
        versions: conversion,
      }),
      view: undefined,
      readView,
      converter,
      virtual: undefined,
      virtualSubresources: new Map(),
      selectable,
      triggerFields: [],
      scale,
      deprecation,
      terminating,
    };
  }

  #unserve(name: string): void {
    const served = this.#served.get(name);
    if (served === undefined) return;
    const { stack, resources, logger } = this.#options;
    this.#served.delete(name);
    resources.replace(served.versions, []);
    stack.replaceCustom(registriesOf(served), []);
    stack.feed.remove(served.cache);
    logger.info({ name }, 'no longer serving');
  }

  /** Deletes the objects beside the other definitions' work, for it may take long; then lets the definition go. */
  #finalize(definition: CustomResourceDefinition, signal: AbortSignal): void {
    const { name = '', uid = '', finalizers = [] } = definition.metadata;
    if (!finalizers.includes(cleanupFinalizer) || this.#finalizing.has(uid)) return;
    const done = this.#deleteObjects(name, uid, signal).finally(() => this.#finalizing.delete(uid));
    this.#finalizing.set(uid, done);
  }

  async #deleteObjects(name: string, uid: string, signal: AbortSignal): Promise<void> {
    const { stack, clock, logger } = this.#options;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const definition = this.#definition(name);
        if (definition === undefined || definition.metadata.uid !== uid) return;
        if (await this.#deleteOnce(name)) {
          await this.#removeFinalizer(name, uid);
          return;
        }
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ err: error, name }, 'deleting the objects of a definition failed');
      }
      await clock.sleep(backoffMs(failures, RETRY), { signal }).catch(() => undefined);
      await stack.feed.waitFor(0).catch(() => undefined);
    }
  }

  /** True: nothing is left. */
  async #deleteOnce(name: string): Promise<boolean> {
    const { stack, clock } = this.#options;
    const registry = this.#served.get(name)?.storage;
    // A definition that was never served has no objects.
    if (registry === undefined) return true;
    await stack.feed.waitFor(await stack.store.currentRevision());
    for (const { namespace, name: object } of registry.cache.page({ namespace: '', limit: 0 }).objects) {
      try {
        await deleteObject(registry, object, {}, loopbackContext(namespace, clock.now()));
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    await stack.feed.waitFor(await stack.store.currentRevision());
    return registry.cache.size === 0;
  }

  async #removeFinalizer(name: string, uid: string): Promise<void> {
    const make = (old: UnstructuredObject): UnstructuredObject => {
      const finalizers = (old.metadata.finalizers ?? []).filter((each) => each !== cleanupFinalizer);
      const { finalizers: _finalizers, ...metadata } = old.metadata;
      if (old.metadata.uid !== uid) return old;
      return { ...old, metadata: finalizers.length === 0 ? metadata : { ...metadata, finalizers } };
    };
    try {
      await this.#definitionRegistry().update(name, '', make, loopbackContext('', this.#options.clock.now()));
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function registriesOf(served: Pick<ServedDefinition, 'versions'> | undefined): GenericRegistry[] {
  return (served?.versions ?? []).map(({ registry }) => registry).filter((registry) => registry !== undefined);
}
