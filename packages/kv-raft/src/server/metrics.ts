import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Consensus } from '../consensus.ts';
import type { WatchHub } from '../watch/watch-hub.ts';
import type { KvServer } from './kv-server.ts';
import type { LeaseServer } from './lease-server.ts';
import type { MaintenanceServer } from './maintenance-server.ts';
import type { Proposer } from './proposer.ts';
import type { Quota } from './quota.ts';
import type { CommandResult, KvStateMachine } from './state-machine.ts';
import { CLUSTER_VERSION, ETCD_VERSION } from './version.ts';

export interface MetricsSources {
  readonly consensus: Consensus<CommandResult>;
  readonly machine: KvStateMachine;
  readonly proposer: Proposer;
  readonly quota: Quota;
  readonly kv: KvServer;
  readonly lease: LeaseServer;
  readonly maintenance: MaintenanceServer;
  readonly hub: WatchHub;
}

/** A metric that is read from its source when it is scraped. */
interface Reading {
  readonly name: string;
  readonly help: string;
  readonly read: () => number;
}

/** Upper bounds in seconds, as etcd has them: 1 ms, doubled up to 8 s. */
const FSYNC_BUCKETS = Array.from({ length: 14 }, (_, i) => 0.001 * 2 ** i);

/** etcd's metrics, by etcd's names and of etcd's types. */
export class Metrics {
  readonly registry = new Registry();
  readonly #leaderChanges: Counter;
  readonly #walFsync: Histogram;

  constructor(sources: MetricsSources) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    for (const { name, help, read } of gauges(sources))
      // oxlint-disable-next-line no-new -- it lives in its registry
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    for (const { name, help, read } of counters(sources))
      // oxlint-disable-next-line no-new -- it lives in its registry
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    const { memberId } = sources.consensus.status();
    for (const [name, label, value] of [
      ['etcd_server_id', 'server_id', memberId.toString(16)],
      ['etcd_server_version', 'server_version', ETCD_VERSION],
      ['etcd_cluster_version', 'cluster_version', CLUSTER_VERSION],
    ] as const)
      new Gauge({ name, help: `Label ${label} says it.`, labelNames: [label], registers }).set({ [label]: value }, 1);
    this.#leaderChanges = new Counter({
      name: 'etcd_server_leader_changes_seen_total',
      help: 'The number of leader changes seen.',
      registers,
    });
    this.#walFsync = new Histogram({
      name: 'etcd_disk_wal_fsync_duration_seconds',
      help: 'How long syncs of the log took.',
      buckets: FSYNC_BUCKETS,
      registers,
    });
  }

  leaderChanged(): void {
    this.#leaderChanges.inc();
  }

  walSynced(ms: number): void {
    this.#walFsync.observe(ms / 1000);
  }

  async text(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }
}

function gauges({ consensus, machine, proposer, quota, hub }: MetricsSources): readonly Reading[] {
  const { memberId } = consensus.status();
  const isLearner = (): boolean => consensus.status().members.find(({ id }) => id === memberId)?.isLearner ?? false;
  const gauge = (name: string, help: string, read: () => number): Reading => ({ name: `etcd_${name}`, help, read });
  return [
    gauge('server_has_leader', 'Whether a leader is known.', () => (consensus.status().leaderId === 0n ? 0 : 1)),
    gauge('server_is_leader', 'Whether this member is the leader.', () => (consensus.isLeader ? 1 : 0)),
    gauge('server_is_learner', 'Whether this member is a learner.', () => (isLearner() ? 1 : 0)),
    gauge('server_proposals_committed_total', 'Proposals committed.', () => consensus.status().commitIndex),
    gauge('server_proposals_applied_total', 'Proposals applied.', () => consensus.status().appliedIndex),
    gauge('server_proposals_pending', 'Proposals that wait.', () => proposer.pending),
    gauge('server_quota_backend_bytes', "The store's quota in bytes.", () => quota.bytesMax),
    gauge('mvcc_db_total_size_in_bytes', 'Size of the store in bytes.', () => machine.store.sizeBytes),
    gauge('mvcc_db_total_size_in_use_in_bytes', 'Size in use in bytes.', () => machine.store.sizeBytes),
    gauge('debugging_mvcc_db_total_size_in_bytes', 'Size of the store in bytes.', () => machine.store.sizeBytes),
    gauge('debugging_mvcc_keys_total', 'Number of keys.', () => machine.store.keyCount),
    gauge('debugging_mvcc_current_revision', 'The current revision.', () => machine.store.revision),
    gauge('debugging_mvcc_compact_revision', 'The compacted revision.', () => machine.store.compactRevision),
    gauge('debugging_mvcc_watch_stream_total', 'Number of watch streams.', () => hub.streamCount),
    gauge('debugging_mvcc_watcher_total', 'Number of watchers.', () => hub.watcherCount),
    gauge('debugging_mvcc_slow_watcher_total', 'Number of slow watchers.', () => hub.laggingCount),
    gauge('debugging_auth_revision', 'The revision of the auth store.', () => machine.auth.revision),
  ];
}

function counters({ proposer, kv, lease, maintenance }: MetricsSources): readonly Reading[] {
  const counter = (name: string, help: string, read: () => number): Reading => ({ name: `etcd_${name}`, help, read });
  // Those of etcd's debugging metrics that got a name without it go by both.
  const seen = (name: string, read: () => number): readonly Reading[] =>
    ['mvcc', 'debugging_mvcc'].map((group) => counter(`${group}_${name}_total`, 'Seen by this member.', read));
  return [
    ...seen('range', () => kv.counters.range),
    ...seen('put', () => kv.counters.put),
    ...seen('delete', () => kv.counters.delete),
    ...seen('txn', () => kv.counters.txn),
    counter('server_proposals_failed_total', 'Proposals that failed.', () => proposer.failed),
    counter('server_read_indexes_failed_total', 'Linearizable reads that failed.', () => proposer.readIndexesFailed),
    counter('server_health_success', 'Health checks that succeeded.', () => maintenance.healthChecks.succeeded),
    counter('server_health_failures', 'Health checks that failed.', () => maintenance.healthChecks.failed),
    counter('debugging_lease_granted_total', 'Leases granted by this member.', () => lease.counters.granted),
    counter('debugging_lease_revoked_total', 'Leases revoked by this member.', () => lease.counters.revoked),
    counter('debugging_lease_renewed_total', 'Leases renewed by this member.', () => lease.counters.renewed),
    counter('debugging_server_lease_expired_total', 'Leases that expired here.', () => lease.counters.expired),
  ];
}
