import { findUntoleratedTaint, isTolerated, type Toleration } from '@naru/api';
import { normalizeScores, unresolvable, type Plugin, type QueueingHint } from '../framework/plugin.ts';

const nowTolerated: QueueingHint = (pod, event) => {
  const tolerations = pod.pod.spec?.tolerations;
  if (event.kind === 'NodeAdd') return findUntoleratedTaint(event.node.spec?.taints ?? [], tolerations) === undefined;
  return (
    event.kind === 'NodeUpdate' &&
    findUntoleratedTaint(event.old.spec?.taints ?? [], tolerations) !== undefined &&
    findUntoleratedTaint(event.node.spec?.taints ?? [], tolerations) === undefined
  );
};

/** Keeps pods off nodes with taints that they do not tolerate; PreferNoSchedule as a score. */
export const taintToleration: Plugin<undefined, readonly Toleration[]> = {
  name: 'TaintToleration',
  events: [
    { kind: 'NodeAdd', hint: nowTolerated },
    { kind: 'NodeUpdate', hint: nowTolerated },
    {
      kind: 'PodUpdate',
      hint: (_pod, event) =>
        event.kind === 'PodUpdate' &&
        (event.pod.pod.spec?.tolerations ?? []).length !== (event.old.pod.spec?.tolerations ?? []).length,
    },
  ],
  filter(pod, node) {
    if (node.taints.length === 0) return undefined;
    const taint = findUntoleratedTaint(node.taints, pod.pod.spec?.tolerations);
    return taint === undefined
      ? undefined
      : unresolvable(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`);
  },
  preScore(pod) {
    return (pod.pod.spec?.tolerations ?? []).filter(
      ({ effect }) => effect === undefined || effect === '' || effect === 'PreferNoSchedule',
    );
  },
  score(_pod, node, tolerations) {
    let intolerable = 0;
    for (const taint of node.taints)
      if (taint.effect === 'PreferNoSchedule' && !isTolerated(tolerations, taint)) intolerable++;
    return intolerable;
  },
  normalizeScores(scores) {
    normalizeScores(scores, { reverse: true });
  },
};
