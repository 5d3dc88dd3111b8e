import type { Container } from '@naru/api';
import type { Clock } from '@naru/component';
import { messageOf } from '../errors.ts';
import { HttpProber } from '../probe/http-probe.ts';
import { httpTarget } from '../probe/prober.ts';
import type { RuntimeService } from '../runtime/runtime-service.ts';

export type LifecycleHandler = NonNullable<NonNullable<Container['lifecycle']>['postStart']>;

const HTTP_HOOK_TIMEOUT_MS = 600_000;

/** Runs postStart and preStop handlers. */
export class LifecycleHooks implements AsyncDisposable {
  readonly #runtime: RuntimeService;
  readonly #clock: Clock;
  readonly #http: HttpProber;

  constructor(options: { readonly runtime: RuntimeService; readonly clock: Clock; readonly userAgent: string }) {
    this.#runtime = options.runtime;
    this.#clock = options.clock;
    this.#http = new HttpProber({ userAgent: options.userAgent });
  }

  /** @throws Error that says what failed */
  async run(
    handler: LifecycleHandler,
    target: { readonly container: Container; readonly containerId: string; readonly podIP: string },
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const { exec, httpGet, sleep } = handler;
    if (exec !== undefined) {
      const timeoutSeconds = (options.timeoutMs ?? 0) / 1000;
      const { exitCode, stdout, stderr } = await this.#runtime.execSync(target.containerId, exec.command ?? [], {
        timeoutSeconds,
      });
      if (exitCode !== 0) {
        const output = Buffer.concat([stdout, stderr]).toString('utf8').slice(0, 1024);
        throw new Error(`command '${(exec.command ?? []).join(' ')}' exited with ${exitCode}: ${output}`);
      }
    } else if (httpGet !== undefined) {
      const answer = await this.#http.probe(httpTarget(httpGet, target), options.timeoutMs ?? HTTP_HOOK_TIMEOUT_MS);
      if (answer.result === 'failure') throw new Error(answer.output);
    } else if (sleep !== undefined) {
      const ms = Math.min(sleep.seconds * 1000, options.timeoutMs ?? Infinity);
      await this.#clock.sleep(ms, options.signal === undefined ? {} : { signal: options.signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]();
  }
}

export function hookFailure(handler: LifecycleHandler, error: unknown): string {
  const kind = handler.exec !== undefined ? 'Exec' : handler.httpGet !== undefined ? 'HTTP' : 'Sleep';
  return `${kind} lifecycle hook failed: ${messageOf(error)}`;
}
