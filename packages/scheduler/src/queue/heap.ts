import assert from 'node:assert/strict';

/** A binary heap whose items can be found, replaced and removed by key. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #index = new Map<string, number>();
  readonly #keyOf: (item: T) => string;
  readonly #less: (a: T, b: T) => boolean;

  constructor(options: { readonly keyOf: (item: T) => string; readonly less: (a: T, b: T) => boolean }) {
    this.#keyOf = options.keyOf;
    this.#less = options.less;
  }

  get size(): number {
    return this.#items.length;
  }

  get(key: string): T | undefined {
    const i = this.#index.get(key);
    return i === undefined ? undefined : this.#items[i];
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** Adds the item, or puts it in place of the one with its key. */
  set(item: T): void {
    const key = this.#keyOf(item);
    const at = this.#index.get(key) ?? this.#items.length;
    this.#put(item, at);
    this.#down(this.#up(at));
  }

  pop(): T | undefined {
    const top = this.#items[0];
    return top === undefined ? undefined : this.delete(this.#keyOf(top));
  }

  delete(key: string): T | undefined {
    const at = this.#index.get(key);
    if (at === undefined) return undefined;
    const item = this.#at(at);
    const last = this.#items.pop();
    this.#index.delete(key);
    if (last !== undefined && at < this.#items.length) {
      this.#put(last, at);
      this.#down(this.#up(at));
    }
    return item;
  }

  values(): Iterable<T> {
    return this.#items;
  }

  #at(i: number): T {
    const item = this.#items[i];
    assert(item !== undefined, 'heap index out of range');
    return item;
  }

  #put(item: T, i: number): void {
    this.#items[i] = item;
    this.#index.set(this.#keyOf(item), i);
  }

  #swap(i: number, j: number): void {
    const item = this.#at(i);
    this.#put(this.#at(j), i);
    this.#put(item, j);
  }

  #up(start: number): number {
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#less(this.#at(i), this.#at(parent))) break;
      this.#swap(i, parent);
      i = parent;
    }
    return i;
  }

  #down(start: number): void {
    let i = start;
    for (;;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < this.#items.length && this.#less(this.#at(child), this.#at(least))) least = child;
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }
}
