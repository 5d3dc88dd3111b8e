import type { Diagnosis } from './diagnosis.ts';
import { fitErrorMessage } from './diagnosis.ts';
import { notHelpful, type Framework } from './framework.ts';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';
import { unresolvable, type Rejection, type Snapshot } from './plugin.ts';

/** At least this many nodes, or this share of all, are looked at for victims. */
const MIN_CANDIDATE_NODES = 100;
const MIN_CANDIDATE_NODES_PERCENTAGE = 10;

/** A PodDisruptionBudget as preemption needs it. */
export interface DisruptionBudget {
  readonly namespace: string;
  readonly disruptionsAllowed: number;
  matches(pod: PodInfo): boolean;
}

/** A snapshot in which pods can be taken away for the length of a question. */
export interface MutableSnapshot extends Snapshot {
  without<T>(uids: Iterable<string>, ask: () => T): T;
}

interface Candidate {
  readonly node: NodeInfo;
  /** The most important first. */
  readonly victims: readonly PodInfo[];
  readonly budgetViolations: number;
}

export type PreemptionResult =
  | { readonly kind: 'nominated'; readonly nodeName: string; readonly victims: readonly PodInfo[] }
  | {
      readonly kind: 'none';
      readonly message: string;
      /** An earlier nomination of the pod has become pointless. */
      readonly clearsNomination: boolean;
    };

/**
 * Looks for the node where evicting less important pods makes room for `pod` at the least cost (upstream's
 * DefaultPreemption). Nothing is changed; the caller evicts.
 */
export function preempt(
  framework: Framework,
  pod: PodInfo,
  diagnosis: Diagnosis,
  snapshot: MutableSnapshot,
  budgets: readonly DisruptionBudget[],
): PreemptionResult {
  const none = (message: string, clearsNomination = false): PreemptionResult => ({
    kind: 'none',
    message: `preemption: ${message}`,
    clearsNomination,
  });
  if (pod.pod.spec?.preemptionPolicy === 'Never') return none('not eligible due to preemptionPolicy=Never.');
  if (waitsForVictims(pod, diagnosis, snapshot))
    return none('not eligible due to a terminating pod on the nominated node.');
  const numAllNodes = snapshot.nodes.length;
  const wanted = Math.max(MIN_CANDIDATE_NODES, Math.trunc((numAllNodes * MIN_CANDIDATE_NODES_PERCENTAGE) / 100));
  const rejections = new Map<string, Rejection>();
  const candidates: Candidate[] = [];
  for (const node of snapshot.nodes) {
    if (candidates.length >= wanted) break;
    if (diagnosis.rejections.get(node.name)?.code !== 'Unschedulable') continue;
    const outcome = selectVictims(framework, pod, node, snapshot, budgets);
    if ('code' in outcome) rejections.set(node.name, outcome);
    else candidates.push(outcome);
  }
  const best = candidates.reduce<Candidate | undefined>(
    (least, each) => (least === undefined || costsLess(each, least) ? each : least),
    undefined,
  );
  if (best !== undefined) return { kind: 'nominated', nodeName: best.node.name, victims: best.victims };
  const [absentReason = ''] = notHelpful.reasons;
  return none(fitErrorMessage({ numAllNodes, rejections, absentReason, plugins: new Set() }), true);
}

/** Victims of an earlier round are still on their way out, so evicting more would be too much. */
function waitsForVictims(pod: PodInfo, diagnosis: Diagnosis, snapshot: Snapshot): boolean {
  const nominated = pod.pod.status?.nominatedNodeName;
  if (nominated === undefined || nominated === '') return false;
  if (diagnosis.rejections.get(nominated)?.code === 'UnschedulableAndUnresolvable') return false;
  const pods = snapshot.node(nominated)?.pods.values() ?? [];
  return [...pods].some((each) => each.terminating && each.priority < pod.priority);
}

function startTimeMs({ pod }: PodInfo): number {
  return Date.parse(pod.status?.startTime ?? pod.metadata.creationTimestamp ?? '') || 0;
}

/** The more important pod first, and among equals the one that has run longer. */
function byImportance(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startTimeMs(a) - startTimeMs(b);
}

function selectVictims(
  framework: Framework,
  pod: PodInfo,
  node: NodeInfo,
  snapshot: MutableSnapshot,
  budgets: readonly DisruptionBudget[],
): Candidate | Rejection {
  const lower = [...node.pods.values()].filter(({ priority }) => priority < pod.priority).sort(byImportance);
  if (lower.length === 0) return unresolvable('No preemption victims found for incoming pod');
  const rejectionWithout = (victims: Iterable<PodInfo>): Rejection | undefined =>
    snapshot.without(
      [...victims].map(({ uid }) => uid),
      () => {
        const prepared = framework.prepare(pod, snapshot);
        if (prepared.kind === 'rejected') return prepared.rejection;
        return framework.filterWithNominated(pod, node, prepared.filters)?.rejection;
      },
    );
  const rejection = rejectionWithout(lower);
  if (rejection !== undefined) return rejection;
  // Spare as many as possible: first those whose budget would be broken, then the most important.
  const violating = findViolating(lower, budgets);
  const victims = new Set(lower);
  for (const each of [...violating, ...lower.filter((other) => !violating.includes(other))]) {
    victims.delete(each);
    if (rejectionWithout(victims) !== undefined) victims.add(each);
  }
  return {
    node,
    victims: [...victims].sort(byImportance),
    budgetViolations: violating.filter((each) => victims.has(each)).length,
  };
}

/** The pods whose eviction breaks a budget, when all of them go in this order. */
function findViolating(pods: readonly PodInfo[], budgets: readonly DisruptionBudget[]): readonly PodInfo[] {
  const left = budgets.map(({ disruptionsAllowed }) => disruptionsAllowed);
  return pods.filter((pod) => {
    let violates = false;
    for (const [i, budget] of budgets.entries()) {
      if (budget.namespace !== pod.namespace || !budget.matches(pod)) continue;
      left[i] = (left[i] ?? 0) - 1;
      if ((left[i] ?? 0) < 0) violates = true;
    }
    return violates;
  });
}

/** Fewer broken budgets, a less important first victim, a smaller sum of priorities, fewer victims, a younger first victim. */
function costsLess(a: Candidate, b: Candidate): boolean {
  const first = (each: Candidate): number => each.victims[0]?.priority ?? 0;
  // Priorities may be negative, so they are lifted above 0 before they are summed.
  const sum = ({ victims }: Candidate): number =>
    victims.reduce((total, { priority }) => total + priority + 2 ** 31, 0);
  const started = ({ victims: [top, ...rest] }: Candidate): number =>
    [top, ...rest]
      .filter((each) => each !== undefined && each.priority === top?.priority)
      .reduce((earliest, each) => Math.min(earliest, each === undefined ? Infinity : startTimeMs(each)), Infinity);
  return (
    (a.budgetViolations - b.budgetViolations ||
      first(a) - first(b) ||
      sum(a) - sum(b) ||
      a.victims.length - b.victims.length ||
      started(b) - started(a)) < 0
  );
}
