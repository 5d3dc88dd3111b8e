export { EtcdClient, type CallOptions, type EtcdClientOptions, type WatchOptions } from './client.ts';
export type { EtcdTls } from './endpoints.ts';
export type { WatchStream } from './watch-stream.ts';
