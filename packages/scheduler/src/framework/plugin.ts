import type { ClusterEvent, EventKind } from './cluster-event.ts';
import type { NodeInfo } from './node-info.ts';
import type { AffinityTerm, PodInfo } from './pod-info.ts';
import type { LabelMatcher, Labels } from './selector.ts';

/**
 * Why a pod does not fit a node. `UnschedulableAndUnresolvable`: removing pods from the node would not help.
 */
export interface Rejection {
  readonly code: 'Unschedulable' | 'UnschedulableAndUnresolvable';
  readonly reasons: readonly string[];
}

export const unschedulable = (...reasons: readonly string[]): Rejection => ({ code: 'Unschedulable', reasons });
export const unresolvable = (...reasons: readonly string[]): Rejection => ({
  code: 'UnschedulableAndUnresolvable',
  reasons,
});

/** Which pods a counter counts. Pods that are being deleted count only with `terminating`. */
export interface PodQuery {
  readonly key: string;
  /** The only namespace whose pods can match, if there is just one. */
  readonly namespace?: string;
  /** The answer depends on the labels of namespaces. */
  readonly usesNamespaceLabels?: boolean;
  matches(pod: PodInfo): boolean;
}

/** A term that pods on nodes have, and on which nodes how many of them do. */
export interface TermUsage {
  readonly term: AffinityTerm;
  readonly weight: number;
  readonly podsByNode: ReadonlyMap<string, number>;
}

export type TermKind = 'requiredAffinity' | 'requiredAntiAffinity' | 'preferredAffinity' | 'preferredAntiAffinity';

/** What plugins see of the cluster: one state, that does not change while a pod is scheduled. */
export interface Snapshot {
  /** Nodes that exist, taken from the zones in turn. */
  readonly nodes: readonly NodeInfo[];
  node(name: string): NodeInfo | undefined;
  /** How many matching pods each node has; nodes without any are left out. Kept up to date per pod event. */
  podCounts(query: PodQuery): ReadonlyMap<string, number>;
  /** The same by the value of a label of the nodes; nodes without the label are left out. */
  podCountsByDomain(query: PodQuery, topologyKey: string): ReadonlyMap<string, number>;
  /** The distinct terms of this kind of all pods on nodes. */
  termUsages(kind: TermKind): Iterable<TermUsage>;
  namespaceLabels(namespace: string): Labels | undefined;
  /** Selects the pods of the Services, ReplicaSets and so on that the pod belongs to; undefined if it belongs to none. */
  defaultSelector(pod: PodInfo): LabelMatcher | undefined;
  /** On how many nodes the image is. */
  nodesWithImage(image: string): number;
}

export type PreFilterResult<S> =
  /** The plugin has nothing to say about this pod: its filter is not called. */
  | { readonly kind: 'skip' }
  /** `nodeNames`: only these can fit. */
  | { readonly kind: 'filter'; readonly state: S; readonly nodeNames?: ReadonlySet<string> }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };

/** Whether an event could make a pod fit that the plugin rejected. */
export type QueueingHint = (pod: PodInfo, event: ClusterEvent) => boolean;

export interface EventRegistration {
  readonly kind: EventKind;
  /** Without a hint every such event counts. */
  readonly hint?: QueueingHint;
}

/**
 * A scheduling plugin: pure functions of the pod, the snapshot and the state that it computed for this pod. Filters run in
 * the order of the plugins, and the first that rejects a node decides.
 */
export interface Plugin<S = unknown, T = unknown> {
  readonly name: string;
  /** Which events could make a pod fit that this plugin rejected. */
  readonly events: readonly EventRegistration[];
  /** Once per pod. A plugin with a filter but without this method always filters, with an undefined state. */
  preFilter?(pod: PodInfo, snapshot: Snapshot): PreFilterResult<S>;
  /** Undefined: fits. */
  filter?(pod: PodInfo, node: NodeInfo, state: S): Rejection | undefined;
  /** Once per pod, with the nodes that fit; undefined: the plugin does not score this pod. */
  preScore?(pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot): T | undefined;
  score?(pod: PodInfo, node: NodeInfo, state: T): number;
  /** Brings the scores into 0..MAX_NODE_SCORE, in place. */
  normalizeScores?(scores: number[], nodes: readonly NodeInfo[], state: T): void;
}

export const MAX_NODE_SCORE = 100;

/** Scales scores so that the highest is MAX_NODE_SCORE; `reverse` makes the highest the worst. */
export function normalizeScores(scores: number[], options: { readonly reverse?: boolean } = {}): void {
  let max = 0;
  for (const score of scores) if (score > max) max = score;
  for (let i = 0; i < scores.length; i++) {
    const scaled = max === 0 ? 0 : Math.trunc((MAX_NODE_SCORE * (scores[i] ?? 0)) / max);
    scores[i] = options.reverse === true ? MAX_NODE_SCORE - scaled : scaled;
  }
}
