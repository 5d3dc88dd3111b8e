import type { Node } from '@naru/api';
import { NodeInfo, type GenerationCounter } from '../framework/node-info.ts';
import type { PodInfo } from '../framework/pod-info.ts';
import type { PodQuery, Snapshot, TermKind, TermUsage } from '../framework/plugin.ts';
import type { LabelMatcher, Labels } from '../framework/selector.ts';
import { PodCounterIndex } from './pod-counter-index.ts';
import { TermIndex } from './term-index.ts';

const ZONE_LABELS = ['topology.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/zone'] as const;
const REGION_LABELS = ['topology.kubernetes.io/region', 'failure-domain.beta.kubernetes.io/region'] as const;

/** What the cache is told of by others. */
export interface CacheSources {
  namespaceLabels(namespace: string): Labels | undefined;
  defaultSelector(pod: PodInfo): LabelMatcher | undefined;
}

interface PlacedPod {
  readonly info: PodInfo;
  readonly nodeName: string;
  /** Placed by the scheduler, and not yet seen on its node. */
  readonly assumed: boolean;
}

/**
 * Nodes and the pods on them, with sums and counters kept up to date per event. A pod is scheduled in one synchronous call,
 * so the cache itself is the snapshot: nothing changes it meanwhile, and nothing is copied.
 */
export class SchedulerCache implements Snapshot {
  readonly #sources: CacheSources;
  readonly #generation: GenerationCounter = { value: 0 };
  /** With those that only have pods so far. */
  readonly #nodes = new Map<string, NodeInfo>();
  readonly #pods = new Map<string, PlacedPod>();
  readonly #counters = new PodCounterIndex((name, key) => this.#nodes.get(name)?.labels[key]);
  readonly #terms = new TermIndex();
  readonly #images = new Map<string, number>();
  #ordered: readonly NodeInfo[] | undefined;

  constructor(sources: CacheSources) {
    this.#sources = sources;
  }

  /** Grows with every change of a node or of its pods. */
  get generation(): number {
    return this.#generation.value;
  }

