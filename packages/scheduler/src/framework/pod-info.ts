import type { Affinity, Pod } from '@naru/api';
import {
  DEFAULT_MEMORY_REQUEST_BYTES,
  DEFAULT_MILLI_CPU_REQUEST,
  podRequests,
  type MutableResources,
  type Resources,
} from './resources.ts';
import { compileLabelSelector, type LabelMatcher, type Labels } from './selector.ts';

export interface HostPort {
  readonly hostIP: string;
  readonly protocol: string;
  readonly hostPort: number;
}

/** A term of pod affinity or anti-affinity, compiled. */
export interface AffinityTerm {
  /** The same for terms that say the same, topology key left aside. */
  readonly key: string;
  readonly topologyKey: string;
  readonly namespaces: ReadonlySet<string>;
  readonly namespaceSelector: LabelMatcher | undefined;
  readonly selector: LabelMatcher;
}

export interface WeightedAffinityTerm extends AffinityTerm {
  readonly weight: number;
}

/** A pod with what scheduling asks of it again and again, computed once. Never changed. */
export interface PodInfo {
  readonly pod: Pod;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly priority: number;
  readonly terminating: boolean;
  readonly requests: Resources;
  /** Requests for scoring, where containers that ask for nothing count with defaults. */
  readonly nonZeroRequests: Resources;
  readonly hostPorts: readonly HostPort[];
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly WeightedAffinityTerm[];
  readonly preferredAntiAffinity: readonly WeightedAffinityTerm[];
}

/** `namespace/name`. */
export function podKey(pod: Pod): string {
  return `${pod.metadata.namespace ?? ''}/${pod.metadata.name ?? ''}`;
}

/** The pod's uid; its name where there is none. */
export function podUid(pod: Pod): string {
  return pod.metadata.uid ?? podKey(pod);
}

type PodAffinityTerm = NonNullable<
  NonNullable<Affinity['podAffinity']>['requiredDuringSchedulingIgnoredDuringExecution']
>[number];

function compileTerm(term: PodAffinityTerm, pod: Pod): AffinityTerm {
  const own = pod.metadata.namespace ?? '';
  const named = term.namespaces ?? [];
  const namespaces = new Set(named.length === 0 && term.namespaceSelector === undefined ? [own] : named);
  const namespaceSelector =
    term.namespaceSelector === undefined ? undefined : compileLabelSelector(term.namespaceSelector);
  const labels: Labels = pod.metadata.labels ?? {};
  const keys = (operator: 'In' | 'NotIn', names: readonly string[] | undefined) =>
    (names ?? []).flatMap((key) => (labels[key] === undefined ? [] : [{ key, operator, values: [labels[key]] }]));
  const extra = [...keys('In', term.matchLabelKeys), ...keys('NotIn', term.mismatchLabelKeys)];
  const selector = compileLabelSelector(
    term.labelSelector === undefined || extra.length === 0
      ? term.labelSelector
      : {
          ...term.labelSelector,
          matchExpressions: [...(term.labelSelector.matchExpressions ?? []), ...extra],
        },
  );
  return {
    key: `${[...namespaces].sort().join(',')}|${namespaceSelector?.key ?? '!'}|${selector.key}`,
    topologyKey: term.topologyKey,
    namespaces,
    namespaceSelector,
    selector,
  };
}

function portsOf(pod: Pod): readonly HostPort[] {
  const containers = [
    ...(pod.spec?.containers ?? []),
    ...(pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always'),
  ];
  return containers.flatMap(({ ports }) =>
    (ports ?? []).flatMap(({ hostPort, hostIP, protocol }) =>
      hostPort === undefined || hostPort === 0
        ? []
        : [
            {
              hostPort,
              hostIP: hostIP === undefined || hostIP === '' ? '0.0.0.0' : hostIP,
              protocol: protocol ?? 'TCP',
            },
          ],
    ),
  );
}

export function newPodInfo(pod: Pod): PodInfo {
  const affinity = pod.spec?.affinity;
  const weighted = (
    terms: readonly { readonly weight: number; readonly podAffinityTerm: PodAffinityTerm }[] | undefined,
  ): readonly WeightedAffinityTerm[] =>
    (terms ?? []).map(({ weight, podAffinityTerm }) => ({ ...compileTerm(podAffinityTerm, pod), weight }));
  const required = (terms: readonly PodAffinityTerm[] | undefined): readonly AffinityTerm[] =>
    (terms ?? []).map((term) => compileTerm(term, pod));
  const requests: MutableResources = podRequests(pod.spec);
  return {
    pod,
    uid: podUid(pod),
    namespace: pod.metadata.namespace ?? '',
    name: pod.metadata.name ?? '',
    labels: pod.metadata.labels ?? {},
    priority: pod.spec?.priority ?? 0,
    terminating: pod.metadata.deletionTimestamp !== undefined,
    requests,
    nonZeroRequests: podRequests(pod.spec, {
      defaults: { milliCpu: DEFAULT_MILLI_CPU_REQUEST, memory: DEFAULT_MEMORY_REQUEST_BYTES },
    }),
    hostPorts: portsOf(pod),
    requiredAffinity: required(affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    requiredAntiAffinity: required(affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    preferredAffinity: weighted(affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
    preferredAntiAffinity: weighted(affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
  };
}

/** Whether `pod` is one that `term` speaks of. */
export function termMatches(
  term: AffinityTerm,
  pod: PodInfo,
  namespaceLabels: (namespace: string) => Labels | undefined,
): boolean {
  const inNamespace =
    term.namespaces.has(pod.namespace) || (term.namespaceSelector?.matches(namespaceLabels(pod.namespace)) ?? false);
  return inNamespace && term.selector.matches(pod.labels);
}
