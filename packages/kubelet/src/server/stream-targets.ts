import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { readLog } from '../log/log-reader.ts';
import type { LogStream } from '../log/cri-log.ts';
import { newestContainer, readySandbox } from '../plan/runtime-pod.ts';
import { runtimePod } from '../pod/pod-context.ts';
import type { Attachment, ExecProcess, RuntimeService } from '../runtime/runtime-service.ts';

/** How often a log that the container has not begun is looked for. */
const LOG_WAIT_MS = 100;

/** There is nothing to stream to or from; answered instead of the upgrade. */
export class StreamRefusal extends Error {
  override readonly name = 'StreamRefusal';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface ContainerTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export interface StreamTargetsOptions {
  readonly runtime: RuntimeService;
  /** Nothing runs in a hollow pod. */
  readonly isHollow: boolean;
  readonly find: (namespace: string, name: string) => { readonly uid: string } | undefined;
}

/** What exec, attach and port-forward reach: running containers by name, and the addresses of pods. */
export class StreamTargets {
  readonly #options: StreamTargetsOptions;

  constructor(options: StreamTargetsOptions) {
    this.#options = options;
  }

  /** The id of a container that runs. Rejects with a StreamRefusal. */
  async container(target: ContainerTarget): Promise<string> {
    const { runtime } = this.#options;
    const uid = this.#uid(target.namespace, target.pod);
    const found = newestContainer(await runtimePod(runtime, uid), target.container);
    if (found?.state !== 'CONTAINER_RUNNING')
      throw new StreamRefusal(
        500,
        `unable to upgrade connection: container not found (${JSON.stringify(target.container)})`,
      );
    return found.id;
  }

  /** The address of a pod that runs. Rejects with a StreamRefusal. */
  async podAddress(namespace: string, pod: string): Promise<string> {
    const sandbox = readySandbox(await runtimePod(this.#options.runtime, this.#uid(namespace, pod)));
    if (sandbox === undefined) throw new StreamRefusal(500, `unable to upgrade connection: pod ${pod} is not running`);
    return sandbox.ip;
  }

  /** Rejects with a RuntimeError. */
  async exec(id: string, command: readonly string[], options: { readonly tty: boolean }): Promise<ExecProcess> {
    return await this.#options.runtime.exec(id, command, options);
  }

  /** The streams of a container that runs. Rejects with a RuntimeError. */
  async attach(id: string, options: { readonly stdin: boolean }): Promise<Attachment> {
    const { runtime } = this.#options;
    return (
      (await runtime.attach?.(id, options)) ?? {
        stdin: undefined,
        output: (stream, signal) => this.#logged(id, stream, signal),
        resize: () => undefined,
      }
    );
  }

  /** What a container writes from now on, until it ends, by its log. */
  async *#logged(id: string, stream: LogStream, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { runtime } = this.#options;
    const isRunning = async (): Promise<boolean> => {
      const status = await runtime.containerStatus(id).catch(() => undefined);
      return status?.state === 'CONTAINER_RUNNING';
    };
    const { logPath } = await runtime.containerStatus(id);
    let isNew = false;
    while (!existsSync(logPath)) {
      isNew = true;
      if (signal.aborted || !(await isRunning())) return;
      await delay(LOG_WAIT_MS);
    }
    const tail = isNew ? {} : { tailLines: 0 };
    yield* readLog(logPath, { follow: true, timestamps: false, ...tail, isRunning, signal, stream });
  }

  #uid(namespace: string, name: string): string {
    const found = this.#options.find(namespace, name);
    if (found === undefined) throw new StreamRefusal(404, 'unable to upgrade connection: pod does not exist');
    if (this.#options.isHollow)
      throw new StreamRefusal(400, 'hollow pods have no processes: there is nothing to exec in, attach or forward to');
    return found.uid;
  }
}
