import type { Backend } from '../plan/listener-plan.ts';

/** Clients whose backend is remembered; the one seen longest ago is forgotten first. */
const AFFINITIES_MAX = 10_000;

interface Affinity {
  readonly backend: Backend;
  readonly usedMs: number;
}

/** Picks backends: in turn, or for each client its own as long as it keeps coming. */
export class Balancer {
  #backends: readonly Backend[] = [];
  #affinityMs: number | undefined;
  #next = 0;
  readonly #affinities = new Map<string, Affinity>();

  get backends(): readonly Backend[] {
    return this.#backends;
  }

  update(backends: readonly Backend[], affinityMs: number | undefined): void {
    // The turn goes on with the backend that it would have come to, or with the one after it if that is gone.
    const upcoming = this.#backends[this.#next % Math.max(1, this.#backends.length)];
    const at = upcoming === undefined ? -1 : backends.findIndex(({ key }) => key >= upcoming.key);
    this.#next = Math.max(0, at);
    this.#backends = backends;
    this.#affinityMs = affinityMs;
    const keys = new Set(backends.map(({ key }) => key));
    for (const [client, { backend }] of this.#affinities)
      if (affinityMs === undefined || !keys.has(backend.key)) this.#affinities.delete(client);
  }

  has(backend: Backend): boolean {
    return this.#backends.some(({ key }) => key === backend.key);
  }

  /** A backend for the client, but none of `tried`; undefined when there is none left. */
  pick(clientAddress: string, nowMs: number, tried: ReadonlySet<string> = new Set()): Backend | undefined {
    const known = this.#affinities.get(clientAddress);
    if (known !== undefined && nowMs - known.usedMs < (this.#affinityMs ?? 0) && !tried.has(known.backend.key)) {
      this.#remember(clientAddress, known.backend, nowMs);
      return known.backend;
    }
    for (let i = 0; i < this.#backends.length; i++) {
      const backend = this.#backends[this.#next % this.#backends.length];
      this.#next = (this.#next + 1) % this.#backends.length;
      if (backend === undefined || tried.has(backend.key)) continue;
      if (this.#affinityMs !== undefined) this.#remember(clientAddress, backend, nowMs);
      return backend;
    }
    return undefined;
  }

  #remember(client: string, backend: Backend, usedMs: number): void {
    this.#affinities.delete(client);
    this.#affinities.set(client, { backend, usedMs });
    if (this.#affinities.size <= AFFINITIES_MAX) return;
    const [oldest] = this.#affinities.keys();
    if (oldest !== undefined) this.#affinities.delete(oldest);
  }
}
