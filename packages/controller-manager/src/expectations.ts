import type { Clock } from '@naru/component';

/** After this long an expectation that was not met is taken for lost: upstream's. */
const EXPECTATIONS_TIMEOUT_MS = 300_000;

interface Expectation {
  creations: number;
  readonly deletions: Set<string>;
  readonly setMs: number;
}

/**
 * What a controller has asked the server for and not yet seen in its caches. Until everything is seen the caches do not
 * tell how many there are, and acting on them would create or delete a second time.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #byOwner = new Map<string, Expectation>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the caches show all that the owner's last sync did. True when nothing is expected. */
  satisfied(owner: string): boolean {
    const expectation = this.#byOwner.get(owner);
    if (expectation === undefined) return true;
    if (expectation.creations <= 0 && expectation.deletions.size === 0) return true;
    return this.#clock.monotonic() - expectation.setMs > EXPECTATIONS_TIMEOUT_MS;
  }

  expectCreations(owner: string, count: number): void {
    this.#byOwner.set(owner, { creations: count, deletions: new Set(), setMs: this.#clock.monotonic() });
  }

  /** Deletions are expected by key: an object that is being deleted may be seen more than once. */
  expectDeletions(owner: string, keys: readonly string[]): void {
    this.#byOwner.set(owner, { creations: 0, deletions: new Set(keys), setMs: this.#clock.monotonic() });
  }

  expect(owner: string, creations: number, deletions: readonly string[]): void {
    this.#byOwner.set(owner, { creations, deletions: new Set(deletions), setMs: this.#clock.monotonic() });
  }

  /** One was seen, or its creation failed. */
  creationObserved(owner: string, count = 1): void {
    const expectation = this.#byOwner.get(owner);
    if (expectation !== undefined) expectation.creations -= count;
  }

  deletionObserved(owner: string, key: string): void {
    this.#byOwner.get(owner)?.deletions.delete(key);
  }

  forget(owner: string): void {
    this.#byOwner.delete(owner);
  }
}
