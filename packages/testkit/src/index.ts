export { eventually } from './eventually.ts';
export { FakeApiServer, type FakeReactor, type FakeRequest } from './fake-api-server.ts';
export { VirtualClock } from './virtual-clock.ts';
export { startRealEtcd, type RealEtcd } from './real-etcd.ts';
export { ProcessCluster, runProgram, type Result } from './process-cluster.ts';
export { Mutator } from './mutator.ts';
export { SeededRandom } from './seeded-random.ts';
export { SimulatedDisk, type DiskFault, type SimulatedDiskOptions, type SimulatedFile } from './simulated-disk.ts';
export { SimulatedNetwork, type NetworkFaults, type SimulatedNetworkOptions } from './simulated-network.ts';
export {
  checkLinearizability,
  type CheckOptions,
  type CheckResult,
  type Counterexample,
} from './linearizability/checker.ts';
export * from './linearizability/kv-history.ts';
export { KvModel, type KvModelOptions, type KvState } from './linearizability/kv-model.ts';
export { partitionByKey } from './linearizability/kv-partitions.ts';
export type { Model, Operation } from './linearizability/operation.ts';
export { mergeRevisionLog, RevisionLog } from './linearizability/revision-log.ts';
export { checkRevisionOrder, describeOperation, type RevisionOrderReport } from './linearizability/revision-order.ts';
export {
  checkWatchGuarantees,
  type WatchCheckOptions,
  type WatchEventRecord,
  type WatchRecord,
  type WatchRequestRecord,
  type WatchResponseRecord,
} from './linearizability/watch-guarantees.ts';
