import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Clock, Logger } from '@naru/component';
import type { RuntimeService } from '../runtime/runtime-service.ts';

export interface LogManagerOptions {
  readonly runtime: RuntimeService;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** `--container-log-max-size`; default 10 MiB. */
  readonly maxBytes?: number;
  /** `--container-log-max-files`: with the one that is written; default 5. */
  readonly maxFiles?: number;
}

/** Upstream's containerLogMonitorInterval. */
const PERIOD_MS = 10_000;
const MAX_BYTES = 10 * 1024 * 1024;
const MAX_FILES = 5;

/** Rotates containers' logs: renames what has grown too long, has the runtime begin anew, deletes the oldest. */
export class LogManager {
  readonly #options: LogManagerOptions;

  constructor(options: LogManagerOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, logger, signal } = this.#options;
    const tick = (): void => {
      if (signal.aborted) return;
      this.rotateAll()
        .catch((error: unknown) => logger.warn({ err: error }, 'cannot rotate container logs'))
        .finally(() => clock.after(PERIOD_MS, tick));
    };
    clock.after(PERIOD_MS, tick);
  }

  async rotateAll(): Promise<void> {
    for (const { id, state, logPath } of await this.#options.runtime.listContainers()) {
      if (state !== 'CONTAINER_RUNNING' || logPath === '') continue;
      const size = statSync(logPath, { throwIfNoEntry: false })?.size ?? 0;
      if (size > (this.#options.maxBytes ?? MAX_BYTES)) await this.#rotate(id, logPath);
    }
  }

  async #rotate(id: string, path: string): Promise<void> {
    const now = new Date(this.#options.clock.now()).toISOString();
    const stamp = now.replaceAll(/[-:]|\..*$/gu, '').replace('T', '-');
    renameSync(path, `${path}.${stamp}`);
    await this.#options.runtime.reopenContainerLog(id);
    const rotated = readdirSync(dirname(path))
      .filter((name) => name.startsWith(`${basename(path)}.`))
      .sort();
    const tooMany = rotated.length + 1 - (this.#options.maxFiles ?? MAX_FILES);
    for (const name of rotated.slice(0, Math.max(0, tooMany))) rmSync(join(dirname(path), name), { force: true });
  }
}
