/** Keeps the FlowSchemas and PriorityLevelConfigurations that every cluster has, and says of each FlowSchema if its level is there. */
import { isDeepStrictEqual } from 'node:util';
import {
  flowSchemas,
  formatTime,
  isAlreadyExists,
  isConflict,
  isNotFound,
  priorityLevelConfigurations,
  type FlowSchema,
  type KubeObject,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import { loopbackContext } from '../bootstrap.ts';
import type { ObjectObserver } from '../registry/object-observer.ts';
import type { RequestContext } from '../registry/request-context.ts';
import type { ResourceStack } from '../resource-stack.ts';
import {
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  suggestedFlowSchemas,
  suggestedPriorityLevels,
} from './bootstrap-configuration-data.ts';

/** Whether the server keeps an object's spec as it suggests it. */
const AUTO_UPDATE = 'apf.kubernetes.io/autoupdate-spec';
/** How often everything is looked at, even if nothing is heard of. */
const RECONCILE_INTERVAL_MS = 60_000;
/** How long changes are gathered. */
const SETTLE_MS = 250;

const producer = { name: 'api-priority-and-fairness-config-producer-v1', subresource: '', applies: false };
const consumer = { name: 'api-priority-and-fairness-config-consumer-v1', subresource: 'status', applies: false };

type Configuration = KubeObject & { readonly spec?: unknown };

export interface BootstrapConfigurationOptions {
  readonly stack: () => ResourceStack;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class BootstrapConfiguration implements ObjectObserver {
  readonly resources = [flowSchemas, priorityLevelConfigurations];
  readonly #options: BootstrapConfigurationOptions;
  #changed = Promise.withResolvers<void>();

  constructor(options: BootstrapConfigurationOptions) {
    this.#options = options;
  }

  observe(): void {
    this.#changed.resolve();
  }

  /** Ends when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      const woken = new AbortController();
      const sleeping = clock.sleep(RECONCILE_INTERVAL_MS, { signal: AbortSignal.any([signal, woken.signal]) });
      await Promise.race([this.#changed.promise, sleeping.catch(() => undefined)]);
      woken.abort();
      await clock.sleep(SETTLE_MS, { signal }).catch(() => undefined);
      this.#changed = Promise.withResolvers();
      if (signal.aborted) return;
      try {
        await this.reconcile();
      } catch (error) {
        logger.warn({ err: error }, 'keeping flow schemas and priority levels failed');
      }
    }
  }

  /** Creates what is missing, and brings back what was changed and is the server's to keep. */
  async reconcile(): Promise<void> {
    const keep = async (resource: Resource, objects: readonly KubeObject[], mandatory: boolean): Promise<void> => {
      await Promise.all(objects.map(async (each) => await this.#keep(resource, each as Configuration, mandatory)));
    };
    await keep(priorityLevelConfigurations, mandatoryPriorityLevels, true);
    await keep(priorityLevelConfigurations, suggestedPriorityLevels, false);
    await keep(flowSchemas, mandatoryFlowSchemas, true);
    await keep(flowSchemas, suggestedFlowSchemas, false);
    const { feed, store, caches } = this.#options.stack();
    await feed.waitFor(await store.currentRevision());
    await Promise.all(caches.list(flowSchemas).map(async (schema) => await this.#writeStatus(schema)));
  }

  async #keep(resource: Resource, wanted: Configuration, mandatory: boolean): Promise<void> {
    const { name = '' } = wanted.metadata;
    const { caches } = this.#options.stack();
    const registry = this.#registryOf(resource);
    const current = caches.get<Configuration>(resource, '', name);
    const context = this.#context(producer);
    try {
      if (current === undefined) {
        const metadata = { name, annotations: { [AUTO_UPDATE]: 'true' } };
        await registry.create(structuredClone({ ...wanted, metadata }) as UnstructuredObject, context);
        return;
      }
      const keeps = mandatory || isKept(current);
      const make = (old: UnstructuredObject): UnstructuredObject => {
        const object = structuredClone(old);
        object.metadata.annotations = { ...object.metadata.annotations, [AUTO_UPDATE]: String(keeps) };
        if (keeps) object['spec'] = keptSpec(wanted, old);
        return object;
      };
      const old = current as unknown as UnstructuredObject;
      if (isDeepStrictEqual(make(old), old)) return;
      await registry.update(name, '', make, context);
    } catch (error) {
      // Another server was faster; what it left will be looked at again.
      if (!isAlreadyExists(error) && !isConflict(error) && !isNotFound(error)) throw error;
    }
  }

  /** The condition by which users see that a FlowSchema leads nowhere. */
  async #writeStatus(schema: FlowSchema): Promise<void> {
    const { clock } = this.#options;
    const { caches } = this.#options.stack();
    const level = schema.spec?.priorityLevelConfiguration.name ?? '';
    const isThere = caches.get(priorityLevelConfigurations, '', level) !== undefined;
    const subject = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)}`;
    const wanted = isThere
      ? { status: 'False', reason: 'Found', message: `${subject} and it exists` }
      : { status: 'True', reason: 'NotFound', message: `${subject} but there is no such object` };
    const conditions = schema.status?.conditions ?? [];
    const current = conditions.find(({ type }) => type === 'Dangling');
    if (current?.status === wanted.status && current.reason === wanted.reason && current.message === wanted.message)
      return;
    const others = conditions.filter(({ type }) => type !== 'Dangling');
    const condition = { type: 'Dangling', lastTransitionTime: formatTime(clock.now()), ...wanted };
    const make = (old: UnstructuredObject): UnstructuredObject => ({
      ...structuredClone(old),
      status: { ...(old['status'] as object | undefined), conditions: [...others, condition] },
    });
    try {
      await this.#registryOf(flowSchemas).update(schema.metadata.name ?? '', 'status', make, this.#context(consumer));
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }

  #registryOf(resource: Resource): NonNullable<ReturnType<ResourceStack['registryOf']>> {
    const registry = this.#options.stack().registryOf(resource);
    if (registry === undefined) throw new Error(`${resource.resource} are not served`);
    return registry;
  }

  #context(fieldManager: typeof producer): RequestContext {
    return { ...loopbackContext('', this.#options.clock.now()), fieldManager };
  }
}

/** Suggested objects are kept until somebody changes them or says that they are not to be. */
function isKept({ metadata }: KubeObject): boolean {
  const annotation = metadata.annotations?.[AUTO_UPDATE];
  return annotation === 'true' || (annotation !== 'false' && (metadata.generation ?? 1) === 1);
}

/** Of `exempt`, what it lends is the administrator's. */
function keptSpec({ spec }: Configuration, old: UnstructuredObject): unknown {
  const exempt = (old['spec'] as { exempt?: unknown } | undefined)?.exempt;
  const isExempt = (spec as { type?: string } | undefined)?.type === 'Exempt';
  return structuredClone(isExempt && exempt !== undefined ? { ...(spec as object), exempt } : spec);
}
