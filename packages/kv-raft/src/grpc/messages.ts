import { join } from 'node:path';
import type * as Protobuf from 'protobufjs';
import { EtcdError } from '@naru/etcd';

const FILES = ['mvccpb/kv.proto', 'authpb/auth.proto', 'etcdserverpb/rpc.proto'].map((each) => `etcd/api/${each}`);

/** etcd's messages in protobuf. Fields have the names of the .proto files. */
export class Messages {
  readonly #types: Protobuf.NamespaceBase;

  private constructor(types: Protobuf.NamespaceBase) {
    this.#types = types;
  }

  /** Reads the .proto files. Protobuf's library is loaded here, so that who never needs it does not pay for it. */
  static async load(): Promise<Messages> {
    const { default: protobuf } = await import('protobufjs');
    const folder = join(import.meta.dirname, '..', '..', 'proto');
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => join(folder, target);
    await root.load(FILES, { keepCase: true });
    root.resolveAll();
    const types = root.lookup('etcdserverpb');
    if (!(types instanceof protobuf.Namespace)) throw new Error('rpc.proto lacks etcdserverpb');
    return new Messages(types);
  }

  /** All methods by path, `/etcdserverpb.KV/Range`, with the names of their messages. */
  *methods(): Generator<{ readonly path: string; readonly requestType: string; readonly responseType: string }> {
    for (const service of this.#types.nestedArray)
      if ('methods' in service)
        for (const { name, requestType, responseType } of (service as Protobuf.Service).methodsArray)
          yield { path: `/etcdserverpb.${service.name}/${name}`, requestType, responseType };
  }

  /**
   * A message as @naru/etcd's decoders take it: fields that were sent, 64-bit integers as decimal text, bytes as Buffers,
   * enums as numbers.
   * @throws EtcdError Internal
   */
  decode(type: string, bytes: Uint8Array): unknown {
    const message = this.#types.lookupType(type);
    try {
      return message.toObject(message.decode(bytes), { longs: String, bytes: Buffer });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const text = `grpc: error unmarshalling request: ${reason}`;
      throw new EtcdError('invalidRequest', { message: text, grpcCode: 'Internal', cause: error });
    }
  }

  encode(type: string, value: object): Uint8Array {
    return this.#types.lookupType(type).encode(value).finish();
  }
}
