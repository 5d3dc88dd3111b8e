import { hostname } from 'node:os';
import { createPrivateKey, randomUUID, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  EventRecorder,
  KubeconfigError,
  LeaderElector,
  loadKubeconfig,
  RestClient,
  SharedInformerFactory,
} from '@naru/client';
import {
  HealthServer,
  systemClock,
  UsageError,
  type Clock,
  type Component,
  type FlagValues,
  type Logger,
} from '@naru/component';
import { readSigningOptions } from './certificates/signing-flags.ts';
import type { ControllerContext, ControlLoop } from './controller-context.ts';
import { selectControllers } from './controllers.ts';
import type { controllerManagerFlags } from './flags.ts';
import type { ControllerManagerOptions } from './options.ts';

type Values = FlagValues<typeof controllerManagerFlags>;

interface Dependencies {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

/** Starts the process: the health server at once, the controllers when this instance leads. */
export async function startControllerManager(values: Values, dependencies: Dependencies): Promise<Component> {
  const { logger, clock = systemClock } = dependencies;
  const make = selectControllers(values.controllers);
  const options = await optionsOf(values);
  const config = await readKubeconfig(values.kubeconfig);
  const client = new RestClient({ ...config, userAgent: 'kube-controller-manager' });
  const stop = new AbortController();
  const signal = AbortSignal.any([dependencies.signal, stop.signal]);
  const identity = `${hostname()}_${randomUUID()}`;
  const elector = values['leader-elect'] ? electorOf(values, { client, identity, logger, clock }) : undefined;
  const health = await startHealthServer(values['healthz-bind-address'], logger);
  const run = async (leading: AbortSignal): Promise<void> =>
    await runControllers(make, { client, clock, logger, options }, leading);
  const running = elector === undefined ? run(signal) : elector.run(run, signal);
  const failed = running.then((ended) => {
    if (ended === 'lost') throw new Error('leader election lost');
    // Ended because it was told to: the process is ending anyway.
    return new Promise<never>(() => {});
  });
  failed.catch(() => {});
  return {
    failed,
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the controller manager is disposed'));
      await running.catch(() => {});
      await health?.[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
    },
  };
}

async function readKubeconfig(path: string): ReturnType<typeof loadKubeconfig> {
  try {
    return await loadKubeconfig(path);
  } catch (error) {
    if (error instanceof KubeconfigError) throw new UsageError(`--kubeconfig: ${error.message}`, { cause: error });
    throw error;
  }
}

function electorOf(
  values: Values,
  dependencies: { client: RestClient; identity: string; logger: Logger; clock: Clock },
): LeaderElector {
  try {
    return new LeaderElector({
      ...dependencies,
      namespace: values['leader-elect-resource-namespace'],
      name: values['leader-elect-resource-name'],
      leaseDurationMs: values['leader-elect-lease-duration'],
      renewDeadlineMs: values['leader-elect-renew-deadline'],
      retryPeriodMs: values['leader-elect-retry-period'],
    });
  } catch (error) {
    if (error instanceof RangeError)
      throw new UsageError(`--leader-elect-renew-deadline: ${error.message}`, { cause: error });
    throw error;
  }
}

async function startHealthServer(address: string, logger: Logger): Promise<HealthServer | undefined> {
  if (address === '') return undefined;
  const match = /^(.*):(\d+)$/u.exec(address);
  if (match === null)
    throw new UsageError(
      `invalid argument ${JSON.stringify(address)} for "--healthz-bind-address" flag: must be HOST:PORT`,
    );
  const [, host = '', port = ''] = match;
  const health = new HealthServer({ host: host.replace(/^\[|\]$/gu, ''), port: Number(port), logger });
  await health.start();
  return health;
}

/** Runs the controllers until `signal` aborts, then waits for what they are doing. */
async function runControllers(
  make: ReturnType<typeof selectControllers>,
  base: Pick<ControllerContext, 'client' | 'clock' | 'logger' | 'options'>,
  signal: AbortSignal,
): Promise<void> {
  const { client, clock, logger } = base;
  await using stack = new AsyncDisposableStack();
  const recorders = new Map<string, EventRecorder>();
  const informers = stack.use(new SharedInformerFactory({ client, clock, logger, transform: withoutManagedFields }));
  const context: ControllerContext = {
    ...base,
    informers,
    random: Math.random,
    recorder(component) {
      const recorder = recorders.get(component) ?? stack.use(new EventRecorder({ client, component, logger, clock }));
      recorders.set(component, recorder);
      return recorder;
    },
  };
  const loops = make.map((each) => each(context)).filter((loop): loop is ControlLoop => loop !== undefined);
  for (const loop of loops) stack.use(loop);
  informers.start(signal);
  try {
    await informers.synced({ signal });
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  logger.info({ controllers: loops.length }, 'caches synced, controllers started');
  for (const loop of loops) loop.start(signal);
  await new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', resolve, { once: true });
  });
}

