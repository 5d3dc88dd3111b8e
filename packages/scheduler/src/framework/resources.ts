import { parseQuantity, QuantityError, zeroQuantity, type PodSpec, type Quantity } from '@naru/api';

/** Amounts of resources: cpu in millicores, memory and storage in bytes, extended resources by name. */
export interface Resources {
  readonly milliCpu: number;
  readonly memory: number;
  readonly ephemeralStorage: number;
  /** Number of pods; only in a node's allocatable. */
  readonly pods: number;
  /** Extended resources and huge pages. */
  readonly scalars: ReadonlyMap<string, number>;
}

export type MutableResources = { -readonly [K in keyof Resources]: Resources[K] } & { scalars: Map<string, number> };

export type ResourceList = Readonly<Record<string, string | number>>;

/** What a container that asks for nothing is taken to need when nodes are scored, so that such pods spread too. */
export const DEFAULT_MILLI_CPU_REQUEST = 100;
export const DEFAULT_MEMORY_REQUEST_BYTES = 200 * 1024 * 1024;

/** The quantity; zero for what is none (the API server admits no such thing). */
function quantityOf(text: string | number): Quantity {
  try {
    return parseQuantity(text);
  } catch (error) {
    if (error instanceof QuantityError) return zeroQuantity;
    throw error;
  }
}

export function newResources(): MutableResources {
  return { milliCpu: 0, memory: 0, ephemeralStorage: 0, pods: 0, scalars: new Map() };
}

export function resourcesOf(list: ResourceList | undefined): MutableResources {
  const resources = newResources();
  for (const [name, quantity] of Object.entries(list ?? {})) setResource(resources, name, quantityOf(quantity));
  return resources;
}

function setResource(resources: MutableResources, name: string, quantity: Quantity): void {
  switch (name) {
    case 'cpu':
      resources.milliCpu = quantity.milliValue();
      break;
    case 'memory':
      resources.memory = quantity.value();
      break;
    case 'ephemeral-storage':
      resources.ephemeralStorage = quantity.value();
      break;
    case 'pods':
      resources.pods = quantity.value();
      break;
    default:
      resources.scalars.set(name, quantity.value());
  }
}

/** The amount of one resource by its name in the API. */
export function amountOf(resources: Resources, name: string): number {
  switch (name) {
    case 'cpu':
      return resources.milliCpu;
    case 'memory':
      return resources.memory;
    case 'ephemeral-storage':
      return resources.ephemeralStorage;
    case 'pods':
      return resources.pods;
    default:
      return resources.scalars.get(name) ?? 0;
  }
}

/** Adds `delta`, times `sign`, to `total`. */
export function addResources(total: MutableResources, delta: Resources, sign: 1 | -1 = 1): void {
  total.milliCpu += sign * delta.milliCpu;
  total.memory += sign * delta.memory;
  total.ephemeralStorage += sign * delta.ephemeralStorage;
  for (const [name, amount] of delta.scalars) total.scalars.set(name, (total.scalars.get(name) ?? 0) + sign * amount);
}

function maxResources(total: MutableResources, other: Resources): void {
  total.milliCpu = Math.max(total.milliCpu, other.milliCpu);
  total.memory = Math.max(total.memory, other.memory);
  total.ephemeralStorage = Math.max(total.ephemeralStorage, other.ephemeralStorage);
  for (const [name, amount] of other.scalars) total.scalars.set(name, Math.max(total.scalars.get(name) ?? 0, amount));
}

/**
 * What a pod needs of its node (KEP-753, KEP-2837): the larger of all its containers with the sidecars, and of each init
 * container with the sidecars started before it; plus overhead; pod-level requests take precedence. With `defaults`,
 * containers without a cpu or memory request count with the defaults above.
 */
export function podRequests(
  spec: PodSpec | undefined,
  options: { readonly defaults?: { readonly milliCpu: number; readonly memory: number } } = {},
): MutableResources {
  const requestsOf = (requests: ResourceList | undefined): Resources => {
    const resources = resourcesOf(requests);
    if (options.defaults !== undefined) {
      if (requests?.['cpu'] === undefined) resources.milliCpu = options.defaults.milliCpu;
      if (requests?.['memory'] === undefined) resources.memory = options.defaults.memory;
    }
    return resources;
  };
  const total = newResources();
  for (const container of spec?.containers ?? []) addResources(total, requestsOf(container.resources?.requests));
  const sidecars = newResources();
  const initPeak = newResources();
  for (const container of spec?.initContainers ?? []) {
    const needs = requestsOf(container.resources?.requests);
    if (container.restartPolicy === 'Always') {
      addResources(total, needs);
      addResources(sidecars, needs);
      maxResources(initPeak, sidecars);
    } else {
      const running = newResources();
      addResources(running, needs);
      addResources(running, sidecars);
      maxResources(initPeak, running);
    }
  }
  maxResources(total, initPeak);
  const podLevel = spec?.resources?.requests;
  for (const [name, quantity] of Object.entries(podLevel ?? {})) setResource(total, name, quantityOf(quantity));
  addResources(total, resourcesOf(spec?.overhead));
  return total;
}
