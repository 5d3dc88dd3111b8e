/**
 * What happens to requests at each priority level and FlowSchema. On the way of a request these are plain numbers; labels are
 * looked at when somebody asks for metrics.
 */
import { Counter, Gauge, type Registry } from 'prom-client';

/** Seconds; upstream's buckets. */
const durationBuckets = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

export const rejectionReasons = ['queue-full', 'concurrency-limit', 'time-out', 'cancelled'] as const;
export type RejectionReason = (typeof rejectionReasons)[number];

/** A histogram that is only counted in. */
export class TallyHistogram {
  readonly buckets: readonly number[];
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(buckets: readonly number[]) {
    this.buckets = buckets;
    this.counts = buckets.map(() => 0);
  }

  observe(value: number): void {
    this.sum += value;
    this.count++;
    for (let i = 0; i < this.buckets.length; i++) {
      if (value <= (this.buckets[i] ?? 0)) {
        this.counts[i] = (this.counts[i] ?? 0) + 1;
        return;
      }
    }
  }
}

/** Of one FlowSchema at one priority level. */
export class FlowTally {
  readonly labels: { readonly priority_level: string; readonly flow_schema: string };
  readonly rejected: Record<RejectionReason, number> = {
    'queue-full': 0,
    'concurrency-limit': 0,
    'time-out': 0,
    cancelled: 0,
  };
  readonly waits = { true: new TallyHistogram(durationBuckets), false: new TallyHistogram(durationBuckets) };
  readonly executions = { regular: new TallyHistogram(durationBuckets), watch: new TallyHistogram(durationBuckets) };
  dispatched = 0;
  waiting = 0;
  executing = 0;
  seatsInUse = 0;

  constructor(priorityLevel: string, flowSchema: string) {
    this.labels = { priority_level: priorityLevel, flow_schema: flowSchema };
  }
}

export interface LevelFigures {
  readonly name: string;
  readonly nominal: number;
  readonly min: number;
  readonly max: number;
  readonly current: number;
  readonly demandHigh: number;
  readonly demandSmoothed: number;
}

interface FlowControlFigures {
  tallies(): Iterable<FlowTally>;
  levels(): Iterable<LevelFigures>;
}

const flowLabels = ['priority_level', 'flow_schema'] as const;

/** Registers upstream's metrics of priority and fairness; `figures` are read when metrics are asked for. */
export function registerFlowControlMetrics(registry: Registry, figures: FlowControlFigures): void {
  const prefix = 'apiserver_flowcontrol';
  registry.registerMetric(
    new Counter({
      name: `${prefix}_rejected_requests_total`,
      help: 'Number of requests rejected by API Priority and Fairness subsystem',
      labelNames: [...flowLabels, 'reason'],
      registers: [],
      collect(): void {
        this.reset();
        for (const { labels, rejected } of figures.tallies())
          for (const reason of rejectionReasons)
            if (rejected[reason] > 0) this.inc({ ...labels, reason }, rejected[reason]);
      },
    }),
  );
  registry.registerMetric(
    new Counter({
      name: `${prefix}_dispatched_requests_total`,
      help: 'Number of requests executed by API Priority and Fairness subsystem',
      labelNames: flowLabels,
      registers: [],
      collect(): void {
        this.reset();
        for (const { labels, dispatched } of figures.tallies()) this.inc(labels, dispatched);
      },
    }),
  );
  registerGauges(registry, prefix, figures);
  registerHistograms(registry, prefix, figures);
}

function registerGauges(registry: Registry, prefix: string, figures: FlowControlFigures): void {
  const flowGauges: readonly (readonly [string, string, (tally: FlowTally) => number])[] = [
    [
      'current_inqueue_requests',
      'Number of requests currently pending in queues of the API Priority and Fairness subsystem',
      (tally) => tally.waiting,
    ],
    [
      'current_executing_requests',
      'Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem',
      (tally) => tally.executing,
    ],
    [
      'current_executing_seats',
      'Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem',
      (tally) => tally.seatsInUse,
    ],
  ];
  for (const [name, help, value] of flowGauges)
    registry.registerMetric(
      new Gauge({
        name: `${prefix}_${name}`,
        help,
        labelNames: flowLabels,
        registers: [],
        collect(): void {
          this.reset();
          for (const tally of figures.tallies()) this.set(tally.labels, value(tally));
        },
      }),
    );
  const levelGauges: readonly (readonly [string, string, (level: LevelFigures) => number])[] = [
    ['nominal_limit_seats', 'Nominal number of execution seats configured for each priority level', (l) => l.nominal],
    [
      'lower_limit_seats',
      'Configured lower bound on number of execution seats available to each priority level',
      (l) => l.min,
    ],
    [
      'upper_limit_seats',
      'Configured upper bound on number of execution seats available to each priority level',
      (l) => l.max,
    ],
    [
      'current_limit_seats',
      'current derived number of execution seats available to each priority level',
      (l) => l.current,
    ],
    [
      'demand_seats_high_watermark',
      'High watermark, over last adjustment period, of demand_seats',
      (l) => l.demandHigh,
    ],
    ['demand_seats_smoothed', 'Smoothed seat demands', (l) => l.demandSmoothed],
  ];
  for (const [name, help, value] of levelGauges)
    registry.registerMetric(
      new Gauge({
        name: `${prefix}_${name}`,
        help,
        labelNames: ['priority_level'],
        registers: [],
        collect(): void {
          this.reset();
          for (const level of figures.levels()) this.set({ priority_level: level.name }, value(level));
        },
      }),
    );
}

function registerHistograms(registry: Registry, prefix: string, figures: FlowControlFigures): void {
  const register = (
    name: string,
    help: string,
    of: (tally: FlowTally) => readonly (readonly [Readonly<Record<string, string>>, TallyHistogram])[],
  ): void => {
    const metric = {
      name: `${prefix}_${name}`,
      get: () => ({
        name: `${prefix}_${name}`,
        help,
        type: 'histogram',
        aggregator: 'sum',
        values: [...figures.tallies()].flatMap((tally) =>
          of(tally).flatMap(([labels, histogram]) =>
            histogramValues(`${prefix}_${name}`, { ...tally.labels, ...labels }, histogram),
          ),
        ),
      }),
      reset: () => undefined,
    };
    // The library's own histograms cannot be set; whatever has `get` is a metric to its registry.
    registry.registerMetric(metric as unknown as Gauge);
  };
  register('request_wait_duration_seconds', 'Length of time a request spent waiting in its queue', ({ waits }) => [
    [{ execute: 'true' }, waits.true],
    [{ execute: 'false' }, waits.false],
  ]);
  register(
    'request_execution_seconds',
    'Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem',
    ({ executions }) => [
      [{ type: 'regular' }, executions.regular],
      [{ type: 'watch' }, executions.watch],
    ],
  );
}

function histogramValues(
  name: string,
  labels: Readonly<Record<string, string>>,
  { buckets, counts, sum, count }: TallyHistogram,
): { readonly metricName: string; readonly labels: Record<string, string | number>; readonly value: number }[] {
  if (count === 0) return [];
  let total = 0;
  return [
    ...buckets.map((le, i) => {
      total += counts[i] ?? 0;
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: total };
    }),
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels: { ...labels }, value: sum },
    { metricName: `${name}_count`, labels: { ...labels }, value: count },
  ];
}