/** managedFields are often half of an object, and no controller reads them. */
function withoutManagedFields<T extends { metadata: { managedFields?: unknown } }>(object: T): T {
  delete object.metadata.managedFields;
  return object;
}

async function optionsOf(values: Values): Promise<ControllerManagerOptions> {
  const rootCaFile = values['root-ca-file'];
  const evictionRate = Number(values['node-eviction-rate']);
  if (!(evictionRate >= 0)) throw new UsageError('invalid argument for "--node-eviction-rate" flag: must be a number');
  if (values['allocate-node-cidrs'] && values['cluster-cidr'] === '')
    throw new UsageError('--cluster-cidr is required with --allocate-node-cidrs');
  return {
    concurrentSyncs: {
      cronJob: values['concurrent-cron-job-syncs'],
      daemonSet: values['concurrent-daemonset-syncs'],
      deployment: values['concurrent-deployment-syncs'],
      endpoint: values['concurrent-endpoint-syncs'],
      garbageCollector: values['concurrent-gc-syncs'],
      job: values['concurrent-job-syncs'],
      namespace: values['concurrent-namespace-syncs'],
      replicationController: values['concurrent-rc-syncs'],
      replicaSet: values['concurrent-replicaset-syncs'],
      resourceQuota: values['concurrent-resource-quota-syncs'],
      service: values['concurrent-service-endpoint-syncs'],
      serviceAccount: values['concurrent-serviceaccount-token-syncs'],
      statefulSet: values['concurrent-statefulset-syncs'],
      ttlAfterFinished: values['concurrent-ttl-after-finished-syncs'],
    },
    maxEndpointsPerSlice: values['max-endpoints-per-slice'],
    allocateNodeCidrs: values['allocate-node-cidrs'],
    clusterCidr: values['cluster-cidr'],
    nodeCidrMaskSize: values['node-cidr-mask-size'],
    nodeMonitorPeriodMs: values['node-monitor-period'],
    nodeMonitorGracePeriodMs: values['node-monitor-grace-period'],
    nodeStartupGracePeriodMs: values['node-startup-grace-period'],
    nodeEvictionRatePerSecond: evictionRate,
    terminatedPodGcThreshold: values['terminated-pod-gc-threshold'],
    resourceQuotaSyncPeriodMs: values['resource-quota-sync-period'],
    rootCa: rootCaFile === '' ? undefined : await readRootCa(rootCaFile),
    serviceAccountKey: await readKey(values['service-account-private-key-file']),
    signing: await readSigningOptions(values),
    legacyServiceAccountTokens: !gateOf(values['feature-gates'], 'LegacyServiceAccountTokenNoAutoGeneration', true),
  };
}

async function readKey(file: string): Promise<KeyObject | undefined> {
  if (file === '') return undefined;
  try {
    return createPrivateKey(await readFile(file));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--service-account-private-key-file: ${why}`, { cause: error });
  }
}

/** Whether a feature is on; the last word counts. Features that are not there are accepted. */
function gateOf(gates: readonly string[], name: string, byDefault: boolean): boolean {
  let on = byDefault;
  for (const gate of gates) {
    const match = /^([A-Za-z0-9]+)=(true|false)$/u.exec(gate);
    if (match === null)
      throw new UsageError(
        `invalid argument ${JSON.stringify(gate)} for "--feature-gates" flag: must be NAME=true|false`,
      );
    if (match[1] === name) on = match[2] === 'true';
  }
  return on;
}

async function readRootCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--root-ca-file: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
