import { keyOf, type KubeObject } from '@naru/api';
import type { Lister } from './informer.ts';

export type IndexFunction<T> = (object: T) => readonly string[];

const NAMESPACE = 'namespace';

/** Objects by key, and by the values of any number of indexes. */
export class Indexer<T extends KubeObject> implements Lister<T> {
  readonly #objects = new Map<string, T>();
  readonly #functions = new Map<string, IndexFunction<T>>();
  /** By index, then by value, the objects by key. Invariant: no empty inner maps. */
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();

  constructor(indexers: Readonly<Record<string, IndexFunction<T>>> = {}) {
    this.addIndex(NAMESPACE, (object) => [object.metadata.namespace ?? '']);
    for (const [name, values] of Object.entries(indexers)) this.addIndex(name, values);
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Adds an index and fills it; an index of that name that is there already stays as it is. */
  addIndex(name: string, values: IndexFunction<T>): void {
    if (this.#functions.has(name)) return;
    this.#functions.set(name, values);
    this.#indexes.set(name, new Map());
    for (const [key, object] of this.#objects) this.#index(name, values, key, object);
  }

  get(namespace: string, name: string): T | undefined {
    return this.#objects.get(namespace === '' ? name : `${namespace}/${name}`);
  }

  getByKey(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): readonly T[] {
    return namespace === undefined || namespace === ''
      ? [...this.#objects.values()]
      : this.byIndex(NAMESPACE, namespace);
  }

  byIndex(index: string, value: string): readonly T[] {
    const values = this.#indexes.get(index);
    if (values === undefined) throw new Error(`no index is called ${index}`);
    const found = values.get(value);
    return found === undefined ? [] : [...found.values()];
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  /** Puts `object` in the place of the one of its key, and returns that one. */
  set(object: T): T | undefined {
    const key = keyOf(object);
    const old = this.delete(key);
    this.#objects.set(key, object);
    for (const [name, values] of this.#functions) this.#index(name, values, key, object);
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (old === undefined) return undefined;
    this.#objects.delete(key);
    for (const [name, values] of this.#functions) {
      const byValue = this.#indexes.get(name);
      for (const value of values(old)) {
        const objects = byValue?.get(value);
        objects?.delete(key);
        if (objects?.size === 0) byValue?.delete(value);
      }
    }
    return old;
  }

  #index(name: string, values: IndexFunction<T>, key: string, object: T): void {
    const byValue = this.#indexes.get(name);
    for (const value of values(object)) {
      const objects = byValue?.get(value);
      if (objects === undefined) byValue?.set(value, new Map([[key, object]]));
      else objects.set(key, object);
    }
  }
}
