import type { Socket } from 'node:net';
import type { GrpcServer, GrpcServerOptions } from './grpc-server.ts';

/** A gRPC server that is loaded with its first connection: who uses the JSON gateway alone does not pay for it. */
export class LazyGrpcServer implements AsyncDisposable {
  readonly #options: GrpcServerOptions;
  #server: Promise<GrpcServer> | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
  }

  /** Takes a connection whose client begins with HTTP/2's preface. */
  accept(socket: Socket): void {
    const onError = (): void => void socket.destroy();
    socket.on('error', onError);
    this.#server ??= import('./grpc-server.ts').then((loaded) => new loaded.GrpcServer(this.#options));
    this.#server.then(
      (server) => {
        if (!socket.destroyed) server.accept(socket);
      },
      (error: unknown) => {
        this.#options.logger.error({ err: error }, 'loading gRPC failed');
        socket.destroy();
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#server)?.[Symbol.asyncDispose]();
  }
}
