import type { Container, Pod } from '@naru/api';
import { annotations, type ContainerStatus } from '../runtime/runtime-service.ts';
import { allContainerStatuses, containerHash, isSidecar, specOf } from './pod-spec.ts';
import { hasExited, isRunning, newestContainer, readySandbox, type RuntimePod } from './runtime-pod.ts';

/** What probes have found of running containers, by container id. */
export interface ProbeResults {
  /** Liveness probes that have failed often enough. */
  readonly livenessFailed: ReadonlySet<string>;
  readonly startupFailed: ReadonlySet<string>;
  /** Containers whose startup probe has succeeded, or that have none. */
  isStarted(containerId: string, containerName: string): boolean;
}

export interface ContainerToKill {
  readonly id: string;
  readonly name: string;
  /** Why, for the event and the log. */
  readonly message: string;
  readonly reason: 'Unknown' | 'ContainerChanged' | 'LivenessProbe' | 'StartupProbe' | 'PodFinished';
}

export interface ContainerToStart {
  readonly name: string;
  /** Restart count of the new container. */
  readonly attempt: number;
  /** When the last one ended, for the backoff; undefined for a first start. */
  readonly lastFinishedAt?: number;
}

/** What must be done to bring a pod from what the runtime has to what its spec says, in this order. */
export interface PodActions {
  /** The sandbox and all its containers must go: it is no longer ready, or the pod is done. */
  readonly killPod: boolean;
  /** A new sandbox is needed, with this attempt. */
  readonly createSandbox?: { readonly attempt: number };
  readonly containersToKill: readonly ContainerToKill[];
  readonly containersToStart: readonly ContainerToStart[];
}

export interface PlanInput {
  readonly pod: Pod;
  readonly runtime: RuntimePod;
  readonly probes: ProbeResults;
}

/** Whether a container that does not run must be started (again) under the pod's restart policy, as upstream. */
export function shouldRestart(pod: Pod, container: Container, status: ContainerStatus | undefined): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  if (status === undefined) return true;
  if (isRunning(status)) return false;
  if (!hasExited(status)) return true;
  if (isSidecar(container)) return true;
  const policy = specOf(pod).restartPolicy ?? 'Always';
  if (policy === 'Never') return false;
  return !(policy === 'OnFailure' && status.exitCode === 0);
}

/**
 * The next actions for a pod, from its spec and the runtime's state alone (upstream's computePodActions). Level-based: the
 * same input gives the same actions, and an unchanged healthy pod gives none.
 */
export function computePodActions(input: PlanInput): PodActions {
  const sandbox = readySandbox(input.runtime);
  if (sandbox === undefined) return planNewSandbox(input);
  // Init containers run once per sandbox: those of an earlier one do not count.
  const current: RuntimePod = {
    sandboxes: input.runtime.sandboxes,
    containers: input.runtime.containers.filter((each) => each.podSandboxId === sandbox.id),
  };
  const plan = new PodPlan(input, current);
  return plan.compute();
}

function planNewSandbox({ pod, runtime }: PlanInput): PodActions {
  const none = { killPod: runtime.sandboxes.length > 0, containersToKill: [], containersToStart: [] };
  const attempt = (runtime.sandboxes[0]?.metadata.attempt ?? -1) + 1;
  const wanted = specOf(pod).containers.some((each) => shouldRestart(pod, each, newestContainer(runtime, each.name)));
  // A pod whose containers have all ended for good needs no new sandbox.
  if (!wanted) return { ...none, killPod: runtime.sandboxes.some(({ state }) => state === 'SANDBOX_READY') };
  return { ...none, createSandbox: { attempt } };
}

class PodPlan {
  readonly #pod: Pod;
  readonly #all: RuntimePod;
  readonly #current: RuntimePod;
  readonly #probes: ProbeResults;
  readonly #toKill: ContainerToKill[] = [];
  readonly #toStart: ContainerToStart[] = [];
  #kept = 0;

  constructor(input: PlanInput, current: RuntimePod) {
    this.#pod = input.pod;
    this.#all = input.runtime;
    this.#probes = input.probes;
    this.#current = current;
  }

