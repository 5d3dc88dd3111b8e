export { describeCluster, defaultOptions } from './topology.ts';
export type { ClusterOptions, ProcessSpec, Topology } from './topology.ts';
