/**
 * What the kubelet asks of a container runtime: CRI v1's RuntimeService and the part of its ImageService that matters,
 * with the same names and meaning (k8s.io/cri-api), so that an adapter to containerd is a thin one. Times are
 * milliseconds since the epoch, 0 for "not yet"; ids are opaque.
 */

import type { Readable, Writable } from 'node:stream';

/** Labels by which the kubelet finds its sandboxes and containers again, as upstream. */
export const labels = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  containerName: 'io.kubernetes.container.name',
} as const;

export const annotations = {
  containerHash: 'io.kubernetes.container.hash',
  podTerminationGracePeriod: 'io.kubernetes.pod.terminationGracePeriod',
  preStopHandler: 'io.kubernetes.container.preStopHandler',
} as const;

export type StringMap = Readonly<Record<string, string>>;

export interface PodSandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  /** Counts the sandboxes of a pod, from 0. */
  readonly attempt: number;
}

export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata;
  readonly hostname: string;
  /** Folder under which the containers' logs go; `ContainerConfig.logPath` is relative to it. */
  readonly logDirectory: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** The pod shares the node's network: its IP is the node's. */
  readonly hostNetwork: boolean;
}

export type PodSandboxState = 'SANDBOX_READY' | 'SANDBOX_NOTREADY';

export interface PodSandbox {
  readonly id: string;
  readonly metadata: PodSandboxMetadata;
  readonly state: PodSandboxState;
  readonly createdAt: number;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** Of PodSandboxStatus.network; '' for host network or when there is none any more. */
  readonly ip: string;
}

export interface Mount {
  /** Absolute, as the container's spec says. */
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
}

export interface ContainerMetadata {
  readonly name: string;
  /** Counts the containers of this name in a pod, from 0: the restart count. */
  readonly attempt: number;
}

export interface ContainerConfig {
  readonly metadata: ContainerMetadata;
  readonly image: string;
  /** The image's entrypoint when empty. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly logPath: string;
  /** Its input can be attached to. */
  readonly stdin?: boolean;
  /** The first one who detaches ends the input. */
  readonly stdinOnce?: boolean;
  readonly tty?: boolean;
  /** SIGTERM when undefined. */
  readonly stopSignal?: string;
}

export type ContainerState = 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN';

export interface ContainerStatus {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: ContainerMetadata;
  readonly state: ContainerState;
  readonly createdAt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly image: string;
  readonly imageRef: string;
  /** Why it exited: `Completed`, `Error`, `OOMKilled`, `StartError`…; '' otherwise. */
  readonly reason: string;
  readonly message: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** Absolute path of its log. */
  readonly logPath: string;
}

/** Matches what has all these labels. */
export interface LabelFilter {
  readonly labelSelector?: StringMap;
}

export interface ExecSyncResponse {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** A running program of an exec. Its user reads stdout and stderr to the end, or kills it. */
export interface ExecProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Silent with a terminal. */
  readonly stderr: Readable;
  /** The exit code, once all output has been read. */
  readonly exited: Promise<number>;
  /** Without a terminal it does nothing. */
  resize(size: TerminalSize): void;
  /** Ends it, and whatever it started. */
  kill(): void;
}

/** A running container's own streams. */
export interface Attachment {
  /** Undefined: the container has no input, or does not read it any more. To end it is to detach. */
  readonly stdin: Writable | undefined;
  /** What it writes from now on, until it ends. */
  output(stream: 'stdout' | 'stderr', signal: AbortSignal): AsyncIterable<Buffer>;
  /** Without a terminal it does nothing. */
  resize(size: TerminalSize): void;
}

export type ContainerEventType =
  'CONTAINER_CREATED_EVENT' | 'CONTAINER_STARTED_EVENT' | 'CONTAINER_STOPPED_EVENT' | 'CONTAINER_DELETED_EVENT';

export interface ContainerEvent {
  readonly containerId: string;
  readonly type: ContainerEventType;
  readonly podUid: string;
}

export interface RuntimeVersion {
  /** Prefix of container ids in the API: `containerd`, `process`. */
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

/** Calls reject with a RuntimeError when they fail. A call for an id that is gone succeeds where CRI says so (stop, remove). */
export interface RuntimeService extends AsyncDisposable {
  readonly version: RuntimeVersion;
  runPodSandbox(config: PodSandboxConfig): Promise<string>;
  /** Stops every process of the sandbox and gives its network back. Idempotent. */
  stopPodSandbox(podSandboxId: string): Promise<void>;
  /** Removes the sandbox and all its containers. Idempotent. */
  removePodSandbox(podSandboxId: string): Promise<void>;
  listPodSandbox(filter?: LabelFilter): Promise<readonly PodSandbox[]>;
  createContainer(podSandboxId: string, config: ContainerConfig, sandboxConfig: PodSandboxConfig): Promise<string>;
  startContainer(containerId: string): Promise<void>;
  /** Signals the main process, waits, then kills all that is left; resolves when it has exited. Idempotent. */
  stopContainer(containerId: string, options: { readonly timeoutSeconds: number }): Promise<void>;
  /** Kills the container if it still runs, and forgets it; its log stays. Idempotent. */
  removeContainer(containerId: string): Promise<void>;
  /** With all details: CRI's ListContainers and ContainerStatus in one, as the kubelet always needs both. */
  listContainers(filter?: LabelFilter): Promise<readonly ContainerStatus[]>;
  containerStatus(containerId: string): Promise<ContainerStatus>;
  /** Rejects with code `deadline-exceeded` after `timeoutSeconds`; 0 waits for ever. */
  execSync(
    containerId: string,
    command: readonly string[],
    options: { readonly timeoutSeconds: number },
  ): Promise<ExecSyncResponse>;
  /** CRI's Exec, with the streams themselves instead of a URL to them. */
  exec(containerId: string, command: readonly string[], options: { readonly tty: boolean }): Promise<ExecProcess>;
  /** CRI's Attach, with the streams themselves; a runtime without it is attached to by its logs. */
  attach?(containerId: string, options: { readonly stdin: boolean }): Promise<Attachment>;
  /** After the log file has been renamed: go on in a new one. */
  reopenContainerLog(containerId: string): Promise<void>;
  /** CRI's GetContainerEvents. The listener must not throw. Returns how to stop. */
  onContainerEvent(listener: (event: ContainerEvent) => void): () => void;
}

/** Whether and how a container's image can be had. */
export interface ImageService {
  /** The image's reference if it is present, undefined if it would have to be pulled. */
  imageStatus(image: string): Promise<string | undefined>;
  /** Pulls it; resolves with its reference. Rejects with an ImageError. */
  pullImage(image: string): Promise<string>;
}

/** The kubelet's port to the network of pods: CNI's ADD and DEL. */
export interface PodNetwork {
  /** Gives the sandbox an address, durably; the same again for the same id. Rejects with a RuntimeError. */
  setUpPod(podSandboxId: string): Promise<{ readonly ip: string }>;
  /** Gives the address back. Idempotent. */
  tearDownPod(podSandboxId: string): Promise<void>;
  /** Why pods cannot get an address yet, or undefined when they can. */
  notReadyReason(): string | undefined;
}
