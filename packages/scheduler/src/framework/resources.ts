import {
  amountsOf,
  newMilliQuantity,
  newQuantity,
  podRequests as quantitiesOfPod,
  type PodSpec,
  type Quantity,
  type ResourceList,
} from '@naru/api';

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

/** What a container that asks for nothing is taken to need when nodes are scored, so that such pods spread too. */
export const DEFAULT_MILLI_CPU_REQUEST = 100;
export const DEFAULT_MEMORY_REQUEST_BYTES = 200 * 1024 * 1024;

export function newResources(): MutableResources {
  return { milliCpu: 0, memory: 0, ephemeralStorage: 0, pods: 0, scalars: new Map() };
}

export function resourcesOf(list: ResourceList | undefined): MutableResources {
  const resources = newResources();
  for (const [name, quantity] of amountsOf(list)) setResource(resources, name, quantity);
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

/** What a pod needs of its node. With `defaults`, containers without a cpu or memory request count with those. */
export function podRequests(
  spec: PodSpec | undefined,
  options: { readonly defaults?: { readonly milliCpu: number; readonly memory: number } } = {},
): MutableResources {
  const { defaults } = options;
  const amounts = quantitiesOfPod(
    spec,
    defaults === undefined
      ? {}
      : {
          defaults: new Map([
            ['cpu', newMilliQuantity(defaults.milliCpu)],
            ['memory', newQuantity(defaults.memory)],
          ]),
        },
  );
  const total = newResources();
  for (const [name, quantity] of amounts) setResource(total, name, quantity);
  return total;
}
