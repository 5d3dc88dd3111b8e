import type { Node } from '@naru/api';
import type { AdmissionPlugin } from './admission.ts';
import { isResource } from './refusal.ts';

const notReady = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };

/** A new node takes no pods until the node lifecycle controller has seen it ready. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  handles: (operation, resource, subresource) =>
    operation === 'CREATE' && subresource === '' && isResource(resource, '', 'nodes'),
  admit({ object }) {
    const node = object as Node | undefined;
    if (node === undefined) return;
    const taints = node.spec?.taints ?? [];
    if (taints.some(({ key, effect }) => key === notReady.key && effect === notReady.effect)) return;
    node.spec = { ...node.spec, taints: [...taints, { ...notReady }] };
  },
};
