import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '@naru/api';
import type { Informer } from '@naru/client';
import { messageOf } from '../errors.ts';
import { annotations, labels } from '../runtime/runtime-service.ts';
import { ContainerKiller } from './container-killer.ts';
import { ContainerStarter } from './container-starter.ts';
import type { PodContext } from './pod-context.ts';
import { PodWorker } from './pod-worker.ts';

/** Pods are looked at this often even if nothing happened: what volumes show may have changed unseen. */
const RESYNC_MS = 60_000;

/** One worker per pod of this node: follows the API's pods and the runtime's events. */
export class PodWorkers implements AsyncDisposable {
  readonly #context: PodContext;
  readonly #starter: ContainerStarter;
  readonly #killer: ContainerKiller;
  readonly #workers = new Map<string, PodWorker>();
  /** What the runtime had at the last relist, by container. */
  #seen = new Map<string, { readonly state: string; readonly podUid: string }>();

  constructor(context: PodContext) {
    this.#context = context;
    this.#starter = new ContainerStarter(context);
    this.#killer = new ContainerKiller(context);
  }

  get workers(): Iterable<PodWorker> {
    return this.#workers.values();
  }

  get size(): number {
    return this.#workers.size;
  }

  find(namespace: string, name: string): PodWorker | undefined {
    for (const worker of this.#workers.values())
      if (worker.pod.metadata.name === name && worker.pod.metadata.namespace === namespace) return worker;
    return undefined;
  }

  /** Begins to follow; to be called once the informer has synced and the runtime has taken up what runs. */
  async start(informer: Informer<Pod>, options: { readonly relistMs: number }): Promise<void> {
    const { runtime, signal, clock } = this.#context;
    runtime.onContainerEvent(({ podUid }) => this.wake(podUid));
    informer.addHandlers({
      added: (pod) => this.#put(pod),
      updated: (pod, old) => {
        // Deleted and made anew under the same name between two looks.
        if (pod.metadata.uid !== old.metadata.uid) this.#remove(old);
        this.#put(pod);
      },
      deleted: (pod) => this.#remove(pod),
    });
    await this.#endOrphans();
    const relist = (): void => {
      if (signal.aborted) return;
      this.#relist()
        .catch((error: unknown) => this.#context.logger.warn({ err: error }, 'cannot list containers'))
        .finally(() => clock.after(options.relistMs, relist));
    };
    clock.after(options.relistMs, relist);
    const resync = (): void => {
      if (signal.aborted) return;
      if (!this.#context.isHollow) for (const worker of this.#workers.values()) worker.wake();
      clock.after(RESYNC_MS, resync);
    };
    clock.after(RESYNC_MS, resync);
  }

  wake(podUid: string): void {
    this.#workers.get(podUid)?.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#workers.values()].map(async (worker) => await worker.idle()));
  }

  #put(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    const known = this.#workers.get(uid);
    if (known !== undefined) {
      this.#context.statuses.observe(pod);
      // Thousands of hollow pods: what only echoes their status is not worth another look.
      if (this.#context.isHollow && isEcho(pod, known.pod)) return;
      known.update(pod);
      return;
    }
    const worker = new PodWorker(pod, {
      context: this.#context,
      starter: this.#starter,
      killer: this.#killer,
      onFinished: (uid) => this.#workers.delete(uid),
    });
    this.#workers.set(uid, worker);
    worker.wake();
  }

  #remove(pod: Pod): void {
    this.#workers.get(pod.metadata.uid ?? '')?.remove();
  }

  /** The net under the events: wakes the pods of which a container is not as it was at the last look. */
  async #relist(): Promise<void> {
    const now = new Map<string, { readonly state: string; readonly podUid: string }>();
    const changed = new Set<string>();
    for (const { id, state, labels: of } of await this.#context.runtime.listContainers()) {
      const podUid = of[labels.podUid] ?? '';
      now.set(id, { state, podUid });
      if (this.#seen.get(id)?.state !== state) changed.add(podUid);
    }
    for (const [id, { podUid }] of this.#seen) if (!now.has(id)) changed.add(podUid);
    this.#seen = now;
    for (const uid of changed) this.wake(uid);
  }

  /** Pods that were deleted while no kubelet looked: what runs of them is ended, what is left of them removed. */
  async #endOrphans(): Promise<void> {
    const { runtime, logger } = this.#context;
    const orphans = (await runtime.listPodSandbox()).filter(({ metadata }) => !this.#workers.has(metadata.uid));
    for (const sandbox of orphans) {
      logger.info(
        { pod: `${sandbox.metadata.namespace}/${sandbox.metadata.name}` },
        'ending a pod that is no longer there',
      );
      this.#endOrphan(sandbox.id, sandbox.metadata.uid).catch((error: unknown) =>
        logger.warn({ err: messageOf(error) }, 'cannot end a pod that is no longer there'),
      );
    }
    if (this.#context.isHollow) return;
    const running = new Set(orphans.map(({ metadata }) => metadata.uid));
    for (const uid of readdirSync(this.#context.podsFolder))
      if (!this.#workers.has(uid) && !running.has(uid))
        rmSync(join(this.#context.podsFolder, uid), { recursive: true, force: true });
  }

  async #endOrphan(sandboxId: string, uid: string): Promise<void> {
    const { runtime } = this.#context;
    const containers = await runtime.listContainers({ labelSelector: { [labels.podUid]: uid } });
    await Promise.all(
      containers
        .filter(({ podSandboxId }) => podSandboxId === sandboxId)
        .map(async ({ id, annotations: of }) => {
          const timeoutSeconds = Number(of[annotations.podTerminationGracePeriod] ?? 30);
          await runtime.stopContainer(id, { timeoutSeconds });
        }),
    );
    await runtime.removePodSandbox(sandboxId);
    for (const { logPath } of containers) rmSync(logPath, { force: true });
    this.#context.volumes.tearDown(uid);
  }
}

/** Whether nothing but the status may differ between two versions of a pod. */
function isEcho({ metadata: a }: Pod, { metadata: b }: Pod): boolean {
  return (
    a.generation !== undefined &&
    a.generation === b.generation &&
    a.deletionTimestamp === b.deletionTimestamp &&
    a.deletionGracePeriodSeconds === b.deletionGracePeriodSeconds
  );
}
