import {
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type CronJob,
  type FieldError,
  type Job,
  type UnstructuredObject,
} from '@naru/api';
import type { Strategy } from '../strategy.ts';
import { cronScheduleError } from './cron-schedule.ts';
import { deepEqual, immutable, nonNegative, oneOf, optionalOneOf } from './field-rules.ts';
import { selectorMatches, validateLabelSelector } from './label-selectors.ts';
import { validatePodTemplate } from './pod-spec.ts';
import { setCronJobDefaults, setJobDefaults } from './workload-defaults.ts';

type JobSpec = NonNullable<Job['spec']>;

const CRON_JOB_NAME_BYTES_MAX = 52;
const INDEXED_PARALLELISM_MAX = 100_000;
const uidLabel = 'batch.kubernetes.io/controller-uid';
const nameLabel = 'batch.kubernetes.io/job-name';

function generatedLabels({ name = '', uid = '' }: Job['metadata']): Record<string, string> {
  return { 'controller-uid': uid, 'job-name': name, [uidLabel]: uid, [nameLabel]: name };
}

/** A Job selects its own pods by its uid, unless it asks to do so itself. */
function generateSelector(object: UnstructuredObject): void {
  const { spec, metadata } = object as unknown as Job;
  if (spec?.template === undefined || spec.manualSelector === true) return;
  spec.template.metadata = {
    ...spec.template.metadata,
    labels: { ...spec.template.metadata?.labels, ...generatedLabels(metadata) },
  };
  spec.selector = {
    ...spec.selector,
    matchLabels: { ...spec.selector?.matchLabels, [uidLabel]: metadata.uid ?? '' },
  };
}

function validateJobSpec(spec: JobSpec | undefined, path: string): FieldError[] {
  if (spec === undefined) return [fieldRequired(`${path}.template`)];
  const errors = [
    ...nonNegative(`${path}.parallelism`, spec.parallelism),
    ...nonNegative(`${path}.completions`, spec.completions),
    ...nonNegative(`${path}.activeDeadlineSeconds`, spec.activeDeadlineSeconds),
    ...nonNegative(`${path}.backoffLimit`, spec.backoffLimit),
    ...nonNegative(`${path}.ttlSecondsAfterFinished`, spec.ttlSecondsAfterFinished),
    ...nonNegative(`${path}.backoffLimitPerIndex`, spec.backoffLimitPerIndex),
    ...nonNegative(`${path}.maxFailedIndexes`, spec.maxFailedIndexes),
    ...optionalOneOf(`${path}.completionMode`, spec.completionMode, ['NonIndexed', 'Indexed']),
  ];
  if (spec.completionMode === 'Indexed') {
    if (spec.completions === undefined)
      errors.push(fieldRequired(`${path}.completions`, 'when completion mode is Indexed'));
    if ((spec.parallelism ?? 0) > INDEXED_PARALLELISM_MAX)
      errors.push(
        fieldInvalid(
          `${path}.parallelism`,
          spec.parallelism,
          `must be less than or equal to ${INDEXED_PARALLELISM_MAX} when completion mode is Indexed`,
        ),
      );
  }
  errors.push(...validatePodTemplate(spec.template, `${path}.template`));
  const policy = spec.template?.spec?.restartPolicy;
  if (policy !== 'OnFailure' && policy !== 'Never')
    errors.push(fieldRequired(`${path}.template.spec.restartPolicy`, 'valid values: "OnFailure", "Never"'));
  else if (spec.podFailurePolicy !== undefined && policy !== 'Never')
    errors.push(
      fieldInvalid(
        `${path}.template.spec.restartPolicy`,
        policy,
        'only "Never" is supported when podFailurePolicy is specified',
      ),
    );
  return errors;
}

function validateJob(object: UnstructuredObject): FieldError[] {
  const { spec, metadata } = object as unknown as Job;
  const errors: FieldError[] = [];
  const selector = spec?.selector;
  if (selector === undefined) errors.push(fieldRequired('spec.selector'));
  else {
    if (spec?.manualSelector !== true && !selectorMatches(selector, generatedLabels(metadata)))
      errors.push(fieldInvalid('spec.selector', selector, '`selector` not auto-generated'));
    errors.push(...validateLabelSelector('spec.selector', selector));
  }
  const labels = spec?.template?.metadata?.labels;
  if (!selectorMatches(selector, labels))
    errors.push(
      fieldInvalid('spec.template.metadata.labels', labels ?? {}, '`selector` does not match template `labels`'),
    );
  return [...errors, ...validateJobSpec(spec, 'spec')];
}

