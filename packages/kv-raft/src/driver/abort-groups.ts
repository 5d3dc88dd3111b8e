/**
 * Items that are given up when a signal aborts. Many share one signal, and an EventTarget looks through all of its listeners
 * whenever one comes or goes: so there is one listener for all items of a signal.
 */
export class AbortGroups<T> {
  readonly #onAbort: (item: T) => void;
  readonly #groups = new Map<AbortSignal, { readonly items: Set<T>; readonly listener: () => void }>();

  constructor(onAbort: (item: T) => void) {
    this.#onAbort = onAbort;
  }

  add(signal: AbortSignal, item: T): void {
    let group = this.#groups.get(signal);
    if (group === undefined) {
      const items = new Set<T>();
      const listener = (): void => {
        this.#groups.delete(signal);
        for (const each of items) this.#onAbort(each);
      };
      signal.addEventListener('abort', listener, { once: true });
      this.#groups.set(signal, (group = { items, listener }));
    }
    group.items.add(item);
  }

  delete(signal: AbortSignal, item: T): void {
    const group = this.#groups.get(signal);
    if (group?.items.delete(item) !== true || group.items.size > 0) return;
    signal.removeEventListener('abort', group.listener);
    this.#groups.delete(signal);
  }
}
