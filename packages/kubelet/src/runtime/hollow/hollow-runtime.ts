import { parseTime, type Pod } from '@naru/api';
import type { Clock } from '@naru/component';
import { RuntimeError } from '../../errors.ts';
import type { HollowNetwork } from './hollow-network.ts';
import { allContainers, allContainerStatuses, containerHash, specOf } from '../../plan/pod-spec.ts';
import {
  annotations,
  labels,
  type ContainerConfig,
  type ContainerEvent,
  type ContainerStatus,
  type ExecProcess,
  type ExecSyncResponse,
  type ImageService,
  type LabelFilter,
  type PodSandbox,
  type PodSandboxConfig,
  type RuntimeService,
} from '../runtime-service.ts';

interface HollowPod {
  readonly sandboxes: Map<string, PodSandbox>;
  readonly containers: Map<string, ContainerStatus>;
}

export interface HollowRuntimeOptions {
  readonly network: HollowNetwork;
  readonly nodeIP: string;
  readonly runtimeVersion: string;
  readonly clock: Clock;
}

/**
 * Pods that are only said to run: every image is there, every container starts at once and stays until it is stopped. All
 * state is in memory and found by pod, so that thousands cost little; after a restart it is read back from the API.
 */
export class HollowRuntime implements RuntimeService {
  readonly version: { readonly runtimeName: string; readonly runtimeVersion: string };
  readonly #options: HollowRuntimeOptions;
  readonly #pods = new Map<string, HollowPod>();
  /** Pod uid of each sandbox and container. */
  readonly #owners = new Map<string, string>();
  #sequence = 0;

  constructor(options: HollowRuntimeOptions) {
    this.#options = options;
    this.version = { runtimeName: 'hollow', runtimeVersion: options.runtimeVersion };
  }

