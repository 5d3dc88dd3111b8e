export { eventually } from './eventually.ts';
export { FakeApiServer, type FakeReactor, type FakeRequest } from './fake-api-server.ts';
export { VirtualClock } from './virtual-clock.ts';