function validateJobUpdate(object: UnstructuredObject, oldObject: UnstructuredObject): FieldError[] {
  const spec = (object as unknown as Job).spec;
  const old = (oldObject as unknown as Job).spec;
  const isElastic = spec?.completionMode === 'Indexed' && spec.completions === spec.parallelism;
  const isUnstarted = old?.suspend === true && (oldObject as unknown as Job).status?.startTime === undefined;
  const errors = [
    ...validateJob(object),
    ...(isElastic ? [] : immutable('spec.completions', spec?.completions, old?.completions)),
    ...immutable('spec.selector', spec?.selector, old?.selector),
    ...immutable('spec.completionMode', spec?.completionMode, old?.completionMode),
    ...immutable('spec.podFailurePolicy', spec?.podFailurePolicy, old?.podFailurePolicy),
    ...immutable('spec.backoffLimitPerIndex', spec?.backoffLimitPerIndex, old?.backoffLimitPerIndex),
  ];
  // Queueing systems set where a suspended Job's pods go before it starts.
  const now = isUnstarted ? withoutScheduling(spec?.template) : spec?.template;
  const before = isUnstarted ? withoutScheduling(old?.template) : old?.template;
  if (!deepEqual(now, before)) errors.push(...immutable('spec.template', spec?.template, old?.template));
  return errors;
}

function withoutScheduling(template: JobSpec['template'] | undefined): unknown {
  if (template === undefined) return undefined;
  const { nodeSelector: _a, tolerations: _b, affinity: _c, schedulingGates: _d, ...rest } = template.spec ?? {};
  return { spec: rest };
}

export const jobStrategy: Strategy = {
  applyDefaults: setJobDefaults,
  prepareForCreate(object) {
    delete object['status'];
    generateSelector(object);
    // What the labels default to has more by now: upstream defaults again when it reads what it stored.
    setJobDefaults(object);
  },
  validate: validateJob,
  validateUpdate: validateJobUpdate,
  // As batch/v1 has always done; kubectl says which policy it wants.
  defaultPropagation: 'Orphan',
  selectableFields: {
    'status.successful': (object) => String((object as unknown as Job).status?.succeeded ?? 0),
  },
  warnings(object) {
    const { name = '' } = object.metadata;
    return name.includes('.') || name.length > 63
      ? [
          'metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended',
        ]
      : [];
  },
};

function validateCronJob(object: UnstructuredObject): FieldError[] {
  const { spec, metadata } = object as unknown as CronJob;
  const errors: FieldError[] = [];
  const schedule = spec?.schedule ?? '';
  if (schedule === '') errors.push(fieldRequired('spec.schedule'));
  else if (/(^|\s)(CRON_)?TZ=/u.test(schedule))
    errors.push(
      fieldInvalid('spec.schedule', schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'),
    );
  else {
    const problem = cronScheduleError(schedule);
    if (problem !== undefined) errors.push(fieldInvalid('spec.schedule', schedule, problem));
  }
  errors.push(
    ...nonNegative('spec.startingDeadlineSeconds', spec?.startingDeadlineSeconds),
    ...validateTimeZone('spec.timeZone', spec?.timeZone),
    ...oneOf('spec.concurrencyPolicy', spec?.concurrencyPolicy, ['Allow', 'Forbid', 'Replace']),
    ...validateJobSpec(spec?.jobTemplate?.spec, 'spec.jobTemplate.spec'),
    ...nonNegative('spec.successfulJobsHistoryLimit', spec?.successfulJobsHistoryLimit),
    ...nonNegative('spec.failedJobsHistoryLimit', spec?.failedJobsHistoryLimit),
  );
  if (spec?.jobTemplate?.spec?.manualSelector === true)
    errors.push(fieldNotSupported('spec.jobTemplate.spec.manualSelector', true, ['nil', 'false']));
  const name = metadata.name ?? '';
  if (name.length > CRON_JOB_NAME_BYTES_MAX)
    errors.push(fieldInvalid('metadata.name', name, `must be no more than ${CRON_JOB_NAME_BYTES_MAX} characters`));
  return errors;
}

function validateTimeZone(path: string, zone: string | undefined): FieldError[] {
  if (zone === undefined) return [];
  if (zone === '') return [fieldInvalid(path, zone, 'must be nil or non-empty string')];
  if (zone.toLowerCase() === 'local')
    return [
      fieldInvalid(path, zone, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones'),
    ];
  try {
    Intl.DateTimeFormat('en', { timeZone: zone });
    return [];
  } catch {
    return [fieldInvalid(path, zone, `unknown time zone ${zone}`)];
  }
}

export const cronJobStrategy: Strategy = {
  applyDefaults: setCronJobDefaults,
  validate: validateCronJob,
};
