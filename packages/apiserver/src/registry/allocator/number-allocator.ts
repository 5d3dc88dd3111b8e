import type { AllocationStore } from './allocation-store.ts';

/** A range of numbers, each of which at most one owner has: a key in the store per number, created if absent. */
export interface NumberAllocatorOptions {
  readonly store: AllocationStore;
  /** First number and how many there are. */
  readonly first: number;
  readonly size: number;
  readonly prefix: string;
  /** The last part of a number's key. */
  keyOf(number: number): string;
  /** What the key holds; `ownerOf` reads the owner back. */
  encode(number: number, owner: Owner): Buffer;
  ownerOf(value: Buffer): Owner | undefined;
  readonly random: () => number;
}

/** The Service that has an allocation. */
export interface Owner {
  readonly namespace: string;
  readonly name: string;
}

/** Random numbers to try before the store is asked for all that are taken. */
const RANDOM_TRIES_MAX = 16;
const RESERVED_MIN = 16;
const RESERVED_MAX = 256;
const RESERVED_STEP = 16;

/** Allocates by create-if-absent, so that API servers need not know of each other. */
export class NumberAllocator {
  readonly #options: NumberAllocatorOptions;
  /** How many numbers at the start are for those who choose one; others get them only when the rest is taken. */
  readonly #reserved: number;

  constructor(options: NumberAllocatorOptions) {
    this.#options = options;
    const { size } = options;
    this.#reserved =
      size < RESERVED_MIN ? 0 : Math.min(Math.max(RESERVED_MIN, Math.floor(size / RESERVED_STEP)), RESERVED_MAX);
  }

  contains(number: number): boolean {
    const { first, size } = this.#options;
    return number >= first && number < first + size;
  }

  /** Takes a number that must be in the range; false when somebody has it. */
  async allocate(number: number, owner: Owner, { dryRun }: { readonly dryRun: boolean }): Promise<boolean> {
    const key = this.#key(number);
    const { store } = this.#options;
    if (dryRun) return (await store.get(key)) === undefined;
    return (await store.create(key, this.#options.encode(number, owner))).succeeded;
  }

  /** Takes any free number; undefined when there is none. `except` are not to be used. */
  async allocateNext(
    owner: Owner,
    options: { readonly dryRun: boolean; readonly except?: ReadonlySet<number> },
  ): Promise<number | undefined> {
    const { first, size, random } = this.#options;
    const { except = new Set<number>() } = options;
    const open = size - this.#reserved;
    for (let i = 0; i < RANDOM_TRIES_MAX; i++) {
      const number = first + this.#reserved + Math.floor(random() * open);
      if (!except.has(number) && (await this.allocate(number, owner, options))) return number;
    }
    return await this.#allocateFree(owner, { dryRun: options.dryRun, except });
  }

  async #allocateFree(
    owner: Owner,
    options: { readonly dryRun: boolean; readonly except: ReadonlySet<number> },
  ): Promise<number | undefined> {
    const { first, size } = this.#options;
    const taken = new Set((await this.list()).map(({ key }) => key));
    for (let i = 0; i < size; i++) {
      const number = first + ((this.#reserved + i) % size);
      if (options.except.has(number) || taken.has(this.#key(number))) continue;
      if (await this.allocate(number, owner, options)) return number;
    }
    return undefined;
  }

  /** Gives a number back, if the owner has it. */
  async release(number: number, owner: Owner): Promise<void> {
    const { store, ownerOf } = this.#options;
    const stored = await store.get(this.#key(number));
    if (stored === undefined) return;
    const holder = ownerOf(stored.value);
    if (holder?.namespace !== owner.namespace || holder.name !== owner.name) return;
    await store.delete(this.#key(number), stored.modRevision);
  }

  /** All allocations. */
  async list(): Promise<
    readonly {
      readonly key: string;
      readonly number: string;
      readonly modRevision: number;
      readonly owner: Owner | undefined;
    }[]
  > {
    const { store, prefix, ownerOf } = this.#options;
    const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
    const { items } = await store.range(prefix, end, { limit: 0, revision: 0 });
    return items.map(({ key, value, modRevision }) => ({
      key,
      number: key.slice(prefix.length),
      modRevision,
      owner: ownerOf(value),
    }));
  }

  #key(number: number): string {
    return this.#options.prefix + this.#options.keyOf(number);
  }
}
