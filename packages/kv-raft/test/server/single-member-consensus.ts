import {
  ConsensusError,
  MembershipError,
  type Consensus,
  type ConsensusErrorCode,
  type ConsensusStatus,
  type MemberInfo,
  type StateMachine,
} from '../../src/consensus.ts';

/** A cluster of one that forgets everything: each proposal is committed and applied at once. */
export class SingleMemberConsensus<R> implements Consensus<R> {
  readonly failed: Promise<never> = new Promise(() => {});
  readonly #machine: StateMachine<R>;
  #index = 0;
  /** When set, proposals and reads fail with it. */
  failWith: ConsensusErrorCode | undefined;
  /** When set, proposals wait for it. */
  hold: Promise<void> | undefined;

  constructor(machine: StateMachine<R>) {
    this.#machine = machine;
    machine.leadershipChanged?.(1);
  }

  get isLeader(): boolean {
    return true;
  }

  async propose(command: Uint8Array): Promise<R> {
    if (this.failWith !== undefined) throw new ConsensusError(this.failWith);
    await this.hold;
    this.#index++;
    const [result] = this.#machine.apply([{ index: this.#index, term: 1, data: command }]);
    return result as R;
  }

  async readIndex(): Promise<void> {
    if (this.failWith !== undefined) throw new ConsensusError(this.failWith);
  }

  async transferLeader(): Promise<void> {}

  async changeMembership(): Promise<MemberInfo> {
    throw new MembershipError('not-enough-started');
  }

  status(): ConsensusStatus {
    return {
      memberId: 2n ** 63n + 7n,
      clusterId: 2n ** 63n + 9n,
      leaderId: 2n ** 63n + 7n,
      term: 2,
      commitIndex: this.#index,
      appliedIndex: this.#index,
      members: [
        {
          id: 2n ** 63n + 7n,
          name: 'real',
          peerUrls: ['http://127.0.0.1:1'],
          clientUrls: ['http://x'],
          isLearner: false,
        },
      ],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
