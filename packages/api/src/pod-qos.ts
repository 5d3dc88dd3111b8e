import type { PodSpec } from './object.ts';
import { parseQuantity } from './quantity.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const computeResources = ['cpu', 'memory'] as const;

/** The QoS class of a pod, from the cpu and memory of its containers. */
export function podQosClass(spec: PodSpec): QosClass {
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  const requirements =
    spec.resources === undefined
      ? [...containers, ...(spec.ephemeralContainers ?? [])].map((each) => each.resources)
      : [spec.resources];
  let isBestEffort = true;
  let isGuaranteed = true;
  for (const { requests = {}, limits = {} } of requirements.map((each) => each ?? {})) {
    for (const name of computeResources) {
      const request = amount(requests[name]);
      const limit = amount(limits[name]);
      if (request > 0n || limit > 0n) isBestEffort = false;
      if (limit === 0n || request !== limit) isGuaranteed = false;
    }
  }
  if (isBestEffort) return 'BestEffort';
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}

function amount(text: string | undefined): bigint {
  return text === undefined ? 0n : parseQuantity(text).nanos;
}
