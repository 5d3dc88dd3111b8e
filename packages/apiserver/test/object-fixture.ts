import { isStatusError, type KubeObject, type Resource, type Status } from '@naru/api';
import type { AdmissionStore } from '../src/admission/admission.ts';

const keyOf = ({ group, resource }: { readonly group: string; readonly resource: string }, namespace = '', name = '') =>
  `${resource}.${group}/${namespace}/${name}`;

/** Objects in memory, as admission and authentication read them. */
export class MemoryObjects implements AdmissionStore {
  readonly #objects = new Map<string, KubeObject>();
  readonly #changed = new Map<string, number>();
  #revision = 0;

  /** An object of a resource; its name and namespace are its metadata's. */
  set<T extends KubeObject>(resource: Resource<T>, object: Partial<T> & { metadata: KubeObject['metadata'] }): this {
    const { namespace, name } = object.metadata;
    this.#objects.set(keyOf(resource, namespace, name), object as unknown as KubeObject);
    this.#changed.set(keyOf(resource), ++this.#revision);
    return this;
  }

  delete(resource: Resource, namespace: string, name: string): void {
    this.#objects.delete(keyOf(resource, namespace, name));
    this.#changed.set(keyOf(resource), ++this.#revision);
  }

  get<T extends KubeObject>(resource: Resource<T>, namespace: string, name: string): T | undefined {
    return this.#objects.get(keyOf(resource, resource.namespaced ? namespace : '', name)) as T | undefined;
  }

  list<T extends KubeObject>(resource: Resource<T>, namespace = ''): readonly T[] {
    const prefix = namespace === '' ? `${resource.resource}.${resource.group}/` : keyOf(resource, namespace);
    return [...this.#objects].filter(([key]) => key.startsWith(prefix)).map(([, object]) => object as T);
  }

  async getConsistent<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
  ): Promise<T | undefined> {
    return Promise.resolve(this.get(resource, namespace, name));
  }

  async listConsistent<T extends KubeObject>(resource: Resource<T>, namespace: string): Promise<readonly T[]> {
    return Promise.resolve(this.list(resource, namespace));
  }

  async guaranteedUpdate<T extends KubeObject>(
    resource: Resource<T>,
    { namespace, name }: { readonly namespace: string; readonly name: string },
    change: (object: T) => T,
  ): Promise<T | undefined> {
    const present = this.get(resource, namespace, name);
    if (present === undefined) return Promise.resolve(undefined);
    const changed = change(structuredClone(present));
    this.set(resource, changed);
    return Promise.resolve(changed);
  }

  changedRevision(resource: Resource): number {
    return this.#changed.get(keyOf(resource)) ?? 0;
  }
}

/** The Status that a promise is refused with. */
export async function refusalOf(promise: Promise<unknown>): Promise<Status> {
  try {
    await promise;
  } catch (error) {
    if (isStatusError(error)) return error.status;
    throw error;
  }
  throw new Error('not refused');
}
