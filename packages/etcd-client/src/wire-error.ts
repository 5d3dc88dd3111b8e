import { EtcdError } from '@naru/etcd';

/** The error in a unary (`{error, code, message}`) or streamed (`{error: {grpc_code, message}}`) answer. */
export function errorOf(value: unknown, statusCode: number): EtcdError {
  let source = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (typeof source.error === 'object' && source.error !== null) source = source.error as Record<string, unknown>;
  const code = source.code ?? source.grpc_code;
  const message = source.message ?? source.error;
  if (typeof code !== 'number' || typeof message !== 'string')
    return new EtcdError('protocol', { message: `etcdclient: HTTP ${statusCode} without an etcd error` });
  return EtcdError.fromWire(code, message);
}
