import { RuntimeError } from '../../errors.ts';
import { formatIPv4, parseCIDR, parseIPv4 } from '../../node/ipv4.ts';
import type { PodNetwork } from '../runtime-service.ts';

/** Addresses for hollow pods: unique, out of the node's podCIDR, and in memory only. */
export class HollowNetwork implements PodNetwork {
  readonly #bySandbox = new Map<string, number>();
  readonly #inUse = new Set<number>();
  #range: { readonly first: number; readonly last: number } | undefined;
  #next = 0;

  setPodCIDR(podCIDR: string): void {
    const range = parseCIDR(podCIDR);
    if (range === undefined) throw new RuntimeError('invalid-argument', `invalid pod CIDR ${JSON.stringify(podCIDR)}`);
    this.#range = { first: range.first + 1, last: range.last - 1 };
    this.#next = this.#range.first;
  }

  notReadyReason(): string | undefined {
    return this.#range === undefined
      ? 'Kubenet does not have netConfig. This is most likely due to lack of PodCIDR'
      : undefined;
  }

  /** The address that a pod already has: `ip` of the sandbox before this kubelet started. */
  reserve(podSandboxId: string, ip: string): void {
    const value = parseIPv4(ip);
    if (value === undefined) return;
    this.#bySandbox.set(podSandboxId, value);
    this.#inUse.add(value);
  }

  async setUpPod(podSandboxId: string): Promise<{ readonly ip: string }> {
    const given = this.#bySandbox.get(podSandboxId);
    if (given !== undefined) return { ip: formatIPv4(given) };
    const range = this.#range;
    if (range === undefined) throw new RuntimeError('network', 'the node has no podCIDR yet');
    for (let tries = range.last - range.first + 1; tries > 0; tries--) {
      const value = this.#next;
      this.#next = value === range.last ? range.first : value + 1;
      if (this.#inUse.has(value)) continue;
      this.#inUse.add(value);
      this.#bySandbox.set(podSandboxId, value);
      return { ip: formatIPv4(value) };
    }
    throw new RuntimeError('network', 'no IP addresses available in the podCIDR');
  }

  async tearDownPod(podSandboxId: string): Promise<void> {
    const value = this.#bySandbox.get(podSandboxId);
    if (value === undefined) return;
    this.#bySandbox.delete(podSandboxId);
    this.#inUse.delete(value);
  }
}
