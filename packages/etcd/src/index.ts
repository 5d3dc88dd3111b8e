export * from './auth-codec.ts';
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
