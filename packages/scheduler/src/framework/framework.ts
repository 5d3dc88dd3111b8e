import type { Diagnosis } from './diagnosis.ts';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';
import { unresolvable, type Plugin, type Rejection, type Snapshot } from './plugin.ts';

/** Below this many nodes all of them are looked at. */
const MIN_FEASIBLE_NODES_TO_FIND = 100;
const MIN_FEASIBLE_NODES_PERCENTAGE = 5;

export interface ScorePlugin {
  readonly plugin: Plugin;
  readonly weight: number;
}

export interface Profile {
  readonly schedulerName: string;
  /** Share of the nodes after which the search for those that fit may end; 0: by the size of the cluster. */
  readonly percentageOfNodesToScore: number;
  /** Whether less important pods make room for more important ones. */
  readonly preempts: boolean;
  readonly filters: readonly Plugin[];
  readonly scorers: readonly ScorePlugin[];
}

/** Pods that are to come onto a node once their victims are gone. */
export interface Nominations {
  podsFor(nodeName: string): readonly PodInfo[];
}

export type ScheduleResult =
  | {
      readonly kind: 'fits';
      readonly nodeName: string;
      readonly evaluatedNodes: number;
      readonly feasibleNodes: number;
    }
  | { readonly kind: 'unschedulable'; readonly diagnosis: Diagnosis };

interface ActiveFilter {
  readonly plugin: Plugin;
  readonly state: unknown;
}

export type Prepared =
  | {
      readonly kind: 'ready';
      readonly filters: readonly ActiveFilter[];
      readonly nodeNames?: ReadonlySet<string>;
      readonly narrowedBy: readonly string[];
    }
  | { readonly kind: 'rejected'; readonly rejection: Rejection; readonly plugin: string };

/** How many nodes that fit are enough; the more nodes there are, the smaller the share. */
export function numFeasibleNodesToFind(numAllNodes: number, percentageOfNodesToScore: number): number {
  if (numAllNodes < MIN_FEASIBLE_NODES_TO_FIND) return numAllNodes;
  const percentage =
    percentageOfNodesToScore > 0
      ? percentageOfNodesToScore
      : Math.max(MIN_FEASIBLE_NODES_PERCENTAGE, 50 - Math.trunc(numAllNodes / 125));
  return Math.max(MIN_FEASIBLE_NODES_TO_FIND, Math.trunc((numAllNodes * percentage) / 100));
}

/** Runs the plugins of one profile. Its only state is where the next search starts. */
export class Framework {
  readonly profile: Profile;
  readonly #random: () => number;
  readonly #nominations: Nominations;
  #nextStartNodeIndex = 0;

  constructor(profile: Profile, options: { readonly random: () => number; readonly nominations: Nominations }) {
    this.profile = profile;
    this.#random = options.random;
    this.#nominations = options.nominations;
  }

  /** Picks the node for a pod; synchronous, so that the snapshot stays as it is. */
  schedule(pod: PodInfo, snapshot: Snapshot): ScheduleResult {
    const numAllNodes = snapshot.nodes.length;
    const prepared = this.prepare(pod, snapshot);
    if (prepared.kind === 'rejected')
      return {
        kind: 'unschedulable',
        diagnosis: {
          numAllNodes,
          preFilterMessage: prepared.rejection.reasons.join(', '),
          rejections: new Map(),
          plugins: new Set([prepared.plugin]),
        },
      };
    const rejections = new Map<string, Rejection>();
    const plugins = new Set<string>(prepared.narrowedBy);
    const feasible = this.#findFeasible(pod, snapshot, prepared, rejections, plugins);
    if (feasible.length === 0)
      return {
        kind: 'unschedulable',
        diagnosis: {
          numAllNodes,
          rejections,
          plugins,
          ...(prepared.nodeNames === undefined
            ? {}
            : { absentReason: `node(s) didn't satisfy plugin(s) [${[...prepared.narrowedBy].sort().join(' ')}]` }),
        },
      };
    const best = feasible.length === 1 ? feasible[0] : this.#best(pod, feasible, snapshot);
    return {
      kind: 'fits',
      nodeName: best?.name ?? '',
      evaluatedNodes: feasible.length + rejections.size,
      feasibleNodes: feasible.length,
    };
  }