  get nodes(): readonly NodeInfo[] {
    return (this.#ordered ??= inZoneOrder([...this.#nodes.values()].filter(({ node }) => node !== undefined)));
  }

  get podCount(): number {
    return this.#pods.size;
  }

  get assumedCount(): number {
    return this.#pods.values().reduce((sum, { assumed }) => sum + (assumed ? 1 : 0), 0);
  }

  node(name: string): NodeInfo | undefined {
    return this.#nodes.get(name);
  }

  podCounts(query: PodQuery): ReadonlyMap<string, number> {
    return this.#counters.counts(query, () => this.#placements());
  }

  podCountsByDomain(query: PodQuery, topologyKey: string): ReadonlyMap<string, number> {
    return this.#counters.domainCounts(query, topologyKey, () => this.#placements());
  }

  termUsages(kind: TermKind): Iterable<TermUsage> {
    return this.#terms.usages(kind);
  }

  namespaceLabels(namespace: string): Labels | undefined {
    return this.#sources.namespaceLabels(namespace);
  }

  defaultSelector(pod: PodInfo): LabelMatcher | undefined {
    return this.#sources.defaultSelector(pod);
  }

  nodesWithImage(image: string): number {
    return this.#images.get(image) ?? 0;
  }

  /** Adds the node or takes over its new state. */
  setNode(node: Node): void {
    const info = this.#nodeInfo(node.metadata.name ?? '');
    const moved = info.node === undefined || zoneOf(info.labels) !== zoneOf(node.metadata.labels ?? {});
    if (info.node === undefined || JSON.stringify(info.labels) !== JSON.stringify(node.metadata.labels ?? {}))
      this.#counters.nodeLabelsChanged();
    this.#countImages(info, -1);
    info.setNode(node);
    this.#countImages(info, 1);
    if (moved) this.#ordered = undefined;
  }

  /** Pods of the node stay known until they are deleted themselves. */
  removeNode(name: string): void {
    const info = this.#nodes.get(name);
    if (info === undefined) return;
    this.#counters.nodeLabelsChanged();
    this.#countImages(info, -1);
    info.setNode(undefined);
    this.#ordered = undefined;
    this.#dropIfEmpty(info);
  }

  /** A pod that is on a node, as the API server says; replaces what was known or assumed of it. */
  setPod(info: PodInfo, nodeName: string): void {
    this.#take(info.uid);
    this.#place({ info, nodeName, assumed: false });
  }

  removePod(uid: string): void {
    this.#take(uid);
  }

  /** The pod counts on the node from now on, before the API server knows. Invariant: it is not placed yet. */
  assumePod(info: PodInfo, nodeName: string): void {
    this.#take(info.uid);
    this.#place({ info, nodeName, assumed: true });
  }

  /** Takes back an assumption; nothing happens if the pod is on its node by now. */
  forgetPod(uid: string): void {
    if (this.#pods.get(uid)?.assumed === true) this.#take(uid);
  }

  isPlaced(uid: string): boolean {
    return this.#pods.has(uid);
  }

  isAssumed(uid: string): boolean {
    return this.#pods.get(uid)?.assumed === true;
  }

  /** Answers `ask` as if these pods were not there. */
  without<T>(uids: Iterable<string>, ask: () => T): T {
    const taken = [...uids].map((uid) => this.#take(uid)).filter((placed) => placed !== undefined);
    try {
      return ask();
    } finally {
      for (const placed of taken) this.#place(placed);
    }
  }

  namespaceLabelsChanged(): void {
    this.#counters.namespaceLabelsChanged();
  }

  #placements(): Iterable<readonly [PodInfo, string]> {
    return this.#pods.values().map(({ info, nodeName }) => [info, nodeName] as const);
  }

  #place(placed: PlacedPod): void {
    const { info, nodeName } = placed;
    this.#pods.set(info.uid, placed);
    this.#nodeInfo(nodeName).addPod(info);
    this.#counters.add(info, nodeName);
    this.#terms.add(info, nodeName);
  }

  #take(uid: string): PlacedPod | undefined {
    const placed = this.#pods.get(uid);
    if (placed === undefined) return undefined;
    const { info, nodeName } = placed;
    this.#pods.delete(uid);
    this.#counters.remove(info, nodeName);
    this.#terms.remove(info, nodeName);
    const node = this.#nodes.get(nodeName);
    node?.removePod(info);
    if (node !== undefined) this.#dropIfEmpty(node);
    return placed;
  }

  #nodeInfo(name: string): NodeInfo {
    let info = this.#nodes.get(name);
    if (info === undefined) this.#nodes.set(name, (info = new NodeInfo(name, this.#generation)));
    return info;
  }

  #dropIfEmpty(info: NodeInfo): void {
    if (info.node === undefined && info.pods.size === 0) this.#nodes.delete(info.name);
  }

  #countImages(info: NodeInfo, by: 1 | -1): void {
    for (const image of info.images.keys()) {
      const now = (this.#images.get(image) ?? 0) + by;
      if (now > 0) this.#images.set(image, now);
      else this.#images.delete(image);
    }
  }
}

function zoneOf(labels: Labels): string {
  const first = (keys: readonly string[]): string => labels[keys.find((key) => labels[key] !== undefined) ?? ''] ?? '';
  return `${first(REGION_LABELS)}:${first(ZONE_LABELS)}`;
}

/** One node of each zone in turn, so that the nodes that are looked at first are of all zones. */
function inZoneOrder(nodes: readonly NodeInfo[]): readonly NodeInfo[] {
  const zones = [...Map.groupBy(nodes, ({ labels }) => zoneOf(labels)).values()];
  const longest = zones.reduce((length, zone) => Math.max(length, zone.length), 0);
  const ordered: NodeInfo[] = [];
  for (let i = 0; i < longest; i++)
    for (const zone of zones) {
      const node = zone[i];
      if (node !== undefined) ordered.push(node);
    }
  return ordered;
}
