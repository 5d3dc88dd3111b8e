/** What a Job's pods call for: more of them, fewer, or its end. */
import { findCondition, parseTime, type Job, type Pod } from '@naru/api';
import { isPodActive, isPodReady } from '../pod/pod-state-plan.ts';
import { rankForDeletion } from '../replicaset/plan.ts';
import { formatIndexes, indexOf, parseIndexes } from './indexes-plan.ts';

export type JobStatus = NonNullable<Job['status']>;
type JobCondition = NonNullable<JobStatus['conditions']>[number];

/** Keeps a pod until its end is counted. */
export const TRACKING_FINALIZER = 'batch.kubernetes.io/job-tracking';
/** Delay after the first failure; it doubles with each: upstream's. */
const BACKOFF_MS = 10_000;
const BACKOFF_MS_MAX = 600_000;
/** Pods created in one sync. */
export const CREATE_MAX = 500;

export interface ObservedJob {
  readonly job: Job;
  /** All that it controls. */
  readonly pods: readonly Pod[];
  /** Uids of pods whose finalizer was removed already, whatever the cache still shows. */
  readonly untracked: ReadonlySet<string>;
  readonly nowMs: number;
  readonly now: string;
}

export interface JobPlan {
  readonly status: JobStatus;
  /** Completion indexes of pods to be created; undefined for each pod of a Job that is not indexed. */
  readonly create: readonly (number | undefined)[];
  readonly remove: readonly Pod[];
  /** Their end is counted in the stored status: they may go. */
  readonly untrack: readonly Pod[];
  readonly requeueAfterMs: number | undefined;
}

export const isIndexed = ({ spec }: Job): boolean => spec?.completionMode === 'Indexed';

export function isFinished({ status }: Job): boolean {
  return (status?.conditions ?? []).some(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
}

const uidOf = ({ metadata }: Pod): string => metadata.uid ?? '';

export function planJob(observed: ObservedJob): JobPlan {
  const { job, pods } = observed;
  const stored = job.status ?? {};
  const tracked = (pod: Pod): boolean =>
    pod.metadata.finalizers?.includes(TRACKING_FINALIZER) === true && !observed.untracked.has(uidOf(pod));
  if (isFinished(job)) {
    const remove = pods.filter(isPodActive);
    return {
      status: stored,
      create: [],
      remove,
      untrack: pods.filter((pod) => tracked(pod) && !isPodActive(pod)),
      requeueAfterMs: undefined,
    };
  }
  const counted = count(observed, tracked);
  const active = pods.filter(isPodActive);
  const suspended = job.spec?.suspend === true;
  const startTime = suspended ? undefined : (stored.startTime ?? observed.now);
  const outcome = suspended ? undefined : outcomeOf(observed, counted, active.length, startTime);
  const work = planPods(observed, counted, active, outcome !== undefined);
  const status = statusOf(observed, counted, {
    startTime,
    outcome,
    active: active.length - work.remove.length + work.create.length,
    ended: active.length === 0,
    ready: active.filter(isPodReady).length,
  });
  // Only what the stored status counts may go: should the write of the new one fail, nothing is lost.
  const persisted = new Set([
    ...(stored.uncountedTerminatedPods?.succeeded ?? []),
    ...(stored.uncountedTerminatedPods?.failed ?? []),
  ]);
  const untrack = pods.filter((pod) => tracked(pod) && persisted.has(uidOf(pod)));
  const deadlineMs = deadlineLeftMs(job, startTime, observed.nowMs);
  const waits = [work.waitMs, deadlineMs].filter((each) => each !== undefined && each > 0) as number[];
  return {
    status,
    create: work.create,
    remove: work.remove,
    untrack,
    requeueAfterMs: waits.length === 0 ? undefined : Math.min(...waits),
  };
}

interface Counts {
  readonly succeeded: number;
  readonly failed: number;
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] };
  /** Totals in the status, without what is uncounted. */
  readonly base: { readonly succeeded: number; readonly failed: number };
  readonly completed: ReadonlySet<number>;
}

/**
 * A pod's end is counted in two steps: its uid is noted, then its finalizer goes, then the number goes up and the uid is
 * dropped. Whatever is lost in between, each end is counted exactly once.
 */
