/** Uids that are remembered: upstream's. */
const ABSENT_MAX = 500;

/** Owners that are known to be gone for good, as a uid never comes back: the last few, least recently used first. */
export class AbsentOwners {
  readonly #uids = new Set<string>();

  add(uid: string): void {
    this.#uids.delete(uid);
    this.#uids.add(uid);
    if (this.#uids.size <= ABSENT_MAX) return;
    for (const oldest of this.#uids) {
      this.#uids.delete(oldest);
      return;
    }
  }

  has(uid: string): boolean {
    if (!this.#uids.has(uid)) return false;
    this.add(uid);
    return true;
  }
}
