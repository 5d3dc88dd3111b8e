/** When a CronJob starts Jobs, and which of them it keeps. */
import {
  findCondition,
  formatTime,
  jobs,
  keyOf,
  newControllerRef,
  cronJobs,
  parseTime,
  type CronJob,
  type Job,
} from '@naru/api';
import { isFinished } from '../job/plan.ts';
import type { Schedule } from './schedule-plan.ts';

export type CronJobStatus = NonNullable<CronJob['status']>;

const SCHEDULED_TIMESTAMP = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
/** More missed times than these are not counted: upstream's bound. */
const MISSED_MAX = 100;
/** A timer may be early by a little. */
const REQUEUE_DELTA_MS = 100;

export interface ObservedCronJob {
  readonly cronJob: CronJob;
  readonly schedule: Schedule;
  /** Those that it controls. */
  readonly jobs: readonly Job[];
  readonly nowMs: number;
}

export interface CronJobPlan {
  readonly create: Job | undefined;
  readonly remove: readonly Job[];
  readonly status: CronJobStatus;
  readonly events: readonly {
    readonly type: 'Normal' | 'Warning';
    readonly reason: string;
    readonly message: string;
  }[];
  readonly requeueAfterMs: number | undefined;
}

const endOf = (job: Job): 'Complete' | 'Failed' =>
  findCondition(job.status?.conditions, 'Complete')?.status === 'True' ? 'Complete' : 'Failed';

/** The last due time since the last start, how many there were, and the next. */
function dueTimes({ cronJob, schedule, nowMs }: ObservedCronJob): {
  readonly last: number | undefined;
  readonly missed: number;
  readonly next: number | undefined;
} {
  const { metadata, spec, status } = cronJob;
  let from = parseTime(status?.lastScheduleTime ?? metadata.creationTimestamp);
  if (spec?.startingDeadlineSeconds !== undefined) from = Math.max(from, nowMs - spec.startingDeadlineSeconds * 1000);
  let last: number | undefined;
  let missed = 0;
  let next = schedule.next(from);
  while (next !== undefined && next <= nowMs) {
    last = next;
    // Far behind, the times between do not matter: go on shortly before now.
    next = ++missed > MISSED_MAX ? schedule.next(Math.max(next, nowMs - 86_400_000)) : schedule.next(next);
    if (missed > MISSED_MAX * 20) break;
  }
  return { last, missed, next };
}

export function planCronJob(observed: ObservedCronJob): CronJobPlan {
  const { cronJob, nowMs } = observed;
  const { spec, metadata } = cronJob;
  const events: CronJobPlan['events'][number][] = [];
  const byUid = new Map(observed.jobs.map((job) => [job.metadata.uid ?? '', job]));
  let active = (cronJob.status?.active ?? []).filter(({ uid, name }) => {
    const job = byUid.get(uid ?? '');
    if (job !== undefined && !isFinished(job)) return true;
    events.push(
      job === undefined
        ? { type: 'Normal', reason: 'MissingJob', message: `Active job went missing: ${name}` }
        : {
            type: 'Normal',
            reason: 'SawCompletedJob',
            message: `Saw completed job: ${name}, condition: ${endOf(job)}`,
          },
    );
    return false;
  });
  const remove: Job[] = [...surplus(observed, 'Complete'), ...surplus(observed, 'Failed')];
  let { lastScheduleTime } = cronJob.status ?? {};
  const lastSuccessfulTime = lastSuccess(observed);
  const result = (requeueAfterMs: number | undefined, create?: Job): CronJobPlan => ({
    create,
    remove,
    events,
    requeueAfterMs,
    status: {
      ...(active.length === 0 ? {} : { active }),
      ...(lastScheduleTime === undefined ? {} : { lastScheduleTime }),
      ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
    },
  });
  if (spec === undefined || metadata.deletionTimestamp !== undefined || spec.suspend === true) return result(undefined);
  const { last, missed, next } = dueTimes(observed);
  const wait = next === undefined ? undefined : Math.max(0, next - nowMs) + REQUEUE_DELTA_MS;
  if (last === undefined) return result(wait);
  if (missed > MISSED_MAX)
    events.push({
      type: 'Warning',
      reason: 'TooManyMissedTimes',
      message: `too many missed start times: ${missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew`,
    });
  if (spec.startingDeadlineSeconds !== undefined && last + spec.startingDeadlineSeconds * 1000 < nowMs) {
    events.push({
      type: 'Warning',
      reason: 'MissSchedule',
      message: `Missed scheduled time to start a job: ${formatTime(last)}`,
    });
    return result(wait);
  }
  if (parseTime(lastScheduleTime) === last) return result(wait);
  if (spec.concurrencyPolicy === 'Forbid' && active.length > 0) {
    const message = 'Not starting job because prior execution is running and concurrency policy is Forbid';
    events.push({ type: 'Normal', reason: 'JobAlreadyActive', message });
    return result(wait);
  }
  if (spec.concurrencyPolicy === 'Replace') {
    const running = active.map(({ uid }) => byUid.get(uid ?? '')).filter((job) => job !== undefined);
    remove.push(...running);
    active = [];
  }
  lastScheduleTime = formatTime(last);
  return result(wait, jobAt(cronJob, last));
}

function jobAt(cronJob: CronJob, scheduledMs: number): Job {
  const { metadata, spec } = cronJob.spec?.jobTemplate ?? {};
  const { name, namespace } = cronJob.metadata;
  const annotations = { ...metadata?.annotations, [SCHEDULED_TIMESTAMP]: formatTime(scheduledMs) };
  return {
    apiVersion: 'batch/v1',
    kind: jobs.kind,
    metadata: {
      // One name per time: two schedulers cannot start it twice.
      name: `${name}-${Math.floor(scheduledMs / 60_000)}`,
      ...(namespace === undefined ? {} : { namespace }),
      ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
      annotations,
      ownerReferences: [newControllerRef(cronJob, cronJobs)],
    },
    ...(spec === undefined ? {} : { spec }),
  };
}

/** Finished Jobs beyond the history limit, the oldest first. */
function surplus({ cronJob, jobs }: ObservedCronJob, end: 'Complete' | 'Failed'): Job[] {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec ?? {};
  const limit = end === 'Complete' ? successfulJobsHistoryLimit : failedJobsHistoryLimit;
  if (limit === undefined) return [];
  const finished = jobs
    .filter((job) => isFinished(job) && endOf(job) === end && job.metadata.deletionTimestamp === undefined)
    .sort((a, b) => parseTime(a.status?.startTime) - parseTime(b.status?.startTime) || (keyOf(a) < keyOf(b) ? -1 : 1));
  return finished.slice(0, Math.max(0, finished.length - limit));
}

function lastSuccess({ cronJob, jobs }: ObservedCronJob): string | undefined {
  const times = jobs
    .filter((job) => isFinished(job) && endOf(job) === 'Complete')
    .map(({ status }) => status?.completionTime);
  return [cronJob.status?.lastSuccessfulTime, ...times]
    .filter((time) => time !== undefined)
    .sort()
    .at(-1);
}
