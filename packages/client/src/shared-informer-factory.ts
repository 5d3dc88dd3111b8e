import type { KubeObject, Resource } from '@naru/api';
import type { Informer, InformerFactory, InformerOptions } from './informer.ts';
import { SharedInformer, type SharedInformerDependencies } from './shared-informer.ts';

/**
 * Shares one informer among all who ask for the same resource, namespace and selectors. Indexes that a later caller
 * names are added; `transform` is the first caller's.
 */
export class SharedInformerFactory implements InformerFactory {
  readonly #dependencies: SharedInformerDependencies;
  readonly #informers = new Map<string, SharedInformer<KubeObject>>();

  constructor(dependencies: SharedInformerDependencies) {
    this.#dependencies = dependencies;
  }

  informer<T extends KubeObject>(resource: Resource<T>, options: InformerOptions<T> = {}): Informer<T> {
    const key = informerKey(resource, options);
    const known = this.#informers.get(key) as SharedInformer<T> | undefined;
    if (known !== undefined) {
      for (const [name, values] of Object.entries(options.indexers ?? {})) known.addIndex(name, values);
      return known;
    }
    const informer = new SharedInformer(resource, options, this.#dependencies);
    this.#informers.set(key, informer as unknown as SharedInformer<KubeObject>);
    return informer;
  }

  find<T extends KubeObject>(resource: Resource<T>): Informer<T> | undefined {
    return this.#informers.get(informerKey(resource, {})) as SharedInformer<T> | undefined;
  }

  start(signal: AbortSignal): void {
    for (const informer of this.#informers.values()) informer.start(signal);
  }

  async synced(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await Promise.all([...this.#informers.values()].map(async (informer) => await informer.synced(options)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#informers.values()].map(async (informer) => await informer[Symbol.asyncDispose]()));
  }
}

function informerKey<T extends KubeObject>(
  { group, version, resource }: Resource<T>,
  { namespace = '', labelSelector = '', fieldSelector = '' }: InformerOptions<T>,
): string {
  return JSON.stringify([group, version, resource, namespace, labelSelector, fieldSelector]);
}
