import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

type QueueCounts = Readonly<Record<'active' | 'backoff' | 'unschedulable' | 'gated', number>>;

const attemptBuckets = [
  0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
];

/** The scheduler's metrics; names and labels are upstream's. */
export class SchedulerMetrics {
  readonly scheduleAttempts: Counter<'result' | 'profile'>;
  readonly attemptDuration: Histogram<'result' | 'profile'>;
  readonly algorithmDuration: Histogram;
  readonly sliDuration: Histogram<'attempts'>;
  readonly podAttempts: Histogram;
  readonly preemptionAttempts: Counter;
  readonly preemptionVictims: Histogram;
  readonly queueIncomingPods: Counter<'queue' | 'event'>;
  readonly pendingPods: Gauge<'queue'>;
  readonly cacheSize: Gauge<'type'>;

  constructor(
    registry: Registry,
    sources: {
      readonly queueCounts: () => QueueCounts;
      readonly cacheSizes: () => Readonly<Record<'nodes' | 'pods' | 'assumed_pods', number>>;
    },
  ) {
    const registers = [registry];
    this.scheduleAttempts = new Counter({
      name: 'scheduler_schedule_attempts_total',
      help: 'Attempts to schedule pods, by the result: unschedulable, or error for an internal problem.',
      labelNames: ['result', 'profile'],
      registers,
    });
    this.attemptDuration = new Histogram({
      name: 'scheduler_scheduling_attempt_duration_seconds',
      help: 'Latency of an attempt, from the pop of the pod to its binding or rejection.',
      labelNames: ['result', 'profile'],
      buckets: attemptBuckets,
      registers,
    });
    this.algorithmDuration = new Histogram({
      name: 'scheduler_scheduling_algorithm_duration_seconds',
      help: 'Latency of the choice of a node.',
      buckets: attemptBuckets,
      registers,
    });
    this.sliDuration = new Histogram({
      name: 'scheduler_pod_scheduling_sli_duration_seconds',
      help: 'Latency of a pod from its first queueing to its binding.',
      labelNames: ['attempts'],
      buckets: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68],
      registers,
    });
    this.podAttempts = new Histogram({
      name: 'scheduler_pod_scheduling_attempts',
      help: 'Number of attempts until a pod was scheduled.',
      buckets: [1, 2, 4, 8, 16],
      registers,
    });
    this.preemptionAttempts = new Counter({
      name: 'scheduler_preemption_attempts_total',
      help: 'Total preemption attempts in the cluster till now.',
      registers,
    });
    this.preemptionVictims = new Histogram({
      name: 'scheduler_preemption_victims',
      help: 'Number of selected preemption victims.',
      buckets: [1, 2, 4, 8, 16, 32, 64],
      registers,
    });
    this.queueIncomingPods = new Counter({
      name: 'scheduler_queue_incoming_pods_total',
      help: 'Pods added to the queues, by queue and event.',
      labelNames: ['queue', 'event'],
      registers,
    });
    this.pendingPods = newGauge(
      registry,
      { name: 'scheduler_pending_pods', help: 'Pods that wait, by queue.', label: 'queue' },
      sources.queueCounts,
    );
    this.cacheSize = newGauge(
      registry,
      { name: 'scheduler_cache_size', help: 'Nodes, pods and assumed pods in the cache.', label: 'type' },
      sources.cacheSizes,
    );
  }
}

function newGauge<L extends string>(
  registry: Registry,
  options: { readonly name: string; readonly help: string; readonly label: L },
  collect: () => Readonly<Record<string, number>>,
): Gauge<L> {
  return new Gauge({
    name: options.name,
    help: options.help,
    labelNames: [options.label],
    registers: [registry],
    collect() {
      for (const [value, count] of Object.entries(collect()))
        this.set({ [options.label]: value } as Record<L, string>, count);
    },
  });
}
