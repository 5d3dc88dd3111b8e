import type { ConfigMap, Container, Pod, Secret } from '@naru/api';
import { messageOf, StartError } from '../errors.ts';
import type { ContainerToStart } from '../plan/compute-pod-actions.ts';
import type { DownwardFacts } from '../plan/downward-api.ts';
import { expandCommand, makeEnvironment, referencedObjects, type EnvironmentVariable } from '../plan/environment.ts';
import { containerHash, specOf } from '../plan/pod-spec.ts';
import { annotations, labels, type ContainerConfig, type PodSandbox } from '../runtime/runtime-service.ts';
import { hookFailure } from './lifecycle-hooks.ts';
import { containerFieldPath, podFolder, podLabels, sandboxConfig, type PodContext } from './pod-context.ts';
import { mountsOf } from './pod-volumes.ts';
import { terminationMessageMount } from './termination-message.ts';

export interface StartRequest {
  readonly pod: Pod;
  readonly sandbox: PodSandbox;
  readonly container: Container;
  readonly start: ContainerToStart;
  /** Where each volume is on the host. */
  readonly volumes: ReadonlyMap<string, string>;
  /** Aborts when the pod is to end: a postStart hook is waited for no longer. */
  readonly ending: AbortSignal;
}

/** What the downward API may say of a pod on this node. */
export function downwardFacts(context: PodContext, pod: Pod, podIP: string): DownwardFacts {
  const allocatable = context.node()?.status?.allocatable ?? {};
  return { pod, podIP, hostIP: context.hostIP, allocatable };
}

/** Brings one container from nothing to running, in upstream's steps and with its events. */
export class ContainerStarter {
  readonly #context: PodContext;

  constructor(context: PodContext) {
    this.#context = context;
  }

  /** @throws StartError with the waiting reason of the container */
  async start(request: StartRequest): Promise<void> {
    const imageRef = await this.#ensureImage(request);
    const id = await this.#create(request, imageRef);
    try {
      await this.#context.runtime.startContainer(id);
    } catch (error) {
      throw this.#failed(request, 'RunContainerError', error);
    }
    this.#event(request, { type: 'Normal', reason: 'Started', message: `Started container ${request.container.name}` });
    await this.#postStart(request, id);
  }

  async #ensureImage(request: StartRequest): Promise<string> {
    const { images } = this.#context;
    const { container } = request;
    const image = container.image ?? '';
    // The host's programs need no image; its name is a label for the reader.
    if (!this.#context.isHollow && (container.command?.length ?? 0) > 0) return image;
    const present = await images.imageStatus(image);
    if (present !== undefined) {
      const message = `Container image ${JSON.stringify(image)} already present on machine`;
      this.#event(request, { type: 'Normal', reason: 'Pulled', message });
      return present;
    }
    if (container.imagePullPolicy === 'Never') {
      const message = `Container image ${JSON.stringify(image)} is not present with pull policy of Never`;
      this.#event(request, { type: 'Warning', reason: 'ErrImageNeverPull', message });
      throw this.#failed(request, 'ErrImageNeverPull', new Error(message));
    }
    try {
      return await images.pullImage(image);
    } catch (error) {
      const message = `Failed to pull image ${JSON.stringify(image)}: ${messageOf(error)}`;
      this.#event(request, { type: 'Warning', reason: 'Failed', message });
      const reason = error instanceof StartError ? error.reason : 'ErrImagePull';
      this.#event(request, { type: 'Warning', reason: 'Failed', message: `Error: ${reason}` });
      throw error instanceof StartError ? error : new StartError('ErrImagePull', messageOf(error), { cause: error });
    }
  }

