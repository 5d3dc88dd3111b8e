import { NONE, type MsgReadIndex, type MsgReadIndexResp } from './message.ts';
import { PENDING_READS_MAX } from './read-rounds.ts';
import type { RaftState } from './state.ts';

interface Read {
  readonly from: bigint;
  readonly context: number;
}

/** A read of this member: answered by a ReadState, now or later, or never: the driver asks again. */
export function requestRead(state: RaftState, context: number): void {
  if (state.role === 'leader') addRead(state, { from: state.id, context });
  else if (state.leaderId !== NONE)
    state.send({ type: 'MsgReadIndex', from: state.id, to: state.leaderId, term: 0, context });
}

/** A member asks for a read. Only the leader answers; it is not passed on, as the asker will find the leader itself. */
export function handleReadRequest(state: RaftState, message: MsgReadIndex): void {
  if (state.role === 'leader') addRead(state, message);
}

export function handleReadResponse(state: RaftState, message: MsgReadIndexResp): void {
  state.readStates.push({ context: message.context, index: message.index });
}

function hasCommittedInTerm(state: RaftState): boolean {
  return state.log.term(state.log.committed) === state.term;
}

function addRead(state: RaftState, read: Read): void {
  if (state.reads.size >= PENDING_READS_MAX) return;
  if (!hasCommittedInTerm(state)) state.reads.postpone(read);
  else openRound(state, read);
}

function openRound(state: RaftState, read: Read): void {
  state.reads.add({ from: read.from, context: read.context, index: state.log.committed });
  const own = state.tracker.progress.get(state.id);
  if (own !== undefined) own.ackedRound = state.reads.round;
  // One voter is its own quorum; else the round goes out with the next flush.
  answerReads(state);
}

/** The leader has committed in its term: reads that waited for that can go. */
export function releaseEarlyReads(state: RaftState): void {
  for (const read of state.reads.takeEarly()) openRound(state, read);
}

/** Answers the reads whose round a quorum has acknowledged. */
export function answerReads(state: RaftState): void {
  for (const { from, context, index } of state.reads.takeAcked(state.tracker.ackedRound())) {
    if (from === state.id) state.readStates.push({ context, index });
    else state.send({ type: 'MsgReadIndexResp', from: state.id, to: from, term: state.term, context, index });
  }
}
