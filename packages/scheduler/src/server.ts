import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { EventRecorder, LeaderElector, RestClient, SharedInformerFactory, type RestClientOptions } from '@naru/client';
import { HealthServer, systemClock, type Clock, type Component, type Logger } from '@naru/component';
import { ClusterState } from './cluster-state.ts';
import { DEFAULT_SCHEDULER_NAME, type LeaderElectionConfig, type SchedulerConfig } from './config/config.ts';
import { Framework } from './framework/framework.ts';
import { SchedulerMetrics } from './metrics.ts';
import { Nominator } from './nominator.ts';
import { SchedulingQueue } from './queue/scheduling-queue.ts';
import { Scheduler } from './scheduler.ts';

/** Connections to the API server: room for all bindings and status writes at once. */
const CONNECTIONS = 64;

export interface ServerOptions {
  readonly api: RestClientOptions;
  readonly config: SchedulerConfig;
  /** Where health and metrics are served; undefined: nowhere. */
  readonly healthz: { readonly host: string; readonly port: number } | undefined;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Starts a kube-scheduler: follows the cluster at once, places pods while it leads. */
export async function startScheduler(options: ServerOptions, signal: AbortSignal): Promise<Component> {
  const { config, logger, clock = systemClock } = options;
  const stop = new AbortController();
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => stop.abort(new Error('the scheduler stops')));
  const client = cleanup.use(new RestClient({ ...options.api, userAgent: 'kube-scheduler', connections: CONNECTIONS }));
  const informers = cleanup.use(new SharedInformerFactory({ client, clock, logger }));
  const component = config.profiles[0]?.schedulerName ?? DEFAULT_SCHEDULER_NAME;
  const recorder = cleanup.use(new EventRecorder({ client, component, logger, clock }));
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const { scheduler, state } = assemble({ config, client, informers, recorder, registry, clock, logger }, cleanup);
  informers.start(stop.signal);
  if (options.healthz !== undefined) {
    const synced = (): void => {
      if (!state.pods.hasSynced) throw new Error('informers have not synced');
    };
    const readyChecks = { 'informer-sync': synced };
    await cleanup.use(new HealthServer({ ...options.healthz, logger, registry, readyChecks })).start();
  }
  signal.throwIfAborted();
  const lead = async (leading: AbortSignal): Promise<void> => {
    await informers.synced({ signal: leading });
    logger.info({ nodes: state.cache.nodes.length, pods: state.cache.podCount }, 'scheduling');
    await scheduler.run(leading);
  };
  const running = runElected(config.leaderElection, { client, clock, logger }, lead, stop.signal);
  const started = cleanup.move();
  return {
    failed: failureOf(running, stop.signal),
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the scheduler stops'));
      await running.catch(() => undefined);
      await started.disposeAsync();
    },
  };
}

interface Parts {
  readonly config: SchedulerConfig;
  readonly client: RestClient;
  readonly informers: SharedInformerFactory;
  readonly recorder: EventRecorder;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Builds the scheduler around its cache and queue, and lets events flow into them. */
function assemble(parts: Parts, cleanup: AsyncDisposableStack): { scheduler: Scheduler; state: ClusterState } {
  const { config, informers, registry, clock } = parts;
  const nominator = new Nominator();
  const state = new ClusterState(informers, nominator);
  const frameworks = new Map(
    config.profiles.map((profile) => [
      profile.schedulerName,
      new Framework(profile, { random: Math.random, nominations: nominator }),
    ]),
  );
  const plugins = new Map(config.profiles.flatMap(({ filters }) => filters.map((each) => [each.name, each])));
  const queue = cleanup.use(
    new SchedulingQueue({
      clock,
      initialBackoffMs: config.podInitialBackoffMs,
      maxBackoffMs: config.podMaxBackoffMs,
      plugins: [...plugins.values()],
      onReady: () => scheduler.wake(),
      onIncoming: (queue, event) => metrics.queueIncomingPods.inc({ queue, event }),
    }),
  );
  const metrics = new SchedulerMetrics(registry, {
    queueCounts: () => queue.counts,
    cacheSizes: () => ({
      nodes: state.cache.nodes.length,
      pods: state.cache.podCount,
      assumed_pods: state.cache.assumedCount,
    }),
  });
  const scheduler = cleanup.use(new Scheduler({ ...parts, state, queue, nominator, frameworks, metrics }));
  state.attach(queue, (pod) => frameworks.has(pod.spec?.schedulerName ?? ''));
  return { scheduler, state };
}

/** Runs `lead` while this process holds the Lease, or right away without an election. */
async function runElected(
  config: LeaderElectionConfig,
  parts: Pick<Parts, 'client' | 'clock' | 'logger'>,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<'lost' | 'stopped'> {
  if (!config.leaderElect) {
    await lead(signal);
    return 'stopped';
  }
  const { resourceNamespace: namespace, resourceName: name, leaderElect: _, ...durations } = config;
  const identity = `${hostname()}_${randomUUID()}`;
  return await new LeaderElector({ ...parts, ...durations, namespace, name, identity }).run(lead, signal);
}

/** Rejects when the scheduler cannot go on. */
async function failureOf(running: Promise<'lost' | 'stopped'>, stopping: AbortSignal): Promise<never> {
  try {
    if ((await running) === 'lost') throw new Error('leaderelection lost');
  } catch (error) {
    if (!stopping.aborted) throw error;
  }
  return await new Promise<never>(() => undefined);
}
