import type { NodeInfo } from '../framework/node-info.ts';
import {
  MAX_NODE_SCORE,
  unresolvable,
  unschedulable,
  type Plugin,
  type PodQuery,
  type QueueingHint,
  type Snapshot,
} from '../framework/plugin.ts';
import { termMatches, type AffinityTerm, type PodInfo } from '../framework/pod-info.ts';

const reasonAffinity = "node(s) didn't match pod affinity rules";
const reasonAntiAffinity = "node(s) didn't match pod anti-affinity rules";
const reasonExistingAntiAffinity = "node(s) didn't satisfy existing pods anti-affinity rules";

export interface InterPodAffinityOptions {
  /** How much a required affinity term of a pod on a node draws the pods that it speaks of. */
  readonly hardPodAffinityWeight: number;
  /** Pods without preferences of their own are not drawn by those of others. */
  readonly ignorePreferredTermsOfExistingPods: boolean;
}

const defaultOptions: InterPodAffinityOptions = { hardPodAffinityWeight: 1, ignorePreferredTermsOfExistingPods: false };

/** Numbers by topology key and value. */
class TopologyCounts {
  readonly #byKey = new Map<string, Map<string, number>>();

  get size(): number {
    return this.#byKey.size;
  }

  add(node: NodeInfo | undefined, topologyKey: string, amount: number): void {
    const value = node?.labels[topologyKey];
    if (value === undefined) return;
    let values = this.#byKey.get(topologyKey);
    if (values === undefined) this.#byKey.set(topologyKey, (values = new Map()));
    values.set(value, (values.get(value) ?? 0) + amount);
  }

