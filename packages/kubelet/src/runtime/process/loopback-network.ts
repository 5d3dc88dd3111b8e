import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { RuntimeError } from '../../errors.ts';
import { formatIPv4, parseCIDR } from '../../node/ipv4.ts';
import type { PodNetwork } from '../runtime-service.ts';

export interface LoopbackNetworkOptions {
  /** Folder with one file per address in use, named for it, that holds the sandbox's id. */
  readonly folder: string;
}

/**
 * Addresses for pods without a network of their own: each sandbox gets one of the node's podCIDR, which lies in
 * 127.0.0.0/8 and so needs no interface. Reserved on disk as CNI's host-local does; the address after the last one given
 * out is tried first, so that a freed one is not reused at once.
 */
export class LoopbackNetwork implements PodNetwork {
  readonly #folder: string;
  readonly #bySandbox = new Map<string, string>();
  readonly #inUse = new Set<string>();
  #range: { readonly first: number; readonly last: number } | undefined;
  #next = 0;

  constructor(options: LoopbackNetworkOptions) {
    this.#folder = options.folder;
    mkdirSync(this.#folder, { recursive: true });
    for (const ip of readdirSync(this.#folder)) {
      const id = readFileSync(join(this.#folder, ip), 'latin1').trim();
      // Empty after a kill between two steps.
      if (id === '') rmSync(join(this.#folder, ip), { force: true });
      else {
        this.#inUse.add(ip);
        this.#bySandbox.set(id, ip);
      }
    }
  }

  /** The range to give addresses out of; those already given out stay. @throws RuntimeError if it is no IPv4 CIDR. */
  setPodCIDR(podCIDR: string): void {
    const range = parseCIDR(podCIDR);
    if (range === undefined || range.last - range.first < 3)
      throw new RuntimeError('invalid-argument', `invalid pod CIDR ${JSON.stringify(podCIDR)}`);
    // Neither the network's nor the broadcast address.
    this.#range = { first: range.first + 1, last: range.last - 1 };
    if (this.#next < this.#range.first || this.#next > this.#range.last) this.#next = this.#range.first;
  }

  notReadyReason(): string | undefined {
    return this.#range === undefined
      ? 'Kubenet does not have netConfig. This is most likely due to lack of PodCIDR'
      : undefined;
  }

  async setUpPod(podSandboxId: string): Promise<{ readonly ip: string }> {
    const given = this.#bySandbox.get(podSandboxId);
    if (given !== undefined) return { ip: given };
    const range = this.#range;
    if (range === undefined) throw new RuntimeError('network', 'the node has no podCIDR yet');
    for (let tries = range.last - range.first + 1; tries > 0; tries--) {
      const ip = formatIPv4(this.#next);
      this.#next = this.#next === range.last ? range.first : this.#next + 1;
      if (this.#inUse.has(ip)) continue;
      const fd = openSync(join(this.#folder, ip), 'wx', 0o600);
      writeSync(fd, podSandboxId);
      closeSync(fd);
      this.#inUse.add(ip);
      this.#bySandbox.set(podSandboxId, ip);
      return { ip };
    }
    throw new RuntimeError('network', 'no IP addresses available in the podCIDR');
  }

  async tearDownPod(podSandboxId: string): Promise<void> {
    const ip = this.#bySandbox.get(podSandboxId);
    if (ip === undefined) return;
    rmSync(join(this.#folder, ip), { force: true });
    this.#bySandbox.delete(podSandboxId);
    this.#inUse.delete(ip);
  }

  /** Frees what sandboxes hold that are gone: after a crash between two steps. */
  releaseAllBut(podSandboxIds: ReadonlySet<string>): void {
    for (const [id, ip] of this.#bySandbox) {
      if (podSandboxIds.has(id)) continue;
      rmSync(join(this.#folder, ip), { force: true });
      this.#bySandbox.delete(id);
      this.#inUse.delete(ip);
    }
  }
}
