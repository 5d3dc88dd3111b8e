import { keyOf, selectorFromSet, splitKey, type Pod, type Selector, type Service } from '@naru/api';
import type { Informer } from '@naru/client';

/** Finds, for pods, the Services that select them. Selectors are kept, parsed, per Service and namespace. */
export class ServiceSelection {
  readonly #byNamespace = new Map<string, Map<string, Selector>>();

  constructor(informer: Informer<Service>) {
    informer.addHandlers({
      added: (service) => this.#set(service),
      updated: (service) => this.#set(service),
      deleted: (service) => this.#delete(keyOf(service)),
    });
  }

  /** Keys of the Services whose selector matches these labels. */
  servicesOf(namespace: string, labels: Readonly<Record<string, string>> | undefined): string[] {
    const found: string[] = [];
    for (const [key, selector] of this.#byNamespace.get(namespace) ?? []) if (selector.matches(labels)) found.push(key);
    return found;
  }

  /** Keys of the Services that a pod's change concerns. */
  affectedBy(pod: Pod, old: Pod): string[] {
    const namespace = pod.metadata.namespace ?? '';
    const now = this.servicesOf(namespace, pod.metadata.labels);
    if (JSON.stringify(pod.metadata.labels) === JSON.stringify(old.metadata.labels)) return now;
    return [...new Set([...now, ...this.servicesOf(namespace, old.metadata.labels)])];
  }

  #set(service: Service): void {
    const key = keyOf(service);
    const selector = service.spec?.selector;
    // Services without a selector have endpoints that others make.
    if (selector === undefined || Object.keys(selector).length === 0 || service.spec?.type === 'ExternalName') {
      this.#delete(key);
      return;
    }
    const namespace = service.metadata.namespace ?? '';
    const selectors = this.#byNamespace.get(namespace) ?? new Map<string, Selector>();
    this.#byNamespace.set(namespace, selectors.set(key, selectorFromSet(selector)));
  }

  #delete(key: string): void {
    const { namespace } = splitKey(key);
    const selectors = this.#byNamespace.get(namespace);
    selectors?.delete(key);
    if (selectors?.size === 0) this.#byNamespace.delete(namespace);
  }
}

/** Whether a pod's change can change its endpoint. */
export function endpointChanged(pod: Pod, old: Pod): boolean {
  return endpointFacts(pod) !== endpointFacts(old);
}

function endpointFacts({ metadata, spec, status }: Pod): string {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  return JSON.stringify([
    metadata.labels,
    metadata.deletionTimestamp !== undefined,
    spec?.nodeName,
    spec?.hostname,
    spec?.subdomain,
    status?.phase,
    status?.podIP,
    status?.podIPs,
    ready,
  ]);
}
