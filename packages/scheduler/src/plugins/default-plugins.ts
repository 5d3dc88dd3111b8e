import type { Plugin } from '../framework/plugin.ts';
import { imageLocality } from './image-locality.ts';
import { interPodAffinity, type InterPodAffinityOptions } from './inter-pod-affinity.ts';
import { nodeAffinity } from './node-affinity.ts';
import { nodeName } from './node-name.ts';
import { nodePorts } from './node-ports.ts';
import { nodeResourcesBalancedAllocation } from './node-resources-balanced-allocation.ts';
import { defaultFitOptions, nodeResourcesFit, type NodeResourcesFitOptions } from './node-resources-fit.ts';
import { nodeUnschedulable } from './node-unschedulable.ts';
import { podTopologySpread, systemDefaultConstraints, type PodTopologySpreadOptions } from './pod-topology-spread.ts';
import { taintToleration } from './taint-toleration.ts';

export interface PluginOptions {
  readonly nodeResourcesFit?: NodeResourcesFitOptions;
  readonly podTopologySpread?: PodTopologySpreadOptions;
  readonly interPodAffinity?: InterPodAffinityOptions;
  /** Resources whose use is to be balanced. */
  readonly balancedResources?: readonly string[];
}

/** All plugins, in the order in which upstream runs them. */
export function defaultPlugins(options: PluginOptions = {}): readonly Plugin[] {
  return [
    nodeUnschedulable,
    nodeName,
    taintToleration,
    nodeAffinity,
    nodePorts,
    nodeResourcesFit(options.nodeResourcesFit ?? defaultFitOptions),
    podTopologySpread(
      options.podTopologySpread ?? { defaultingType: 'System', defaultConstraints: systemDefaultConstraints },
    ),
    interPodAffinity(options.interPodAffinity),
    nodeResourcesBalancedAllocation(options.balancedResources),
    imageLocality,
  ];
}

/** How much each plugin's score counts by default. */
export const defaultScoreWeights: Readonly<Record<string, number>> = {
  TaintToleration: 3,
  NodeAffinity: 2,
  PodTopologySpread: 2,
  InterPodAffinity: 2,
  NodeResourcesFit: 1,
  NodeResourcesBalancedAllocation: 1,
  ImageLocality: 1,
};
