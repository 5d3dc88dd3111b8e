import { configOf } from './conf-change.ts';
import type { MsgSnap } from './message.ts';
import type { RaftState } from './state.ts';

/** A follower's answer to a snapshot, whose content the driver has received already. */
export function handleSnapshot(state: RaftState, message: MsgSnap): void {
  const { log } = state;
  const { snapshot } = message;
  const answer = { type: 'MsgAppResp', from: state.id, to: message.from, term: state.term } as const;
  if (snapshot.index > log.committed) {
    if (log.matches(snapshot.index, snapshot.term)) {
      // All of it is in the log already: only the commit index is news.
      log.commitTo(snapshot.index);
    } else {
      log.restore(snapshot);
      state.tracker.setConfig(configOf(snapshot.confState), log.lastIndex + 1);
    }
  }
  state.send({ ...answer, index: log.committed, reject: false, rejectHint: 0, logTerm: 0 });
}

/** The driver tells whether a member got the snapshot that a MsgSnap announced. */
export function reportSnapshot(state: RaftState, id: bigint, ok: boolean): void {
  const progress = state.tracker.progress.get(id);
  if (state.role !== 'leader' || progress?.state !== 'snapshot') return;
  if (!ok) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  // Its answer, or the next heartbeat's, starts the appends again: a failed snapshot is not sent again at once.
  progress.probeSent = true;
}
