import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { EtcdError } from '@naru/etcd';
import { recordPayloads } from '../mvcc/snapshot.ts';
import type { MvccStore } from '../mvcc/store.ts';

/** A checksum of all keys and their uncompacted versions at a revision. */
export interface KeySpaceHash {
  readonly hash: number;
  readonly revision: number;
  /** Hashes of equal stores are equal only when this is, too. */
  readonly compactRevision: number;
}

/**
 * The hash of `store` at `revision`; 0: the newest. Equal on all members, however far the physical compaction of each has come.
 * Takes its time in small pieces.
 * @throws EtcdError futureRevision, compacted
 */
export async function hashKeySpace(store: MvccStore, revision: number): Promise<KeySpaceHash> {
  const at = { revision: revision === 0 ? store.revision : revision, compactRevision: store.compactRevision };
  if (at.revision > store.revision) throw new EtcdError('futureRevision');
  // As etcd has it: the compacted revision itself can be read, but not hashed.
  if (revision > 0 && revision <= at.compactRevision) throw new EtcdError('compacted');
  const unpin = store.pin();
  try {
    let hash = crc32(`${at.revision}/${at.compactRevision}`);
    for (const payload of recordPayloads(store, at)) {
      // Without its head: where records are cut into payloads depends on what is stored beside them.
      hash = crc32(payload.subarray(1), hash);
      await nextTurn();
    }
    return { hash, ...at };
  } finally {
    unpin();
  }
}
