import type { Rejection } from './plugin.ts';

/** Why a pod fits nowhere. */
export interface Diagnosis {
  readonly numAllNodes: number;
  /** A plugin refused the pod before any node was looked at. */
  readonly preFilterMessage?: string;
  readonly rejections: ReadonlyMap<string, Rejection>;
  /** Reason for the nodes that have no rejection of their own. */
  readonly absentReason?: string;
  /** The plugins that rejected the pod somewhere. */
  readonly plugins: ReadonlySet<string>;
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …` */
export function fitErrorMessage(diagnosis: Diagnosis, postFilterMessage = ''): string {
  const { numAllNodes, preFilterMessage, rejections, absentReason } = diagnosis;
  if (numAllNodes === 0) return 'no nodes available to schedule pods';
  let text = `0/${numAllNodes} nodes are available:`;
  if (preFilterMessage === undefined) {
    const histogram = new Map<string, number>();
    for (const { reasons } of rejections.values())
      for (const reason of reasons) histogram.set(reason, (histogram.get(reason) ?? 0) + 1);
    const absent = numAllNodes - rejections.size;
    if (absent > 0 && absentReason !== undefined)
      histogram.set(absentReason, (histogram.get(absentReason) ?? 0) + absent);
    const lines = [...histogram].map(([reason, count]) => `${count} ${reason}`).sort();
    if (lines.length > 0) text += ` ${lines.join(', ')}.`;
  } else text += ` ${preFilterMessage}.`;
  return postFilterMessage === '' ? text : `${text} ${postFilterMessage}`;
}