function count({ job, pods }: ObservedJob, tracked: (pod: Pod) => boolean): Counts {
  const stored = job.status ?? {};
  const byUid = new Map(pods.map((pod) => [uidOf(pod), pod]));
  const done = (pod: Pod): 'succeeded' | 'failed' | undefined => {
    if (pod.status?.phase === 'Succeeded') return 'succeeded';
    return pod.status?.phase === 'Failed' || pod.metadata.deletionTimestamp !== undefined ? 'failed' : undefined;
  };
  const step = (kind: 'succeeded' | 'failed'): { uncounted: string[]; base: number } => {
    const noted = stored.uncountedTerminatedPods?.[kind] ?? [];
    const still = noted.filter((uid) => {
      const pod = byUid.get(uid);
      return pod !== undefined && tracked(pod);
    });
    const known = new Set(noted);
    const fresh = pods.filter((pod) => done(pod) === kind && tracked(pod) && !known.has(uidOf(pod))).map(uidOf);
    return { uncounted: [...still, ...fresh], base: (stored[kind] ?? 0) + noted.length - still.length };
  };
  const succeeded = step('succeeded');
  const failed = step('failed');
  const completed = new Set(parseIndexes(stored.completedIndexes ?? ''));
  const completions = job.spec?.completions ?? 0;
  if (isIndexed(job))
    for (const pod of pods) {
      const index = indexOf(pod);
      if (done(pod) === 'succeeded' && index !== undefined && index < completions) completed.add(index);
    }
  return {
    succeeded: isIndexed(job) ? completed.size : succeeded.base + succeeded.uncounted.length,
    failed: failed.base + failed.uncounted.length,
    uncounted: { succeeded: succeeded.uncounted, failed: failed.uncounted },
    base: { succeeded: isIndexed(job) ? completed.size : succeeded.base, failed: failed.base },
    completed,
  };
}

interface Outcome {
  readonly type: 'Complete' | 'Failed';
  readonly reason: string;
  readonly message: string;
}

