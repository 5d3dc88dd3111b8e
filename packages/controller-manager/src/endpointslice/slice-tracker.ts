import type { EndpointSlice } from '@naru/api';

/**
 * Remembers, per Service, the slices that were written last, so that a cache which does not show them yet is not taken
 * for the truth: a second slice would be created for the same endpoints.
 */
export class SliceTracker {
  /** By Service, the generation written of each slice, by uid. */
  readonly #written = new Map<string, Map<string, number>>();
  readonly #deleting = new Map<string, Set<string>>();

  written(service: string, { metadata }: EndpointSlice): void {
    const generations = this.#written.get(service) ?? new Map<string, number>();
    this.#written.set(service, generations.set(metadata.uid ?? '', metadata.generation ?? 0));
  }

  deleting(service: string, uid: string): void {
    this.#deleting.set(service, (this.#deleting.get(service) ?? new Set()).add(uid));
  }

  deletionFailed(service: string, uid: string): void {
    this.#deleting.get(service)?.delete(uid);
  }

  /** The cache shows a slice. True when it is not what was written here: someone else changed it, or it was waited for. */
  observed(service: string, { metadata }: EndpointSlice): boolean {
    const generations = this.#written.get(service);
    const written = generations?.get(metadata.uid ?? '');
    if (written === undefined) return true;
    const generation = metadata.generation ?? 0;
    if (generation < written) return false;
    generations?.delete(metadata.uid ?? '');
    return true;
  }

  deletionObserved(service: string, { metadata }: EndpointSlice): void {
    this.#written.get(service)?.delete(metadata.uid ?? '');
    this.#deleting.get(service)?.delete(metadata.uid ?? '');
  }

  /** Whether the cache is behind what was written and deleted. */
  isStale(service: string, slices: readonly EndpointSlice[]): boolean {
    const present = new Map(slices.map(({ metadata }) => [metadata.uid ?? '', metadata.generation ?? 0]));
    for (const [uid, generation] of this.#written.get(service) ?? [])
      if ((present.get(uid) ?? -1) < generation) return true;
    for (const uid of this.#deleting.get(service) ?? []) if (present.has(uid)) return true;
    return false;
  }

  forget(service: string): void {
    this.#written.delete(service);
    this.#deleting.delete(service);
  }
}
