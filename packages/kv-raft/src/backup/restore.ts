import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Disk } from '../disk/disk.ts';
import { nodeDisk } from '../disk/node-disk.ts';
import { clusterIdOf, memberIdOf, Membership, type InitialMember } from '../driver/membership.ts';
import { emptyConfState } from '../raft/conf-change.ts';
import { readSnapshot, writeSnapshot } from '../server/snapshot-stream.ts';
import { SnapshotStore } from '../snapshot/snapshot-store.ts';
import { Wal } from '../wal/wal.ts';
import { openBackup, type BackupSource } from './backup-file.ts';

export interface RestoreOptions {
  readonly file: string;
  /** Must not exist, or be empty. */
  readonly dataDir: string;
  /** One of `initialCluster`. */
  readonly name: string;
  /** The members of the new cluster: all of them restore the same file. */
  readonly initialCluster: readonly InitialMember[];
  /** With the peer URLs it makes the ids: another token than the old cluster's keeps its members apart. */
  readonly initialClusterToken: string;
  /** How much the revision grows, so that no client has seen a later one than the new cluster's. */
  readonly bumpRevision: number;
  /** Everything before the new revision counts as compacted: watches that go on from before are told so. */
  readonly markCompacted: boolean;
  readonly skipHashCheck: boolean;
  readonly disk?: Disk;
}

export interface Restored {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly revision: number;
}

/** The term of the log that a restored cluster begins with. */
const FIRST_TERM = 1;

/**
 * Makes the data dir of one member of a new cluster out of a backup: same keys, leases, users; other members.
 * @throws Error when the backup is damaged, or the data dir is in use
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { file, dataDir, name, initialCluster, initialClusterToken, disk = nodeDisk } = options;
  const members = initialCluster
    .map((member) => ({ ...member, id: memberIdOf(member.peerUrls, initialClusterToken) }))
    .toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const self = members.find((member) => member.name === name);
  if (self === undefined) throw new Error(`couldn't find local name "${name}" in the initial cluster configuration`);
  if (!(await isEmpty(dataDir))) throw new Error(`data-dir ${JSON.stringify(dataDir)} not empty or could not be read`);
  const { store, header } = await readSnapshot(await openBackup(await fileSource(file), options));

  const revision = header.revision + options.bumpRevision;
  const compactRevision = options.markCompacted ? revision : header.compactRevision;
  // As if the log of the new cluster had begun with one entry for each member, and the state had been there all along.
  const mark = { index: members.length, term: FIRST_TERM };
  const restored = { ...header, appliedIndex: mark.index, revision, compactRevision, alarms: [] };
  const membership = new Membership();
  for (const { id, peerUrls } of members)
    membership.applyConfChange(
      { transition: 'auto', changes: [{ type: 'add-voter', id }], context: new Uint8Array(0) },
      { id: { instance: 0n, request: 0 }, member: { id, name: '', peerUrls, clientUrls: [], isLearner: false } },
    );
  const confState = { ...emptyConfState, voters: members.map(({ id }) => id) };
  const snapshots = new SnapshotStore({ disk, directory: join(dataDir, 'member', 'snap') });
  await snapshots.start();
  await snapshots.save(
    { ...mark, confState, context: membership.encode() },
    writeSnapshot(store, restored, store.pin()),
  );
  // The log last: without it there is no member that could start.
  const ids = { memberId: self.id, clusterId: clusterIdOf(members.map(({ id }) => id)) };
  const wal = await Wal.create({ disk, directory: join(dataDir, 'member', 'wal') }, ids);
  await wal.append({ reset: mark, hardState: { term: FIRST_TERM, vote: 0n, commit: mark.index } });
  await wal.close();
  return { ...ids, revision };
}

async function isEmpty(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length === 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

async function fileSource(path: string): Promise<BackupSource> {
  const { size } = await stat(path);
  return {
    size,
    read: (start, end) => (end > start ? createReadStream(path, { start, end: end - 1 }) : emptyStream()),
  };
}

async function* emptyStream(): AsyncGenerator<Uint8Array> {}
