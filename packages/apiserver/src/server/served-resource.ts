import type { Resource } from '@naru/api';
import type { GenericRegistry } from '../registry/generic-registry.ts';
import type { VersionView } from './version-view.ts';
import type { VirtualResource, VirtualSubresource } from '../registry/virtual-resource.ts';

/** A resource as the server serves it: stored by a registry, or computed. */
export interface ServedResource {
  readonly resource: Resource;
  /** Of the version that is stored. */
  readonly registry: GenericRegistry | undefined;
  /** Set when another version is stored than this one. */
  readonly view: VersionView | undefined;
  readonly virtual: VirtualResource | undefined;
  readonly virtualSubresources: ReadonlyMap<string, VirtualSubresource>;
  /** Fields that field selectors may name. */
  readonly selectable: ReadonlySet<string>;
  readonly triggerFields: readonly string[];
}

/** All served resources by group, version and plural name. */
export class ServedResources {
  readonly #byPath = new Map<string, ServedResource>();
  readonly #groupVersions = new Set<string>();

  add(served: ServedResource): void {
    const { group, version, resource } = served.resource;
    this.#byPath.set(`${group}/${version}/${resource}`, served);
    this.#groupVersions.add(`${group}/${version}`);
  }

  get(group: string, version: string, resource: string): ServedResource | undefined {
    return this.#byPath.get(`${group}/${version}/${resource}`);
  }

  hasGroupVersion(group: string, version: string): boolean {
    return this.#groupVersions.has(`${group}/${version}`);
  }

  all(): IterableIterator<ServedResource> {
    return this.#byPath.values();
  }
}

/** A stored resource: its registry is there. */
export interface StoredResource extends ServedResource {
  readonly registry: GenericRegistry;
}