  compute(): PodActions {
    // Before all others: they may be there to see why an init container does not end.
    for (const container of specOf(this.#pod).ephemeralContainers ?? [])
      if (newestContainer(this.#all, container.name) === undefined) this.#start(container);
    const initialized = this.#planInitContainers();
    if (initialized === 'failed') return { killPod: true, containersToKill: [], containersToStart: [] };
    if (initialized === 'done') {
      for (const container of specOf(this.#pod).containers) this.#planContainer(container);
      // Nothing runs and nothing will: the pod is finished, and so are its sidecars.
      if (this.#kept === 0 && !this.#startsRegular())
        return { killPod: true, containersToKill: [], containersToStart: [] };
    }
    return { killPod: false, containersToKill: this.#toKill, containersToStart: this.#toStart };
  }

  #startsRegular(): boolean {
    return specOf(this.#pod).containers.some(({ name }) => this.#toStart.some((each) => each.name === name));
  }

  /** `pending`: one of them must run or end first. `failed`: one has failed for good. */
  #planInitContainers(): 'done' | 'pending' | 'failed' {
    const spec = specOf(this.#pod);
    const initContainers = spec.initContainers ?? [];
    // Once a regular container exists, initialization is over; only sidecars are still looked after.
    const isOver = spec.containers.some(({ name }) => newestContainer(this.#current, name) !== undefined);
    for (const container of initContainers) {
      const status = newestContainer(this.#current, container.name);
      if (isSidecar(container)) {
        const isStarted = this.#planSidecar(container, status);
        if (!isStarted && !isOver) return 'pending';
        continue;
      }
      if (isOver || (hasExited(status) && status?.exitCode === 0)) continue;
      if (isRunning(status)) {
        this.#killIfFailing(container, status);
        return 'pending';
      }
      if (!shouldRestart(this.#pod, container, status) && status !== undefined) return 'failed';
      this.#start(container);
      return 'pending';
    }
    return 'done';
  }

  #planSidecar(container: Container, status: ContainerStatus | undefined): boolean {
    if (!isRunning(status) || status === undefined) {
      this.#start(container);
      return false;
    }
    if (this.#killIfFailing(container, status)) return false;
    return this.#probes.isStarted(status.id, container.name);
  }

  #planContainer(container: Container): void {
    const status = newestContainer(this.#current, container.name);
    if (!isRunning(status) || status === undefined) {
      if (shouldRestart(this.#pod, container, newestContainer(this.#all, container.name))) this.#start(container);
      return;
    }
    if (this.#killIfFailing(container, status)) {
      // It is started again once it has ended; under Never it is not, but until then the pod is not finished.
      this.#kept++;
      return;
    }
    this.#kept++;
  }

  /** A running container whose definition changed or whose probe failed is killed; its end makes it start again. */
  #killIfFailing(container: Container, status: ContainerStatus | undefined): boolean {
    if (status === undefined) return false;
    const hash = status.annotations[annotations.containerHash];
    const { id } = status;
    const { name } = container;
    if (hash !== undefined && hash !== containerHash(container))
      this.#toKill.push({ id, name, reason: 'ContainerChanged', message: `Container ${name} definition changed` });
    else if (this.#probes.livenessFailed.has(id))
      this.#toKill.push({ id, name, reason: 'LivenessProbe', message: `Container ${name} failed liveness probe` });
    else if (this.#probes.startupFailed.has(id))
      this.#toKill.push({ id, name, reason: 'StartupProbe', message: `Container ${name} failed startup probe` });
    else return false;
    return true;
  }

  #start(container: Container): void {
    const last = newestContainer(this.#all, container.name);
    this.#toStart.push({
      name: container.name,
      attempt: last === undefined ? this.#restartsBefore(container.name) : last.metadata.attempt + 1,
      ...(last === undefined || !hasExited(last) ? {} : { lastFinishedAt: last.finishedAt }),
    });
  }

  /** The runtime has forgotten the container, but the API has not: the count goes on. */
  #restartsBefore(name: string): number {
    const status = allContainerStatuses(this.#pod.status).find((each) => each.name === name);
    return status?.containerID === undefined ? 0 : status.restartCount + 1;
  }
}
