import type { ContainerStatus as ApiContainerStatus, Pod, PodStatus } from '@naru/api';
import { isSidecar, isTerminalPhase, specOf } from './pod-spec.ts';

export type PodCondition = NonNullable<PodStatus['conditions']>[number];

/** What a condition says, without its times. */
export interface Verdict {
  readonly status: 'True' | 'False';
  readonly reason?: string;
  readonly message?: string;
}

export interface ConditionFacts {
  readonly pod: Pod;
  readonly phase: string;
  readonly statuses: readonly ApiContainerStatus[];
  readonly initStatuses: readonly ApiContainerStatus[];
  readonly hasReadySandbox: boolean;
}

/** The conditions that the kubelet owns, in upstream's order. */
export const ownedConditions = [
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
] as const;

export type OwnedCondition = (typeof ownedConditions)[number];

export function conditionVerdicts(facts: ConditionFacts): Readonly<Record<OwnedCondition, Verdict>> {
  const containersReady = containersReadyVerdict(facts);
  return {
    PodReadyToStartContainers: { status: facts.hasReadySandbox ? 'True' : 'False' },
    Initialized: initializedVerdict(facts),
    Ready: readyVerdict(facts, containersReady),
    ContainersReady: containersReady,
    PodScheduled: { status: 'True' },
  };
}

function initializedVerdict({ pod, phase, statuses, initStatuses }: ConditionFacts): Verdict {
  const initContainers = specOf(pod).initContainers ?? [];
  if (phase === 'Succeeded' && initContainers.length > 0) return { status: 'True', reason: 'PodCompleted' };
  // Once a regular container has run, initialization is over, whatever its containers do now.
  const isOver = statuses.some(({ state, containerID }) => containerID !== undefined || state?.running !== undefined);
  const incomplete = isOver
    ? []
    : initContainers
        .filter((container) => {
          const status = initStatuses.find((each) => each.name === container.name);
          return isSidecar(container) ? status?.started !== true : status?.ready !== true;
        })
        .map(({ name }) => name);
  if (incomplete.length === 0) return { status: 'True' };
  const message = `containers with incomplete status: [${incomplete.join(' ')}]`;
  return { status: 'False', reason: 'ContainersNotInitialized', message };
}

function containersReadyVerdict({ pod, phase, statuses, initStatuses }: ConditionFacts): Verdict {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  const spec = specOf(pod);
  const watched = [...(spec.initContainers ?? []).filter(isSidecar), ...spec.containers];
  const known = [...initStatuses, ...statuses];
  const unready = watched
    .filter(({ name }) => known.find((each) => each.name === name)?.ready !== true)
    .map(({ name }) => name);
  if (unready.length === 0) return { status: 'True' };
  const message = `containers with unready status: [${unready.join(' ')}]`;
  return { status: 'False', reason: 'ContainersNotReady', message };
}

function readyVerdict({ pod, phase }: ConditionFacts, containersReady: Verdict): Verdict {
  if (isTerminalPhase(phase) || containersReady.status === 'False') return containersReady;
  const problems: string[] = [];
  for (const { conditionType } of specOf(pod).readinessGates ?? []) {
    const condition = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (condition === undefined)
      problems.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`);
    else if (condition.status !== 'True')
      problems.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`);
  }
  if (problems.length === 0) return { status: 'True' };
  return { status: 'False', reason: 'ReadinessGatesNotReady', message: problems.join(', ') };
}

/** Puts verdicts into conditions; the transition's time changes only when the status does. */
export function updateConditions(
  old: readonly PodCondition[],
  verdicts: Readonly<Record<OwnedCondition, Verdict>>,
  context: { readonly now: string; readonly observedGeneration: number | undefined },
): PodCondition[] {
  const { now, observedGeneration } = context;
  const owned = ownedConditions.map((type): PodCondition => {
    const before = old.find((each) => each.type === type);
    const verdict = verdicts[type];
    const lastTransitionTime = before?.status === verdict.status ? (before.lastTransitionTime ?? now) : now;
    return {
      type,
      ...verdict,
      lastTransitionTime,
      ...(observedGeneration === undefined ? {} : { observedGeneration }),
    };
  });
  const others = old.filter(({ type }) => !(ownedConditions as readonly string[]).includes(type));
  return [...owned, ...others];
}
