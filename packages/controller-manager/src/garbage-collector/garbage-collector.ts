import { isNotFound, type KubeObject, type OwnerReference, type Resource } from '@naru/api';
import { Controller } from '@naru/client';
import type { ControllerContext, ControlLoop } from '../controller-context.ts';
import { AbsentOwners } from './absent-owners.ts';
import { DependencyWatcher } from './dependency-watcher.ts';
import {
  blockingDependents,
  FOREGROUND_FINALIZER,
  ObjectGraph,
  ORPHAN_FINALIZER,
  type GraphChanges,
  type GraphNode,
} from './graph-plan.ts';
import { planDependent, type OwnerState } from './plan.ts';

/** Time between two tries to start while the server cannot be asked for its resources. */
const START_RETRY_MS = 2000;

/**
 * Deletes objects whose owners are gone, finishes deletions in the foreground, and orphans dependents where that was
 * asked for. What the caches say is only a reason to look: whether an owner is absent is asked of the server, by uid.
 */
export class GarbageCollector implements ControlLoop {
  readonly #context: ControllerContext;
  readonly #graph = new ObjectGraph();
  readonly #absent = new AbsentOwners();
  readonly #watcher: DependencyWatcher;
  readonly #attemptToDelete: Controller;
  readonly #attemptToOrphan: Controller;
  readonly #stop = new AbortController();
  #starting: Promise<void> | undefined;

