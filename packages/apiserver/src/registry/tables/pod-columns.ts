/** The cells of a pod: upstream's printPod (pkg/printers/internalversion/printers.go). */
import type { ContainerStatus, Pod } from '@naru/api';
import type { TableColumn, TableConvertor } from '../strategy.ts';
import { orNone } from './cells.ts';
import { ageOf, Elapsed } from './duration.ts';

interface PodSummary {
  readonly reason: string;
  readonly ready: number;
  readonly total: number;
  readonly restarts: string | Elapsed;
}

const NODE_UNREACHABLE = 'NodeLost';

interface Tally {
  restarts: number;
  restartableRestarts: number;
  lastRestart: number;
  lastRestartableRestart: number;
}

/** STATUS, READY and RESTARTS as kubectl shows them. */
export function summarize(pod: Pod): PodSummary {
  const status = pod.status ?? {};
  const tally: Tally = { restarts: 0, restartableRestarts: 0, lastRestart: 0, lastRestartableRestart: 0 };
  const restartable = new Set(
    (pod.spec?.initContainers ?? []).filter((each) => each.restartPolicy === 'Always').map((each) => each.name),
  );
  let total = pod.spec?.containers?.length ?? 0;
  let ready = 0;
  let reason = status.reason !== undefined && status.reason !== '' ? status.reason : (status.phase ?? '');
  for (const condition of status.conditions ?? []) {
    if (condition.type === 'PodScheduled' && condition.reason === 'SchedulingGated') reason = 'SchedulingGated';
  }
  total += restartable.size;
  const init = initReason(pod, restartable, tally);
  ready += init.ready;
  if (init.reason !== undefined) reason = init.reason;
  if (init.reason === undefined || isInitialized(pod)) {
    const main = mainReason(pod, reason, tally);
    ready += main.ready;
    reason = main.reason;
  }
  if (pod.metadata.deletionTimestamp !== undefined && status.reason === NODE_UNREACHABLE) reason = 'Unknown';
  else if (pod.metadata.deletionTimestamp !== undefined && !isPhaseTerminal(status.phase)) reason = 'Terminating';
  return { reason, ready, total, restarts: formatRestarts(tally) };
}

function isPhaseTerminal(phase: string | undefined): boolean {
  return phase === 'Failed' || phase === 'Succeeded';
}

function isInitialized({ status }: Pod): boolean {
  return (status?.conditions ?? []).some(({ type, status: value }) => type === 'Initialized' && value === 'True');
}

function initReason(
  pod: Pod,
  restartable: ReadonlySet<string>,
  tally: Tally,
): { readonly reason: string | undefined; readonly ready: number } {
  const statuses = pod.status?.initContainerStatuses ?? [];
  const total = pod.spec?.initContainers?.length ?? 0;
  let ready = 0;
  for (const [i, container] of statuses.entries()) {
    const isSidecar = restartable.has(container.name);
    countRestarts(container, tally, isSidecar);
    const { terminated, waiting } = container.state ?? {};
    if (terminated !== undefined && terminated.exitCode === 0) continue;
    if (isSidecar && container.started === true) {
      if (container.ready) ready++;
      continue;
    }
    if (terminated !== undefined) return { reason: `Init:${terminatedReason(terminated)}`, ready };
    if (waiting?.reason !== undefined && waiting.reason !== '' && waiting.reason !== 'PodInitializing')
      return { reason: `Init:${waiting.reason}`, ready };
    return { reason: `Init:${i}/${total}`, ready };
  }
  return { reason: undefined, ready };
}

function terminatedReason(terminated: {
  readonly reason?: string;
  readonly signal?: number;
  readonly exitCode: number;
}): string {
  if (terminated.reason !== undefined && terminated.reason !== '') return terminated.reason;
  return (terminated.signal ?? 0) === 0 ? `ExitCode:${terminated.exitCode}` : `Signal:${terminated.signal ?? 0}`;
}

function mainReason(pod: Pod, initial: string, tally: Tally): { readonly reason: string; readonly ready: number } {
  let reason = initial;
  let hasRunning = false;
  let ready = 0;
  tally.restarts = tally.restartableRestarts;
  tally.lastRestart = tally.lastRestartableRestart;
  for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
    countRestarts(container, tally, false);
    const { waiting, terminated, running } = container.state ?? {};
    if (waiting?.reason !== undefined && waiting.reason !== '') reason = waiting.reason;
    else if (terminated !== undefined) reason = terminatedReason(terminated);
    else if (container.ready && running !== undefined) {
      hasRunning = true;
      ready++;
    }
  }
  // A pod with a completed container and one that still runs is not completed.
  if (reason === 'Completed' && hasRunning) {
    const isReady = (pod.status?.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True');
    reason = isReady ? 'Running' : 'NotReady';
  }
  return { reason, ready };
}

function countRestarts(container: ContainerStatus, tally: Tally, isSidecar: boolean): void {
  tally.restarts += container.restartCount;
  if (isSidecar) tally.restartableRestarts += container.restartCount;
  const finished = container.lastState?.terminated?.finishedAt;
  if (finished === undefined) return;
  const at = Date.parse(finished);
  tally.lastRestart = Math.max(tally.lastRestart, at);
  if (isSidecar) tally.lastRestartableRestart = Math.max(tally.lastRestartableRestart, at);
}

function formatRestarts({ restarts, lastRestart }: Tally): string | Elapsed {
  return restarts !== 0 && lastRestart !== 0
    ? new Elapsed(lastRestart, { before: `${restarts} (`, after: ' ago)' })
    : String(restarts);
}

function readinessGates({ spec, status }: Pod): string {
  const gates = spec?.readinessGates ?? [];
  if (gates.length === 0) return '<none>';
  const met = gates.filter(({ conditionType }) =>
    (status?.conditions ?? []).some(({ type, status: value }) => type === conditionType && value === 'True'),
  );
  return `${met.length}/${gates.length}`;
}

const header = (name: string, priority = 0): TableColumn => ({
  name,
  type: 'string',
  format: name === 'Name' ? 'name' : '',
  description: '',
  priority,
});

const columns: readonly TableColumn[] = [
  header('Name'),
  header('Ready'),
  header('Status'),
  header('Restarts'),
  header('Age'),
  header('IP', 1),
  header('Node', 1),
  header('Nominated Node', 1),
  header('Readiness Gates', 1),
];

export const podTable: TableConvertor = {
  columns,
  cells(object) {
    const pod = object as unknown as Pod;
    const { metadata, spec, status } = pod;
    const { ready, total, reason, restarts } = summarize(pod);
    return [
      metadata.name ?? '',
      `${ready}/${total}`,
      reason,
      restarts,
      ageOf(metadata.creationTimestamp),
      orNone(status?.podIPs?.[0]?.ip ?? status?.podIP),
      orNone(spec?.nodeName),
      orNone(status?.nominatedNodeName),
      readinessGates(pod),
    ];
  },
};