  async #create(request: StartRequest, imageRef: string): Promise<string> {
    const { pod, sandbox, container } = request;
    let config: ContainerConfig;
    try {
      config = await this.#config(request);
    } catch (error) {
      throw this.#failed(request, 'CreateContainerConfigError', error);
    }
    try {
      const sandboxAttempt = sandbox.metadata.attempt;
      const { runtime } = this.#context;
      const id = await runtime.createContainer(sandbox.id, config, sandboxConfig(this.#context, pod, sandboxAttempt));
      this.#event(request, { type: 'Normal', reason: 'Created', message: `Created container: ${container.name}` });
      return id;
    } catch (error) {
      throw this.#failed(request, 'CreateContainerError', error);
    } finally {
      this.#context.logger.debug({ container: container.name, imageRef }, 'container made');
    }
  }

  async #config(request: StartRequest): Promise<ContainerConfig> {
    const { pod, sandbox, container, start, volumes } = request;
    const environment = this.#context.isHollow ? [] : await this.#environment(pod, container, sandbox.ip);
    const values = new Map(environment.map(({ key, value }) => [key, value]));
    const { lifecycle } = container;
    return {
      metadata: { name: container.name, attempt: start.attempt },
      image: container.image ?? '',
      command: expandCommand(container.command, environment),
      args: expandCommand(container.args, environment),
      workingDir: container.workingDir ?? '',
      envs: environment,
      mounts: this.#context.isHollow
        ? []
        : [
            ...mountsOf(container, volumes, (name) => values.get(name)),
            terminationMessageMount(podFolder(this.#context, pod), container, start.attempt),
          ],
      labels: { ...podLabels(pod), [labels.containerName]: container.name },
      annotations: {
        [annotations.containerHash]: containerHash(container),
        [annotations.podTerminationGracePeriod]: String(specOf(pod).terminationGracePeriodSeconds ?? 30),
        ...(lifecycle?.preStop === undefined
          ? {}
          : { [annotations.preStopHandler]: JSON.stringify(lifecycle.preStop) }),
      },
      logPath: `${container.name}/${start.attempt}.log`,
      ...(container.stdin === true ? { stdin: true, stdinOnce: container.stdinOnce === true } : {}),
      ...(container.tty === true ? { tty: true } : {}),
      ...(lifecycle?.stopSignal === undefined ? {} : { stopSignal: lifecycle.stopSignal }),
    };
  }

  async #environment(pod: Pod, container: Container, podIP: string): Promise<readonly EnvironmentVariable[]> {
    const { objects, services: known } = this.#context;
    const { namespace = '', uid = '' } = pod.metadata;
    const configMaps = new Map<string, ConfigMap | undefined>();
    const secrets = new Map<string, Secret | undefined>();
    const references = referencedObjects({ ...pod, spec: { containers: [container] } });
    for (const name of references.configMaps)
      configMaps.set(name, await objects.configMap({ namespace, uid }, name, this.#context.signal));
    for (const name of references.secrets)
      secrets.set(name, await objects.secret({ namespace, uid }, name, this.#context.signal));
    const master = known.get('default', 'kubernetes');
    const near = known.list(namespace);
    return makeEnvironment(
      {
        ...downwardFacts(this.#context, pod, podIP),
        services: master === undefined || near.includes(master) ? near : [...near, master],
        configMap: (name) => configMaps.get(name),
        secret: (name) => secrets.get(name),
      },
      container,
    );
  }

  async #postStart(request: StartRequest, containerId: string): Promise<void> {
    const { container, sandbox } = request;
    const handler = container.lifecycle?.postStart;
    if (handler === undefined || this.#context.isHollow) return;
    try {
      const signal = AbortSignal.any([request.ending, this.#context.signal]);
      const hook = this.#context.hooks.run(handler, { container, containerId, podIP: sandbox.ip }, { signal });
      await Promise.race([hook, aborted(signal)]);
    } catch (error) {
      if (request.ending.aborted || this.#context.signal.aborted) return;
      const message = hookFailure(handler, error);
      this.#event(request, { type: 'Warning', reason: 'FailedPostStartHook', message: `PostStartHook failed` });
      this.#event(request, { type: 'Normal', reason: 'Killing', message: 'FailedPostStartHook' });
      const timeoutSeconds = specOf(request.pod).terminationGracePeriodSeconds ?? 30;
      await this.#context.runtime.stopContainer(containerId, { timeoutSeconds });
      throw new StartError('PostStartHookError', message, { cause: error });
    }
  }

  #failed(request: StartRequest, reason: StartError['reason'], error: unknown): StartError {
    const failure = error instanceof StartError ? error : new StartError(reason, messageOf(error), { cause: error });
    this.#event(request, { type: 'Warning', reason: 'Failed', message: `Error: ${failure.message}` });
    return failure;
  }

  #event(
    { pod, container }: StartRequest,
    note: { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string },
  ): void {
    this.#context.recorder.event(pod, note, { fieldPath: containerFieldPath(pod, container.name) });
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
