import type { PodInfo } from '../framework/pod-info.ts';
import type { PodQuery } from '../framework/plugin.ts';

/** So many different questions are kept; the one asked longest ago makes room. */
const COUNTERS_MAX = 512;

interface Counter {
  readonly query: PodQuery;
  readonly podsByNode: Map<string, number>;
  /** By topology key: the same pods by the value of that label of their nodes. Made when first asked for. */
  readonly byTopology: Map<string, Map<string, number>>;
}

/** The value of a label of a node; undefined when the node is not known or has none. */
export type NodeLabel = (nodeName: string, key: string) => string | undefined;

/**
 * How many pods match a query on each node, kept up to date with every pod that comes and goes, so that no pod makes the
 * scheduler walk over all others. Invariant: a counter equals what a walk over all pods on nodes would give.
 */
export class PodCounterIndex {
  readonly #nodeLabel: NodeLabel;
  readonly #counters = new Map<string, Counter>();
  /** The same counters by the one namespace they ask about; those of several are under ''. */
  readonly #byNamespace = new Map<string, Set<Counter>>();

  constructor(nodeLabel: NodeLabel) {
    this.#nodeLabel = nodeLabel;
  }

  /** Starts to count, from `pods`, when the query is new. */
  counts(query: PodQuery, pods: () => Iterable<readonly [PodInfo, string]>): ReadonlyMap<string, number> {
    return this.#counter(query, pods).podsByNode;
  }

  /** The same by the value of a label of the nodes. */
  domainCounts(
    query: PodQuery,
    topologyKey: string,
    pods: () => Iterable<readonly [PodInfo, string]>,
  ): ReadonlyMap<string, number> {
    const { podsByNode, byTopology } = this.#counter(query, pods);
    let domains = byTopology.get(topologyKey);
    if (domains === undefined) {
      byTopology.set(topologyKey, (domains = new Map<string, number>()));
      for (const [nodeName, count] of podsByNode) increase(domains, this.#nodeLabel(nodeName, topologyKey), count);
    }
    return domains;
  }

  add(pod: PodInfo, nodeName: string): void {
    this.#count(pod, nodeName, 1);
  }

  remove(pod: PodInfo, nodeName: string): void {
    this.#count(pod, nodeName, -1);
  }

  /** Forgets the counters that a change of a namespace's labels makes wrong. */
  namespaceLabelsChanged(): void {
    for (const counter of this.#counters.values()) if (counter.query.usesNamespaceLabels === true) this.#drop(counter);
  }

  /** Forgets what is known of domains: a node came, went or has other labels. */
  nodeLabelsChanged(): void {
    for (const { byTopology } of this.#counters.values()) byTopology.clear();
  }

  #counter(query: PodQuery, pods: () => Iterable<readonly [PodInfo, string]>): Counter {
    const known = this.#counters.get(query.key);
    if (known !== undefined) {
      this.#counters.delete(query.key);
      this.#counters.set(query.key, known);
      return known;
    }
    if (this.#counters.size >= COUNTERS_MAX) {
      const [oldest] = this.#counters.values();
      if (oldest !== undefined) this.#drop(oldest);
    }
    const counter: Counter = { query, podsByNode: new Map(), byTopology: new Map() };
    for (const [pod, nodeName] of pods()) if (query.matches(pod)) increase(counter.podsByNode, nodeName, 1);
    this.#counters.set(query.key, counter);
    const namespace = query.namespace ?? '';
    const siblings = this.#byNamespace.get(namespace) ?? new Set();
    this.#byNamespace.set(namespace, siblings.add(counter));
    return counter;
  }

  #count(pod: PodInfo, nodeName: string, by: 1 | -1): void {
    for (const namespace of [pod.namespace, ''])
      for (const { query, podsByNode, byTopology } of this.#byNamespace.get(namespace) ?? []) {
        if (!query.matches(pod)) continue;
        increase(podsByNode, nodeName, by);
        for (const [key, domains] of byTopology) increase(domains, this.#nodeLabel(nodeName, key), by);
      }
  }

  #drop(counter: Counter): void {
    const namespace = counter.query.namespace ?? '';
    this.#counters.delete(counter.query.key);
    const siblings = this.#byNamespace.get(namespace);
    siblings?.delete(counter);
    if (siblings?.size === 0) this.#byNamespace.delete(namespace);
  }
}

/** Keys with 0 are left out. */
function increase(counts: Map<string, number>, key: string | undefined, by: number): void {
  if (key === undefined) return;
  const now = (counts.get(key) ?? 0) + by;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
}
