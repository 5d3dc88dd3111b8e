/**
 * Compacts the store's history, as upstream's apiserver does: every interval the revision of one interval ago. All servers of
 * a cluster run it; a transaction on one key lets one of them win each round.
 */
import type { Clock, Logger } from '@naru/component';
import type { EtcdClient } from '@naru/etcd-client';

const compactKey = Buffer.from('compact_rev_key');

export interface CompactorOptions {
  readonly client: EtcdClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `--etcd-compaction-interval`; 0: never. */
  readonly intervalMs: number;
}

export async function runCompactor(options: CompactorOptions, signal: AbortSignal): Promise<void> {
  const { client, clock, logger, intervalMs } = options;
  if (intervalMs <= 0) return;
  let time = 0;
  let revision = 0;
  while (!signal.aborted) {
    try {
      await clock.sleep(intervalMs, { signal });
      [time, revision] = await compactOnce(client, time, revision);
    } catch (error) {
      if (signal.aborted) return;
      logger.warn({ err: error }, 'compaction failed');
    }
  }
}

/** One round: the server whose time is the key's compacts `revision`. Returns the next round's time and revision. */
async function compactOnce(client: EtcdClient, time: number, revision: number): Promise<[number, number]> {
  const response = await client.txn({
    compare: [{ target: 'VERSION', version: time, result: 'EQUAL', key: compactKey }],
    success: [{ requestPut: { key: compactKey, value: Buffer.from(String(revision)) } }],
    failure: [{ requestRange: { key: compactKey } }],
  });
  const current = response.header.revision;
  if (!response.succeeded) {
    const [first] = response.responses;
    const version = first !== undefined && 'responseRange' in first ? (first.responseRange.kvs[0]?.version ?? 0) : 0;
    return [version, current];
  }
  if (revision > 0) await client.compact({ revision });
  return [time + 1, current];
}
