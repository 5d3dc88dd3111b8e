import { formatTime, type Container, type ContainerStatus as ApiContainerStatus, type Pod } from '@naru/api';
import type { ContainerStatus } from '../runtime/runtime-service.ts';
import { shouldRestart } from './compute-pod-actions.ts';
import { allContainerStatuses, isEphemeral, isInitContainer, isSidecar, specOf } from './pod-spec.ts';
import { newestContainer, previousContainer, type RuntimePod } from './runtime-pod.ts';

export type ApiContainerState = NonNullable<ApiContainerStatus['state']>;

/** Why the last try to start a container failed, or what it waits for. */
export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

export interface ContainerFacts {
  readonly pod: Pod;
  readonly runtime: RuntimePod;
  /** Prefix of container ids: `process`. */
  readonly runtimeName: string;
  /** By container name. */
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  /** Readiness by its probe; a container without one is ready while it runs. */
  isReady(containerId: string, containerName: string): boolean;
  isStarted(containerId: string, containerName: string): boolean;
  /** What the container left in its terminationMessagePath, or the end of its log. */
  terminationMessage(containerId: string): string | undefined;
}

/** The API's statuses of a list of containers, in the order of the spec, as upstream's convertToAPIContainerStatuses. */
export function containerStatuses(facts: ContainerFacts, containers: readonly Container[]): ApiContainerStatus[] {
  return containers.map((container) => containerStatus(facts, container));
}

function containerStatus(facts: ContainerFacts, container: Container): ApiContainerStatus {
  const current = newestContainer(facts.runtime, container.name);
  return current === undefined ? statusWithoutContainer(facts, container) : statusOf(facts, container, current);
}

function statusOf(facts: ContainerFacts, container: Container, current: ContainerStatus): ApiContainerStatus {
  const { name } = container;
  const previous = previousContainer(facts.runtime, name);
  let state = stateOf(facts, current);
  let lastState: ApiContainerState = previous === undefined ? {} : endedState(facts, previous);
  if (previous === undefined && current.metadata.attempt > 0) lastState = oldStatus(facts.pod, name)?.lastState ?? {};
  const isOnce = isEphemeral(facts.pod, name);
  const waiting = isOnce ? undefined : facts.waiting.get(name);
  // One that is about to be started again waits; without a reason yet, how it ended says more.
  if (waiting !== undefined && shouldRestart(facts.pod, container, current)) {
    if (state.terminated !== undefined) lastState = state;
    state = { waiting: { ...waiting } };
  }
  const isRunning = state.running !== undefined;
  const isPlainInit = isInitContainer(facts.pod, name) && !isSidecar(container);
  const started = isRunning && !isPlainInit && !isOnce && facts.isStarted(current.id, name);
  return {
    name,
    state,
    lastState,
    // An init container is ready once it is done, every other one while it runs and its probes agree.
    ready: isPlainInit
      ? current.state === 'CONTAINER_EXITED' && current.exitCode === 0
      : started && facts.isReady(current.id, name),
    restartCount: current.metadata.attempt,
    image: current.image,
    imageID: current.imageRef,
    containerID: `${facts.runtimeName}://${current.id}`,
    ...(isOnce ? {} : { started }),
    ...resourcesOf(container),
    ...volumeMountsOf(container),
  };
}

function stateOf(facts: ContainerFacts, status: ContainerStatus): ApiContainerState {
  switch (status.state) {
    case 'CONTAINER_RUNNING':
      return { running: { startedAt: formatTime(status.startedAt) } };
    case 'CONTAINER_EXITED':
      return endedState(facts, status);
    case 'CONTAINER_CREATED':
    case 'CONTAINER_UNKNOWN':
      return { waiting: { reason: defaultWaiting(facts.pod).reason } };
    default:
      return status.state satisfies never;
  }
}

function endedState(facts: ContainerFacts, status: ContainerStatus): ApiContainerState {
  const message = facts.terminationMessage(status.id) ?? status.message;
  return {
    terminated: {
      exitCode: status.exitCode,
      reason: status.reason,
      ...(message === '' ? {} : { message }),
      startedAt: formatTime(status.startedAt === 0 ? status.createdAt : status.startedAt),
      finishedAt: formatTime(status.finishedAt),
      containerID: `${facts.runtimeName}://${status.id}`,
    },
  };
}

function oldStatus(pod: Pod, name: string): ApiContainerStatus | undefined {
  return allContainerStatuses(pod.status).find((each) => each.name === name);
}

function defaultWaiting(pod: Pod): WaitingReason {
  const hasInit = (specOf(pod).initContainers?.length ?? 0) > 0;
  return { reason: hasInit ? 'PodInitializing' : 'ContainerCreating', message: '' };
}

/** The runtime has no container of that name: none yet, or none any more. */
function statusWithoutContainer(facts: ContainerFacts, container: Container): ApiContainerStatus {
  const old = oldStatus(facts.pod, container.name);
  const waiting = facts.waiting.get(container.name) ?? defaultWaiting(facts.pod);
  const status: ApiContainerStatus = {
    name: container.name,
    state: { waiting: waiting.message === '' ? { reason: waiting.reason } : { ...waiting } },
    lastState: {},
    ready: false,
    restartCount: 0,
    image: container.image ?? '',
    imageID: '',
    ...(isEphemeral(facts.pod, container.name) ? {} : { started: false }),
    ...resourcesOf(container),
    ...volumeMountsOf(container),
  };
  if (old === undefined) return status;
  status.restartCount = old.restartCount;
  // It ended before and the runtime has cleaned up: how it ended is known to the API alone.
  if (old.state?.terminated !== undefined) {
    const { state, lastState = {}, ready } = old;
    return { ...status, state, lastState, ready, ...idOf(old) };
  }
  if (old.state?.running === undefined) return { ...status, lastState: old.lastState ?? {} };
  const terminated = {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was deleted.  The container used to be Running',
  };
  return { ...status, lastState: { terminated } };
}

function idOf({ containerID, imageID }: ApiContainerStatus): Partial<ApiContainerStatus> {
  return { imageID, ...(containerID === undefined ? {} : { containerID }) };
}

function resourcesOf({ resources }: Container): Partial<ApiContainerStatus> {
  if (resources === undefined || Object.keys(resources).length === 0) return {};
  return {
    resources,
    ...(resources.requests === undefined ? {} : { allocatedResources: resources.requests }),
  };
}

function volumeMountsOf({ volumeMounts }: Container): Partial<ApiContainerStatus> {
  if (volumeMounts === undefined || volumeMounts.length === 0) return {};
  return {
    volumeMounts: volumeMounts.map(({ name, mountPath, readOnly }) => ({
      name,
      mountPath,
      ...(readOnly === true ? { readOnly, recursiveReadOnly: 'Disabled' } : {}),
    })),
  };
}
