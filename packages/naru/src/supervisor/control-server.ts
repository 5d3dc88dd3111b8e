import { createHash } from 'node:crypto';
import { chmod, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withoutSchemas } from '@naru/component';
import { fastify, type FastifyInstance } from 'fastify';
import { UnknownProcessError, type Supervisor } from './supervisor.ts';

/** Longest path of a unix socket on Linux is 107 bytes, on macOS 103. */
const SOCKET_PATH_MAX = 100;

/** Where a cluster's supervisor listens. Long data dirs get a socket in the temporary folder. */
export function controlSocketPath(dataDir: string): string {
  const path = join(dataDir, 'naru.sock');
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  return join(tmpdir(), `naru-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}.sock`);
}

export const controlActions = ['kill', 'pause', 'resume', 'restart'] as const;
export type ControlAction = (typeof controlActions)[number];

/** Serves the other `naru` commands over a unix socket that only this user can open. */
export class ControlServer implements AsyncDisposable {
  readonly #app: FastifyInstance;
  readonly #path: string;

  constructor(options: {
    readonly supervisor: Supervisor;
    readonly dataDir: string;
    /** Called once when a client asks to stop the cluster. */
    readonly onStop: () => void;
  }) {
    const { supervisor } = options;
    this.#path = controlSocketPath(options.dataDir);
    this.#app = fastify({ logger: false, forceCloseConnections: true, schemaController: withoutSchemas });
    this.#app.get('/status', () => supervisor.status());
    this.#app.post('/stop', () => {
      options.onStop();
      return {};
    });
    this.#app.post<{ Params: { action: string; name: string } }>('/:action/:name', async (request, reply) => {
      const action = controlActions.find((each) => each === request.params.action);
      if (action === undefined) return await reply.code(404).send({ message: 'no such action' });
      try {
        return { processes: await supervisor[action](request.params.name) };
      } catch (error) {
        if (!(error instanceof UnknownProcessError)) throw error;
        return await reply.code(404).send({ message: error.message });
      }
    });
  }

  async start(): Promise<void> {
    await rm(this.#path, { force: true });
    await this.#app.listen({ path: this.#path });
    await chmod(this.#path, 0o600);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#app.close();
    await rm(this.#path, { force: true });
  }
}
