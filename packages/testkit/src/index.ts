export { eventually } from './eventually.ts';
export { FakeApiServer, type FakeReactor, type FakeRequest } from './fake-api-server.ts';
export { VirtualClock } from './virtual-clock.ts';
export { startRealEtcd, type RealEtcd } from './real-etcd.ts';
export { ProcessCluster, runProgram, type Result } from './process-cluster.ts';
export { SeededRandom } from './seeded-random.ts';
export { SimulatedDisk, type DiskFault, type SimulatedDiskOptions, type SimulatedFile } from './simulated-disk.ts';
export { SimulatedNetwork, type NetworkFaults, type SimulatedNetworkOptions } from './simulated-network.ts';
