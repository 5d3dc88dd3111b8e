export { eventually } from './eventually.ts';
export { FakeApiServer, type FakeReactor, type FakeRequest } from './fake-api-server.ts';
export { VirtualClock } from './virtual-clock.ts';
export { startRealEtcd, type RealEtcd } from './real-etcd.ts';
export { ProcessCluster, runProgram, type Result } from './process-cluster.ts';
