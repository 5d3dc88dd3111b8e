import { unresolvable, type Plugin } from '../framework/plugin.ts';

/** Holds a pod that names its node to that node. */
export const nodeName: Plugin = {
  name: 'NodeName',
  events: [
    {
      kind: 'NodeAdd',
      hint: (pod, event) => event.kind === 'NodeAdd' && event.node.metadata.name === pod.pod.spec?.nodeName,
    },
  ],
  filter(pod, node) {
    const wanted = pod.pod.spec?.nodeName;
    if (wanted === undefined || wanted === '' || wanted === node.name) return undefined;
    return unresolvable("node(s) didn't match the requested node name");
  },
};
