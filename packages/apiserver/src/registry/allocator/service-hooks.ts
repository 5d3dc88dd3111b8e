import {
  fieldInvalid,
  newInternalError,
  newInvalid,
  type Service,
  type StatusError,
  type UnstructuredObject,
} from '@naru/api';
import type { HookContext, StorageHooks, Transition } from '../storage-hooks.ts';
import { needsClusterIp, needsNodePort } from '../strategies/service-fields.ts';
import { containsIp, ipToNumber, numberToIp, type IpRange } from './ip-range.ts';
import type { NumberAllocator, Owner } from './number-allocator.ts';
import type { PortRange } from './service-allocators.ts';

type ServiceSpec = NonNullable<Service['spec']>;

export interface ServiceHooksOptions {
  readonly addresses: NumberAllocator;
  readonly ports: NumberAllocator;
  readonly ipRange: IpRange;
  readonly portRange: PortRange;
}

const serviceKind = { group: '', kind: 'Service' };
const specOf = (object: UnstructuredObject): ServiceSpec => (object as unknown as Service).spec ?? {};

/** The addresses that a Service has from the range: none for headless and ExternalName ones. */
export function addressesOf(spec: ServiceSpec): string[] {
  if (!needsClusterIp(spec)) return [];
  return (spec.clusterIPs ?? []).filter((each) => each !== 'None' && each !== '');
}

/** Its node ports, each once: two protocols of one port share it. */
export function nodePortsOf(spec: ServiceSpec): number[] {
  const ports = (spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0);
  if ((spec.healthCheckNodePort ?? 0) !== 0) ports.push(spec.healthCheckNodePort ?? 0);
  return [...new Set(ports.filter((each) => each !== 0))];
}

/** Gives Services their ClusterIPs and node ports before they are stored, and takes them back after. */
export class ServiceHooks implements StorageHooks {
  readonly #options: ServiceHooksOptions;

  constructor(options: ServiceHooksOptions) {
    this.#options = options;
  }

  async beforeCreate(object: UnstructuredObject, context: HookContext): Promise<Transition> {
    return await this.#allocate(object, undefined, context);
  }

  async beforeUpdate(object: UnstructuredObject, old: UnstructuredObject, context: HookContext): Promise<Transition> {
    return await this.#allocate(object, specOf(old), context);
  }

  async afterDelete(object: UnstructuredObject): Promise<void> {
    const spec = specOf(object);
    await new Allocation(this.#options, ownerOf(object), { dryRun: false }).release(
      addressesOf(spec),
      nodePortsOf(spec),
    );
  }

  async #allocate(object: UnstructuredObject, old: ServiceSpec | undefined, context: HookContext): Promise<Transition> {
    const spec = specOf(object);
    const allocation = new Allocation(this.#options, ownerOf(object), context);
    try {
      await allocation.takeAddresses(spec, old);
      await allocation.takePorts(spec, old);
    } catch (error) {
      await allocation.undo();
      throw error;
    }
    const goneAddresses = old === undefined ? [] : without(addressesOf(old), addressesOf(spec));
    const gonePorts = old === undefined ? [] : without(nodePortsOf(old), nodePortsOf(spec));
    return {
      commit: async () => allocation.release(goneAddresses, gonePorts),
      rollback: async () => allocation.undo(),
    };
  }
}

function ownerOf({ metadata }: UnstructuredObject): Owner {
  return { namespace: metadata.namespace ?? '', name: metadata.name ?? '' };
}

function without<T>(list: readonly T[], others: readonly T[]): T[] {
  return list.filter((each) => !others.includes(each));
}

/** What one write has taken, so that it can be undone. */
class Allocation {
  readonly #options: ServiceHooksOptions;
  readonly #owner: Owner;
  readonly #context: HookContext;
  readonly #addresses: string[] = [];
  readonly #ports: number[] = [];

  constructor(options: ServiceHooksOptions, owner: Owner, context: HookContext) {
    this.#options = options;
    this.#owner = owner;
    this.#context = context;
  }

