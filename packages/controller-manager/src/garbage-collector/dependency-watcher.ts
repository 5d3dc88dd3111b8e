import { customResourceDefinitions, parseApiVersion, type KubeObject, type Resource } from '@naru/api';
import { SharedInformer, type Informer } from '@naru/client';
import type { ControllerContext } from '../controller-context.ts';
import { discover } from '../discovery.ts';

/** After a change of the served resources, others may follow at once. */
const REDISCOVER_DELAY_MS = 1000;
const REDISCOVER_RETRY_MS = 30_000;

/** Never watched: Events are many, and owned by nothing that outlives them. */
const ignored: ReadonlySet<string> = new Set(['/events', 'events.k8s.io/events']);

export interface DependencyHandlers {
  observed(resource: Resource, object: KubeObject): void;
  removed(resource: Resource, object: KubeObject): void;
}

/**
 * Watches all resources that can be deleted, as discovery lists them; of those that no other controller watches it keeps
 * the metadata only.
 */
export class DependencyWatcher implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #handlers: DependencyHandlers;
  /** By group and kind. */
  readonly #byKind = new Map<string, Resource>();
  readonly #own = new Map<string, SharedInformer<KubeObject>>();
  readonly #shared = new Set<string>();
  readonly #definitions: Informer<KubeObject>;
  #signal: AbortSignal | undefined;
  #cancel: (() => void) | undefined;

  constructor(context: ControllerContext, handlers: DependencyHandlers) {
    this.#context = context;
    this.#handlers = handlers;
    this.#definitions = context.informers.informer(customResourceDefinitions);
    const changed = (): void => this.#scheduleDiscovery(REDISCOVER_DELAY_MS);
    this.#definitions.addHandlers({ added: changed, updated: changed, deleted: changed });
  }

  /** Resolves when all resources are listed. */
  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await this.#discover(signal);
  }

  /** The resource of an owner reference's kind, whatever the version that it names. */
  resourceOf(apiVersion: string, kind: string): Resource | undefined {
    return this.#byKind.get(`${parseApiVersion(apiVersion).group}/${kind}`);
  }

  /** Asks again which resources there are: an owner of an unknown kind may be of a new one. */
  refresh(): void {
    this.#scheduleDiscovery(REDISCOVER_RETRY_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel?.();
    await Promise.all([...this.#own.values()].map(async (each) => await each[Symbol.asyncDispose]()));
  }

  #scheduleDiscovery(delayMs: number): void {
    const signal = this.#signal;
    if (signal === undefined || signal.aborted || this.#cancel !== undefined) return;
    this.#cancel = this.#context.clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#discover(signal).catch((error: unknown) => {
        if (signal.aborted) return;
        this.#context.logger.warn({ err: error }, 'discovery failed');
        this.#scheduleDiscovery(REDISCOVER_RETRY_MS);
      });
    });
  }

  async #discover(signal: AbortSignal): Promise<void> {
    const { resources, failures } = await discover(this.#context.client, { signal });
    const wanted = new Map<string, Resource>();
    for (const resource of resources) {
      const name = `${resource.group}/${resource.resource}`;
      this.#byKind.set(`${resource.group}/${resource.kind}`, resource);
      const deletable = ['delete', 'list', 'watch'].every((verb) =>
        (resource.verbs as readonly string[]).includes(verb),
      );
      if (deletable && !ignored.has(name)) wanted.set(name, resource);
    }
    if (failures.length > 0) {
      this.#context.logger.warn({ failures }, 'some API groups cannot be discovered');
      this.#scheduleDiscovery(REDISCOVER_RETRY_MS);
    }
    const synced: Promise<void>[] = [];
    for (const [name, resource] of wanted) {
      if (this.#own.has(name) || this.#shared.has(name)) continue;
      const shared = this.#context.informers.find(resource);
      if (shared !== undefined) {
        this.#shared.add(name);
        this.#watch(resource, shared);
        continue;
      }
      const informer = new SharedInformer<KubeObject>(
        resource,
        { transform: metadataOnly },
        { client: this.#context.client, clock: this.#context.clock, logger: this.#context.logger },
      );
      this.#own.set(name, informer);
      this.#watch(resource, informer);
      informer.start(signal);
      synced.push(informer.synced({ signal }));
    }
    // What is no longer served is no longer watched, unless its group could just not be asked.
    if (failures.length === 0)
      for (const [name, informer] of this.#own)
        if (!wanted.has(name)) {
          this.#own.delete(name);
          await informer[Symbol.asyncDispose]();
        }
    await Promise.all(synced);
  }

  #watch(resource: Resource, informer: Informer<KubeObject>): void {
    informer.addHandlers({
      added: (object) => this.#handlers.observed(resource, object),
      updated: (object, old) => {
        // Another object of the same name: the first went unseen.
        if (object.metadata.uid !== old.metadata.uid) this.#handlers.removed(resource, old);
        this.#handlers.observed(resource, object);
      },
      deleted: (object) => this.#handlers.removed(resource, object),
    });
  }
}

/** The metadata that the graph is made of. */
function metadataOnly({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
  };
}
