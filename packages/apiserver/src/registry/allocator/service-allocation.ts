import type { Clock, Logger } from '@naru/component';
import { AllocationRepair } from './allocation-repair.ts';
import type { AllocationStore } from './allocation-store.ts';
import { firstAddress, parseIpRange } from './ip-range.ts';
import { newIpAllocator, newPortAllocator, parsePortRange } from './service-allocators.ts';
import { ServiceHooks } from './service-hooks.ts';

export interface ServiceAllocationOptions {
  readonly store: AllocationStore;
  /** `--service-cluster-ip-range`. */
  readonly clusterIpRange: string;
  /** `--service-node-port-range`. */
  readonly nodePortRange: string;
  readonly random: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ServiceAllocation {
  /** For the registry of Services. */
  readonly hooks: ServiceHooks;
  /** To be run in the background by every API server. */
  readonly repair: AllocationRepair;
  /** The ClusterIP of the `kubernetes` Service. */
  readonly kubernetesServiceAddress: string;
}

/** Everything about the addresses and node ports of Services. @throws UsageError for a bad range. */
export function createServiceAllocation(options: ServiceAllocationOptions): ServiceAllocation {
  const { store, random, clock, logger } = options;
  const ipRange = parseIpRange(options.clusterIpRange, 'service-cluster-ip-range');
  const portRange = parsePortRange(options.nodePortRange);
  const addresses = newIpAllocator({ store, range: ipRange, random, clock });
  const ports = newPortAllocator({ store, range: portRange, random });
  return {
    hooks: new ServiceHooks({ addresses, ports, ipRange, portRange }),
    repair: new AllocationRepair({ addresses, ports, store, clock, logger }),
    kubernetesServiceAddress: firstAddress(ipRange),
  };
}
