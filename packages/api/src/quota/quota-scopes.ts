/** Which pods and claims a ResourceQuota speaks of (k8s.io/kubernetes/pkg/quota/v1/evaluator/core). */
import type { KubeObject, PersistentVolumeClaim, Pod, ResourceQuota } from '../object.ts';
import { podQosClass } from '../pod-qos.ts';

export interface ScopeRequirement {
  readonly scopeName: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** All that must hold of an object for the quota to count it: `scopes`, and the terms of `scopeSelector`. */
export function scopesOf({ spec }: ResourceQuota): ScopeRequirement[] {
  return [
    ...(spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' })),
    ...(spec?.scopeSelector?.matchExpressions ?? []),
  ];
}

/** Whether a pod meets the requirement; scopes that are none of pods' are met by no pod. */
export function podMeets(pod: Pod, { scopeName, operator, values = [] }: ScopeRequirement): boolean {
  const spec = pod.spec;
  switch (scopeName) {
    case 'Terminating':
      return isTerminatingByDeadline(pod);
    case 'NotTerminating':
      return !isTerminatingByDeadline(pod);
    case 'BestEffort':
      return spec !== undefined && podQosClass(spec) === 'BestEffort';
    case 'NotBestEffort':
      return spec === undefined || podQosClass(spec) !== 'BestEffort';
    case 'PriorityClass':
      return valueMeets(spec?.priorityClassName, operator, values);
    case 'CrossNamespacePodAffinity':
      return usesCrossNamespaceAffinity(pod);
    default:
      return false;
  }
}

/** Whether a claim meets the requirement. */
export function claimMeets(claim: KubeObject, { scopeName, operator, values = [] }: ScopeRequirement): boolean {
  if (scopeName !== 'VolumeAttributesClass') return false;
  const { spec, status } = claim as PersistentVolumeClaim;
  const names = [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((name) => name !== undefined && name !== '');
  if (names.length === 0) return valueMeets(undefined, operator, values);
  return names.some((name) => valueMeets(name, operator, values));
}

function isTerminatingByDeadline({ spec }: Pod): boolean {
  return spec?.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds >= 0;
}

function valueMeets(value: string | undefined, operator: string, values: readonly string[]): boolean {
  const isSet = value !== undefined && value !== '';
  switch (operator) {
    case 'In':
      return isSet && values.includes(value);
    case 'NotIn':
      return !isSet || !values.includes(value);
    case 'Exists':
      return isSet;
    case 'DoesNotExist':
      return !isSet;
    default:
      return false;
  }
}

function usesCrossNamespaceAffinity({ spec }: Pod): boolean {
  const { podAffinity, podAntiAffinity } = spec?.affinity ?? {};
  return [podAffinity, podAntiAffinity].some((affinity) =>
    [
      ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((each) => each.podAffinityTerm),
    ].some((term) => (term.namespaces ?? []).length > 0 || term.namespaceSelector !== undefined),
  );
}
