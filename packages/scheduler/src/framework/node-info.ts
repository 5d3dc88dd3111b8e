import type { Node, Taint } from '@naru/api';
import type { HostPort, PodInfo } from './pod-info.ts';
import { addResources, newResources, resourcesOf, type MutableResources, type Resources } from './resources.ts';
import type { Labels } from './selector.ts';

/** Counts changes of all nodes, so that a generation names one state of one node. */
export interface GenerationCounter {
  value: number;
}

/** A node, the pods on it (assumed ones too), and their sums. */
export class NodeInfo {
  readonly name: string;
  readonly pods = new Map<string, PodInfo>();
  readonly requested: MutableResources = newResources();
  readonly nonZeroRequested: MutableResources = newResources();
  /** Changes with every change of the node or of its pods. */
  generation = 0;
  readonly #usedPorts = new Map<string, number>();
  readonly #counter: GenerationCounter;
  #node: Node | undefined;
  #allocatable: Resources = newResources();
  #labels: Labels = {};
  #taints: readonly Taint[] = [];
  #images: ReadonlyMap<string, number> = new Map();

  constructor(name: string, counter: GenerationCounter) {
    this.name = name;
    this.#counter = counter;
    this.#touch();
  }

  /** The Node object; there is none while only pods of the node are known. */
  get node(): Node | undefined {
    return this.#node;
  }

  get allocatable(): Resources {
    return this.#allocatable;
  }

  get labels(): Labels {
    return this.#labels;
  }

  get taints(): readonly Taint[] {
    return this.#taints;
  }

  get unschedulable(): boolean {
    return this.#node?.spec?.unschedulable === true;
  }

  /** Bytes of each image on the node, by each of its names. */
  get images(): ReadonlyMap<string, number> {
    return this.#images;
  }

  setNode(node: Node | undefined): void {
    this.#node = node;
    this.#allocatable = resourcesOf(node?.status?.allocatable ?? node?.status?.capacity);
    this.#labels = node?.metadata.labels ?? {};
    this.#taints = node?.spec?.taints ?? [];
    this.#images = new Map(
      (node?.status?.images ?? []).flatMap(({ names, sizeBytes }) =>
        (names ?? []).map((name) => [name, sizeBytes ?? 0] as const),
      ),
    );
    this.#touch();
  }

  addPod(pod: PodInfo): void {
    this.pods.set(pod.uid, pod);
    this.#account(pod, 1);
  }

  /** Returns whether the pod was here. */
  removePod(pod: PodInfo): boolean {
    const present = this.pods.get(pod.uid);
    if (present === undefined) return false;
    this.pods.delete(pod.uid);
    this.#account(present, -1);
    return true;
  }

  /** Whether a pod on the node already has this port; 0.0.0.0 collides with every address. */
  portTaken({ hostIP, protocol, hostPort }: HostPort): boolean {
    if (this.#usedPorts.size === 0) return false;
    const suffix = `${protocol}/${hostPort}`;
    if (hostIP !== '0.0.0.0')
      return this.#usedPorts.has(`0.0.0.0/${suffix}`) || this.#usedPorts.has(`${hostIP}/${suffix}`);
    return [...this.#usedPorts.keys()].some((key) => key.endsWith(`/${suffix}`));
  }

  #account(pod: PodInfo, sign: 1 | -1): void {
    addResources(this.requested, pod.requests, sign);
    addResources(this.nonZeroRequested, pod.nonZeroRequests, sign);
    for (const { hostIP, protocol, hostPort } of pod.hostPorts) {
      const key = `${hostIP}/${protocol}/${hostPort}`;
      const users = (this.#usedPorts.get(key) ?? 0) + sign;
      if (users > 0) this.#usedPorts.set(key, users);
      else this.#usedPorts.delete(key);
    }
    this.#touch();
  }

  #touch(): void {
    this.generation = ++this.#counter.value;
  }
}
