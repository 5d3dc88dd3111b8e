import { splitKey } from '@naru/api';
import { EventRecorder, RestClient, SharedInformerFactory, type RestClientOptions } from '@naru/client';
import { HealthServer, systemClock, type Clock, type Component, type Logger } from '@naru/component';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { ProxyMetrics } from './metrics.ts';
import type { NodePortAddresses } from './node-addresses.ts';
import { hostPort } from './plan/listener-plan.ts';
import { proxiedServices, Proxier } from './proxier.ts';
import { UserspaceProxier } from './userspace/userspace-proxier.ts';

export interface ServerOptions {
  readonly api: RestClientOptions;
  readonly nodeName: string;
  /** Overrides the addresses of the Node object. */
  readonly nodeIP: string | undefined;
  readonly nodePortAddresses: NodePortAddresses;
  /** Where health and metrics are served; undefined: nowhere. */
  readonly healthz: { readonly host: string; readonly port: number } | undefined;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Starts a kube-proxy; resolves while it still waits for the first Services. */
export async function startProxy(options: ServerOptions, signal: AbortSignal): Promise<Component> {
  const { nodeName, logger, clock = systemClock } = options;
  const stop = new AbortController();
  await using cleanup = new AsyncDisposableStack();
  const client = cleanup.use(new RestClient({ ...options.api, userAgent: 'kube-proxy' }));
  const recorder = cleanup.use(new EventRecorder({ client, component: 'kube-proxy', host: nodeName, logger, clock }));
  const informers = cleanup.use(new SharedInformerFactory({ client, clock, logger }));
  const mode = cleanup.use(
    new UserspaceProxier({
      clock,
      logger,
      onBindFailure(owner, plan, error) {
        const { namespace, name } = splitKey(owner);
        const service = proxiedServices(informers).get(namespace, name);
        if (service === undefined) return;
        const what = `"${plan.kind === 'nodePort' ? 'nodePort' : 'clusterIP'} for ${plan.servicePort}"`;
        const message = `can't open port ${what} (${hostPort(plan.address, plan.port)}/${plan.protocol.toLowerCase()}), skipping it: ${error.message}`;
        recorder.event(service, { type: 'Warning', reason: 'FailedToOpenPort', message });
      },
    }),
  );
  // Last in, first out: no change is carried out any more when the listeners close.
  cleanup.defer(() => stop.abort(new Error('kube-proxy stops')));
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const metrics = new ProxyMetrics(registry);
  const { nodeIP, nodePortAddresses } = options;
  const proxier = new Proxier({ informers, mode, nodeName, nodeIP, nodePortAddresses, metrics, clock });
  proxier.attach(stop.signal);
  informers.start(stop.signal);
  if (options.healthz !== undefined) {
    const synced = (): void => {
      if (!proxier.hasSynced) throw new Error('informers have not synced');
    };
    const health = new HealthServer({ ...options.healthz, logger, registry, readyChecks: { 'informer-sync': synced } });
    await cleanup.use(health).start();
  }
  signal.throwIfAborted();
  const started = cleanup.move();
  return {
    async [Symbol.asyncDispose]() {
      await started.disposeAsync();
    },
  };
}
