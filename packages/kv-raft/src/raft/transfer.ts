import { hup } from './election.ts';
import { NONE, type MsgTransferLeader } from './message.ts';
import { maybeHandOver } from './replication.ts';
import type { RaftState } from './state.ts';

/** Hands the leadership to a voter (Raft thesis, 3.10); from a follower, asks the leader to. */
export function transferLeader(state: RaftState, transferee: bigint): void {
  if (state.role !== 'leader') {
    if (state.leaderId === NONE) return;
    state.send({ type: 'MsgTransferLeader', from: state.id, to: state.leaderId, term: 0, transferee });
    return;
  }
  if (transferee === state.id) {
    state.leadTransferee = NONE;
    return;
  }
  if (!state.tracker.isVoter(transferee) || state.leadTransferee === transferee) return;
  // It must be done within an election timeout, or is given up: no proposals are taken meanwhile.
  state.electionElapsed = 0;
  state.leadTransferee = transferee;
  maybeHandOver(state, transferee);
}

export function handleTransferLeader(state: RaftState, message: MsgTransferLeader): void {
  if (state.role === 'leader') transferLeader(state, message.transferee);
}

export function handleTimeoutNow(state: RaftState): void {
  if (state.role === 'follower') hup(state, { transfer: true });
}

/** The voter whom to hand over to: the one that is heard from and lacks the least. */
export function bestTransferee(state: RaftState): bigint | undefined {
  let best: { readonly id: bigint; readonly match: number } | undefined;
  if (state.role !== 'leader') return undefined;
  for (const [id, { match, recentActive }] of state.tracker.progress) {
    if (id === state.id || !recentActive || !state.tracker.config.voters.has(id)) continue;
    if (best === undefined || match > best.match) best = { id, match };
  }
  return best?.id;
}
