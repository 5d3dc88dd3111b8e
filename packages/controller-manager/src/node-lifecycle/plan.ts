/** Whether a node is alive, by its heartbeats, and how fast the pods of dead nodes may be driven away. */
import { findCondition, type Node } from '@naru/api';

type NodeCondition = NonNullable<NonNullable<Node['status']>['conditions']>[number];

/** When a sign of life of a node was last seen, on this process's own clock. */
export interface NodeHealth {
  readonly heartbeat: string;
  readonly probedMs: number;
}

/** The health after a look at the node and its Lease: `probedMs` is when either of them was last seen to change. */
export function observeHealth(
  old: NodeHealth | undefined,
  node: Node,
  renewTime: string | undefined,
  nowMs: number,
): NodeHealth {
  const beats = (node.status?.conditions ?? []).map(({ lastHeartbeatTime }) => lastHeartbeatTime ?? '').sort();
  const heartbeat = `${beats.at(-1) ?? ''} ${renewTime ?? ''}`;
  return old !== undefined && old.heartbeat === heartbeat ? old : { heartbeat, probedMs: nowMs };
}

/** Conditions that nobody knows any more when the kubelet is silent. */
const kubeletConditions = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'] as const;

/** The conditions of a node that was silent for too long; undefined when they say so already, or it was not. */
export function planConditions(
  node: Node,
  health: NodeHealth,
  options: { readonly graceMs: number; readonly startupGraceMs: number; readonly nowMs: number; readonly now: string },
): readonly NodeCondition[] | undefined {
  const present = node.status?.conditions ?? [];
  const graceMs = findCondition(present, 'Ready') === undefined ? options.startupGraceMs : options.graceMs;
  if (options.nowMs - health.probedMs <= graceMs) return undefined;
  const known = new Set(present.map(({ type }) => type));
  const next: NodeCondition[] = present.map((condition) =>
    (kubeletConditions as readonly string[]).includes(condition.type) && condition.status !== 'Unknown'
      ? {
          ...condition,
          status: 'Unknown',
          reason: 'NodeStatusUnknown',
          message: 'Kubelet stopped posting node status.',
          lastTransitionTime: options.now,
        }
      : condition,
  );
  const { creationTimestamp } = node.metadata;
  for (const type of kubeletConditions)
    if (!known.has(type))
      next.push({
        type,
        status: 'Unknown',
        reason: 'NodeStatusNeverUpdated',
        message: 'Kubelet never posted node status.',
        ...(creationTimestamp === undefined ? {} : { lastHeartbeatTime: creationTimestamp }),
        lastTransitionTime: options.now,
      });
  const changed = next.length !== present.length || next.some((condition, i) => condition !== present[i]);
  return changed ? next : undefined;
}

export type ZoneState = 'Initial' | 'Normal' | 'PartialDisruption' | 'FullDisruption';

/** Share of nodes that must be not ready for a zone to count as disrupted: upstream's default. */
const UNHEALTHY_ZONE_THRESHOLD = 0.55;
/** Zones larger than this are evicted from, slowly, even when disrupted: upstream's defaults. */
const LARGE_CLUSTER_SIZE = 50;
const SECONDARY_EVICTION_RATE = 0.01;

export function zoneOf({ metadata }: Node): string {
  const { labels } = metadata;
  const region = labels?.['topology.kubernetes.io/region'] ?? '';
  const zone = labels?.['topology.kubernetes.io/zone'] ?? '';
  return region === '' && zone === '' ? '' : `${region}:\0:${zone}`;
}

function zoneState(nodes: readonly Node[]): ZoneState {
  const notReady = nodes.filter(({ status }) => findCondition(status?.conditions, 'Ready')?.status !== 'True').length;
  if (notReady > 0 && notReady === nodes.length) return 'FullDisruption';
  if (notReady > 2 && notReady / nodes.length >= UNHEALTHY_ZONE_THRESHOLD) return 'PartialDisruption';
  return 'Normal';
}

/**
 * Nodes per second that may be tainted for eviction, by zone. When no node of the whole cluster is ready, more likely this
 * process is cut off than all nodes dead: then none.
 */
export function planEvictionRates(nodes: readonly Node[], rate: number): ReadonlyMap<string, number> {
  const zones = Map.groupBy(nodes, zoneOf);
  const states = new Map([...zones].map(([zone, members]) => [zone, zoneState(members)] as const));
  const all = [...states.values()].every((state) => state === 'FullDisruption');
  return new Map(
    [...zones].map(([zone, members]) => {
      if (all) return [zone, 0];
      if (states.get(zone) !== 'PartialDisruption') return [zone, rate];
      return [zone, members.length > LARGE_CLUSTER_SIZE ? SECONDARY_EVICTION_RATE : 0];
    }),
  );
}
