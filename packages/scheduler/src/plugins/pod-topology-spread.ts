import { findUntoleratedTaint, type Pod } from '@naru/api';
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
import type { PodInfo } from '../framework/pod-info.ts';
import { compileLabelSelector, type LabelMatcher } from '../framework/selector.ts';
import { matchesNodeAffinity } from './node-affinity.ts';

const HOSTNAME_LABEL = 'kubernetes.io/hostname';
const ZONE_LABEL = 'topology.kubernetes.io/zone';

const reasonConstraints = "node(s) didn't match pod topology spread constraints";
const reasonMissingLabel = `${reasonConstraints} (missing required label)`;

type WhenUnsatisfiable = 'DoNotSchedule' | 'ScheduleAnyway';
type ConstraintOfPod = NonNullable<NonNullable<Pod['spec']>['topologySpreadConstraints']>[number];

interface Constraint {
  readonly maxSkew: number;
  readonly topologyKey: string;
  readonly selector: LabelMatcher;
  readonly minDomains: number;
  /** Only nodes that the pod's nodeSelector and node affinity choose count; false when it chooses none. */
  readonly honorsAffinity: boolean;
  readonly honorsTaints: boolean;
}

/** Of one constraint: matching pods by value of the topology key, and the fewest in any domain. */
interface HardConstraint extends Constraint {
  readonly countByDomain: ReadonlyMap<string, number>;
  readonly globalMin: number;
  readonly matchesSelf: boolean;
}

interface SoftConstraint extends Constraint {
  /** Only the domains of nodes that fit; per node for the hostname. */
  readonly countByDomain: ReadonlyMap<string, number>;
  readonly countByNode: ReadonlyMap<string, number>;
  readonly weight: number;
}

interface ScoreState {
  readonly constraints: readonly SoftConstraint[];
  readonly ignoredNodes: ReadonlySet<string>;
}

/** A constraint that holds for pods of Services, ReplicaSets and so on that have none of their own. */
export interface DefaultConstraint {
  readonly maxSkew: number;
  readonly topologyKey: string;
  readonly whenUnsatisfiable: WhenUnsatisfiable;
}

export interface PodTopologySpreadOptions {
  /** `System`: upstream's own defaults; nodes without a zone still count. */
  readonly defaultingType: 'System' | 'List';
  readonly defaultConstraints: readonly DefaultConstraint[];
}

export const systemDefaultConstraints: readonly DefaultConstraint[] = [
  { topologyKey: HOSTNAME_LABEL, whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 3 },
  { topologyKey: ZONE_LABEL, whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 5 },
];

function compileConstraint(constraint: ConstraintOfPod, pod: PodInfo): Constraint {
  const extra = (constraint.matchLabelKeys ?? []).flatMap((key) =>
    pod.labels[key] === undefined ? [] : [{ key, operator: 'In', values: [pod.labels[key]] }],
  );
  const { labelSelector } = constraint;
  return {
    maxSkew: constraint.maxSkew,
    topologyKey: constraint.topologyKey,
    minDomains: constraint.minDomains ?? 1,
    honorsAffinity: (constraint.nodeAffinityPolicy ?? 'Honor') === 'Honor' && choosesNodes(pod),
    honorsTaints: constraint.nodeTaintsPolicy === 'Honor',
    selector: compileLabelSelector(
      labelSelector === undefined || extra.length === 0
        ? labelSelector
        : { ...labelSelector, matchExpressions: [...(labelSelector.matchExpressions ?? []), ...extra] },
    ),
  };
}

function constraintsOf(
  pod: PodInfo,
  when: WhenUnsatisfiable,
  options: PodTopologySpreadOptions,
  snapshot: Snapshot,
): readonly Constraint[] {
  const own = pod.pod.spec?.topologySpreadConstraints ?? [];
  if (own.length > 0)
    return own.filter((each) => each.whenUnsatisfiable === when).map((each) => compileConstraint(each, pod));
  const defaults = options.defaultConstraints.filter((each) => each.whenUnsatisfiable === when);
  const selector = defaults.length === 0 ? undefined : snapshot.defaultSelector(pod);
  if (selector === undefined) return [];
  return defaults.map(({ maxSkew, topologyKey }) => ({
    maxSkew,
    topologyKey,
    selector,
    minDomains: 1,
    honorsAffinity: choosesNodes(pod),
    honorsTaints: false,
  }));
}

/** Whether the pod has a nodeSelector or required node affinity at all. */
function choosesNodes({ pod: { spec } }: PodInfo): boolean {
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required !== undefined || Object.keys(spec?.nodeSelector ?? {}).length > 0;
}

