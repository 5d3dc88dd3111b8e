import { MAX_NODE_SCORE, type Plugin } from '../framework/plugin.ts';

const MIB = 1024 * 1024;
/** Images up to this size are fetched too fast to matter. */
const MIN_THRESHOLD_BYTES = 23 * MIB;
/** What one container's image may count for at most. */
const MAX_CONTAINER_THRESHOLD_BYTES = 1000 * MIB;

interface WantedImages {
  readonly containers: number;
  /** By normalized name: the share of all nodes that have the image. */
  readonly spread: ReadonlyMap<string, number>;
  readonly images: readonly string[];
}

/** Adds `:latest` to a name without tag or digest. */
function normalizeImageName(name: string): string {
  return name.lastIndexOf(':') <= name.lastIndexOf('/') ? `${name}:latest` : name;
}

/** Prefers nodes that have the pod's images; an image that few nodes have counts less, so as not to heat those up. */
export const imageLocality: Plugin<undefined, WantedImages> = {
  name: 'ImageLocality',
  events: [],
  preScore(pod, _nodes, snapshot) {
    const spec = pod.pod.spec;
    const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
    const images = containers.flatMap(({ image }) => (image === undefined ? [] : [normalizeImageName(image)]));
    const spread = new Map(
      images.map((image) => [image, snapshot.nodesWithImage(image) / Math.max(1, snapshot.nodes.length)] as const),
    );
    const known = images.some((image) => (spread.get(image) ?? 0) > 0);
    return known ? { containers: containers.length, spread, images } : undefined;
  },
  score(_pod, node, { containers, spread, images }) {
    let sum = 0;
    for (const image of images) sum += Math.trunc((node.images.get(image) ?? 0) * (spread.get(image) ?? 0));
    const max = MAX_CONTAINER_THRESHOLD_BYTES * containers;
    const clamped = Math.min(Math.max(sum, MIN_THRESHOLD_BYTES), max);
    return Math.trunc((MAX_NODE_SCORE * (clamped - MIN_THRESHOLD_BYTES)) / (max - MIN_THRESHOLD_BYTES));
  },
};
