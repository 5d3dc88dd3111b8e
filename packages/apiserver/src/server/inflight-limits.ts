import { newStatusError } from '@naru/api';
import type { UserInfo } from '../authentication/authenticator.ts';
import type { ServerMetrics } from './metrics.ts';
import type { RequestInfo } from './request-info.ts';

export interface InflightLimitsOptions {
  readonly maxRequestsInflight: number;
  readonly maxMutatingRequestsInflight: number;
  readonly metrics: ServerMetrics;
}

const readVerbs: ReadonlySet<string> = new Set(['get', 'head', 'list', 'options', 'watch']);

/** Bounds how many requests are worked on at a time (`--max-requests-inflight`, `--max-mutating-requests-inflight`). */
export class InflightLimits {
  readonly #options: InflightLimitsOptions;
  readonly #counts = { mutating: 0, readOnly: 0 };

  constructor(options: InflightLimitsOptions) {
    this.#options = options;
  }

  /** Takes a place; returns what gives it back, once. @throws StatusError TooManyRequests. */
  take(info: RequestInfo, user: UserInfo): () => void {
    const { maxRequestsInflight, maxMutatingRequestsInflight, metrics } = this.#options;
    const kind = readVerbs.has(info.verb) ? 'readOnly' : 'mutating';
    const max = kind === 'readOnly' ? maxRequestsInflight : maxMutatingRequestsInflight;
    // Those who repair an overloaded cluster are never turned away.
    if (max > 0 && this.#counts[kind] >= max && !user.groups.includes('system:masters'))
      throw newStatusError('TooManyRequests', 'Too many requests, please try again later.', { retryAfterSeconds: 1 });
    metrics.setInflight(kind, ++this.#counts[kind]);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      metrics.setInflight(kind, --this.#counts[kind]);
    };
  }
}