function hasAllKeys(node: NodeInfo, constraints: readonly Constraint[]): boolean {
  for (const { topologyKey } of constraints) if (node.labels[topologyKey] === undefined) return false;
  return true;
}

/** Whether the node's pods count for the constraint. */
function nodeCounts(constraint: Constraint, pod: PodInfo, node: NodeInfo): boolean {
  if (constraint.honorsAffinity && (node.node === undefined || !matchesNodeAffinity(pod, node.node))) return false;
  return !constraint.honorsTaints || findUntoleratedTaint(node.taints, pod.pod.spec?.tolerations) === undefined;
}

/** Matching pods of the pod's own namespace; pods on their way out do not count. */
function queryOf(selector: LabelMatcher, { namespace }: PodInfo): PodQuery {
  return {
    key: `spread|${namespace}|${selector.key}`,
    namespace,
    matches: (other) => other.namespace === namespace && !other.terminating && selector.matches(other.labels),
  };
}

function hardConstraint(
  constraint: Constraint,
  all: readonly Constraint[],
  pod: PodInfo,
  snapshot: Snapshot,
): HardConstraint {
  const counts = snapshot.podCounts(queryOf(constraint.selector, pod));
  const countByDomain = new Map<string, number>();
  for (const node of snapshot.nodes) {
    if (!hasAllKeys(node, all) || !nodeCounts(constraint, pod, node)) continue;
    const domain = node.labels[constraint.topologyKey] ?? '';
    countByDomain.set(domain, (countByDomain.get(domain) ?? 0) + (counts.get(node.name) ?? 0));
  }
  const globalMin =
    countByDomain.size < constraint.minDomains || countByDomain.size === 0
      ? 0
      : countByDomain.values().reduce((least, count) => Math.min(least, count), Infinity);
  return { ...constraint, countByDomain, globalMin, matchesSelf: constraint.selector.matches(pod.labels) };
}

function softConstraint(
  constraint: Constraint,
  pod: PodInfo,
  candidates: readonly NodeInfo[],
  requiredKeys: readonly Constraint[],
  snapshot: Snapshot,
): SoftConstraint {
  const query = queryOf(constraint.selector, pod);
  const countByNode = snapshot.podCounts(query);
  const { topologyKey } = constraint;
  if (topologyKey === HOSTNAME_LABEL)
    return { ...constraint, countByNode, countByDomain: new Map(), weight: Math.log(candidates.length + 2) };
  // Mostly every node of a domain counts, and the domains' sums are there already.
  const everyNode =
    !constraint.honorsAffinity &&
    !constraint.honorsTaints &&
    requiredKeys.every((each) => each.topologyKey === topologyKey);
  const totals = everyNode ? snapshot.podCountsByDomain(query, topologyKey) : undefined;
  const countByDomain = new Map<string, number>();
  for (const node of candidates) {
    const domain = node.labels[topologyKey];
    if (domain !== undefined && !countByDomain.has(domain)) countByDomain.set(domain, totals?.get(domain) ?? 0);
  }
  if (!everyNode)
    for (const [name, count] of countByNode) {
      const node = snapshot.node(name);
      const domain = node?.labels[topologyKey];
      const before = domain === undefined ? undefined : countByDomain.get(domain);
      if (node === undefined || domain === undefined || before === undefined) continue;
      if (!hasAllKeys(node, requiredKeys) || !nodeCounts(constraint, pod, node)) continue;
      countByDomain.set(domain, before + count);
    }
  return { ...constraint, countByNode, countByDomain, weight: Math.log(countByDomain.size + 2) };
}

const mayRelieve: QueueingHint = (pod, event) => {
  const constraints = (pod.pod.spec?.topologySpreadConstraints ?? []).filter(
    ({ whenUnsatisfiable }) => whenUnsatisfiable === 'DoNotSchedule',
  );
  if (event.kind === 'PodUpdate') return JSON.stringify(event.pod.labels) !== JSON.stringify(event.old.labels);
  if (constraints.length === 0) return true;
  switch (event.kind) {
    case 'AssignedPodAdd':
    case 'AssignedPodDelete':
    case 'AssignedPodUpdate':
      return (
        event.pod.namespace === pod.namespace &&
        constraints.some((each) => {
          const { selector } = compileConstraint(each, pod);
          if (event.kind !== 'AssignedPodUpdate') return selector.matches(event.pod.labels);
          return (
            selector.matches(event.pod.labels) !== selector.matches(event.old.labels) ||
            event.pod.terminating !== event.old.terminating
          );
        })
      );
    case 'NodeAdd':
    case 'NodeDelete':
      return constraints.every(({ topologyKey }) => event.node.metadata.labels?.[topologyKey] !== undefined);
    case 'NodeUpdate':
      return (
        JSON.stringify(event.node.spec?.taints) !== JSON.stringify(event.old.spec?.taints) ||
        constraints.some(
          ({ topologyKey }) => event.node.metadata.labels?.[topologyKey] !== event.old.metadata.labels?.[topologyKey],
        ) ||
        matchesNodeAffinity(pod, event.node) !== matchesNodeAffinity(pod, event.old)
      );
    default:
      return true;
  }
};

