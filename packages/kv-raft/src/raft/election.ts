import { NONE, type MsgVote, type MsgVoteResp } from './message.ts';
import { appendProposals } from './replication.ts';
import type { RaftState } from './state.ts';

/** Counts a tick of a member that does not lead; campaigns when no leader was heard from for too long. */
export function tickElection(state: RaftState): void {
  state.electionElapsed++;
  if (!state.isPromotable || state.electionElapsed < state.randomizedElectionTicks) return;
  state.electionElapsed = 0;
  state.resetRandomizedElectionTicks();
  hup(state, { transfer: false });
}

/** Of the election timeout: how much of it a follower at most waits who has reason to believe that nobody leads. */
const SUSPICION_SHARE = 0.3;

/**
 * A member that has just started waits only a little before its first pre-vote: where all members start, none leads. Where one
 * does, it is heard from in time, or its followers refuse.
 */
export function hurryFirstElection(state: RaftState): void {
  const { electionTicks, random } = state.options;
  state.randomizedElectionTicks = 1 + Math.floor(random() * SUSPICION_SHARE * electionTicks);
}

/**
 * The connection to the leader broke, as it does at once when the leader's process dies: the lease that it was given ends,
 * and an election follows soon, unless the leader is heard from again. One member that errs does no harm, as the others
 * still hear the leader and refuse their pre-votes.
 */
export function suspectLeader(state: RaftState): void {
  if (state.role !== 'follower' || !state.inLease) return;
  const { electionTicks, random } = state.options;
  state.electionElapsed = electionTicks;
  state.randomizedElectionTicks = electionTicks + 1 + Math.floor(random() * SUSPICION_SHARE * electionTicks);
}

/** Starts an election, unless this member leads, has no vote, or does not know yet who votes. */
export function hup(state: RaftState, options: { readonly transfer: boolean }): void {
  if (state.role === 'leader' || !state.isPromotable) return;
  // With a committed but unapplied change of the configuration it would count the wrong majority.
  if (state.log.hasConfChange(state.log.applied + 1, state.log.committed)) return;
  // The leader that hands over has just shown that an election can be won.
  if (options.transfer) campaign(state, { transfer: true });
  else preCampaign(state);
}

function preCampaign(state: RaftState): void {
  state.becomePreCandidate();
  state.tracker.recordVote(state.id, true);
  if (state.tracker.voteResult() === 'won') {
    campaign(state, { transfer: false });
    return;
  }
  requestVotes(state, { type: 'MsgPreVote', term: state.term + 1, transfer: false });
}

function campaign(state: RaftState, options: { readonly transfer: boolean }): void {
  state.becomeCandidate();
  // The own vote counts when it is on disk, like everybody else's.
  state.send({ type: 'MsgVoteResp', from: state.id, to: state.id, term: state.term, reject: false });
  requestVotes(state, { type: 'MsgVote', term: state.term, transfer: options.transfer });
}

function requestVotes(state: RaftState, request: Pick<MsgVote, 'type' | 'term' | 'transfer'>): void {
  const { lastIndex, lastTerm } = state.log;
  for (const id of state.tracker.progress.keys()) {
    if (id === state.id || !state.tracker.isVoter(id)) continue;
    state.send({ ...request, from: state.id, to: id, index: lastIndex, logTerm: lastTerm });
  }
}

/** Answers a request for a vote of this term, or for a pre-vote of a later one. */
export function handleVoteRequest(state: RaftState, message: MsgVote): void {
  const free = state.vote === NONE && state.leaderId === NONE;
  const canVote = state.vote === message.from || free || (message.type === 'MsgPreVote' && message.term > state.term);
  const grant = canVote && state.log.isUpToDate(message.index, message.logTerm);
  const type = message.type === 'MsgVote' ? 'MsgVoteResp' : 'MsgPreVoteResp';
  // A granted pre-vote speaks of the term that was asked for, or the candidate would take it for an old one.
  const term = grant ? message.term : state.term;
  state.send({ type, from: state.id, to: message.from, term, reject: !grant });
  if (grant && message.type === 'MsgVote') {
    state.electionElapsed = 0;
    state.vote = message.from;
  }
}

/** Counts a vote for this candidate. */
export function handleVoteResponse(state: RaftState, message: MsgVoteResp): void {
  const expected = state.role === 'candidate' ? 'MsgVoteResp' : 'MsgPreVoteResp';
  if ((state.role !== 'candidate' && state.role !== 'pre-candidate') || message.type !== expected) return;
  state.tracker.recordVote(message.from, !message.reject);
  switch (state.tracker.voteResult()) {
    case 'won':
      if (state.role === 'pre-candidate') campaign(state, { transfer: false });
      else lead(state);
      return;
    case 'lost':
      state.becomeFollower(state.term, NONE);
      return;
    case 'pending':
      return;
  }
}

/** Opens the term with an empty entry: only an entry of the own term can be committed by counting (Raft thesis, 3.6.2). */
function lead(state: RaftState): void {
  state.becomeLeader();
  appendProposals(state, [{ type: 'normal', data: new Uint8Array(0) }]);
}
