import { parseQuantity, type Container, type ContainerStatus, type Pod, type PodSpec, type PodStatus } from '@naru/api';

export function specOf(pod: Pod): PodSpec {
  return pod.spec ?? { containers: [] };
}

/** An init container that keeps running beside the others: restartPolicy Always. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always';
}

export function allContainers(pod: Pod): readonly Container[] {
  const spec = specOf(pod);
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

export function allContainerStatuses(status: PodStatus | undefined): readonly ContainerStatus[] {
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = status ?? {};
  return [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses];
}

/** A container added to a running pod to look into it (`kubectl debug`): it is started once and never again. */
export function isEphemeral(pod: Pod, name: string): boolean {
  return specOf(pod).ephemeralContainers?.some((each) => each.name === name) === true;
}

export function isInitContainer(pod: Pod, name: string): boolean {
  return specOf(pod).initContainers?.some((each) => each.name === name) === true;
}

/** 32-bit FNV-1a in hex. */
function fnv(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16);
}

/** Changes when the container must be made anew: of what may change in a running pod that is the image alone. */
export function containerHash(container: Container): string {
  return fnv(JSON.stringify([container.name, container.image ?? '']));
}

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

/** The pod's quality of service, from the requests and limits of cpu and memory of its containers, as upstream. */
export function qosClass(pod: Pod): QosClass {
  const resources = ['cpu', 'memory'] as const;
  let anything = false;
  let guaranteed = true;
  for (const { resources: { requests = {}, limits = {} } = {} } of allContainers(pod)) {
    for (const resource of resources) {
      const limit = limits[resource];
      const request = requests[resource] ?? limit;
      const isSet = (value: string | undefined): boolean => value !== undefined && !parseQuantity(value).isZero;
      if (isSet(limit) || isSet(request)) anything = true;
      if (!isSet(limit) || request === undefined || !parseQuantity(request).equals(parseQuantity(limit ?? '0')))
        guaranteed = false;
    }
  }
  if (!anything) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** Seconds a pod that is being deleted has to end, at least 1. `override` may only shorten it. */
export function gracePeriodSeconds(pod: Pod, override?: number): number {
  let seconds = pod.metadata.deletionGracePeriodSeconds ?? specOf(pod).terminationGracePeriodSeconds ?? 30;
  if (pod.metadata.deletionTimestamp === undefined) seconds = specOf(pod).terminationGracePeriodSeconds ?? 30;
  if (override !== undefined && override < seconds) seconds = override;
  return Math.max(1, seconds);
}

/** Succeeded or Failed: the pod will never run again. */
export function isTerminalPhase(phase: string | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}
