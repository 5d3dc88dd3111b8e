/** How the server keeps itself from more requests than it can work on: by priority and fairness, or by plain limits. */
import type { Clock, Logger } from '@naru/component';
import type { ApiserverConfig } from '../config.ts';
import type { ObjectObserver } from '../registry/object-observer.ts';
import type { ResourceStack } from '../resource-stack.ts';
import { InflightLimits } from '../server/inflight-limits.ts';
import type { ServerMetrics } from '../server/metrics.ts';
import type { RequestInfo } from '../server/request-info.ts';
import type { RequestLimiter } from '../server/request-limiter.ts';
import { BootstrapConfiguration } from './bootstrap-configuration.ts';
import { PriorityAndFairness } from './priority-and-fairness.ts';

/** Part of the time that a request may take which it may wait for its seats, as upstream. */
const WAIT_PART = 4;

export interface FlowControlOptions {
  readonly config: ApiserverConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: ServerMetrics;
  readonly stack: () => ResourceStack;
  readonly countOf: (info: RequestInfo) => number | undefined;
}

export class FlowControl {
  readonly limiter: RequestLimiter;
  readonly observers: readonly ObjectObserver[];
  readonly #configuration: BootstrapConfiguration;
  readonly #fairness: PriorityAndFairness | undefined;

  constructor(options: FlowControlOptions) {
    const { config, clock, metrics, countOf } = options;
    const { maxRequestsInflight, maxMutatingRequestsInflight } = config;
    this.#configuration = new BootstrapConfiguration(options);
    if (config.priorityAndFairness) {
      this.#fairness = new PriorityAndFairness({
        serverLimit: maxRequestsInflight + maxMutatingRequestsInflight,
        requestWaitLimitMs: config.requestTimeoutMs / WAIT_PART,
        clock,
        metrics,
        countOf,
      });
      this.limiter = this.#fairness;
      this.observers = [this.#fairness, this.#configuration];
    } else {
      this.limiter = new InflightLimits({ maxRequestsInflight, maxMutatingRequestsInflight, metrics });
      this.observers = [this.#configuration];
    }
  }

  /** Creates the objects that every cluster has. */
  async bootstrap(): Promise<void> {
    await this.#configuration.reconcile();
  }

  /** Ends when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#configuration.run(signal), this.#fairness?.run(signal)]);
  }
}
