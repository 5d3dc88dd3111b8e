import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RequestInfo } from './request-info.ts';

/** Seconds; upstream's buckets. */
const durationBuckets = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

const requestLabels = ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'] as const;

/** The server's metrics, by upstream's names. */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly #requests: Counter;
  readonly #durations: Histogram;
  readonly #inflight = { mutating: 0, readOnly: 0 };
  readonly #longRunning: Gauge;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#requests = new Counter({
      name: 'apiserver_request_total',
      help: 'Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.',
      labelNames: [...requestLabels, 'code', 'dry_run'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'apiserver_request_duration_seconds',
      help: 'Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.',
      labelNames: [...requestLabels, 'dry_run'],
      buckets: durationBuckets,
      registers,
    });
    const inflight = this.#inflight;
    this.registry.registerMetric(
      new Gauge({
        name: 'apiserver_current_inflight_requests',
        help: 'Maximal number of currently used inflight request limit of this apiserver per request kind in last second.',
        labelNames: ['request_kind'],
        registers: [],
        collect(): void {
          for (const [kind, count] of Object.entries(inflight)) this.set({ request_kind: kind }, count);
        },
      }),
    );
    this.#longRunning = new Gauge({
      name: 'apiserver_longrunning_requests',
      help: 'Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.',
      labelNames: [...requestLabels],
      registers,
    });
  }

  setInflight(kind: 'mutating' | 'readOnly', count: number): void {
    this.#inflight[kind] = count;
  }

  longRunningStarted(info: RequestInfo): void {
    this.#longRunning.inc(labelsOf(info));
  }

  /** Counts a request that is over. Long-running ones have no duration that would mean anything. */
  finished(
    info: RequestInfo,
    outcome: {
      readonly code: number;
      readonly seconds: number;
      readonly dryRun: boolean;
      readonly longRunning: boolean;
    },
  ): void {
    const labels = labelsOf(info);
    const dryRun = outcome.dryRun ? 'All' : '';
    this.#requests.inc({ ...labels, code: outcome.code, dry_run: dryRun });
    if (outcome.longRunning) this.#longRunning.dec(labels);
    else this.#durations.observe({ ...labels, dry_run: dryRun }, outcome.seconds);
  }
}

function labelsOf(info: RequestInfo): Record<(typeof requestLabels)[number], string> {
  const { verb, group, version, resource, subresource, namespace, name } = info;
  const scope = !info.isResourceRequest
    ? ''
    : name !== '' || verb === 'create'
      ? 'resource'
      : namespace === ''
        ? 'cluster'
        : 'namespace';
  return { verb: verb.toUpperCase(), group, version, resource, subresource, scope, component: 'apiserver' };
}
