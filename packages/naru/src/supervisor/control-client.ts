import { existsSync } from 'node:fs';
import { Client } from 'undici';
import { controlSocketPath, type ControlAction } from './control-server.ts';
import type { ClusterStatus } from './supervisor.ts';

/** No supervisor answers for the data dir. */
export class NotRunningError extends Error {
  override readonly name = 'NotRunningError';
}

/** The supervisor refused the request. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

const REQUEST_TIMEOUT_MS = 60_000;

/** Talks to the supervisor of a data dir. */
export class ControlClient {
  readonly #dataDir: string;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async status(): Promise<ClusterStatus> {
    return (await this.#call('GET', '/status')) as ClusterStatus;
  }

  async isRunning(): Promise<boolean> {
    return await this.status().then(
      () => true,
      () => false,
    );
  }

  async stop(): Promise<void> {
    await this.#call('POST', '/stop');
  }

  /** @returns the names of the processes that it was done to */
  async act(action: ControlAction, name: string): Promise<readonly string[]> {
    const answer = await this.#call('POST', `/${action}/${encodeURIComponent(name)}`);
    return (answer as { readonly processes: readonly string[] }).processes;
  }

  async #call(method: 'GET' | 'POST', path: string): Promise<unknown> {
    const socketPath = controlSocketPath(this.#dataDir);
    if (!existsSync(socketPath)) throw new NotRunningError(`no cluster runs on ${this.#dataDir}`);
    const client = new Client('http://naru', { socketPath, headersTimeout: REQUEST_TIMEOUT_MS });
    try {
      const { statusCode, body } = await client.request({ method, path });
      const answer = await body.json();
      if (statusCode !== 200)
        throw new RefusedError((answer as { message?: string }).message ?? `status ${statusCode}`);
      return answer;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ECONNREFUSED' || code === 'ENOENT')
        throw new NotRunningError(`no cluster runs on ${this.#dataDir}`);
      throw error;
    } finally {
      await client.destroy();
    }
  }
}
