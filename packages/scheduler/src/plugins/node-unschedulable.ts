import { isTolerated } from '@naru/api';
import { unresolvable, type Plugin } from '../framework/plugin.ts';

const taintOfCordon = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Keeps pods off cordoned nodes, unless they tolerate that. */
export const nodeUnschedulable: Plugin = {
  name: 'NodeUnschedulable',
  events: [
    { kind: 'NodeAdd', hint: (_pod, event) => event.kind === 'NodeAdd' && event.node.spec?.unschedulable !== true },
    {
      kind: 'NodeUpdate',
      hint: (_pod, event) =>
        event.kind === 'NodeUpdate' &&
        event.old.spec?.unschedulable === true &&
        event.node.spec?.unschedulable !== true,
    },
  ],
  filter(pod, node) {
    if (!node.unschedulable || isTolerated(pod.pod.spec?.tolerations, taintOfCordon)) return undefined;
    return unresolvable('node(s) were unschedulable');
  },
};
