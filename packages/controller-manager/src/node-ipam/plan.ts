/** Ranges of pod addresses for nodes, cut out of the cluster's. */

interface Cidr {
  readonly base: number;
  readonly bits: number;
}

/** An IPv4 range as numbers; undefined when the text is none. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/u.exec(text);
  if (match === null) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, bits = 0] = match.slice(1).map(Number);
  if ([a, b, c, d].some((each) => each > 255) || bits > 32) return undefined;
  const address = ((a * 256 + b) * 256 + c) * 256 + d;
  const size = 2 ** (32 - bits);
  return { base: Math.floor(address / size) * size, bits };
}

export function formatCidr({ base, bits }: Cidr): string {
  const octets = [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256);
  return `${octets.join('.')}/${bits}`;
}

/** The node ranges of one cluster range: which are taken, and the next that is free. */
export class CidrSet {
  readonly #cluster: Cidr;
  readonly #maskSize: number;
  readonly #count: number;
  readonly #taken = new Set<number>();
  #next = 0;

  /** @throws RangeError when the cluster's range is no IPv4 range or smaller than a node's. */
  constructor(clusterCidr: string, maskSize: number) {
    const cluster = parseCidr(clusterCidr);
    if (cluster === undefined) throw new RangeError(`${JSON.stringify(clusterCidr)} is not an IPv4 CIDR`);
    if (maskSize < cluster.bits) throw new RangeError(`a node's mask /${maskSize} does not fit into ${clusterCidr}`);
    this.#cluster = cluster;
    this.#maskSize = maskSize;
    this.#count = 2 ** (maskSize - cluster.bits);
  }

  /** Takes the ranges that overlap with `cidr`; what is outside of the cluster's range is nobody's business. */
  occupy(cidr: string): void {
    for (const index of this.#indexesOf(cidr)) this.#taken.add(index);
  }

  release(cidr: string): void {
    for (const index of this.#indexesOf(cidr)) this.#taken.delete(index);
  }

  /** Takes the next free range, so that one which was given back is not given out again at once; undefined if there is none. */
  allocate(): string | undefined {
    for (let tried = 0; tried < this.#count; tried++) {
      const index = (this.#next + tried) % this.#count;
      if (this.#taken.has(index)) continue;
      this.#taken.add(index);
      this.#next = (index + 1) % this.#count;
      const base = this.#cluster.base + index * 2 ** (32 - this.#maskSize);
      return formatCidr({ base, bits: this.#maskSize });
    }
    return undefined;
  }

  #indexesOf(text: string): number[] {
    const cidr = parseCidr(text);
    if (cidr === undefined) return [];
    const size = 2 ** (32 - this.#maskSize);
    const first = Math.floor((cidr.base - this.#cluster.base) / size);
    const last = Math.floor((cidr.base + 2 ** (32 - cidr.bits) - 1 - this.#cluster.base) / size);
    const from = Math.max(0, first);
    const to = Math.min(this.#count - 1, last);
    return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
  }
}
