import assert from 'node:assert/strict';
import { handleVoteRequest, handleVoteResponse } from './election.ts';
import { NONE, type Message } from './message.ts';
import { handleProposal, handleProposalReject } from './proposals.ts';
import { handleReadRequest, handleReadResponse } from './read-index.ts';
import { handleAppend, handleAppendResponse, handleHeartbeat, handleHeartbeatResponse } from './replication.ts';
import { handleSnapshot } from './snapshots.ts';
import type { RaftState } from './state.ts';
import { handleTimeoutNow, handleTransferLeader } from './transfer.ts';

/** Takes in a message of another member, or of this one to itself: first its term, then what it says. */
export function step(state: RaftState, message: Message): void {
  if (message.to !== state.id) return;
  if (message.term > state.term) {
    if (!acceptNewerTerm(state, message)) return;
  } else if (message.term !== 0 && message.term < state.term) {
    refuseOlderTerm(state, message);
    return;
  }
  dispatch(state, message);
}

/** @returns whether the message is to be handled further */
function acceptNewerTerm(state: RaftState, message: Message): boolean {
  switch (message.type) {
    case 'MsgPreVote':
    case 'MsgVote':
      // A member that cannot hear the leader, or was removed, must not disturb those who can (Raft thesis, 4.2.3).
      if (!message.transfer && state.inLease) return false;
      if (message.type === 'MsgVote') state.becomeFollower(message.term, NONE);
      return true;
    case 'MsgPreVoteResp':
      // Granted: the term of the election to come. Refused: the member's own, which is news.
      if (message.reject) state.becomeFollower(message.term, NONE);
      return true;
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      state.becomeFollower(message.term, message.from);
      return true;
    default:
      state.becomeFollower(message.term, NONE);
      return true;
  }
}

function refuseOlderTerm(state: RaftState, message: Message): void {
  const answer = { from: state.id, to: message.from, term: state.term } as const;
  switch (message.type) {
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      // A leader of the past steps down when it sees the newer term. Without this answer a member whose term ran ahead
      // could never come back, as its votes are held up by the lease.
      state.send({ type: 'MsgAppResp', ...answer, index: 0, reject: true, rejectHint: 0, logTerm: 0 });
      return;
    case 'MsgPreVote':
      state.send({ type: 'MsgPreVoteResp', ...answer, reject: true });
      return;
    default:
  }
}

function dispatch(state: RaftState, message: Message): void {
  switch (message.type) {
    case 'MsgVote':
    case 'MsgPreVote':
      handleVoteRequest(state, message);
      return;
    case 'MsgVoteResp':
    case 'MsgPreVoteResp':
      handleVoteResponse(state, message);
      return;
    case 'MsgApp':
      followLeader(state, message.from);
      handleAppend(state, message);
      return;
    case 'MsgHeartbeat':
      followLeader(state, message.from);
      handleHeartbeat(state, message);
      return;
    case 'MsgSnap':
      followLeader(state, message.from);
      handleSnapshot(state, message);
      return;
    case 'MsgAppResp':
      if (state.role === 'leader') handleAppendResponse(state, message);
      return;
    case 'MsgHeartbeatResp':
      if (state.role === 'leader') handleHeartbeatResponse(state, message);
      return;
    case 'MsgReadIndex':
      handleReadRequest(state, message);
      return;
    case 'MsgReadIndexResp':
      handleReadResponse(state, message);
      return;
    case 'MsgProp':
      handleProposal(state, message);
      return;
    case 'MsgPropReject':
      handleProposalReject(state, message);
      return;
    case 'MsgTransferLeader':
      handleTransferLeader(state, message);
      return;
    case 'MsgTimeoutNow':
      handleTimeoutNow(state);
      return;
    default:
      message satisfies never;
  }
}

/** The leader of this term has spoken. */
function followLeader(state: RaftState, leaderId: bigint): void {
  assert(state.role !== 'leader', 'a term has one leader');
  if (state.role !== 'follower') state.becomeFollower(state.term, leaderId);
  state.leaderId = leaderId;
  state.electionElapsed = 0;
}
