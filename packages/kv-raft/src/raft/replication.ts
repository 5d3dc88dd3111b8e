import assert from 'node:assert/strict';
import { entryBytes } from './log.ts';
import type { Entry, MsgApp, MsgAppResp, MsgHeartbeat, MsgHeartbeatResp, Proposal } from './message.ts';
import type { Progress } from './progress.ts';
import { answerReads, releaseEarlyReads } from './read-index.ts';
import type { RaftState } from './state.ts';

/** Gives proposals their place in the leader's log. */
export function appendProposals(state: RaftState, proposals: readonly Proposal[]): void {
  let index = state.log.lastIndex;
  const entries = proposals.map(({ type, data }): Entry => ({ index: ++index, term: state.term, type, data }));
  state.log.append(entries);
  for (const entry of entries) state.uncommittedBytes += entryBytes(entry);
}

/** The leader's own disk has everything up to the log's stable index: counts like any member's acknowledgement. */
export function acknowledgeOwn(state: RaftState): void {
  const own = state.tracker.progress.get(state.id);
  if (own !== undefined && own.maybeUpdate(state.log.stableIndex)) maybeCommit(state);
}

/**
 * Commits what a quorum has. Only entries of the leader's own term are counted; older ones are committed with them (Raft
 * thesis, 3.6.2).
 */
export function maybeCommit(state: RaftState): void {
  const index = Math.min(state.tracker.committedIndex(), state.log.lastIndex);
  const before = state.log.committed;
  if (index <= before || state.log.term(index) !== state.term) return;
  state.log.commitTo(index);
  for (const entry of state.log.slice(before + 1, Number.POSITIVE_INFINITY, index))
    if (entry.term === state.term) state.uncommittedBytes -= entryBytes(entry);
  releaseEarlyReads(state);
}

/** Makes the appends that each member needs now, as many as the bounds allow. Called once per Ready: that is the batching. */
export function flushAppends(state: RaftState): void {
  for (const [id, progress] of state.tracker.progress) {
    if (id === state.id) continue;
    while (!progress.isPaused && progress.next <= state.log.lastIndex && sendAppend(state, id, progress));
    // A full window does not hold up the news of a commit: it costs no window.
    const mayTalk = progress.state === 'replicate' || (progress.state === 'probe' && !progress.probeSent);
    if (mayTalk && (progress.pingNeeded || progress.sentCommit < state.log.committed))
      sendEmptyAppend(state, id, progress);
  }
  if (state.reads.needsBroadcast) broadcastHeartbeat(state);
}

/** @returns whether more may follow */
function sendAppend(state: RaftState, to: bigint, progress: Progress): boolean {
  const index = progress.next - 1;
  const logTerm = state.log.term(index);
  if (logTerm === undefined) return sendSnapshot(state, to, progress);
  const entries = state.log.slice(progress.next, state.options.messageBytesMax);
  progress.sent(entries);
  send(state, to, progress, { index, logTerm, entries });
  return progress.state === 'replicate';
}

/** Tells the commit index where there is nothing else to say, and finds out whether earlier appends arrived. */
function sendEmptyAppend(state: RaftState, to: bigint, progress: Progress): void {
  const index = progress.next - 1;
  const logTerm = state.log.term(index);
  if (logTerm === undefined) return;
  progress.sent([]);
  send(state, to, progress, { index, logTerm, entries: [] });
}

function send(
  state: RaftState,
  to: bigint,
  progress: Progress,
  append: Pick<MsgApp, 'index' | 'logTerm' | 'entries'>,
): void {
  const commit = state.log.committed;
  progress.sentCommit = commit;
  progress.pingNeeded = false;
  state.send({ type: 'MsgApp', from: state.id, to, term: state.term, ...append, commit });
}

/** The entries that the member needs are compacted: it gets the newest snapshot, if it is there to receive it. */
function sendSnapshot(state: RaftState, to: bigint, progress: Progress): boolean {
  if (!progress.recentActive) return false;
  const { snapshot } = state.log;
  progress.becomeSnapshot(snapshot.index);
  state.send({ type: 'MsgSnap', from: state.id, to, term: state.term, snapshot });
  return false;
}

