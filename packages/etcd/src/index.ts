export * from './auth-codec.ts';
export { EtcdClient, type CallOptions, type EtcdClientOptions, type WatchOptions } from './client.ts';
export type { EtcdTls } from './endpoints.ts';
export {
  EtcdError,
  etcdErrors,
  grpcCodes,
  httpStatusByGrpcCode,
  isEtcdError,
  type EtcdErrorCode,
  type GrpcCodeName,
  type ServerErrorCode,
} from './errors.ts';
export type * from './messages.ts';
export * from './cluster-codec.ts';
export * from './maintenance-codec.ts';
export { prefixRangeEnd } from './prefix.ts';
export * from './request-codec.ts';
export * from './response-codec.ts';
export type { WatchStream } from './watch-stream.ts';
