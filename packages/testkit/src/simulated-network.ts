import type { Clock } from '@naru/component';
import type { SeededRandom } from './seeded-random.ts';

/** What goes wrong on the way; all of it off by default. */
export interface NetworkFaults {
  lossRate: number;
  /** Share of messages that arrive twice. */
  duplicateRate: number;
  /** Bounds of a message's way. */
  delayMs: readonly [number, number];
  /** A message may overtake those before it on the same way. */
  reorder: boolean;
  /** Share of messages that are held back somewhere, while later ones pass them. */
  lateRate: number;
  /** Bounds of how long those take. */
  lateMs: readonly [number, number];
}

export interface SimulatedNetworkOptions {
  readonly clock: Clock;
  readonly random: SeededRandom;
}

/** Carries payloads between named nodes, with faults. Payloads are opaque. */
export class SimulatedNetwork<T> {
  readonly faults: NetworkFaults = {
    lossRate: 0,
    duplicateRate: 0,
    delayMs: [0, 1],
    reorder: false,
    lateRate: 0,
    lateMs: [0, 0],
  };
  readonly #options: SimulatedNetworkOptions;
  readonly #receivers = new Map<string, (from: string, payload: T) => void>();
  /** Ways, as `from>to`, that lose everything. */
  readonly #cut = new Set<string>();
  /** When the last message of a way arrives, to keep their order. */
  readonly #lastArrival = new Map<string, number>();
  readonly counts = { sent: 0, lost: 0, duplicated: 0, delivered: 0 };

  constructor(options: SimulatedNetworkOptions) {
    this.#options = options;
  }

  /** A node comes up; what is on its way to it arrives. */
  attach(name: string, receive: (from: string, payload: T) => void): void {
    this.#receivers.set(name, receive);
  }

  detach(name: string): void {
    this.#receivers.delete(name);
  }

  isAttached(name: string): boolean {
    return this.#receivers.has(name);
  }

  /** Cuts the way in one direction. */
  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
  }

  /** Cuts all ways between two groups, in both directions. */
  partition(some: readonly string[], others: readonly string[]): void {
    for (const a of some)
      for (const b of others) {
        this.cut(a, b);
        this.cut(b, a);
      }
  }

  heal(): void {
    this.#cut.clear();
  }

  /** @returns whether a way is there; what is sent may get lost all the same */
  send(from: string, to: string, payload: T, options: { readonly atMostOnce?: boolean } = {}): boolean {
    const { random } = this.#options;
    const { lossRate, duplicateRate } = this.faults;
    this.counts.sent++;
    if (!this.#receivers.has(to)) return false;
    if (this.#cut.has(`${from}>${to}`) || random.chance(lossRate)) {
      this.counts.lost++;
      return true;
    }
    this.#deliver(from, to, payload);
    if (options.atMostOnce !== true && random.chance(duplicateRate)) {
      this.counts.duplicated++;
      this.#deliver(from, to, payload);
    }
    return true;
  }

  #deliver(from: string, to: string, payload: T): void {
    const { clock, random } = this.#options;
    const { delayMs, reorder, lateRate, lateMs } = this.faults;
    const way = `${from}>${to}`;
    const isLate = random.chance(lateRate);
    let arrival = clock.monotonic() + random.integer(...(isLate ? lateMs : delayMs));
    if (!isLate) {
      if (!reorder) arrival = Math.max(arrival, this.#lastArrival.get(way) ?? 0);
      this.#lastArrival.set(way, arrival);
    }
    const receiver = this.#receivers.get(to);
    clock.after(arrival - clock.monotonic(), () => {
      // A node that was started anew does not get what was sent to its former life.
      if (this.#receivers.get(to) !== receiver || this.#cut.has(way)) {
        this.counts.lost++;
        return;
      }
      this.counts.delivered++;
      receiver?.(from, payload);
    });
  }
}
