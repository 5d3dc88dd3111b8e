import { formatTime, type ContainerStatus as ApiContainerStatus, type Pod, type PodStatus } from '@naru/api';
import { containerStatuses, type ContainerFacts } from './container-statuses.ts';
import { jsonEqual } from './json-equal.ts';
import { conditionVerdicts, ownedConditions, updateConditions } from './pod-conditions.ts';
import { isSidecar, isTerminalPhase, qosClass, specOf } from './pod-spec.ts';
import { readySandbox } from './runtime-pod.ts';

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

export interface StatusInput extends ContainerFacts {
  readonly hostIP: string;
  readonly nowMs: number;
  /** Why the kubelet itself has ended the pod, such as DeadlineExceeded: it is Failed. */
  readonly failure?: { readonly reason: string; readonly message: string } | undefined;
  /** The pod has been terminated: its containers will not run again. */
  readonly isTerminated?: boolean;
}

/**
 * The pod's phase from its containers' statuses (upstream's getPhase). `isTerminal`: none of them will be started again,
 * whatever the restart policy.
 */
export function podPhase(
  pod: Pod,
  statuses: { readonly init: readonly ApiContainerStatus[]; readonly regular: readonly ApiContainerStatus[] },
  options: { readonly isTerminal: boolean },
): PodPhase {
  const spec = specOf(pod);
  const policy = spec.restartPolicy ?? 'Always';
  const hasStarted = statuses.regular.some(
    ({ state, lastState }) => state?.running !== undefined || state?.terminated !== undefined || lastState?.terminated,
  );
  let pendingInit = 0;
  for (const container of spec.initContainers ?? []) {
    const status = statuses.init.find((each) => each.name === container.name);
    if (isSidecar(container)) {
      if (status?.started !== true && !hasStarted) pendingInit++;
    } else if (status?.state?.terminated === undefined) pendingInit++;
    else if (status.state.terminated.exitCode !== 0) {
      if (policy === 'Never') return 'Failed';
      pendingInit++;
    }
  }
  const count = { running: 0, waiting: 0, stopped: 0, succeeded: 0 };
  for (const { state, lastState } of statuses.regular) {
    if (state?.running !== undefined) count.running++;
    else if (state?.terminated !== undefined) {
      count.stopped++;
      if (state.terminated.exitCode === 0) count.succeeded++;
    } else if (lastState?.terminated !== undefined) count.stopped++;
    else count.waiting++;
  }
  if (options.isTerminal && count.running === 0 && (count.stopped > 0 || pendingInit > 0))
    return count.stopped === count.succeeded && count.waiting === 0 && count.stopped > 0 ? 'Succeeded' : 'Failed';
  if ((pendingInit > 0 && !hasStarted) || count.waiting > 0) return 'Pending';
  if (count.running > 0) return 'Running';
  if (count.stopped === 0) return 'Pending';
  if (policy === 'Always') return 'Running';
  if (count.stopped === count.succeeded) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

/** The whole status that the API should have. Parts of others (conditions that are not the kubelet's) are kept. */
export function podStatus(input: StatusInput): PodStatus {
  const { pod, runtime, nowMs } = input;
  const spec = specOf(pod);
  const old = pod.status ?? {};
  const init = containerStatuses(input, spec.initContainers ?? []);
  const regular = containerStatuses(input, spec.containers);
  const ephemeral = containerStatuses(input, spec.ephemeralContainers ?? []);
  let phase: PodPhase =
    input.failure !== undefined
      ? 'Failed'
      : podPhase(pod, { init, regular }, { isTerminal: input.isTerminated === true });
  // A pod that is over stays so.
  if (isTerminalPhase(old.phase)) phase = old.phase as PodPhase;
  const sandbox = readySandbox(runtime);
  const podIP = sandbox === undefined || sandbox.ip === '' ? terminalIP(old, phase) : sandbox.ip;
  const verdicts = conditionVerdicts({
    pod,
    phase,
    statuses: regular,
    initStatuses: init,
    hasReadySandbox: sandbox !== undefined && sandbox.ip !== '',
  });
  const now = formatTime(nowMs);
  const observedGeneration = pod.metadata.generation;
  const reason = input.failure?.reason ?? old.reason;
  const message = input.failure?.message ?? old.message;
  return {
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    phase,
    conditions: updateConditions(old.conditions ?? [], verdicts, { now, observedGeneration }),
    ...(reason === undefined || reason === '' ? {} : { reason }),
    ...(message === undefined || message === '' ? {} : { message }),
    hostIP: input.hostIP,
    hostIPs: [{ ip: input.hostIP }],
    ...(podIP === undefined ? {} : { podIP, podIPs: [{ ip: podIP }] }),
    startTime: old.startTime ?? now,
    ...(init.length === 0 ? {} : { initContainerStatuses: init }),
    containerStatuses: regular,
    ...(ephemeral.length === 0 ? {} : { ephemeralContainerStatuses: ephemeral }),
    qosClass: qosClass(pod),
  };
}

/** A finished pod keeps the address it had. */
function terminalIP(old: PodStatus, phase: PodPhase): string | undefined {
  return isTerminalPhase(phase) ? old.podIP : undefined;
}

/**
 * The strategic merge patch that turns one status into another, or undefined if nothing differs. Lists with a merge key
 * are sent by element; `podIPs` and `hostIPs`, whose elements are their own keys, as a whole.
 */
export function statusPatch(pod: Pod, before: PodStatus, after: PodStatus): object | undefined {
  const changes: Record<string, unknown> = {};
  const was = before as Readonly<Record<string, unknown>>;
  const is = after as Readonly<Record<string, unknown>>;
  for (const key of new Set([...Object.keys(was), ...Object.keys(is)])) {
    if (!(key in is) && !removable.has(key)) continue;
    if (jsonEqual(was[key], is[key])) continue;
    if (key === 'conditions') changes[key] = changedConditions(before, after);
    else if (key === 'podIPs' || key === 'hostIPs')
      changes[key] = [...((is[key] as object[] | undefined) ?? []), { $patch: 'replace' }];
    else changes[key] = is[key] ?? null;
  }
  if (Array.isArray(changes['conditions']) && changes['conditions'].length === 0) delete changes['conditions'];
  if (Object.keys(changes).length === 0) return undefined;
  return { metadata: { uid: pod.metadata.uid }, status: changes };
}

/** Fields that the kubelet also takes away; others that it does not set are not its own. */
const removable: ReadonlySet<string> = new Set(['reason', 'message', 'podIP', 'podIPs', 'initContainerStatuses']);

function changedConditions(before: PodStatus, after: PodStatus): object[] {
  return (after.conditions ?? []).flatMap((condition) => {
    // Those of others may be newer in the API than what this status was made from.
    if (!(ownedConditions as readonly string[]).includes(condition.type)) return [];
    const old = before.conditions?.find((each) => each.type === condition.type);
    if (old !== undefined && jsonEqual({ ...old, lastProbeTime: undefined }, condition)) return [];
    // What is no longer said must be taken away explicitly.
    const gone = Object.fromEntries(
      (['reason', 'message'] as const)
        .filter((key) => old?.[key] !== undefined && condition[key] === undefined)
        .map((key) => [key, null]),
    );
    return [{ ...condition, ...gone }];
  });
}
