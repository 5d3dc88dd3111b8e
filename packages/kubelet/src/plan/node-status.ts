import { canonicalQuantity, type Node, type Taint } from '@naru/api';
import type { Machine, Pressure } from '../node/machine.ts';
import { jsonEqual } from './json-equal.ts';

type NodeStatus = NonNullable<Node['status']>;
type NodeCondition = NonNullable<NodeStatus['conditions']>[number];

export interface NodeFacts {
  readonly name: string;
  readonly nodeIP: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  readonly maxPods: number;
  readonly kubeletVersion: string;
  readonly containerRuntimeVersion: string;
  readonly port: number;
  readonly machine: Machine;
  readonly pressure: Pressure;
  /** Why pods cannot run yet, or undefined when they can. */
  readonly notReady: string | undefined;
  readonly now: string;
}

/** The Node as the kubelet registers it. */
export function newNode(facts: NodeFacts): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: facts.name, labels: nodeLabels(facts) },
    ...(facts.taints.length === 0 ? {} : { spec: { taints: [...facts.taints] } }),
    status: nodeStatus(facts, undefined),
  };
}

export function nodeLabels({ name, machine, labels }: NodeFacts): Record<string, string> {
  return {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': machine.architecture,
    ...labels,
  };
}

/** An amount that somebody else has written into the node's capacity: an extended resource, such as `example.com/dongle`. */
function othersResources(old: NodeStatus | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(old?.capacity ?? {}).filter(([name]) => name.includes('/') && !/(^|\.)kubernetes\.io\//u.test(name)),
  );
}

/** The Node's status now; times of transitions are kept from `old`, and all of an extended resource is allocatable. */
export function nodeStatus(facts: NodeFacts, old: NodeStatus | undefined): NodeStatus {
  const { machine, maxPods } = facts;
  const capacity = {
    ...othersResources(old),
    cpu: String(machine.cpu),
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    'ephemeral-storage': `${Math.floor(machine.ephemeralStorageBytes / 1024)}Ki`,
    'hugepages-1Gi': '0',
    'hugepages-2Mi': '0',
    pods: String(maxPods),
  };
  return {
    capacity: canonical(capacity),
    allocatable: canonical({
      ...capacity,
      // What the default eviction thresholds keep back.
      memory: `${Math.max(0, Math.floor(machine.memoryBytes / 1024) - 100 * 1024)}Ki`,
      'ephemeral-storage': String(Math.floor(machine.ephemeralStorageBytes * 0.9)),
    }),
    conditions: conditions(facts).map((condition) => {
      const before = old?.conditions?.find(({ type }) => type === condition.type);
      const lastTransitionTime =
        before?.status === condition.status ? (before.lastTransitionTime ?? facts.now) : facts.now;
      return { ...condition, lastHeartbeatTime: facts.now, lastTransitionTime };
    }),
    addresses: [
      { type: 'InternalIP', address: facts.nodeIP },
      { type: 'Hostname', address: facts.name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: facts.port } },
    nodeInfo: {
      machineID: machine.machineID,
      systemUUID: machine.systemUUID,
      bootID: machine.bootID,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: facts.containerRuntimeVersion,
      kubeletVersion: facts.kubeletVersion,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: machine.architecture,
    },
  };
}

/** As the API writes them, so that an unchanged amount compares equal. */
function canonical(amounts: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, canonicalQuantity(amount)]));
}

function conditions({ pressure, notReady }: NodeFacts): NodeCondition[] {
  const of = (type: string, isTrue: boolean, [reason, message]: readonly [string, string]): NodeCondition => ({
    type,
    status: isTrue ? 'True' : 'False',
    reason,
    message,
  });
  return [
    of(
      'MemoryPressure',
      pressure.memory,
      pressure.memory
        ? ['KubeletHasInsufficientMemory', 'kubelet has insufficient memory available']
        : ['KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ),
    of(
      'DiskPressure',
      pressure.disk,
      pressure.disk
        ? ['KubeletHasDiskPressure', 'kubelet has disk pressure']
        : ['KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ),
    of(
      'PIDPressure',
      pressure.pid,
      pressure.pid
        ? ['KubeletHasInsufficientPID', 'kubelet has insufficient PID available']
        : ['KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ),
    of(
      'Ready',
      notReady === undefined,
      notReady === undefined ? ['KubeletReady', 'kubelet is posting ready status'] : ['KubeletNotReady', notReady],
    ),
  ];
}

/** The patch that makes one status of the other: what is allocatable no longer must be taken away by name. */
export function nodeStatusPatch(before: NodeStatus | undefined, after: NodeStatus): object {
  const gone = Object.keys(before?.allocatable ?? {}).filter((name) => after.allocatable?.[name] === undefined);
  return { ...after, allocatable: { ...after.allocatable, ...Object.fromEntries(gone.map((name) => [name, null])) } };
}

/** Whether two statuses differ in more than the times of their heartbeats. */
export function nodeStatusChanged(before: NodeStatus | undefined, after: NodeStatus): boolean {
  const comparable = (status: NodeStatus | undefined): unknown => ({
    ...Object.fromEntries(
      Object.keys(after).map((key) => [key, (status as Record<string, unknown> | undefined)?.[key]]),
    ),
    conditions: after.conditions?.map(({ type }) => {
      const condition = status?.conditions?.find((each) => each.type === type);
      return { ...condition, lastHeartbeatTime: undefined };
    }),
  });
  return !jsonEqual(comparable(before), comparable(after));
}