  async takeAddresses(spec: ServiceSpec, old: ServiceSpec | undefined): Promise<void> {
    if (!needsClusterIp(spec) || spec.clusterIP === 'None') return;
    const kept = old === undefined ? [] : addressesOf(old);
    const wanted = addressesOf(spec);
    if (wanted.length === 0) {
      const number = await this.#options.addresses.allocateNext(this.#owner, this.#context);
      if (number === undefined) throw newInternalError('failed to allocate a serviceIP: range is full');
      const address = numberToIp(number);
      this.#addresses.push(address);
      spec.clusterIP = address;
      spec.clusterIPs = [address];
      return;
    }
    for (const address of wanted) if (!kept.includes(address)) await this.#takeAddress(address, wanted);
  }

  async #takeAddress(address: string, wanted: readonly string[]): Promise<void> {
    const { ipRange, addresses } = this.#options;
    const refuse = (why: string): StatusError =>
      newInvalid(serviceKind, this.#owner.name, [
        fieldInvalid('spec.clusterIPs', wanted, `failed to allocate IP ${address}: ${why}`),
      ]);
    if (!containsIp(ipRange, address))
      throw refuse(`the provided IP (${address}) is not in the valid range. The range of valid IPs is ${ipRange.cidr}`);
    if (!(await addresses.allocate(ipToNumber(address) ?? 0, this.#owner, this.#context)))
      throw refuse('provided IP is already allocated');
    this.#addresses.push(address);
  }

  async takePorts(spec: ServiceSpec, old: ServiceSpec | undefined): Promise<void> {
    const { ports, portRange } = this.#options;
    const held = new Set(old === undefined ? [] : nodePortsOf(old));
    for (const [i, port] of (spec.ports ?? []).entries()) {
      const nodePort = port.nodePort ?? 0;
      if (nodePort === 0 || held.has(nodePort)) continue;
      const refuse = (why: string): StatusError =>
        newInvalid(serviceKind, this.#owner.name, [fieldInvalid(`spec.ports[${i}].nodePort`, nodePort, why)]);
      if (!ports.contains(nodePort))
        throw refuse(
          `provided port is not in the valid range. The range of valid ports is ${portRange.first}-${portRange.first + portRange.size - 1}`,
        );
      if (!(await ports.allocate(nodePort, this.#owner, this.#context)))
        throw refuse('provided port is already allocated');
      held.add(nodePort);
      this.#ports.push(nodePort);
    }
    if (!needsNodePort(spec)) return;
    await this.#assignPorts(spec, held);
  }

  async #assignPorts(spec: ServiceSpec, held: Set<number>): Promise<void> {
    for (const port of spec.ports ?? []) {
      if ((port.nodePort ?? 0) !== 0) continue;
      // A port number that TCP and UDP both serve gets one node port for both.
      const twin = (spec.ports ?? []).find(
        (each) => each.port === port.port && each.protocol !== port.protocol && (each.nodePort ?? 0) !== 0,
      )?.nodePort;
      if (twin !== undefined) {
        port.nodePort = twin;
        continue;
      }
      const number = await this.#options.ports.allocateNext(this.#owner, {
        dryRun: this.#context.dryRun,
        except: held,
      });
      if (number === undefined) throw newInternalError('failed to allocate a nodePort: range is full');
      port.nodePort = number;
      held.add(number);
      this.#ports.push(number);
    }
  }

  async undo(): Promise<void> {
    await this.release(this.#addresses.splice(0), this.#ports.splice(0));
  }

  async release(addresses: readonly string[], ports: readonly number[]): Promise<void> {
    if (this.#context.dryRun) return;
    for (const address of addresses) {
      const number = ipToNumber(address);
      if (number !== undefined) await this.#options.addresses.release(number, this.#owner);
    }
    for (const port of ports) await this.#options.ports.release(port, this.#owner);
  }
}
