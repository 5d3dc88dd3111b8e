import { join } from 'node:path';
import { systemClock, type Logger } from '@naru/component';
import type { StateMachine } from '../consensus.ts';
import type { Disk } from '../disk/disk.ts';
import { nodeDisk } from '../disk/node-disk.ts';
import type { Transport } from '../peer/transport.ts';
import { emptyConfState, encodeConfChange } from '../raft/conf-change.ts';
import type { Entry, HardState, SnapshotMetadata } from '../raft/message.ts';
import { Raft } from '../raft/raft.ts';
import { SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { SnapshotMark, WalMetadata } from '../wal/record.ts';
import { replayWal, type WalReplay } from '../wal/replay.ts';
import { Wal } from '../wal/wal.ts';
import { checkNotBootstrapped, joinCluster, remotePeerUrls, type FetchCluster } from './join-cluster.ts';
import { Member, type MemberPorts } from './member.ts';
import { encodeConfChangeContext, Membership, clusterIdOf, memberIdOf, type InitialMember } from './membership.ts';

export interface OpenMemberOptions<R> {
  /** Upstream's `--name`: one of `initialCluster`. */
  readonly name: string;
  readonly dataDir: string;
  /** The members of a cluster that is being made or joined, this one among them. Ignored when the data dir has a log. */
  readonly initialCluster: readonly InitialMember[];
  /** `existing`: the member was added to a cluster, which it joins. Ignored when the data dir has a log. Default `new`. */
  readonly initialClusterState?: 'new' | 'existing';
  /** Needed for who joins. Of a new cluster, refuses to begin anew as a member that has lost its data dir. */
  readonly fetchCluster?: FetchCluster;
  /** Default `etcd-cluster`. */
  readonly initialClusterToken?: string;
  readonly advertiseClientUrls: readonly string[];
  /** Default 100. */
  readonly heartbeatIntervalMs?: number;
  /** Default 1000; at least five heartbeats, should be ten. */
  readonly electionTimeoutMs?: number;
  /** Entries after which a snapshot is made; default 100000. */
  readonly snapshotCount?: number;
  /** Entries kept behind a snapshot for members that lag a little; default 5000. */
  readonly snapshotCatchUpEntries?: number;
  /** Upstream's `--strict-reconfig-check`; default true. */
  readonly strictReconfigCheck?: boolean;
  /** Default 64 MiB. */
  readonly walSegmentBytes?: number;
  /** Bytes of entries in one message to a member, and applied in one go; default 1 MiB. */
  readonly batchBytesMax?: number;
  /** Empty; it is filled from snapshot and log. */
  readonly stateMachine: StateMachine<R>;
  /** How the members reach each other, made when the ids are known. */
  readonly transport: (ids: WalMetadata) => Transport;
  readonly logger: Logger;
  /** Called after each sync of the log with its duration. */
  readonly onSync?: (ms: number) => void;
  /** Default: the machine's. */
  readonly disk?: Disk;
  readonly ports?: Partial<MemberPorts>;
}

const BATCH_BYTES_MAX_DEFAULT = 1 << 20;
const INFLIGHT = { messagesMax: 256, bytesMax: 16 << 20 };
const UNCOMMITTED_BYTES_MAX = 64 << 20;

/**
 * Opens a member: from its data dir, or as a first member of a new cluster. It is started, and may not know a leader yet.
 * @throws WalCorruptError, or Error when the data dir is in use, belongs to another member, or has no usable snapshot
 */
export async function openMember<R>(options: OpenMemberOptions<R>): Promise<Member<R>> {
  const disk = options.disk ?? nodeDisk;
  await disk.makeDirectory(join(options.dataDir, 'member'));
  const lock = await disk.lock(join(options.dataDir, 'member'));
  try {
    const member = await openLocked(options, disk, lock);
    await member.start();
    return member;
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

async function openLocked<R>(options: OpenMemberOptions<R>, disk: Disk, lock: AsyncDisposable): Promise<Member<R>> {
  const snapshots = new SnapshotStore({ disk, directory: join(options.dataDir, 'member', 'snap') });
  await snapshots.start();
  const newest = (await snapshots.list())[0]?.index ?? 0;
  const log = await openLog(options, disk, newest);
  const membership = new Membership();
  const snapshot = await restoreNewest(options, snapshots, log.replay, membership);
  // Of a snapshot that is older than the newest, which cannot be used, the log must make up for the difference.
  const replay = snapshot.index < newest ? await replayWal(disk, walDirectory(options)) : log.replay;
  const ports: MemberPorts = {
    clock: systemClock,
    defer: (fn) => void setImmediate(fn),
    random: Math.random,
    ...options.ports,
  };
  const tickMs = options.heartbeatIntervalMs ?? 100;
  const electionTicks = Math.max(2, Math.ceil((options.electionTimeoutMs ?? 1000) / tickMs));
  const { memberId, clusterId } = log.wal.metadata;
  const batchBytesMax = options.batchBytesMax ?? BATCH_BYTES_MAX_DEFAULT;
  const raft = new Raft(
    {
      id: memberId,
      electionTicks,
      heartbeatTicks: 1,
      messageBytesMax: batchBytesMax,
      inflight: INFLIGHT,
      uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
      applyBytesMax: batchBytesMax,
      random: ports.random,
    },
    { hardState: replay.hardState, snapshot, entries: entriesAfter(snapshot, replay) },
  );
  return new Member({
    clusterId,
    memberId,
    name: options.name,
    clientUrls: options.advertiseClientUrls,
    raft,
    wal: log.wal,
    snapshots,
    marks: replay.marks,
    membership,
    stateMachine: options.stateMachine,
    transport: options.transport({ memberId, clusterId }),
    ports,
    tickMs,
    electionTicks,
    snapshotCount: options.snapshotCount ?? 100_000,
    snapshotCatchUpEntries: options.snapshotCatchUpEntries ?? 5000,
    strictReconfigCheck: options.strictReconfigCheck ?? true,
    logger: options.logger,
    lock,
  });
}

interface OpenLog {
  readonly wal: Wal;
  readonly replay: Pick<WalReplay, 'hardState' | 'entries' | 'marks'>;
}

function walDirectory<R>(options: OpenMemberOptions<R>): string {
  return join(options.dataDir, 'member', 'wal');
}

/** Opens the log, without the entries up to index `after`. */
async function openLog<R>(options: OpenMemberOptions<R>, disk: Disk, after: number): Promise<OpenLog> {
  const clock = options.ports?.clock ?? systemClock;
  const walOptions = {
    disk,
    directory: walDirectory(options),
    ...(options.walSegmentBytes === undefined ? {} : { segmentBytes: options.walSegmentBytes }),
    ...(options.onSync === undefined ? {} : { onSync: options.onSync }),
    monotonic: () => clock.monotonic(),
  };
  const found = await Wal.open(walOptions, after);
  if (found === undefined) {
    if (options.initialClusterState === 'existing') {
      const wal = await Wal.create(walOptions, await idsOfJoining(options));
      return { wal, replay: { hardState: { term: 0, vote: 0n, commit: 0 }, entries: [], marks: [] } };
    }
    const { metadata } = newCluster(options);
    const remote = await options.fetchCluster?.(remotePeerUrls(options.initialCluster, options.name));
    if (remote !== undefined) checkNotBootstrapped(metadata, remote);
    return await bootstrap(options, await Wal.create(walOptions, metadata));
  }
  const { wal, replay } = found;
  if (replay.tornBytes > 0) options.logger.warn({ bytes: replay.tornBytes }, 'torn tail of the log cut off');
  // A crash may have come between the folder and its first entries. Who joins gets these from the leader.
  const isEmpty = replay.entries.length === 0 && replay.marks.length === 0 && replay.hardState.term === 0;
  return isEmpty && isOfNewCluster(options, wal.metadata) ? await bootstrap(options, wal) : found;
}

async function idsOfJoining<R>(options: OpenMemberOptions<R>): Promise<WalMetadata> {
  const { initialCluster, name, fetchCluster } = options;
  const remote = await fetchCluster?.(remotePeerUrls(initialCluster, name));
  if (remote === undefined)
    throw new Error(
      'cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs',
    );
  return joinCluster(initialCluster, name, remote);
}

function isOfNewCluster<R>(options: OpenMemberOptions<R>, { memberId, clusterId }: WalMetadata): boolean {
  if (options.initialClusterState === 'existing') return false;
  const { metadata } = newCluster(options);
  return metadata.memberId === memberId && metadata.clusterId === clusterId;
}

function newCluster<R>(options: OpenMemberOptions<R>): {
  readonly metadata: WalMetadata;
  readonly members: readonly (InitialMember & { readonly id: bigint })[];
} {
  const token = options.initialClusterToken ?? 'etcd-cluster';
  const members = options.initialCluster.map((member) => ({ ...member, id: memberIdOf(member.peerUrls, token) }));
  const self = members.find(({ name }) => name === options.name);
  if (self === undefined)
    throw new Error(`couldn't find local name "${options.name}" in the initial cluster configuration`);
  members.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  return { metadata: { memberId: self.id, clusterId: clusterIdOf(members.map(({ id }) => id)) }, members };
}

/**
 * The log of a new cluster begins, on each first member alike, with committed entries that add these members: so whoever
 * joins later learns of them in the same way.
 */
async function bootstrap<R>(options: OpenMemberOptions<R>, wal: Wal): Promise<OpenLog> {
  const { members } = newCluster(options);
  const entries = members.map(({ id, peerUrls }, i): Entry => {
    const member = { id, name: '', peerUrls, clientUrls: [], isLearner: false };
    const context = encodeConfChangeContext({ id: { instance: 0n, request: 0 }, member });
    const data = encodeConfChange({ transition: 'auto', changes: [{ type: 'add-voter', id }], context });
    return { index: i + 1, term: 1, type: 'conf-change', data };
  });
  const hardState: HardState = { term: 1, vote: 0n, commit: entries.length };
  await wal.append({ entries, hardState });
  return { wal, replay: { hardState, entries, marks: [] } };
}

/** Fills state machine and members from the newest snapshot that is in the log and not damaged. */
async function restoreNewest<R>(
  options: OpenMemberOptions<R>,
  snapshots: SnapshotStore,
  replay: OpenLog['replay'],
  membership: Membership,
): Promise<SnapshotMetadata> {
  const isInLog = (mark: SnapshotMark): boolean =>
    replay.marks.some(({ index, term }) => index === mark.index && term === mark.term);
  for (const mark of await snapshots.list()) {
    if (!isInLog(mark)) continue;
    try {
      const { header, chunks } = await snapshots.open(mark);
      await options.stateMachine.restore(chunks);
      membership.restore(header.context);
      return { index: header.index, term: header.term, confState: header.confState };
    } catch (error) {
      options.logger.error({ err: error, index: mark.index, term: mark.term }, 'snapshot is damaged');
    }
  }
  return { index: 0, term: 0, confState: emptyConfState };
}

/** @throws Error when entries are missing: after the snapshot, or up to what is known as committed */
function entriesAfter(snapshot: SnapshotMetadata, replay: OpenLog['replay']): readonly Entry[] {
  const entries = replay.entries.filter(({ index }) => index > snapshot.index);
  const first = entries[0];
  const last = entries.at(-1)?.index ?? snapshot.index;
  if (first !== undefined && first.index !== snapshot.index + 1)
    throw new Error(`no usable snapshot: the log begins at ${first.index}, the newest state is of ${snapshot.index}`);
  if (replay.hardState.commit > last)
    throw new Error(`entries are missing: the log ends at ${last}, committed was ${replay.hardState.commit}`);
  return entries;
}
