import {
  EtcdError,
  type AlarmMember,
  type AlarmRequest,
  type AlarmResponse,
  type ResponseHeader,
  type StatusResponse,
} from '@naru/etcd';
import { backupBytes, CHECKSUM_BYTES, encodeBackup } from '../backup/backup-file.ts';
import { ConsensusError, type Consensus } from '../consensus.ts';
import type { Credentials } from './auth-guard.ts';
import { hashKeySpace, type KeySpaceHash } from './key-space-hash.ts';
import type { Proposer } from './proposer.ts';
import type { CommandResult, KvStateMachine } from './state-machine.ts';
import { ETCD_VERSION } from './version.ts';

/** How long another member may take to become the leader. */
const MOVE_LEADER_TIMEOUT_MS = 5000;

/** etcd's Maintenance service on one member. */
export class MaintenanceServer {
  readonly healthChecks = { succeeded: 0, failed: 0 };
  readonly #consensus: Consensus<CommandResult>;
  readonly #proposer: Proposer;
  readonly #machine: KvStateMachine;

  constructor(options: {
    readonly consensus: Consensus<CommandResult>;
    readonly proposer: Proposer;
    readonly machine: KvStateMachine;
  }) {
    this.#consensus = options.consensus;
    this.#proposer = options.proposer;
    this.#machine = options.machine;
  }

  status(): StatusResponse {
    const status = this.#consensus.status();
    const { store } = this.#machine;
    const alarms = this.#machine.alarms.map((each) => `memberID:${each.memberId} alarm:${each.alarm} `);
    return {
      header: this.#proposer.header(store.revision),
      version: ETCD_VERSION,
      dbSize: store.sizeBytes,
      dbSizeInUse: store.sizeBytes,
      leader: status.leaderId,
      raftIndex: status.commitIndex,
      raftTerm: status.term,
      raftAppliedIndex: status.appliedIndex,
      errors: status.leaderId === 0n ? ['etcdserver: no leader', ...alarms] : alarms,
      isLearner: status.members.find((each) => each.id === status.memberId)?.isLearner ?? false,
    };
  }

  /** A checksum of all keys and their uncompacted versions at `revision`; 0: the newest. Equal on all members. */
  async hashKv(revision: number): Promise<KeySpaceHash & { readonly header: ResponseHeader }> {
    const { store } = this.#machine;
    const header = this.#proposer.header(store.revision);
    return { ...(await hashKeySpace(store, revision)), header };
  }

  /** This member's state as it is now, as a backup: pieces, and how many bytes follow each. Must be read to the end or returned. */
  async *snapshot(): AsyncGenerator<{ readonly blob: Uint8Array; readonly remainingBytes: number }> {
    // Two streams of the same state: one to tell beforehand how long it is.
    const [measured, sent] = [this.#machine.snapshot().chunks, this.#machine.snapshot().chunks];
    const source = sent[Symbol.asyncIterator]();
    try {
      let length = 0;
      for await (const chunk of measured) length += chunk.length;
      // The length comes after the pieces that it counts, and the checksum after all of them.
      let remaining = backupBytes(length);
      for await (const blob of encodeBackup(sent, length)) {
        remaining -= blob.length;
        yield { blob, remainingBytes: Math.max(0, remaining - CHECKSUM_BYTES) };
      }
    } finally {
      await source.return?.();
    }
  }

  get hasLeader(): boolean {
    return this.#consensus.status().leaderId !== 0n;
  }

  /** Hands the leadership to another member; resolves when that one leads. */
  async moveLeader(targetId: bigint): Promise<{ readonly header: ResponseHeader }> {
    const { members } = this.#consensus.status();
    if (!this.#consensus.isLeader) throw new EtcdError('notLeader');
    const target = members.find((each) => each.id === targetId);
    if (target === undefined || target.isLearner) throw new EtcdError('badLeaderTransferee');
    try {
      await this.#consensus.transferLeader(targetId, { signal: AbortSignal.timeout(MOVE_LEADER_TIMEOUT_MS) });
    } catch (error) {
      if (error instanceof ConsensusError) throw new EtcdError('timeout', { cause: error });
      throw error;
    }
    return { header: this.#proposer.header(0) };
  }

  async alarm(request: AlarmRequest, credentials?: Credentials): Promise<AlarmResponse> {
    const { action, memberId, alarm } = request;
    if (action === 'GET') return { alarms: this.#machine.alarms.filter((each) => matches(each, memberId, alarm)) };
    if (action === 'ACTIVATE') {
      if (alarm === 'NONE') return { alarms: [] };
      await this.#proposer.propose({ type: 'alarm', activate: true, memberId, alarm }, credentials);
      return { alarms: [{ memberId, alarm }] };
    }
    const lifted = this.#machine.alarms.filter((each) => matches(each, memberId, alarm));
    for (const each of lifted) await this.#proposer.propose({ type: 'alarm', activate: false, ...each }, credentials);
    return { alarms: lifted };
  }

  /** What /health tells: no alarm, a leader, and a linearizable read that works. @throws Error with the reason */
  async checkHealth(): Promise<void> {
    try {
      if (this.#machine.alarms.length > 0) throw new Error(`alarm ${this.#machine.alarms[0]?.alarm}`);
      await this.#proposer.linearize();
      this.healthChecks.succeeded++;
    } catch (error) {
      this.healthChecks.failed++;
      throw error;
    }
  }
}

function matches(alarm: AlarmMember, memberId: bigint, type: AlarmMember['alarm']): boolean {
  return (memberId === 0n || alarm.memberId === memberId) && (type === 'NONE' || alarm.alarm === type);
}
