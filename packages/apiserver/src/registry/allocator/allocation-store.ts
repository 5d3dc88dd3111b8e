/** The store as the allocators need it; `ObjectStore` is one. A key that is there is an allocation. */
export interface AllocationStore {
  get(key: string): Promise<{ readonly value: Buffer; readonly modRevision: number } | undefined>;
  /** Creates the key in one transaction if it is not there. */
  create(key: string, value: Buffer): Promise<{ readonly succeeded: boolean }>;
  /** Deletes the key if it still has that modRevision. */
  delete(key: string, modRevision: number): Promise<{ readonly succeeded: boolean }>;
  range(
    start: string,
    end: string,
    options: { readonly limit: number; readonly revision: number },
  ): Promise<{
    readonly items: readonly { readonly key: string; readonly value: Buffer; readonly modRevision: number }[];
  }>;
}
