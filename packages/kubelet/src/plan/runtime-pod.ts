import type { ContainerStatus, PodSandbox } from '../runtime/runtime-service.ts';

/** What the runtime has of a pod; both lists newest first. */
export interface RuntimePod {
  readonly sandboxes: readonly PodSandbox[];
  readonly containers: readonly ContainerStatus[];
}

export const emptyRuntimePod: RuntimePod = { sandboxes: [], containers: [] };

export function sortRuntimePod(sandboxes: readonly PodSandbox[], containers: readonly ContainerStatus[]): RuntimePod {
  return {
    sandboxes: [...sandboxes].sort((a, b) => b.metadata.attempt - a.metadata.attempt || b.createdAt - a.createdAt),
    containers: [...containers].sort((a, b) => b.metadata.attempt - a.metadata.attempt || b.createdAt - a.createdAt),
  };
}

export function readySandbox(runtime: RuntimePod): PodSandbox | undefined {
  const [newest] = runtime.sandboxes;
  return newest?.state === 'SANDBOX_READY' ? newest : undefined;
}

/** The latest container of a name, whatever its sandbox. */
export function newestContainer(runtime: RuntimePod, name: string): ContainerStatus | undefined {
  return runtime.containers.find((each) => each.metadata.name === name);
}

/** The one before the latest. */
export function previousContainer(runtime: RuntimePod, name: string): ContainerStatus | undefined {
  return runtime.containers.filter((each) => each.metadata.name === name)[1];
}

export function isRunning(status: ContainerStatus | undefined): boolean {
  return status?.state === 'CONTAINER_RUNNING';
}

export function hasExited(status: ContainerStatus | undefined): boolean {
  return status?.state === 'CONTAINER_EXITED';
}
