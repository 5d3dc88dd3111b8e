/** A key that holds an allocation, such as `/registry/ranges/serviceips/127.1.0.5`. */
export interface Allocation {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

/** The store as the allocators need it: keys that exist once. */
export interface AllocationStore {
  /** Creates the key in one transaction if it is not there; false: it is. */
  createIfAbsent(key: string, value: string, options?: { readonly signal?: AbortSignal }): Promise<boolean>;
  /** A consistent read. */
  get(key: string): Promise<Allocation | undefined>;
  /** All keys that start with the prefix, a consistent read. */
  list(prefix: string): Promise<readonly Allocation[]>;
  /** Deletes the key if it still has that modRevision; false: it has not. */
  deleteIfUnchanged(key: string, modRevision: number): Promise<boolean>;
}