  of(node: NodeInfo, topologyKey: string): number {
    const value = node.labels[topologyKey];
    return value === undefined ? 0 : (this.#byKey.get(topologyKey)?.get(value) ?? 0);
  }

  /** Of all keys that the node has. */
  sum(node: NodeInfo): number {
    let sum = 0;
    for (const [key, values] of this.#byKey) sum += values.get(node.labels[key] ?? '') ?? 0;
    return sum;
  }

  /** Whether the node is in a domain with a count above 0. */
  anyPositive(node: NodeInfo): boolean {
    for (const [key, values] of this.#byKey) if ((values.get(node.labels[key] ?? '') ?? 0) > 0) return true;
    return false;
  }
}

interface FilterState {
  /** Pods that match all of the pod's affinity terms, by each term's topology. */
  readonly affinity: TopologyCounts;
  readonly antiAffinity: TopologyCounts;
  /** Pods that refuse to be with this one. */
  readonly existingAntiAffinity: TopologyCounts;
  /** The pod is one of those that its own affinity terms ask for. */
  readonly matchesSelf: boolean;
}

function queryOf(terms: readonly AffinityTerm[], snapshot: Snapshot): PodQuery {
  const [first] = terms;
  const [namespace] = first?.namespaces ?? [];
  const single =
    first !== undefined &&
    namespace !== undefined &&
    terms.every(
      (each) => each.namespaceSelector === undefined && each.namespaces.size === 1 && each.namespaces.has(namespace),
    );
  return {
    key: `affinity|${terms.map(({ key }) => key).join('&')}`,
    ...(single ? { namespace } : {}),
    usesNamespaceLabels: terms.some(({ namespaceSelector }) => namespaceSelector !== undefined),
    matches: (other) =>
      terms.every((term) => termMatches(term, other, (namespace) => snapshot.namespaceLabels(namespace))),
  };
}

function addCounts(
  counts: TopologyCounts,
  byNode: ReadonlyMap<string, number>,
  key: string,
  weight: number,
  snapshot: Snapshot,
): void {
  for (const [name, count] of byNode) counts.add(snapshot.node(name), key, count * weight);
}

function filterState(pod: PodInfo, snapshot: Snapshot): FilterState {
  const namespaceLabels = (namespace: string) => snapshot.namespaceLabels(namespace);
  const affinity = new TopologyCounts();
  if (pod.requiredAffinity.length > 0) {
    const byNode = snapshot.podCounts(queryOf(pod.requiredAffinity, snapshot));
    for (const { topologyKey } of pod.requiredAffinity) addCounts(affinity, byNode, topologyKey, 1, snapshot);
  }
  const antiAffinity = new TopologyCounts();
  for (const term of pod.requiredAntiAffinity)
    addCounts(antiAffinity, snapshot.podCounts(queryOf([term], snapshot)), term.topologyKey, 1, snapshot);
  const existingAntiAffinity = new TopologyCounts();
  for (const { term, podsByNode } of snapshot.termUsages('requiredAntiAffinity'))
    if (termMatches(term, pod, namespaceLabels))
      addCounts(existingAntiAffinity, podsByNode, term.topologyKey, 1, snapshot);
  return {
    affinity,
    antiAffinity,
    existingAntiAffinity,
    matchesSelf: pod.requiredAffinity.every((term) => termMatches(term, pod, namespaceLabels)),
  };
}

function scoreState(pod: PodInfo, snapshot: Snapshot, options: InterPodAffinityOptions): TopologyCounts {
  const namespaceLabels = (namespace: string) => snapshot.namespaceLabels(namespace);
  const counts = new TopologyCounts();
  const own = (terms: PodInfo['preferredAffinity'], sign: 1 | -1): void => {
    for (const term of terms)
      addCounts(counts, snapshot.podCounts(queryOf([term], snapshot)), term.topologyKey, sign * term.weight, snapshot);
  };
  own(pod.preferredAffinity, 1);
  own(pod.preferredAntiAffinity, -1);
  if (
    options.ignorePreferredTermsOfExistingPods &&
    pod.preferredAffinity.length === 0 &&
    pod.preferredAntiAffinity.length === 0
  )
    return counts;
  const signs = { requiredAffinity: options.hardPodAffinityWeight, preferredAffinity: 1, preferredAntiAffinity: -1 };
  for (const kind of ['requiredAffinity', 'preferredAffinity', 'preferredAntiAffinity'] as const) {
    if (signs[kind] === 0) continue;
    for (const { term, weight, podsByNode } of snapshot.termUsages(kind))
      if (termMatches(term, pod, namespaceLabels))
        addCounts(counts, podsByNode, term.topologyKey, signs[kind] * weight, snapshot);
  }
  return counts;
}

function mentions(terms: readonly AffinityTerm[], other: PodInfo): boolean {
  // Namespaces that are chosen by label are taken to match: a hint may be wrong on this side only.
  return terms.some(
    (term) =>
      (term.namespaceSelector !== undefined || term.namespaces.has(other.namespace)) &&
      term.selector.matches(other.labels),
  );
}

const mayRelieve: QueueingHint = (pod, event) => {
  switch (event.kind) {
    case 'AssignedPodAdd':
      return mentions(pod.requiredAffinity, event.pod);
    case 'AssignedPodUpdate':
      return (
        mentions(pod.requiredAffinity, event.pod) ||
        mentions(pod.requiredAntiAffinity, event.old) ||
        mentions(event.old.requiredAntiAffinity, pod)
      );
    case 'AssignedPodDelete':
      return mentions(pod.requiredAntiAffinity, event.pod) || mentions(event.pod.requiredAntiAffinity, pod);
    case 'PodUpdate':
      return JSON.stringify(event.pod.labels) !== JSON.stringify(event.old.labels);
    case 'NodeUpdate':
      return JSON.stringify(event.node.metadata.labels) !== JSON.stringify(event.old.metadata.labels);
    default:
      return true;
  }
};

/** Affinity and anti-affinity to other pods, required and preferred, in both directions. */
export function interPodAffinity(options = defaultOptions): Plugin<FilterState, TopologyCounts> {
  return {
    name: 'InterPodAffinity',
    events: (
      [
        'AssignedPodAdd',
        'AssignedPodUpdate',
        'AssignedPodDelete',
        'NodeAdd',
        'NodeUpdate',
        'NamespaceUpdate',
        'PodUpdate',
      ] as const
    ).map((kind) => ({ kind, hint: mayRelieve })),
    preFilter(pod, snapshot) {
      const state = filterState(pod, snapshot);
      const silent =
        pod.requiredAffinity.length === 0 &&
        pod.requiredAntiAffinity.length === 0 &&
        state.existingAntiAffinity.size === 0;
      return silent ? { kind: 'skip' } : { kind: 'filter', state };
    },
    filter(pod, node, { affinity, antiAffinity, existingAntiAffinity, matchesSelf }) {
      const required = pod.requiredAffinity;
      if (required.some(({ topologyKey }) => node.labels[topologyKey] === undefined))
        return unresolvable(reasonAffinity);
      // The first of pods that want to be together has nobody to join, and may go anywhere.
      const first = affinity.size === 0 && matchesSelf;
      if (!first && required.some(({ topologyKey }) => affinity.of(node, topologyKey) <= 0))
        return unresolvable(reasonAffinity);
      if (pod.requiredAntiAffinity.some(({ topologyKey }) => antiAffinity.of(node, topologyKey) > 0))
        return unschedulable(reasonAntiAffinity);
      if (existingAntiAffinity.anyPositive(node)) return unschedulable(reasonExistingAntiAffinity);
      return undefined;
    },
    preScore(pod, _nodes, snapshot) {
      const counts = scoreState(pod, snapshot, options);
      return counts.size === 0 ? undefined : counts;
    },
    score: (_pod, node, counts) => counts.sum(node),
    normalizeScores(scores) {
      const min = scores.reduce((least, score) => Math.min(least, score), Infinity);
      const max = scores.reduce((most, score) => Math.max(most, score), -Infinity);
      for (const [i, score] of scores.entries())
        scores[i] = max > min ? Math.trunc((MAX_NODE_SCORE * (score - min)) / (max - min)) : 0;
    },
  };
}