function outcomeOf(
  { job, pods, nowMs }: ObservedJob,
  counts: Counts,
  active: number,
  startTime: string | undefined,
): Outcome | undefined {
  const conditions = job.status?.conditions;
  const decided = findCondition(conditions, 'FailureTarget') ?? findCondition(conditions, 'SuccessCriteriaMet');
  if (decided?.status === 'True') {
    const { type, reason = '', message = '' } = decided;
    return { type: type === 'FailureTarget' ? 'Failed' : 'Complete', reason, message };
  }
  const { completions, backoffLimit = 6 } = job.spec ?? {};
  const restarts =
    job.spec?.template.spec?.restartPolicy === 'OnFailure'
      ? pods.filter(isPodActive).reduce((sum, pod) => sum + restartsOf(pod), 0)
      : 0;
  const exceeded =
    counts.failed > backoffLimit || (restarts > 0 && (backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit));
  if (exceeded)
    return { type: 'Failed', reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' };
  if ((deadlineLeftMs(job, startTime, nowMs) ?? 1) <= 0)
    return { type: 'Failed', reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' };
  const complete = completions === undefined ? counts.succeeded > 0 && active === 0 : counts.succeeded >= completions;
  if (complete)
    return { type: 'Complete', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' };
  return undefined;
}

function restartsOf({ status }: Pod): number {
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return all.reduce((sum, { restartCount }) => sum + restartCount, 0);
}

function deadlineLeftMs({ spec }: Job, startTime: string | undefined, nowMs: number): number | undefined {
  if (spec?.activeDeadlineSeconds === undefined || startTime === undefined) return undefined;
  return parseTime(startTime) + spec.activeDeadlineSeconds * 1000 - nowMs;
}

interface PodWork {
  readonly create: readonly (number | undefined)[];
  readonly remove: readonly Pod[];
  readonly waitMs: number | undefined;
}

function planPods(observed: ObservedJob, counts: Counts, active: readonly Pod[], ending: boolean): PodWork {
  const { job, nowMs } = observed;
  const none = new Map<string, number>();
  if (ending || job.spec?.suspend === true) return { create: [], remove: active, waitMs: undefined };
  const { parallelism = 1, completions } = job.spec ?? {};
  const wanted =
    completions === undefined
      ? counts.succeeded > 0
        ? Math.min(active.length, parallelism)
        : parallelism
      : Math.min(parallelism, completions - counts.succeeded);
  if (active.length > wanted)
    return {
      create: [],
      remove: rankForDeletion(active, none, nowMs).slice(0, active.length - wanted),
      waitMs: undefined,
    };
  const missing = Math.min(wanted - active.length, CREATE_MAX);
  if (missing === 0) return { create: [], remove: [], waitMs: undefined };
  const waitMs = backoffLeftMs(observed, counts.failed);
  if (waitMs > 0) return { create: [], remove: [], waitMs };
  if (!isIndexed(job))
    return { create: Array.from({ length: missing }, () => undefined), remove: [], waitMs: undefined };
  const taken = new Set(active.map(indexOf));
  const create: number[] = [];
  for (let index = 0; index < (completions ?? 0) && create.length < missing; index++)
    if (!taken.has(index) && !counts.completed.has(index)) create.push(index);
  return { create, remove: [], waitMs: undefined };
}

/** After a failure, pods are replaced later and later. */
function backoffLeftMs({ pods, nowMs }: ObservedJob, failed: number): number {
  if (failed === 0) return 0;
  const ends = pods
    .filter(({ status }) => status?.phase === 'Failed')
    .map(({ status, metadata }) => {
      const finished = (status?.containerStatuses ?? []).map(({ state }) => parseTime(state?.terminated?.finishedAt));
      return Math.max(...finished.filter((ms) => !Number.isNaN(ms)), parseTime(metadata.creationTimestamp) || 0);
    });
  if (ends.length === 0) return 0;
  const delayMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (failed - 1));
  return Math.max(...ends) + delayMs - nowMs;
}

interface Facts {
  readonly startTime: string | undefined;
  readonly outcome: Outcome | undefined;
  readonly active: number;
  /** No pod is running any more. */
  readonly ended: boolean;
  readonly ready: number;
}

function statusOf({ job, now }: ObservedJob, counts: Counts, facts: Facts): JobStatus {
  const { startTime, outcome, active } = facts;
  const settled = counts.uncounted.succeeded.length === 0 && counts.uncounted.failed.length === 0;
  let conditions = job.status?.conditions ?? [];
  if (outcome !== undefined) {
    const target = outcome.type === 'Failed' ? 'FailureTarget' : 'SuccessCriteriaMet';
    conditions = withCondition(conditions, { ...outcome, type: target, status: 'True' }, now);
    // The end is told when nothing runs any more, and all is counted.
    if (facts.ended && settled) conditions = withCondition(conditions, { ...outcome, status: 'True' }, now);
  }
  conditions = withSuspension(job, conditions, now);
  const complete = findCondition(conditions, 'Complete')?.status === 'True';
  return {
    ...(startTime === undefined ? {} : { startTime }),
    ...(complete ? { completionTime: now } : {}),
    ...(active === 0 ? {} : { active }),
    ...(counts.base.succeeded === 0 ? {} : { succeeded: counts.base.succeeded }),
    ...(counts.base.failed === 0 ? {} : { failed: counts.base.failed }),
    ready: facts.ready,
    terminating: 0,
    uncountedTerminatedPods: {
      ...(counts.uncounted.succeeded.length === 0 ? {} : { succeeded: [...counts.uncounted.succeeded] }),
      ...(counts.uncounted.failed.length === 0 ? {} : { failed: [...counts.uncounted.failed] }),
    },
    ...(counts.completed.size === 0 ? {} : { completedIndexes: formatIndexes(counts.completed) }),
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

function withSuspension(job: Job, conditions: JobCondition[], now: string): JobCondition[] {
  const present = findCondition(conditions, 'Suspended');
  if (job.spec?.suspend === true)
    return withCondition(
      conditions,
      { type: 'Suspended', status: 'True', reason: 'JobSuspended', message: 'Job suspended' },
      now,
    );
  if (present?.status !== 'True') return conditions;
  return withCondition(
    conditions,
    { type: 'Suspended', status: 'False', reason: 'JobResumed', message: 'Job resumed' },
    now,
  );
}

function withCondition(conditions: JobCondition[], condition: JobCondition, now: string): JobCondition[] {
  const present = findCondition(conditions, condition.type);
  if (present?.status === condition.status && present.reason === condition.reason) return conditions;
  const next = { ...condition, lastProbeTime: now, lastTransitionTime: now };
  return present === undefined ? [...conditions, next] : conditions.map((each) => (each === present ? next : each));
}
