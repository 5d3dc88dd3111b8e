/** When a finished Job has outlived its time. */
import { parseTime, type Job } from '@naru/api';

/** Milliseconds until the Job is to be deleted, 0 or less when it is now; undefined for one that stays. */
export function ttlLeftMs({ metadata, spec, status }: Job, nowMs: number): number | undefined {
  const seconds = spec?.ttlSecondsAfterFinished;
  if (seconds === undefined || metadata.deletionTimestamp !== undefined) return undefined;
  const end = (status?.conditions ?? []).find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
  const endMs = parseTime(end?.lastTransitionTime);
  return Number.isNaN(endMs) ? undefined : endMs + seconds * 1000 - nowMs;
}
