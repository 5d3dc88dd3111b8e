import { builtInResources, type KubeObject, type Resource } from '@naru/api';
import { SharedInformer, type Informer } from '@naru/client';
import type { ControllerContext } from '../controller-context.ts';
import { discover } from '../discovery.ts';

type GroupResource = Pick<Resource, 'group' | 'resource'>;

export interface CountedObjectsHandlers {
  updated(resource: GroupResource, object: KubeObject, old: KubeObject): void;
  deleted(resource: GroupResource, object: KubeObject): void;
}

/** Caches of the kinds that quotas count, each from the first quota that wants it on. */
export class CountedObjects implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #handlers: CountedObjectsHandlers;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  readonly #own: SharedInformer<KubeObject>[] = [];

  constructor(context: ControllerContext, handlers: CountedObjectsHandlers) {
    this.#context = context;
    this.#handlers = handlers;
  }

  /** The objects of a namespace; none of a kind that is not served. */
  async list(kind: GroupResource, namespace: string, signal: AbortSignal): Promise<readonly KubeObject[]> {
    const informer = await this.#informerOf(kind, signal);
    if (informer === undefined) return [];
    await informer.synced({ signal });
    return informer.list(namespace);
  }

  async #informerOf(kind: GroupResource, signal: AbortSignal): Promise<Informer<KubeObject> | undefined> {
    const key = `${kind.group}/${kind.resource}`;
    const known = this.#informers.get(key);
    if (known !== undefined) return known;
    const resource = await this.#resourceOf(kind, signal);
    if (resource?.namespaced !== true || !resource.verbs.includes('watch')) return undefined;
    // Another reconcile may have been faster.
    const made =
      this.#informers.get(key) ?? this.#context.informers.find(resource) ?? this.#newInformer(resource, signal);
    if (!this.#informers.has(key)) {
      this.#informers.set(key, made);
      made.addHandlers({
        updated: (object, old) => this.#handlers.updated(kind, object, old),
        deleted: (object) => this.#handlers.deleted(kind, object),
      });
    }
    return made;
  }

  #newInformer(resource: Resource, signal: AbortSignal): Informer<KubeObject> {
    const { client, clock, logger } = this.#context;
    const informer = new SharedInformer<KubeObject>(resource, {}, { client, clock, logger });
    this.#own.push(informer);
    informer.start(signal);
    return informer;
  }

  async #resourceOf(kind: GroupResource, signal: AbortSignal): Promise<Resource | undefined> {
    const isIt = (each: GroupResource): boolean => each.group === kind.group && each.resource === kind.resource;
    const builtIn = builtInResources.find(isIt);
    if (builtIn !== undefined) return builtIn;
    const { resources } = await discover(this.#context.client, { signal });
    return resources.find(isIt);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#own.map(async (informer) => await informer[Symbol.asyncDispose]()));
  }
}
