import type { Resource } from '@naru/api';
import type { GenericRegistry } from '../registry/generic-registry.ts';
import type { ObjectScale } from './scale.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import type { ObjectConverter } from './object-converter.ts';
import type { ReadView, VersionView } from './version-view.ts';
import type { VirtualResource, VirtualSubresource } from '../registry/virtual-resource.ts';

/** A resource as the server serves it: stored by a registry, or computed. */
export interface ServedResource {
  readonly resource: Resource;
  /** Of the version that is stored. */
  readonly registry: GenericRegistry | undefined;
  /** Set when another version is stored than this one, and the registry is of that one. */
  readonly view: VersionView | undefined;
  /** How stored objects are read where the registry is of this version and they may be of another. At most one is set. */
  readonly readView?: ReadView | undefined;
  readonly converter?: ObjectConverter | undefined;
  readonly virtual: VirtualResource | undefined;
  readonly virtualSubresources: ReadonlyMap<string, VirtualSubresource>;
  /** Fields of stored objects that field selectors may name. */
  readonly selectable: ReadonlySet<string>;
  readonly triggerFields: readonly string[];
  /** Where replicas are, for kinds other than those with spec.replicas. */
  readonly scale?: ObjectScale | undefined;
  /** Said to whoever uses it. */
  readonly deprecation?: string | undefined;
  /** Its definition is being deleted: nothing is created any more. */
  readonly terminating?: boolean;
}

/** All served resources by group, version and plural name. */
export class ServedResources {
  readonly #byPath = new Map<string, ServedResource>();
  readonly #onChange = new Set<() => void>();

  add(served: ServedResource): void {
    this.#byPath.set(keyOf(served), served);
  }

  /** Takes resources out and puts others in, at once. */
  replace(before: readonly ServedResource[], now: readonly ServedResource[]): void {
    for (const served of before) this.#byPath.delete(keyOf(served));
    for (const served of now) this.add(served);
    for (const changed of this.#onChange) changed();
  }

  /** Calls back after each `replace`. */
  onChange(changed: () => void): void {
    this.#onChange.add(changed);
  }

  get(group: string, version: string, resource: string): ServedResource | undefined {
    return this.#byPath.get(`${group}/${version}/${resource}`);
  }

  all(): IterableIterator<ServedResource> {
    return this.#byPath.values();
  }
}

function keyOf({ resource: { group, version, resource } }: ServedResource): string {
  return `${group}/${version}/${resource}`;
}

/** A stored resource: its registry is there. */
export interface StoredResource extends ServedResource {
  readonly registry: GenericRegistry;
}

/** An object that the caller has waited for; where a `readView` is set, it is to be read by that. @throws StatusError NotFound. */
export async function readObject(
  { registry, converter }: StoredResource,
  namespace: string,
  name: string,
): Promise<CachedObject> {
  const object = registry.get(namespace, name);
  return (await converter?.object(object)) ?? object;
}
