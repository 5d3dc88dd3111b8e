import {
  configMaps,
  isNotFound,
  secrets,
  type ConfigMap,
  type KubeObject,
  type Resource,
  type Secret,
} from '@naru/api';
import { SharedInformer, type Client, type Informer } from '@naru/client';
import type { Clock, Logger } from '@naru/component';

export interface ObjectCacheOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A ConfigMap or Secret that these pods refer to has changed. */
  readonly onChange: (podUids: readonly string[]) => void;
}

interface Watched {
  readonly informer: Informer<KubeObject>;
  readonly podUids: Set<string>;
}

/**
 * The ConfigMaps and Secrets that the node's pods refer to: each is watched alone while a pod needs it, as a node may not
 * see others (upstream's watch-based object manager).
 */
export class ObjectCache implements AsyncDisposable {
  readonly #options: ObjectCacheOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #stop = new AbortController();

  constructor(options: ObjectCacheOptions) {
    this.#options = options;
  }

  async configMap(pod: PodReference, name: string, signal?: AbortSignal): Promise<ConfigMap | undefined> {
    return await this.#get(configMaps, pod, name, signal);
  }

  async secret(pod: PodReference, name: string, signal?: AbortSignal): Promise<Secret | undefined> {
    return await this.#get(secrets, pod, name, signal);
  }

  /** The pod is gone: what only it needed is no longer watched. */
  async release(podUid: string): Promise<void> {
    const unused: AsyncDisposable[] = [];
    for (const [key, { informer, podUids }] of this.#watched) {
      if (!podUids.delete(podUid) || podUids.size > 0) continue;
      this.#watched.delete(key);
      unused.push(informer);
    }
    await Promise.all(unused.map(async (each) => await each[Symbol.asyncDispose]()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the object cache is disposed'));
    await Promise.all([...this.#watched.values()].map(async ({ informer }) => await informer[Symbol.asyncDispose]()));
  }

  async #get<T extends KubeObject>(
    resource: Resource<T>,
    pod: PodReference,
    name: string,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    const watched = this.#watch(resource, pod, name);
    watched.podUids.add(pod.uid);
    if (watched.informer.hasSynced) return watched.informer.get(pod.namespace, name) as T | undefined;
    try {
      // The first time at once, and with the server's own error if it refuses.
      return await this.#options.client.get(resource, name, {
        namespace: pod.namespace,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #watch<T extends KubeObject>(resource: Resource<T>, pod: PodReference, name: string): Watched {
    const key = `${resource.resource}/${pod.namespace}/${name}`;
    const known = this.#watched.get(key);
    if (known !== undefined) return known;
    const { client, clock, logger } = this.#options;
    const informer = new SharedInformer(
      resource,
      { namespace: pod.namespace, fieldSelector: `metadata.name=${name}` },
      { client, clock, logger },
    );
    const watched: Watched = { informer, podUids: new Set() };
    const changed = (): void => {
      if (informer.hasSynced) this.#options.onChange([...watched.podUids]);
    };
    informer.addHandlers({ added: changed, updated: changed, deleted: changed });
    informer.start(this.#stop.signal);
    this.#watched.set(key, watched);
    return watched;
  }
}

export interface PodReference {
  readonly namespace: string;
  readonly uid: string;
}
