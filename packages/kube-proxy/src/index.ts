export { startProxy, type ServerOptions } from './server.ts';
export { parseNodePortAddresses, type NodePortAddresses } from './node-addresses.ts';