/** The fewer matching pods a node's domains have, the higher its score. */
function invertScores(scores: number[], nodes: readonly NodeInfo[], { ignoredNodes }: ScoreState): void {
  let min = Infinity;
  let max = -Infinity;
  const counts = nodes.map(({ name }) => !ignoredNodes.has(name));
  for (let i = 0; i < scores.length; i++) {
    if (counts[i] !== true) continue;
    const score = scores[i] ?? 0;
    if (score < min) min = score;
    if (score > max) max = score;
  }
  for (let i = 0; i < scores.length; i++) {
    if (counts[i] !== true) scores[i] = 0;
    else if (max === 0) scores[i] = MAX_NODE_SCORE;
    else scores[i] = Math.trunc((MAX_NODE_SCORE * (max + min - (scores[i] ?? 0))) / max);
  }
}

/** Spreads matching pods over the domains of a topology (KEP-895), as a filter and as a score. */
export function podTopologySpread(
  options: PodTopologySpreadOptions = { defaultingType: 'System', defaultConstraints: systemDefaultConstraints },
): Plugin<readonly HardConstraint[], ScoreState> {
  const kinds = [
    'AssignedPodAdd',
    'AssignedPodUpdate',
    'AssignedPodDelete',
    'NodeAdd',
    'NodeUpdate',
    'NodeDelete',
    'PodUpdate',
  ] as const;
  return {
    name: 'PodTopologySpread',
    events: kinds.map((kind) => ({ kind, hint: mayRelieve })),
    preFilter(pod, snapshot) {
      const constraints = constraintsOf(pod, 'DoNotSchedule', options, snapshot);
      if (constraints.length === 0) return { kind: 'skip' };
      return { kind: 'filter', state: constraints.map((each) => hardConstraint(each, constraints, pod, snapshot)) };
    },
    filter(_pod, node, constraints) {
      for (const { topologyKey, countByDomain, globalMin, matchesSelf, maxSkew } of constraints) {
        const domain = node.labels[topologyKey];
        if (domain === undefined) return unresolvable(reasonMissingLabel);
        const skew = (countByDomain.get(domain) ?? 0) + (matchesSelf ? 1 : 0) - globalMin;
        if (skew > maxSkew) return unschedulable(reasonConstraints);
      }
      return undefined;
    },
    preScore(pod, nodes, snapshot) {
      const constraints = constraintsOf(pod, 'ScheduleAnyway', options, snapshot);
      if (constraints.length === 0) return undefined;
      const needsAllKeys =
        (pod.pod.spec?.topologySpreadConstraints ?? []).length > 0 || options.defaultingType !== 'System';
      const ignoredNodes = new Set<string>();
      if (needsAllKeys) for (const node of nodes) if (!hasAllKeys(node, constraints)) ignoredNodes.add(node.name);
      const candidates = ignoredNodes.size === 0 ? nodes : nodes.filter(({ name }) => !ignoredNodes.has(name));
      const requiredKeys = needsAllKeys ? constraints : [];
      return {
        ignoredNodes,
        constraints: constraints.map((each) => softConstraint(each, pod, candidates, requiredKeys, snapshot)),
      };
    },
    score(_pod, node, { constraints, ignoredNodes }) {
      if (ignoredNodes.has(node.name)) return 0;
      let score = 0;
      for (const { topologyKey, countByDomain, countByNode, maxSkew, weight } of constraints) {
        const domain = node.labels[topologyKey];
        if (domain === undefined) continue;
        const count =
          topologyKey === HOSTNAME_LABEL ? (countByNode.get(node.name) ?? 0) : (countByDomain.get(domain) ?? 0);
        score += count * weight + (maxSkew - 1);
      }
      return Math.round(score);
    },
    normalizeScores: invertScores,
  };
}
