import {
  addAmounts,
  equalJson,
  isNotFound,
  quotaEvaluator,
  quotaUsage,
  resourceQuotas,
  type KubeObject,
  type Pod,
  type Quantity,
  type Resource,
  type ResourceQuota,
} from '@naru/api';
import { Controller, type Informer, type ReconcileResult } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { CountedObjects } from './counted-objects.ts';
import { countedKinds, lowers, planStatus } from './plan.ts';

type GroupResource = Pick<Resource, 'group' | 'resource'>;

/** A count that gave something back is checked again after this long: caches may have missed what was just created. */
const RECOUNT_MS = 3000;

/** Counts what the objects of a namespace use of its ResourceQuotas; admission adds what is created in between. */
export class ResourceQuotaController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #quotas: Informer<ResourceQuota>;
  readonly #objects: CountedObjects;
  readonly #controller: Controller;
  #signal: AbortSignal | undefined;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#quotas = context.informers.informer(resourceQuotas);
    this.#objects = new CountedObjects(context, {
      updated: (kind, object, old) => {
        if (this.#usesLess(kind, object, old)) this.#recount(kind, object);
      },
      deleted: (kind, object) => this.#recount(kind, object),
    });
    this.#controller = new Controller({
      name: 'resourcequota',
      workers: context.options.concurrentSyncs.resourceQuota,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key) => await this.#reconcile(key),
    });
    const { queue } = this.#controller;
    this.#quotas.addHandlers({
      added: (quota) => queue.add(keyOf(quota)),
      updated: (quota, old) => {
        // What admission adds to the status is none of its business.
        if (!equalJson(quota.spec, old.spec) || quota.metadata.uid !== old.metadata.uid) queue.add(keyOf(quota));
      },
    });
  }

  start(signal: AbortSignal): void {
    this.#signal = signal;
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
    await this.#objects[Symbol.asyncDispose]();
  }

  #recount(kind: GroupResource, { metadata }: KubeObject): void {
    for (const quota of this.#quotas.list(metadata.namespace))
      if (countedKinds(quota).some((each) => each.group === kind.group && each.resource === kind.resource))
        this.#controller.queue.add(keyOf(quota));
  }

  /** Pods that end, Services and claims that change. */
  #usesLess(kind: GroupResource, object: KubeObject, old: KubeObject): boolean {
    if (kind.group !== '') return false;
    switch (kind.resource) {
      case 'pods':
        return isFinished(object) && !isFinished(old);
      case 'services':
      case 'persistentvolumeclaims': {
        const { usage } = quotaEvaluator(kind);
        const now = this.#context.clock.now();
        return !equalJson(textsOf(usage(object, now)), textsOf(usage(old, now)));
      }
      default:
        return false;
    }
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    // Informers outlive the reconcile that makes them.
    const signal = this.#signal;
    if (signal === undefined) return {};
    const [namespace = '', name = ''] = key.split('/');
    const quota = this.#quotas.get(namespace, name);
    if (quota === undefined || quota.metadata.deletionTimestamp !== undefined) return {};
    const { client, clock, options } = this.#context;
    const usage = new Map<string, Quantity>();
    for (const kind of countedKinds(quota)) {
      const objects = await this.#objects.list(kind, namespace, signal);
      addAmounts(usage, quotaUsage(quota, quotaEvaluator(kind), objects, clock.now()));
    }
    const status = planStatus(quota, usage);
    if (status === undefined) return { requeueAfterMs: options.resourceQuotaSyncPeriodMs };
    try {
      await client.update(resourceQuotas, { ...quota, status }, { subresource: 'status', signal });
    } catch (error) {
      if (isNotFound(error)) return {};
      throw error;
    }
    return { requeueAfterMs: lowers(quota, status) ? RECOUNT_MS : options.resourceQuotaSyncPeriodMs };
  }
}

function keyOf({ metadata }: ResourceQuota): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}

function isFinished(object: KubeObject): boolean {
  const { phase } = (object as Pod).status ?? {};
  return phase === 'Failed' || phase === 'Succeeded';
}

function textsOf(amounts: ReadonlyMap<string, Quantity>): Record<string, string> {
  return Object.fromEntries([...amounts].map(([name, quantity]) => [name, quantity.toString()]));
}