/** A follower's answer to an append of the leader of its term. */
export function handleAppend(state: RaftState, message: MsgApp): void {
  const { log } = state;
  const answer = { type: 'MsgAppResp', from: state.id, to: message.from, term: state.term } as const;
  if (message.index < log.committed) {
    state.send({ ...answer, index: log.committed, reject: false, rejectHint: 0, logTerm: 0 });
    return;
  }
  const last = log.maybeAppend(message.index, message.logTerm, message.entries);
  if (last !== undefined) {
    log.commitTo(Math.min(message.commit, last));
    state.send({ ...answer, index: last, reject: false, rejectHint: 0, logTerm: 0 });
    return;
  }
  // The leader's log cannot match where ours has a term above its term there, so those entries are passed over at once.
  const hint = log.findConflictByTerm(Math.min(message.index, log.lastIndex), message.logTerm);
  state.send({ ...answer, index: message.index, reject: true, rejectHint: hint.index, logTerm: hint.term ?? 0 });
}

/** A leader learns how far a member's log is. */
export function handleAppendResponse(state: RaftState, message: MsgAppResp): void {
  const progress = state.tracker.progress.get(message.from);
  if (progress === undefined) return;
  progress.recentActive = true;
  if (message.reject) {
    // Skip our entries of terms above the follower's term at the hint: they are not in its log.
    const hint =
      message.logTerm > 0
        ? state.log.findConflictByTerm(Math.min(message.rejectHint, state.log.lastIndex), message.logTerm).index
        : message.rejectHint;
    if (progress.maybeDecrease(message.index, hint) && progress.state === 'replicate') progress.becomeProbe();
    return;
  }
  if (message.index > state.log.lastIndex) return;
  const news = progress.maybeUpdate(message.index);
  if (!news && !(progress.state === 'probe' && progress.match === message.index)) return;
  switch (progress.state) {
    case 'probe':
      progress.becomeReplicate();
      break;
    case 'snapshot':
      // It may also have caught up by appends that were on their way already.
      if (progress.match + 1 >= state.log.firstIndex) {
        progress.becomeProbe();
        progress.becomeReplicate();
      }
      break;
    case 'replicate':
      progress.freeInflightsTo(message.index);
      break;
  }
  maybeCommit(state);
  maybeHandOver(state, message.from);
}

/** The transferee of a leadership transfer is told to campaign as soon as it has everything (Raft thesis, 3.10). */
export function maybeHandOver(state: RaftState, id: bigint): void {
  if (state.leadTransferee !== id) return;
  if (state.tracker.progress.get(id)?.match !== state.log.lastIndex) return;
  state.send({ type: 'MsgTimeoutNow', from: state.id, to: id, term: state.term });
}

/** Sends a heartbeat to all, with the newest read round. */
export function broadcastHeartbeat(state: RaftState): void {
  state.reads.needsBroadcast = false;
  for (const [id, progress] of state.tracker.progress) {
    if (id === state.id) continue;
    // Never beyond what the member is known to have: its log may still differ there.
    const commit = Math.min(progress.match, state.log.committed);
    state.send({ type: 'MsgHeartbeat', from: state.id, to: id, term: state.term, commit, round: state.reads.round });
  }
}

export function handleHeartbeat(state: RaftState, message: MsgHeartbeat): void {
  assert(message.commit <= state.log.lastIndex, 'a heartbeat commits only what the member acknowledged');
  state.log.commitTo(message.commit);
  state.send({
    type: 'MsgHeartbeatResp',
    from: state.id,
    to: message.from,
    term: state.term,
    round: message.round,
  });
}

export function handleHeartbeatResponse(state: RaftState, message: MsgHeartbeatResp): void {
  const progress = state.tracker.progress.get(message.from);
  if (progress === undefined) return;
  progress.recentActive = true;
  progress.probeSent = false;
  // Something is missing at the member: an append got lost, or is still on its way.
  if (progress.match < state.log.lastIndex) progress.pingNeeded = true;
  if (message.round > progress.ackedRound) {
    progress.ackedRound = message.round;
    answerReads(state);
  }
}
