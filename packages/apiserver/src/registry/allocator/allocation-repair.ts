import type { Service } from '@naru/api';
import type { Clock, Logger } from '@naru/component';
import type { AllocationStore } from './allocation-store.ts';
import { ipToNumber } from './ip-range.ts';
import type { NumberAllocator } from './number-allocator.ts';
import { addressesOf, nodePortsOf } from './service-hooks.ts';

export interface AllocationRepairOptions {
  readonly addresses: NumberAllocator;
  readonly ports: NumberAllocator;
  readonly store: AllocationStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

const REPAIR_INTERVAL_MS = 180_000;
const servicePrefix = '/registry/services/specs/';
const servicePrefixEnd = '/registry/services/specs0';

/**
 * Undoes what a crash between an allocation and the write of its Service leaves behind: allocations that no Service uses are
 * released when two passes in a row have seen them, and those that a Service uses but nobody holds are taken.
 */
export class AllocationRepair {
  readonly #options: AllocationRepairOptions;
  /** Leaks of the last pass: key -> modRevision. */
  #suspects = new Map<string, number>();

  constructor(options: AllocationRepairOptions) {
    this.#options = options;
  }

  /** Repairs now and then, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      try {
        await this.repair();
      } catch (error) {
        logger.warn({ err: error }, 'repair of service allocations failed');
      }
      try {
        await clock.sleep(REPAIR_INTERVAL_MS, { signal });
      } catch {
        return;
      }
    }
  }

  /** One pass. */
  async repair(): Promise<void> {
    const { addresses, ports, store, logger } = this.#options;
    // Allocations first: one that is newer than this list of Services is then not among them.
    const held = [...(await addresses.list()), ...(await ports.list())];
    const used = new Set<string>();
    const { items } = await store.range(servicePrefix, servicePrefixEnd, { limit: 0, revision: 0 });
    for (const { value } of items) {
      const { metadata, spec = {} } = JSON.parse(value.toString()) as Service;
      const owner = { namespace: metadata.namespace ?? '', name: metadata.name ?? '' };
      for (const address of addressesOf(spec)) {
        used.add(`${owner.namespace}/${owner.name}/${address}`);
        const number = ipToNumber(address);
        if (number !== undefined && addresses.contains(number))
          await addresses.allocate(number, owner, { dryRun: false });
      }
      for (const port of nodePortsOf(spec)) {
        used.add(`${owner.namespace}/${owner.name}/${port}`);
        if (ports.contains(port)) await ports.allocate(port, owner, { dryRun: false });
      }
    }
    const suspects = new Map<string, number>();
    for (const { key, number, modRevision, owner } of held) {
      if (owner === undefined || used.has(`${owner.namespace}/${owner.name}/${number}`)) continue;
      if (this.#suspects.get(key) !== modRevision) suspects.set(key, modRevision);
      else if ((await store.delete(key, modRevision)).succeeded)
        logger.info({ key, namespace: owner.namespace, name: owner.name }, 'released a leaked service allocation');
    }
    this.#suspects = suspects;
  }
}
