import type { TermKind, TermUsage } from '../framework/plugin.ts';
import type { AffinityTerm, PodInfo } from '../framework/pod-info.ts';

const kinds: readonly TermKind[] = [
  'requiredAffinity',
  'requiredAntiAffinity',
  'preferredAffinity',
  'preferredAntiAffinity',
];

interface MutableUsage extends TermUsage {
  readonly podsByNode: Map<string, number>;
}

/** The distinct affinity terms of all pods on nodes; the pods of one ReplicaSet share theirs. */
export class TermIndex {
  readonly #usages: Readonly<Record<TermKind, Map<string, MutableUsage>>> = {
    requiredAffinity: new Map(),
    requiredAntiAffinity: new Map(),
    preferredAffinity: new Map(),
    preferredAntiAffinity: new Map(),
  };

  usages(kind: TermKind): Iterable<TermUsage> {
    return this.#usages[kind].values();
  }

  add(pod: PodInfo, nodeName: string): void {
    this.#count(pod, nodeName, 1);
  }

  remove(pod: PodInfo, nodeName: string): void {
    this.#count(pod, nodeName, -1);
  }

  #count(pod: PodInfo, nodeName: string, by: 1 | -1): void {
    for (const kind of kinds) for (const term of pod[kind]) countTerm(this.#usages[kind], term, nodeName, by);
  }
}

function countTerm(usages: Map<string, MutableUsage>, term: AffinityTerm, nodeName: string, by: 1 | -1): void {
  const weight = 'weight' in term ? Number(term.weight) : 1;
  const key = `${weight}|${term.topologyKey}|${term.key}`;
  let usage = usages.get(key);
  if (usage === undefined) usages.set(key, (usage = { term, weight, podsByNode: new Map() }));
  const now = (usage.podsByNode.get(nodeName) ?? 0) + by;
  if (now > 0) usage.podsByNode.set(nodeName, now);
  else usage.podsByNode.delete(nodeName);
  if (usage.podsByNode.size === 0) usages.delete(key);
}
