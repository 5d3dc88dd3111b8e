import type { Node, Pod, Service } from '@naru/api';
import type { Client, EventRecorder, Lister } from '@naru/client';
import type { Clock, Logger } from '@naru/component';
import type { CrashLoopBackoff } from '../plan/crash-loop-backoff.ts';
import { isEphemeral, isInitContainer, specOf } from '../plan/pod-spec.ts';
import { sortRuntimePod, type RuntimePod } from '../plan/runtime-pod.ts';
import type { ProbeManager } from '../probe/probe-manager.ts';
import {
  labels,
  type ImageService,
  type PodNetwork,
  type PodSandboxConfig,
  type RuntimeService,
} from '../runtime/runtime-service.ts';
import type { LifecycleHooks } from './lifecycle-hooks.ts';
import type { ObjectCache } from './object-cache.ts';
import type { PodVolumes } from './pod-volumes.ts';
import type { StatusManager } from './status-manager.ts';

/** What every pod's worker works with; one per kubelet. */
export interface PodContext {
  readonly client: Client;
  readonly runtime: RuntimeService;
  readonly images: ImageService;
  readonly network: PodNetwork;
  readonly recorder: Pick<EventRecorder, 'event'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly statuses: StatusManager;
  readonly probes: ProbeManager;
  readonly hooks: LifecycleHooks;
  readonly volumes: PodVolumes;
  readonly objects: ObjectCache;
  readonly services: Lister<Service>;
  /** The kubelet's own node as the API has it, once it is known. */
  readonly node: () => Node | undefined;
  readonly startBackoff: CrashLoopBackoff;
  readonly hostIP: string;
  readonly podLogsFolder: string;
  /** Holds a folder per pod, named for its uid. */
  readonly podsFolder: string;
  /** Whether containers are real: have volumes, environments, probes and hooks. Hollow ones do not. */
  readonly isHollow: boolean;
  /** Why a pod that has not begun here may not, or undefined if it may. */
  readonly admit: (pod: Pod) => { readonly reason: string; readonly message: string } | undefined;
}

export async function runtimePod(runtime: RuntimeService, uid: string): Promise<RuntimePod> {
  const filter = { labelSelector: { [labels.podUid]: uid } };
  const [sandboxes, containers] = await Promise.all([runtime.listPodSandbox(filter), runtime.listContainers(filter)]);
  return sortRuntimePod(sandboxes, containers);
}

export function podLogFolder(podLogsFolder: string, pod: Pod): string {
  const { namespace = '', name = '', uid = '' } = pod.metadata;
  return `${podLogsFolder}/${namespace}_${name}_${uid}`;
}

export function podFolder(context: Pick<PodContext, 'podsFolder'>, pod: Pod): string {
  return `${context.podsFolder}/${pod.metadata.uid}`;
}

export function podLabels(pod: Pod): Record<string, string> {
  const { namespace = '', name = '', uid = '' } = pod.metadata;
  return { [labels.podName]: name, [labels.podNamespace]: namespace, [labels.podUid]: uid };
}

export function sandboxConfig(context: PodContext, pod: Pod, attempt: number): PodSandboxConfig {
  const { namespace = '', name = '', uid = '' } = pod.metadata;
  const spec = specOf(pod);
  return {
    metadata: { name, namespace, uid, attempt },
    // The kernel's limit, as upstream.
    hostname: (spec.hostname ?? name).slice(0, 63).replace(/[-.]+$/u, ''),
    logDirectory: podLogFolder(context.podLogsFolder, pod),
    labels: { ...pod.metadata.labels, ...podLabels(pod) },
    annotations: pod.metadata.annotations ?? {},
    hostNetwork: spec.hostNetwork === true,
  };
}

/** `spec.containers{name}`: the part of a pod that an event is about. */
export function containerFieldPath(pod: Pod, name: string): string {
  const list = isInitContainer(pod, name)
    ? 'initContainers'
    : isEphemeral(pod, name)
      ? 'ephemeralContainers'
      : 'containers';
  return `spec.${list}{${name}}`;
}
