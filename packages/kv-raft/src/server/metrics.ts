import { Gauge, Counter, Registry, collectDefaultMetrics } from 'prom-client';
import type { Consensus } from '../consensus.ts';
import type { WatchHub } from '../watch/watch-hub.ts';
import type { KvServer } from './kv-server.ts';
import type { Proposer } from './proposer.ts';
import type { Quota } from './quota.ts';
import type { CommandResult, KvStateMachine } from './state-machine.ts';

export interface MetricsSources {
  readonly consensus: Consensus<CommandResult>;
  readonly machine: KvStateMachine;
  readonly proposer: Proposer;
  readonly quota: Quota;
  readonly kv: KvServer;
  readonly hub: WatchHub;
}

/** etcd's metrics, by etcd's names, read from their sources when they are scraped. */
export class Metrics {
  readonly registry = new Registry();
  readonly #leaderChanges: Counter;

  constructor(sources: MetricsSources) {
    collectDefaultMetrics({ register: this.registry });
    const { consensus, machine, proposer, quota, kv, hub } = sources;
    const status = (): ReturnType<typeof consensus.status> => consensus.status();
    this.#gauge('etcd_server_has_leader', 'Whether or not a leader exists.', () => (status().leaderId === 0n ? 0 : 1));
    this.#gauge('etcd_server_is_leader', 'Whether or not this member is a leader.', () => (consensus.isLeader ? 1 : 0));
    this.#gauge('etcd_server_proposals_committed_total', 'Consensus proposals committed.', () => status().commitIndex);
    this.#gauge('etcd_server_proposals_applied_total', 'Consensus proposals applied.', () => status().appliedIndex);
    this.#gauge('etcd_server_proposals_pending', 'Pending proposals to commit.', () => proposer.pending);
    this.#gauge('etcd_server_proposals_failed_total', 'Failed proposals seen.', () => proposer.failed);
    this.#gauge('etcd_server_quota_backend_bytes', 'Backend storage quota in bytes.', () => quota.bytesMax);
    this.#gauge('etcd_mvcc_db_total_size_in_bytes', 'Size of the store in bytes.', () => machine.store.sizeBytes);
    this.#gauge('etcd_mvcc_db_total_size_in_use_in_bytes', 'Size in use in bytes.', () => machine.store.sizeBytes);
    this.#gauge('etcd_debugging_mvcc_keys_total', 'Total number of keys.', () => machine.store.keyCount);
    this.#gauge('etcd_debugging_mvcc_current_revision', 'The current revision.', () => machine.store.revision);
    this.#gauge('etcd_debugging_mvcc_compact_revision', 'The compacted revision.', () => machine.store.compactRevision);
    this.#gauge('etcd_debugging_mvcc_watch_stream_total', 'Total number of watch streams.', () => hub.streamCount);
    this.#gauge('etcd_debugging_mvcc_watcher_total', 'Total number of watchers.', () => hub.watcherCount);
    this.#gauge('etcd_debugging_mvcc_slow_watcher_total', 'Total number of slow watchers.', () => hub.laggingCount);
    this.#gauge('etcd_debugging_lease_granted_total', 'Leases that exist.', () => machine.store.leases.size);
    this.#gauge('etcd_mvcc_range_total', 'Ranges seen by this member.', () => kv.counters.range);
    this.#gauge('etcd_mvcc_put_total', 'Puts seen by this member.', () => kv.counters.put);
    this.#gauge('etcd_mvcc_delete_total', 'Deletes seen by this member.', () => kv.counters.delete);
    this.#gauge('etcd_mvcc_txn_total', 'Txns seen by this member.', () => kv.counters.txn);
    this.#leaderChanges = new Counter({
      name: 'etcd_server_leader_changes_seen_total',
      help: 'The number of leader changes seen.',
      registers: [this.registry],
    });
  }

  leaderChanged(): void {
    this.#leaderChanges.inc();
  }

  async text(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }

  #gauge(name: string, help: string, read: () => number): void {
    // oxlint-disable-next-line no-new -- a gauge lives in its registry
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }
}
