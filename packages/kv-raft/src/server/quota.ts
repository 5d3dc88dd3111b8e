import { EtcdError, type ServerErrorCode } from '@naru/etcd';
import type { Operation } from '../mvcc/operation.ts';
import { VERSION_OVERHEAD_BYTES } from '../mvcc/store.ts';
import type { Proposer } from './proposer.ts';
import type { KvStateMachine } from './state-machine.ts';

/** The alarm is lifted when the store has shrunk to this share of its quota. */
const LIFT_SHARE = 0.9;

/**
 * The limit of the store's size. What would exceed it is refused and raises the NOSPACE alarm, which makes all members
 * refuse whatever can grow the store; deletes and compaction still work, and lift the alarm when they have made room.
 */
export class Quota {
  readonly bytesMax: number;
  readonly #proposer: Proposer;
  readonly #machine: KvStateMachine;
  readonly #memberId: bigint;

  constructor(options: {
    readonly bytesMax: number;
    readonly proposer: Proposer;
    readonly machine: KvStateMachine;
    readonly memberId: bigint;
  }) {
    this.bytesMax = options.bytesMax;
    this.#proposer = options.proposer;
    this.#machine = options.machine;
    this.#memberId = options.memberId;
  }

  get exhausted(): boolean {
    return this.#machine.alarms.some((each) => each.alarm === 'NOSPACE');
  }

  /** @throws EtcdError noSpace */
  async check(operation: Operation): Promise<void> {
    if (this.#machine.store.sizeBytes + costOf(operation) <= this.bytesMax) return;
    if (!this.#raised()) await this.#alarm(true);
    throw new EtcdError('noSpace' satisfies ServerErrorCode);
  }

  /** Lifts this member's alarm if there is room again. */
  async lift(): Promise<void> {
    if (this.#raised() && this.#machine.store.sizeBytes <= this.bytesMax * LIFT_SHARE) await this.#alarm(false);
  }

  #raised(): boolean {
    return this.#machine.alarms.some((each) => each.alarm === 'NOSPACE' && each.memberId === this.#memberId);
  }

  async #alarm(activate: boolean): Promise<void> {
    await this.#proposer.propose({ type: 'alarm', activate, memberId: this.#memberId, alarm: 'NOSPACE' }, 'cluster');
  }
}

function costOf(operation: Operation): number {
  if (operation.type === 'put') return operation.key.length + operation.value.length + VERSION_OVERHEAD_BYTES;
  if (operation.type !== 'txn') return 0;
  const sum = (branch: readonly Operation[]): number => branch.reduce((total, each) => total + costOf(each), 0);
  return Math.max(sum(operation.success), sum(operation.failure));
}
