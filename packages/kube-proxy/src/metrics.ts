import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const buckets = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

/** kube-proxy's metrics; names are upstream's. */
export class ProxyMetrics {
  readonly syncDuration: Histogram;
  readonly syncTimestamp: Gauge;
  readonly serviceChanges: Counter;
  readonly endpointChanges: Counter;
  readonly networkProgrammingDuration: Histogram;

  constructor(registry: Registry) {
    const registers = [registry];
    this.syncDuration = new Histogram({
      name: 'kubeproxy_sync_proxy_rules_duration_seconds',
      help: 'Latency of one round of changes.',
      buckets,
      registers,
    });
    this.syncTimestamp = new Gauge({
      name: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
      help: 'When changes were carried out last.',
      registers,
    });
    this.serviceChanges = new Counter({
      name: 'kubeproxy_sync_proxy_rules_service_changes_total',
      help: 'Changes of Services.',
      registers,
    });
    this.endpointChanges = new Counter({
      name: 'kubeproxy_sync_proxy_rules_endpoint_changes_total',
      help: 'Changes of EndpointSlices.',
      registers,
    });
    this.networkProgrammingDuration = new Histogram({
      name: 'kubeproxy_network_programming_duration_seconds',
      help: 'Time from the change of a pod or Service until it was carried out here.',
      buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
      registers,
    });
  }
}