  /** Takes up a pod that the API says runs here, as it was before this kubelet started. */
  restore(pod: Pod): void {
    const { uid = '', name = '', namespace = '' } = pod.metadata;
    const statuses = allContainerStatuses(pod.status);
    const podIP = pod.status?.podIP;
    if (podIP === undefined || !statuses.some(({ state }) => state?.running !== undefined)) return;
    const id = this.#newId();
    const config = {
      metadata: { name, namespace, uid, attempt: 0 },
      hostname: name,
      logDirectory: '',
      labels: { [labels.podUid]: uid },
      annotations: {},
      hostNetwork: specOf(pod).hostNetwork === true,
    };
    this.#putSandbox({ id, config, ip: podIP, createdAt: parseTime(pod.status?.startTime) });
    if (!config.hostNetwork) this.#options.network.reserve(id, podIP);
    for (const { name, restartCount, containerID, state, image } of statuses) {
      const startedAt = parseTime(state?.running?.startedAt ?? state?.terminated?.startedAt);
      const container = allContainers(pod).find((each) => each.name === name);
      if (containerID === undefined || container === undefined || state?.waiting !== undefined) continue;
      this.#putContainer(uid, {
        id: containerID.slice(containerID.indexOf('://') + 3),
        podSandboxId: id,
        metadata: { name, attempt: restartCount },
        state: state?.running === undefined ? 'CONTAINER_EXITED' : 'CONTAINER_RUNNING',
        createdAt: startedAt,
        startedAt,
        finishedAt: parseTime(state?.terminated?.finishedAt) || 0,
        exitCode: state?.terminated?.exitCode ?? 0,
        image,
        imageRef: image,
        reason: state?.terminated?.reason ?? '',
        message: '',
        labels: { [labels.podUid]: uid },
        annotations: { [annotations.containerHash]: containerHash(container) },
        logPath: '',
      });
    }
  }

  async runPodSandbox(config: PodSandboxConfig): Promise<string> {
    const id = this.#newId();
    const ip = config.hostNetwork ? this.#options.nodeIP : (await this.#options.network.setUpPod(id)).ip;
    this.#putSandbox({ id, config, ip, createdAt: this.#options.clock.now() });
    return id;
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    const pod = this.#podOf(podSandboxId);
    const sandbox = pod?.sandboxes.get(podSandboxId);
    if (pod === undefined || sandbox === undefined) return;
    for (const { id, podSandboxId: of } of pod.containers.values()) if (of === podSandboxId) this.#stop(pod, id);
    pod.sandboxes.set(podSandboxId, { ...sandbox, state: 'SANDBOX_NOTREADY', ip: '' });
    await this.#options.network.tearDownPod(podSandboxId);
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    await this.stopPodSandbox(podSandboxId);
    const pod = this.#podOf(podSandboxId);
    const uid = this.#owners.get(podSandboxId);
    if (pod === undefined || uid === undefined) return;
    for (const { id, podSandboxId: of } of pod.containers.values()) {
      if (of !== podSandboxId) continue;
      pod.containers.delete(id);
      this.#owners.delete(id);
    }
    pod.sandboxes.delete(podSandboxId);
    this.#owners.delete(podSandboxId);
    if (pod.sandboxes.size === 0) this.#pods.delete(uid);
  }

  async listPodSandbox(filter: LabelFilter = {}): Promise<readonly PodSandbox[]> {
    return this.#select(filter).flatMap(({ sandboxes }) => [...sandboxes.values()]);
  }

  async createContainer(podSandboxId: string, config: ContainerConfig): Promise<string> {
    const uid = this.#owners.get(podSandboxId);
    if (uid === undefined) throw new RuntimeError('not-found', `sandbox ${podSandboxId} not found`);
    const id = this.#newId();
    this.#putContainer(uid, {
      id,
      podSandboxId,
      metadata: config.metadata,
      state: 'CONTAINER_CREATED',
      createdAt: this.#options.clock.now(),
      startedAt: 0,
      finishedAt: 0,
      exitCode: 0,
      image: config.image,
      imageRef: config.image,
      reason: '',
      message: '',
      labels: config.labels,
      annotations: config.annotations,
      logPath: '',
    });
    return id;
  }

  async startContainer(containerId: string): Promise<void> {
    const pod = this.#podOf(containerId);
    const status = pod?.containers.get(containerId);
    if (pod === undefined || status === undefined)
      throw new RuntimeError('not-found', `container ${containerId} not found`);
    pod.containers.set(containerId, { ...status, state: 'CONTAINER_RUNNING', startedAt: this.#options.clock.now() });
  }

  async stopContainer(containerId: string): Promise<void> {
    const pod = this.#podOf(containerId);
    if (pod !== undefined) this.#stop(pod, containerId);
  }

  async removeContainer(containerId: string): Promise<void> {
    this.#podOf(containerId)?.containers.delete(containerId);
    this.#owners.delete(containerId);
  }

  async listContainers(filter: LabelFilter = {}): Promise<readonly ContainerStatus[]> {
    return this.#select(filter).flatMap(({ containers }) => [...containers.values()]);
  }

  async containerStatus(containerId: string): Promise<ContainerStatus> {
    const status = this.#podOf(containerId)?.containers.get(containerId);
    if (status === undefined) throw new RuntimeError('not-found', `container ${containerId} not found`);
    return status;
  }

  async execSync(): Promise<ExecSyncResponse> {
    throw new RuntimeError('failed-precondition', 'hollow containers have no processes');
  }

  async exec(): Promise<ExecProcess> {
    throw new RuntimeError('failed-precondition', 'hollow containers have no processes');
  }

  async reopenContainerLog(): Promise<void> {}

  /** Nothing happens to a hollow container by itself. */
  onContainerEvent(_listener: (event: ContainerEvent) => void): () => void {
    return () => undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #newId(): string {
    // Unlike those of an earlier run: the time is in it.
    return `${Math.floor(this.#options.clock.now()).toString(16)}${(this.#sequence++).toString(16).padStart(8, '0')}`.padStart(
      64,
      '0',
    );
  }

  #podOf(id: string): HollowPod | undefined {
    return this.#pods.get(this.#owners.get(id) ?? '');
  }

  #select({ labelSelector }: LabelFilter): readonly HollowPod[] {
    const uid = labelSelector?.[labels.podUid];
    if (uid === undefined) return [...this.#pods.values()];
    const pod = this.#pods.get(uid);
    return pod === undefined ? [] : [pod];
  }

  #putSandbox(sandbox: {
    readonly id: string;
    readonly config: PodSandboxConfig;
    readonly ip: string;
    readonly createdAt: number;
  }): void {
    const { id, config, ip, createdAt } = sandbox;
    const { uid } = config.metadata;
    const pod = this.#pods.get(uid) ?? { sandboxes: new Map(), containers: new Map() };
    pod.sandboxes.set(id, {
      id,
      metadata: config.metadata,
      state: 'SANDBOX_READY',
      createdAt,
      labels: config.labels,
      annotations: config.annotations,
      ip,
    });
    this.#pods.set(uid, pod);
    this.#owners.set(id, uid);
  }

  #putContainer(uid: string, status: ContainerStatus): void {
    this.#pods.get(uid)?.containers.set(status.id, status);
    this.#owners.set(status.id, uid);
  }

  #stop(pod: HollowPod, id: string): void {
    const status = pod.containers.get(id);
    if (status?.state !== 'CONTAINER_RUNNING') return;
    const finishedAt = this.#options.clock.now();
    pod.containers.set(id, { ...status, state: 'CONTAINER_EXITED', finishedAt, reason: 'Completed' });
  }
}

/** Every image is there. */
export class HollowImages implements ImageService {
  async imageStatus(image: string): Promise<string | undefined> {
    return image;
  }

  async pullImage(image: string): Promise<string> {
    return image;
  }
}
