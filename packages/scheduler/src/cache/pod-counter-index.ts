import type { PodInfo } from '../framework/pod-info.ts';
import type { PodQuery } from '../framework/plugin.ts';

/** So many different questions are kept; the one asked longest ago makes room. */
const COUNTERS_MAX = 512;

interface Counter {
  readonly query: PodQuery;
  readonly podsByNode: Map<string, number>;
}

/**
 * How many pods match a query on each node, kept up to date with every pod that comes and goes, so that no pod makes the
 * scheduler walk over all others. Invariant: a counter equals what a walk over all pods on nodes would give.
 */
export class PodCounterIndex {
  readonly #counters = new Map<string, Counter>();
  /** The same counters by the one namespace they ask about; those of several are under ''. */
  readonly #byNamespace = new Map<string, Set<Counter>>();

  /** Starts to count, from `pods`, when the query is new. */
  counts(query: PodQuery, pods: () => Iterable<readonly [PodInfo, string]>): ReadonlyMap<string, number> {
    const known = this.#counters.get(query.key);
    if (known !== undefined) {
      this.#counters.delete(query.key);
      this.#counters.set(query.key, known);
      return known.podsByNode;
    }
    if (this.#counters.size >= COUNTERS_MAX) {
      const [oldest] = this.#counters.values();
      if (oldest !== undefined) this.#drop(oldest);
    }
    const counter: Counter = { query, podsByNode: new Map() };
    for (const [pod, nodeName] of pods()) count(counter, pod, nodeName, 1);
    this.#counters.set(query.key, counter);
    const namespace = query.namespace ?? '';
    const siblings = this.#byNamespace.get(namespace) ?? new Set();
    this.#byNamespace.set(namespace, siblings.add(counter));
    return counter.podsByNode;
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

  #count(pod: PodInfo, nodeName: string, by: 1 | -1): void {
    for (const namespace of [pod.namespace, ''])
      for (const counter of this.#byNamespace.get(namespace) ?? []) count(counter, pod, nodeName, by);
  }

  #drop(counter: Counter): void {
    const namespace = counter.query.namespace ?? '';
    this.#counters.delete(counter.query.key);
    const siblings = this.#byNamespace.get(namespace);
    siblings?.delete(counter);
    if (siblings?.size === 0) this.#byNamespace.delete(namespace);
  }
}

function count({ query, podsByNode }: Counter, pod: PodInfo, nodeName: string, by: 1 | -1): void {
  if (!query.matches(pod)) return;
  const now = (podsByNode.get(nodeName) ?? 0) + by;
  if (now === 0) podsByNode.delete(nodeName);
  else podsByNode.set(nodeName, now);
}
