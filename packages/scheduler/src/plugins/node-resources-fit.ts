import type { NodeInfo } from '../framework/node-info.ts';
import { MAX_NODE_SCORE, type Plugin, type QueueingHint, type Rejection } from '../framework/plugin.ts';
import type { PodInfo } from '../framework/pod-info.ts';
import { amountOf, resourcesOf, type Resources } from '../framework/resources.ts';

export interface ResourceWeight {
  readonly name: string;
  readonly weight: number;
}

export interface NodeResourcesFitOptions {
  readonly strategy: 'LeastAllocated' | 'MostAllocated';
  readonly resources: readonly ResourceWeight[];
}

export const defaultFitOptions: NodeResourcesFitOptions = {
  strategy: 'LeastAllocated',
  resources: [
    { name: 'cpu', weight: 1 },
    { name: 'memory', weight: 1 },
  ],
};

interface Shortage {
  readonly reason: string;
  /** Even the empty node would be too small. */
  readonly hopeless: boolean;
}

function findShortages(requests: Resources, node: NodeInfo): Shortage[] {
  const { allocatable, requested } = node;
  const shortages: Shortage[] = [];
  if (node.pods.size + 1 > allocatable.pods)
    shortages.push({ reason: 'Too many pods', hopeless: allocatable.pods < 1 });
  const check = (name: string, wanted: number, total: number, used: number): void => {
    if (wanted > 0 && wanted > total - used)
      shortages.push({ reason: `Insufficient ${name}`, hopeless: wanted > total });
  };
  check('cpu', requests.milliCpu, allocatable.milliCpu, requested.milliCpu);
  check('memory', requests.memory, allocatable.memory, requested.memory);
  check('ephemeral-storage', requests.ephemeralStorage, allocatable.ephemeralStorage, requested.ephemeralStorage);
  if (requests.scalars.size > 0)
    for (const [name, wanted] of requests.scalars)
      check(name, wanted, allocatable.scalars.get(name) ?? 0, requested.scalars.get(name) ?? 0);
  return shortages;
}

/** Whether the node, taken as empty, has room for the pod, and has more of something than before. */
const growsEnough: QueueingHint = (pod, event) => {
  if (event.kind === 'NodeAdd') return fitsEmpty(pod, resourcesOf(event.node.status?.allocatable));
  if (event.kind !== 'NodeUpdate') return false;
  const now = resourcesOf(event.node.status?.allocatable);
  const old = resourcesOf(event.old.status?.allocatable);
  const names = ['cpu', 'memory', 'ephemeral-storage', 'pods', ...pod.requests.scalars.keys()];
  return fitsEmpty(pod, now) && names.some((name) => amountOf(now, name) > amountOf(old, name));
};

function fitsEmpty({ requests }: PodInfo, allocatable: Resources): boolean {
  const names = ['cpu', 'memory', 'ephemeral-storage', ...requests.scalars.keys()];
  return allocatable.pods >= 1 && names.every((name) => amountOf(requests, name) <= amountOf(allocatable, name));
}

/** Share of the resource that is used with the pod on the node, as a score. */
function scoreOf(strategy: NodeResourcesFitOptions['strategy'], used: number, total: number): number {
  if (strategy === 'LeastAllocated') return used > total ? 0 : Math.trunc(((total - used) * MAX_NODE_SCORE) / total);
  return Math.trunc((Math.min(used, total) * MAX_NODE_SCORE) / total);
}

/** Keeps pods off nodes without room for their requests; prefers emptier nodes, or fuller ones. */
export function nodeResourcesFit(options: NodeResourcesFitOptions = defaultFitOptions): Plugin<undefined, true> {
  return {
    name: 'NodeResourcesFit',
    events: [
      { kind: 'AssignedPodDelete' },
      { kind: 'AssignedPodUpdate', hint: (_pod, event) => event.kind === 'AssignedPodUpdate' && shrank(event) },
      { kind: 'PodUpdate', hint: (_pod, event) => event.kind === 'PodUpdate' && shrank(event) },
      { kind: 'NodeAdd', hint: growsEnough },
      { kind: 'NodeUpdate', hint: growsEnough },
    ],
    filter(pod, node): Rejection | undefined {
      const shortages = findShortages(pod.requests, node);
      if (shortages.length === 0) return undefined;
      return {
        code: shortages.some(({ hopeless }) => hopeless) ? 'UnschedulableAndUnresolvable' : 'Unschedulable',
        reasons: shortages.map(({ reason }) => reason),
      };
    },
    preScore: () => true,
    score(pod, node) {
      let sum = 0;
      let weights = 0;
      for (const { name, weight } of options.resources) {
        const total = amountOf(node.allocatable, name);
        if (total === 0) continue;
        const byDefault = name === 'cpu' || name === 'memory';
        const wanted = amountOf(pod.nonZeroRequests, name);
        if (!byDefault && wanted === 0) continue;
        const used = amountOf(byDefault ? node.nonZeroRequested : node.requested, name) + wanted;
        sum += scoreOf(options.strategy, used, total) * weight;
        weights += weight;
      }
      return weights === 0 ? 0 : Math.trunc(sum / weights);
    },
  };
}

function shrank({ pod, old }: { readonly pod: PodInfo; readonly old: PodInfo }): boolean {
  return pod.requests.milliCpu < old.requests.milliCpu || pod.requests.memory < old.requests.memory;
}