  constructor(context: ControllerContext) {
    this.#context = context;
    const { clock, logger, options } = context;
    this.#watcher = new DependencyWatcher(context, {
      observed: (resource, { metadata }) => this.#enqueue(this.#graph.observe({ resource, metadata })),
      removed: (_resource, { metadata }) => this.#gone(metadata.uid ?? ''),
    });
    this.#attemptToDelete = new Controller({
      name: 'garbage-collector-attempt-to-delete',
      workers: options.concurrentSyncs.garbageCollector,
      clock,
      logger,
      reconcile: async (uid, { signal }) => await this.#deleteItem(uid, signal),
    });
    this.#attemptToOrphan = new Controller({
      name: 'garbage-collector-attempt-to-orphan',
      workers: options.concurrentSyncs.garbageCollector,
      clock,
      logger,
      reconcile: async (uid, { signal }) => await this.#orphanItem(uid, signal),
    });
  }

  start(signal: AbortSignal): void {
    const stop = AbortSignal.any([signal, this.#stop.signal]);
    this.#starting = this.#start(stop);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the garbage collector is disposed'));
    await this.#starting;
    await this.#attemptToDelete[Symbol.asyncDispose]();
    await this.#attemptToOrphan[Symbol.asyncDispose]();
    await this.#watcher[Symbol.asyncDispose]();
  }

  /** Nothing is deleted before all resources are listed: dependents might be missing in the graph. */
  async #start(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#context;
    while (!signal.aborted) {
      try {
        await this.#watcher.start(signal);
        this.#attemptToDelete.start(signal);
        this.#attemptToOrphan.start(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ err: error }, 'garbage collector cannot start yet');
        await clock.sleep(START_RETRY_MS, { signal }).catch(() => {});
      }
    }
  }

  #enqueue({ attemptToDelete, attemptToOrphan }: GraphChanges): void {
    for (const { uid } of attemptToDelete) this.#attemptToDelete.queue.add(uid);
    for (const { uid } of attemptToOrphan) this.#attemptToOrphan.queue.add(uid);
  }

  #gone(uid: string): void {
    if ((this.#graph.get(uid)?.dependents.size ?? 0) > 0) this.#absent.add(uid);
    this.#enqueue(this.#graph.remove(uid));
  }

  async #deleteItem(uid: string, signal: AbortSignal): Promise<void> {
    const node = this.#graph.get(uid);
    if (node === undefined) return;
    // It goes already, and need not wait for anything.
    if (node.beingDeleted && !node.deletingDependents) return;
    const live = await this.#getNode(node, signal);
    if (live === undefined) {
      this.#gone(uid);
      return;
    }
    if (node.virtual) return;
    if (node.deletingDependents) {
      await this.#finishForeground(node, live, signal);
      return;
    }
    const { client } = this.#context;
    const { resource } = node;
    if (resource === undefined) return;
    const states = await this.#ownerStates(live, signal);
    const plan = planDependent(node, live.metadata, states);
    const { name = '', namespace, resourceVersion } = live.metadata;
    switch (plan.type) {
      case 'keep':
        return;
      case 'dropOwners':
        await this.#patchMetadata(resource, live, { ownerReferences: plan.ownerReferences }, signal);
        return;
      case 'delete': {
        if (plan.unblock !== undefined)
          await this.#patchMetadata(resource, live, { ownerReferences: plan.unblock }, signal);
        // Of the version that was looked at: somebody may just have adopted it.
        const preconditions =
          plan.unblock === undefined && resourceVersion !== undefined ? { uid, resourceVersion } : { uid };
        const body = { preconditions, propagationPolicy: plan.propagationPolicy };
        try {
          await client.delete(resource, name, { namespace, signal, body });
        } catch (error) {
          if (isNotFound(error)) this.#gone(uid);
          else throw error;
        }
        return;
      }
      default:
        plan satisfies never;
    }
  }

  /** Removes the finalizer when no dependent blocks any more; else sees to it that those that block go. */
  async #finishForeground(node: GraphNode, live: KubeObject, signal: AbortSignal): Promise<void> {
    const blocking = blockingDependents(node);
    if (blocking.length > 0) {
      for (const each of blocking) if (!each.beingDeleted) this.#attemptToDelete.queue.add(each.uid);
      return;
    }
    await this.#removeFinalizer(node, live, FOREGROUND_FINALIZER, signal);
  }

  async #orphanItem(uid: string, signal: AbortSignal): Promise<void> {
    const node = this.#graph.get(uid);
    if (node === undefined || node.virtual || !node.orphaning) return;
    const results = await Promise.allSettled(
      [...node.dependents].map(async (dependent) => await this.#release(dependent, uid, signal)),
    );
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
    const live = await this.#getNode(node, signal);
    if (live !== undefined) await this.#removeFinalizer(node, live, ORPHAN_FINALIZER, signal);
  }

  async #release(dependent: GraphNode, owner: string, signal: AbortSignal): Promise<void> {
    const live = await this.#getNode(dependent, signal);
    const references = live?.metadata.ownerReferences;
    if (live === undefined || dependent.resource === undefined || references === undefined) return;
    const ownerReferences = references.filter((each) => each.uid !== owner);
    if (ownerReferences.length === references.length) return;
    await this.#patchMetadata(dependent.resource, live, { ownerReferences }, signal);
  }

  async #removeFinalizer(node: GraphNode, live: KubeObject, finalizer: string, signal: AbortSignal): Promise<void> {
    const present = live.metadata.finalizers ?? [];
    if (node.resource === undefined || !present.includes(finalizer)) return;
    const finalizers = present.filter((each) => each !== finalizer);
    await this.#patchMetadata(node.resource, live, { finalizers }, signal);
  }

  /** Changes lists as a whole; of the very version that was read. */
  async #patchMetadata(
    resource: Resource,
    live: KubeObject,
    change: { readonly ownerReferences?: readonly OwnerReference[]; readonly finalizers?: readonly string[] },
    signal: AbortSignal,
  ): Promise<void> {
    const { name = '', namespace, uid, resourceVersion } = live.metadata;
    const patch = { metadata: { uid, resourceVersion, ...change } };
    try {
      await this.#context.client.patch(resource, name, 'merge', patch, { namespace, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** The object as the server has it; undefined when it is gone or another one has its name. */
  async #getNode(node: GraphNode, signal: AbortSignal): Promise<KubeObject | undefined> {
    const resource = node.resource ?? this.#watcher.resourceOf(node.apiVersion, node.kind);
    if (resource === undefined) return this.#unknownKind(node.apiVersion, node.kind);
    return await this.#getByUid(resource, node.namespace, node.name, node.uid, signal);
  }

  async #getByUid(
    resource: Resource,
    namespace: string,
    name: string,
    uid: string,
    signal: AbortSignal,
  ): Promise<KubeObject | undefined> {
    try {
      const options = resource.namespaced ? { namespace, signal } : { signal };
      const live = await this.#context.client.get(resource, name, options);
      return live.metadata.uid === uid ? live : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #ownerStates({ metadata }: KubeObject, signal: AbortSignal): Promise<ReadonlyMap<string, OwnerState>> {
    const states = new Map<string, OwnerState>();
    for (const { uid, apiVersion, kind, name } of metadata.ownerReferences ?? []) {
      if (this.#absent.has(uid)) {
        states.set(uid, 'dangling');
        continue;
      }
      const resource = this.#watcher.resourceOf(apiVersion, kind);
      if (resource === undefined) return this.#unknownKind(apiVersion, kind);
      // A cluster-scoped object cannot be owned by one of a namespace: the reference can never be resolved.
      const resolvable = !resource.namespaced || metadata.namespace !== undefined;
      const owner = resolvable
        ? await this.#getByUid(resource, metadata.namespace ?? '', name, uid, signal)
        : undefined;
      if (owner === undefined) {
        if (resolvable) this.#absent.add(uid);
        states.set(uid, resolvable ? 'dangling' : 'solid');
        continue;
      }
      const { deletionTimestamp, finalizers = [] } = owner.metadata;
      const waiting = deletionTimestamp !== undefined && finalizers.includes(FOREGROUND_FINALIZER);
      states.set(uid, waiting ? 'waiting' : 'solid');
    }
    return states;
  }

  /** Nothing is deleted for an owner whose kind the server does not know (yet). */
  #unknownKind(apiVersion: string, kind: string): never {
    this.#watcher.refresh();
    throw new Error(`no matches for kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`);
  }
}
