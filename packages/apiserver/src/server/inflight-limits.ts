import type { ServerMetrics } from './metrics.ts';
import { TooManyRequests, type LimitedRequest, type RequestLimiter } from './request-limiter.ts';

export interface InflightLimitsOptions {
  readonly maxRequestsInflight: number;
  readonly maxMutatingRequestsInflight: number;
  readonly metrics: ServerMetrics;
}

export type RequestKind = 'mutating' | 'readOnly';

const readVerbs: ReadonlySet<string> = new Set(['get', 'head', 'list', 'options', 'watch']);

export function requestKindOf(verb: string): RequestKind {
  return readVerbs.has(verb) ? 'readOnly' : 'mutating';
}

/**
 * Bounds how many requests are worked on at a time (`--max-requests-inflight`, `--max-mutating-requests-inflight`), without
 * priority and fairness. Long-running requests are not counted.
 */
export class InflightLimits implements RequestLimiter {
  readonly #options: InflightLimitsOptions;
  readonly #counts = { mutating: 0, readOnly: 0 };

  constructor(options: InflightLimitsOptions) {
    this.#options = options;
  }

  take({ info, user, longRunning }: LimitedRequest): () => void {
    if (longRunning) return () => undefined;
    const { maxRequestsInflight, maxMutatingRequestsInflight, metrics } = this.#options;
    const kind = requestKindOf(info.verb);
    const max = kind === 'readOnly' ? maxRequestsInflight : maxMutatingRequestsInflight;
    // Those who repair an overloaded cluster are never turned away.
    if (max > 0 && this.#counts[kind] >= max && !user.groups.includes('system:masters')) throw new TooManyRequests();
    metrics.setInflight(kind, ++this.#counts[kind]);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      metrics.setInflight(kind, --this.#counts[kind]);
    };
  }
}