  /** Runs the plugins' preFilter. */
  prepare(pod: PodInfo, snapshot: Snapshot): Prepared {
    const filters: ActiveFilter[] = [];
    const narrowedBy: string[] = [];
    let nodeNames: ReadonlySet<string> | undefined;
    for (const plugin of this.profile.filters) {
      const result = plugin.preFilter?.(pod, snapshot) ?? { kind: 'filter', state: undefined };
      if (result.kind === 'rejected') return { kind: 'rejected', rejection: result.rejection, plugin: plugin.name };
      if (result.kind === 'skip') continue;
      filters.push({ plugin, state: result.state });
      if ('nodeNames' in result && result.nodeNames !== undefined) {
        nodeNames = nodeNames === undefined ? result.nodeNames : nodeNames.intersection(result.nodeNames);
        narrowedBy.push(plugin.name);
      }
    }
    return { kind: 'ready', filters, narrowedBy, ...(nodeNames === undefined ? {} : { nodeNames }) };
  }

  /** The first rejection of the node, with the plugin that spoke it; undefined when the pod fits. */
  filter(
    pod: PodInfo,
    node: NodeInfo,
    filters: readonly ActiveFilter[],
  ): { readonly rejection: Rejection; readonly plugin: string } | undefined {
    for (const { plugin, state } of filters) {
      const rejection = plugin.filter?.(pod, node, state);
      if (rejection !== undefined) return { rejection, plugin: plugin.name };
    }
    return undefined;
  }

  /**
   * As `filter`, and with the pods nominated for the node there as well, if they are no less important: the pod must fit
   * both with them and, as they may never come, without them.
   */
  filterWithNominated(
    pod: PodInfo,
    node: NodeInfo,
    filters: readonly ActiveFilter[],
  ): { readonly rejection: Rejection; readonly plugin: string } | undefined {
    const nominated = this.#nominations
      .podsFor(node.name)
      .filter((each) => each.uid !== pod.uid && each.priority >= pod.priority && !node.pods.has(each.uid));
    if (nominated.length === 0) return this.filter(pod, node, filters);
    for (const each of nominated) node.addPod(each);
    const crowded = this.filter(pod, node, filters);
    for (const each of nominated) node.removePod(each);
    return crowded ?? this.filter(pod, node, filters);
  }

  #findFeasible(
    pod: PodInfo,
    snapshot: Snapshot,
    prepared: Prepared & { readonly kind: 'ready' },
    rejections: Map<string, Rejection>,
    plugins: Set<string>,
  ): NodeInfo[] {
    const { filters, nodeNames } = prepared;
    const feasible: NodeInfo[] = [];
    const fits = (node: NodeInfo): boolean => {
      const rejected = this.filterWithNominated(pod, node, filters);
      if (rejected === undefined) return true;
      rejections.set(node.name, rejected.rejection);
      plugins.add(rejected.plugin);
      return false;
    };
    // The node whose pods were evicted for this one comes first.
    const nominatedNode = snapshot.node(pod.pod.status?.nominatedNodeName ?? '');
    if (nominatedNode?.node !== undefined && (nodeNames?.has(nominatedNode.name) ?? true) && fits(nominatedNode))
      return [nominatedNode];
    rejections.clear();
    const all = snapshot.nodes;
    if (nodeNames !== undefined) {
      for (const name of nodeNames) {
        const node = snapshot.node(name);
        if (node?.node !== undefined && fits(node)) feasible.push(node);
      }
      return feasible;
    }
    const wanted = numFeasibleNodesToFind(all.length, this.profile.percentageOfNodesToScore);
    let looked = 0;
    for (; looked < all.length && feasible.length < wanted; looked++) {
      const node = all[(this.#nextStartNodeIndex + looked) % all.length];
      if (node !== undefined && fits(node)) feasible.push(node);
    }
    if (all.length > 0) this.#nextStartNodeIndex = (this.#nextStartNodeIndex + looked) % all.length;
    return feasible;
  }

  #best(pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot): NodeInfo | undefined {
    const totals = this.score(pod, nodes, snapshot);
    let best: NodeInfo | undefined;
    let bestScore = -Infinity;
    let ties = 0;
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i];
      const score = totals[i] ?? 0;
      if (score > bestScore) {
        best = node;
        bestScore = score;
        ties = 1;
      } else if (score === bestScore && Math.floor(this.#random() * ++ties) === 0) best = node;
    }
    return best;
  }

  /** The nodes' weighted scores, in the order of `nodes`. */
  score(pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot): readonly number[] {
    const totals = nodes.map(() => 0);
    for (const { plugin, weight } of this.profile.scorers) {
      const state = plugin.preScore?.(pod, nodes, snapshot);
      if (state === undefined || plugin.score === undefined) continue;
      const scores: number[] = [];
      for (const node of nodes) scores.push(plugin.score(pod, node, state));
      plugin.normalizeScores?.(scores, nodes, state);
      for (let i = 0; i < scores.length; i++) totals[i] = (totals[i] ?? 0) + weight * (scores[i] ?? 0);
    }
    return totals;
  }
}

/** The rejection of a node about which preemption has nothing to offer. */
export const notHelpful: Rejection = unresolvable('Preemption is not helpful for scheduling');
