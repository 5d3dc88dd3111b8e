/** Taints and tolerations (k8s.io/component-helpers/scheduling/corev1). */
import type { Taint, Toleration } from './object.ts';

/** Whether the toleration lets its pod live with the taint. */
export function tolerates({ effect, key, operator, value }: Toleration, taint: Taint): boolean {
  if (effect !== undefined && effect !== '' && effect !== taint.effect) return false;
  if (key !== undefined && key !== '' && key !== taint.key) return false;
  switch (operator ?? '') {
    case 'Exists':
      return true;
    case '':
    case 'Equal':
      return (key ?? '') !== '' && (value ?? '') === (taint.value ?? '');
    default:
      return false;
  }
}

export function isTolerated(tolerations: readonly Toleration[] | undefined, taint: Taint): boolean {
  return tolerations?.some((each) => tolerates(each, taint)) ?? false;
}

/** The first NoSchedule or NoExecute taint that pods with these tolerations do not tolerate. */
export function findUntoleratedTaint(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
): Taint | undefined {
  return taints?.find(
    (taint) => (taint.effect === 'NoSchedule' || taint.effect === 'NoExecute') && !isTolerated(tolerations, taint),
  );
}
