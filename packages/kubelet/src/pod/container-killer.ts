import type { Container, Pod } from '@naru/api';
import { allContainers, gracePeriodSeconds, isSidecar, specOf } from '../plan/pod-spec.ts';
import { isRunning, type RuntimePod } from '../plan/runtime-pod.ts';
import type { ContainerStatus } from '../runtime/runtime-service.ts';
import { hookFailure } from './lifecycle-hooks.ts';
import { containerFieldPath, type PodContext } from './pod-context.ts';

/** What is left to a container after its preStop hook, at least, as upstream. */
const GRACE_SECONDS_MIN = 2;

export interface KillRequest {
  readonly pod: Pod;
  readonly status: ContainerStatus;
  /** For the event. */
  readonly message: string;
  readonly graceSeconds: number;
  readonly podIP: string;
}

/** Ends containers: preStop, SIGTERM, grace, SIGKILL. */
export class ContainerKiller {
  readonly #context: PodContext;

  constructor(context: PodContext) {
    this.#context = context;
  }

  async kill({ pod, status, message, graceSeconds, podIP }: KillRequest): Promise<void> {
    const { clock, recorder, runtime } = this.#context;
    const { name } = status.metadata;
    const container = allContainers(pod).find((each) => each.name === name);
    recorder.event(pod, { type: 'Normal', reason: 'Killing', message }, { fieldPath: containerFieldPath(pod, name) });
    const began = clock.monotonic();
    if (container !== undefined && graceSeconds > 0)
      await this.#preStop(pod, container, { status, graceSeconds, podIP });
    const spent = Math.floor((clock.monotonic() - began) / 1000);
    const left = graceSeconds > 0 ? Math.max(graceSeconds - spent, GRACE_SECONDS_MIN) : 0;
    await runtime.stopContainer(status.id, { timeoutSeconds: left });
  }

  /** All running containers of a pod: the regular ones together, then the sidecars from the last to the first. */
  async killPod(pod: Pod, runtime: RuntimePod, graceSeconds: number): Promise<void> {
    const running = runtime.containers.filter(isRunning);
    const podIP = runtime.sandboxes[0]?.ip ?? '';
    const sidecars = (specOf(pod).initContainers ?? []).filter(isSidecar).map(({ name }) => name);
    const isSidecarStatus = ({ metadata }: ContainerStatus): boolean => sidecars.includes(metadata.name);
    const { clock } = this.#context;
    const deadline = clock.monotonic() + graceSeconds * 1000;
    const kill = async (status: ContainerStatus): Promise<void> => {
      const left = Math.ceil((deadline - clock.monotonic()) / 1000);
      const message = `Stopping container ${status.metadata.name}`;
      await this.kill({ pod, status, message, podIP, graceSeconds: graceSeconds === 0 ? 0 : Math.max(left, 1) });
    };
    await Promise.all(running.filter((status) => !isSidecarStatus(status)).map(kill));
    for (const name of sidecars.toReversed())
      for (const status of running.filter(({ metadata }) => metadata.name === name)) await kill(status);
  }

  /** Liveness and startup probes may have a grace period of their own. */
  probeGraceSeconds(pod: Pod, name: string, reason: string): number {
    const container = allContainers(pod).find((each) => each.name === name);
    const probe =
      reason === 'LivenessProbe'
        ? container?.livenessProbe
        : reason === 'StartupProbe'
          ? container?.startupProbe
          : undefined;
    return probe?.terminationGracePeriodSeconds ?? gracePeriodSeconds(pod);
  }

  async #preStop(
    pod: Pod,
    container: Container,
    at: { readonly status: ContainerStatus; readonly graceSeconds: number; readonly podIP: string },
  ): Promise<void> {
    const handler = container.lifecycle?.preStop;
    if (handler === undefined || this.#context.isHollow) return;
    const { hooks, recorder, logger } = this.#context;
    const { status, graceSeconds, podIP } = at;
    try {
      await hooks.run(handler, { container, containerId: status.id, podIP }, { timeoutMs: graceSeconds * 1000 });
    } catch (error) {
      logger.info({ pod: pod.metadata.name, container: container.name, err: error }, 'preStop hook failed');
      recorder.event(
        pod,
        { type: 'Warning', reason: 'FailedPreStopHook', message: hookFailure(handler, error) },
        { fieldPath: containerFieldPath(pod, container.name) },
      );
    }
  }
}
