import { decodeConfChange, isJoint } from './conf-change.ts';
import { entryBytes } from './log.ts';
import { NONE, type DropReason, type MsgProp, type MsgPropReject, type Proposal } from './message.ts';
import { appendProposals } from './replication.ts';
import type { RaftState } from './state.ts';

/** What became of proposals. A dropped one is nowhere; the fate of a forwarded one shows when it is applied. */
export type ProposeOutcome =
  | { readonly outcome: 'appended' }
  | { readonly outcome: 'forwarded' }
  | { readonly outcome: 'dropped'; readonly reason: DropReason };

/** All or none of the proposals are appended, here or, by way of a MsgProp with this context, at the leader. */
export function propose(state: RaftState, proposals: readonly Proposal[], context: number): ProposeOutcome {
  if (state.role !== 'leader') {
    if (state.leaderId === NONE) return { outcome: 'dropped', reason: 'no-leader' };
    state.send({ type: 'MsgProp', from: state.id, to: state.leaderId, term: 0, proposals, context });
    return { outcome: 'forwarded' };
  }
  const reason = refusal(state, proposals);
  if (reason !== undefined) return { outcome: 'dropped', reason };
  appendProposals(state, proposals);
  return { outcome: 'appended' };
}

/** Why a leader does not take these proposals. Notes a change of the configuration as pending when it does. */
function refusal(state: RaftState, proposals: readonly Proposal[]): DropReason | undefined {
  // Removed from the configuration while it led.
  if (!state.tracker.progress.has(state.id)) return 'no-leader';
  if (state.leadTransferee !== NONE) return 'transferring';
  const bytes = proposals.reduce((sum, proposal) => sum + entryBytes(proposal), 0);
  // One large batch always passes when nothing else is waiting, or it never could.
  if (state.uncommittedBytes > 0 && state.uncommittedBytes + bytes > state.options.uncommittedBytesMax)
    return 'too-many-requests';
  let { pendingConfIndex } = state;
  for (const [at, { type, data }] of proposals.entries()) {
    if (type !== 'conf-change') continue;
    const { changes } = decodeConfChange(data);
    const leaving = changes.length === 0;
    if (pendingConfIndex > state.log.applied || isJoint(state.tracker.config) !== leaving) return 'conf-change-pending';
    if (changes.some((change) => change.type === 'add-voter' && lags(state, change.id))) return 'learner-not-ready';
    pendingConfIndex = state.log.lastIndex + 1 + at;
  }
  state.pendingConfIndex = pendingConfIndex;
  return undefined;
}

/** A learner gets a vote only when it has nearly all of the log: a majority must not have to wait for it. */
const LEARNER_READY_SHARE = 0.9;

function lags(state: RaftState, id: bigint): boolean {
  const progress = state.tracker.progress.get(id);
  return progress?.isLearner === true && progress.match < state.log.lastIndex * LEARNER_READY_SHARE;
}

/** A follower forwards proposals. Only a leader takes them: they are not passed on, so they cannot wander about. */
export function handleProposal(state: RaftState, message: MsgProp): void {
  const outcome =
    state.role === 'leader' ? propose(state, message.proposals, message.context) : ({ reason: 'no-leader' } as const);
  if (!('reason' in outcome)) return;
  const { context } = message;
  state.send({ type: 'MsgPropReject', from: state.id, to: message.from, term: 0, context, reason: outcome.reason });
}

export function handleProposalReject(state: RaftState, message: MsgPropReject): void {
  state.rejectedProposals.push({ context: message.context, reason: message.reason });
}
