import type { Pod, Toleration } from '@naru/api';
import type { AdmissionPlugin } from './admission.ts';
import { isResource } from './refusal.ts';

const DEFAULT_TOLERATION_SECONDS = 300;
const taints = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];

/** Pods stay for five minutes on a node that is gone, unless they say otherwise. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  handles: (operation, resource, subresource) =>
    (operation === 'CREATE' || operation === 'UPDATE') && subresource === '' && isResource(resource, '', 'pods'),
  admit({ object }) {
    const spec = (object as Pod | undefined)?.spec;
    if (spec === undefined) return;
    const tolerations: readonly Toleration[] = spec.tolerations ?? [];
    const missing = taints.filter((taint) => !tolerations.some((each) => tolerates(each, taint)));
    if (missing.length === 0) return;
    spec.tolerations = [
      ...tolerations,
      ...missing.map((key) => ({
        key,
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: DEFAULT_TOLERATION_SECONDS,
      })),
    ];
  },
};

function tolerates({ key = '', effect = '' }: Toleration, taint: string): boolean {
  return (key === taint || key === '') && (effect === 'NoExecute' || effect === '');
}
