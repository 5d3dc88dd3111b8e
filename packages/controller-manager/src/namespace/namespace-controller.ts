import {
  formatTime,
  isConflict,
  isNotFound,
  namespaces,
  pods,
  type KubeObject,
  type Namespace,
  type Pod,
  type Resource,
} from '@naru/api';
import { Controller, listAll, type Informer, type ReconcileResult } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { discover } from '../discovery.ts';
import {
  deletableResources,
  KUBERNETES_FINALIZER,
  planConditions,
  withoutTwins,
  type DeletionProgress,
  type Remaining,
} from './plan.ts';

/** Content that waits for its finalizers or grace is looked at again after this long, twice as long each time. */
const RECHECK_MS = 500;
const RECHECK_MS_MAX = 15_000;

/** Empties namespaces that are being deleted, then lets them go. */
export class NamespaceController implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #namespaces: Informer<Namespace>;
  readonly #pods: Informer<Pod>;
  readonly #controller: Controller;
  readonly #rechecks = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#namespaces = context.informers.informer(namespaces);
    this.#pods = context.informers.informer(pods);
    this.#controller = new Controller({
      name: 'namespace',
      workers: context.options.concurrentSyncs.namespace,
      clock: context.clock,
      logger: context.logger,
      reconcile: async (key, { signal }) => await this.#reconcile(key, signal),
    });
    const { queue } = this.#controller;
    const changed = ({ metadata }: Namespace): void => {
      if (metadata.deletionTimestamp !== undefined) queue.add(metadata.name ?? '');
    };
    this.#namespaces.addHandlers({
      added: changed,
      updated: changed,
      deleted: ({ metadata }) => this.#rechecks.delete(metadata.name ?? ''),
    });
    // Pods go last, and need not be polled for.
    this.#pods.addHandlers({
      deleted: ({ metadata }) => {
        const namespace = this.#namespaces.get('', metadata.namespace ?? '');
        if (namespace?.metadata.deletionTimestamp !== undefined) queue.add(metadata.namespace ?? '');
      },
    });
  }

  start(signal: AbortSignal): void {
    this.#controller.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#controller[Symbol.asyncDispose]();
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { client } = this.#context;
    if (this.#namespaces.get('', name)?.metadata.deletionTimestamp === undefined) return {};
    let namespace: Namespace;
    try {
      namespace = await client.get(namespaces, name, { signal });
    } catch (error) {
      if (isNotFound(error)) return {};
      throw error;
    }
    if (namespace.metadata.deletionTimestamp === undefined) return {};
    if ((namespace.spec?.finalizers ?? []).length === 0) return {};
    const progress = await this.#deleteContent(name, signal);
    namespace = await this.#updateStatus(namespace, progress, signal);
    const done =
      progress.remaining.length === 0 &&
      progress.deletionFailures.length === 0 &&
      progress.discoveryFailures.length === 0;
    if (!done) {
      const checks = this.#rechecks.get(name) ?? 0;
      this.#rechecks.set(name, checks + 1);
      return { requeueAfterMs: Math.min(RECHECK_MS * 2 ** checks, RECHECK_MS_MAX) };
    }
    const finalizers = (namespace.spec?.finalizers ?? []).filter((each) => each !== KUBERNETES_FINALIZER);
    try {
      await client.update(namespaces, { ...namespace, spec: { finalizers } }, { subresource: 'finalize', signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    this.#rechecks.delete(name);
    return {};
  }

  /** Deletes all there is; pods first, and the rest when they are gone, as they may need it until then. */
  async #deleteContent(namespace: string, signal: AbortSignal): Promise<DeletionProgress> {
    const { resources, failures } = await discover(this.#context.client, { signal });
    const deletable = withoutTwins(deletableResources(resources));
    const isPods = ({ group, resource }: Resource): boolean => group === '' && resource === pods.resource;
    const remaining: Remaining[] = [];
    const deletionFailures: string[] = [];
    const deleteAllOf = async (each: Resource): Promise<void> => {
      try {
        const left = await this.#deleteAll(each, namespace, signal);
        if (left !== undefined) remaining.push(left);
      } catch (error) {
        signal.throwIfAborted();
        deletionFailures.push(error instanceof Error ? error.message : String(error));
      }
    };
    await Promise.all(deletable.filter(isPods).map(deleteAllOf));
    if (remaining.length === 0 && deletionFailures.length === 0)
      await Promise.all(deletable.filter((each) => !isPods(each)).map(deleteAllOf));
    return { discoveryFailures: failures, deletionFailures, remaining };
  }

  /** Deletes the objects of one resource; resolves with what is left, or undefined. */
  async #deleteAll(resource: Resource, namespace: string, signal: AbortSignal): Promise<Remaining | undefined> {
    const { client } = this.#context;
    const body = { propagationPolicy: 'Background' };
    const list = async (): Promise<KubeObject[]> => (await listAll(client, resource, { namespace, signal })).items;
    const present = await list();
    if (present.length === 0) return undefined;
    const pending = present.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (pending.length > 0) {
      if (resource.verbs.includes('deletecollection'))
        await client.deleteCollection(resource, { namespace, signal, body });
      else
        for (const { metadata } of pending)
          await client.delete(resource, metadata.name ?? '', { namespace, signal, body }).catch((error: unknown) => {
            if (!isNotFound(error)) throw error;
          });
    }
    const left = pending.length > 0 ? await list() : present;
    if (left.length === 0) return undefined;
    const finalizers = new Map<string, number>();
    for (const { metadata } of left)
      for (const each of metadata.finalizers ?? []) finalizers.set(each, (finalizers.get(each) ?? 0) + 1);
    return { resource, count: left.length, finalizers };
  }

  async #updateStatus(namespace: Namespace, progress: DeletionProgress, signal: AbortSignal): Promise<Namespace> {
    const { client, clock } = this.#context;
    const present = namespace.status?.conditions;
    const conditions = planConditions(present, progress, formatTime(clock.now()));
    if (conditions === present && namespace.status?.phase === 'Terminating') return namespace;
    const status = { ...namespace.status, phase: 'Terminating', conditions: [...conditions] };
    try {
      return await client.update(namespaces, { ...namespace, status }, { subresource: 'status', signal });
    } catch (error) {
      // What it tells is not worth stopping for.
      if (!isConflict(error) && !isNotFound(error)) throw error;
      return namespace;
    }
  }
}
