/** Columns of the kinds that make pods. */
import type { CronJob, DaemonSet, Deployment, Job, PodTemplateSpec, ReplicaSet, StatefulSet } from '@naru/api';
import type { TableConvertor } from '../strategy.ts';
import { containerImages, containerNames, formatLabels, formatLabelSelector, orNone } from './cells.ts';
import { ageColumn, column, nameColumn, tableOf, wide, type ColumnOf } from './column.ts';
import { ageOf, Elapsed, humanDuration } from './duration.ts';

interface HasTemplate {
  readonly spec?: { readonly template?: PodTemplateSpec };
}

const integer = <T>(name: string, cell: (object: T) => number | undefined): ColumnOf<T> =>
  column<T>(name, (object) => cell(object) ?? 0, { type: 'integer' });

const containers = <T extends HasTemplate>(): ColumnOf<T>[] => [
  wide('Containers', ({ spec }) => containerNames(spec?.template?.spec)),
  wide('Images', ({ spec }) => containerImages(spec?.template?.spec)),
];

export const deploymentTable: TableConvertor = tableOf<Deployment>([
  nameColumn(),
  column('Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`),
  integer('Up-to-date', ({ status }) => status?.updatedReplicas),
  integer('Available', ({ status }) => status?.availableReplicas),
  ageColumn(),
  ...containers<Deployment>(),
  wide('Selector', ({ spec }) => formatLabelSelector(spec?.selector)),
]);

export const replicaSetTable: TableConvertor = tableOf<ReplicaSet>([
  nameColumn(),
  integer('Desired', ({ spec }) => spec?.replicas),
  integer('Current', ({ status }) => status?.replicas),
  integer('Ready', ({ status }) => status?.readyReplicas),
  ageColumn(),
  ...containers<ReplicaSet>(),
  wide('Selector', ({ spec }) => formatLabelSelector(spec?.selector)),
]);

interface ReplicationController {
  readonly metadata: { name?: string; creationTimestamp?: string };
  readonly spec?: { replicas?: number; selector?: Record<string, string>; template?: PodTemplateSpec };
  readonly status?: { replicas?: number; readyReplicas?: number };
}

export const replicationControllerTable: TableConvertor = tableOf<ReplicationController>([
  nameColumn(),
  integer('Desired', ({ spec }) => spec?.replicas),
  integer('Current', ({ status }) => status?.replicas),
  integer('Ready', ({ status }) => status?.readyReplicas),
  ageColumn(),
  ...containers<ReplicationController>(),
  wide('Selector', ({ spec }) => formatLabels(spec?.selector)),
]);

export const daemonSetTable: TableConvertor = tableOf<DaemonSet>([
  nameColumn(),
  integer('Desired', ({ status }) => status?.desiredNumberScheduled),
  integer('Current', ({ status }) => status?.currentNumberScheduled),
  integer('Ready', ({ status }) => status?.numberReady),
  integer('Up-to-date', ({ status }) => status?.updatedNumberScheduled),
  integer('Available', ({ status }) => status?.numberAvailable),
  column('Node Selector', ({ spec }) => formatLabels(spec?.template?.spec?.nodeSelector)),
  ageColumn(),
  ...containers<DaemonSet>(),
  wide('Selector', ({ spec }) => formatLabelSelector(spec?.selector)),
]);

export const statefulSetTable: TableConvertor = tableOf<StatefulSet>([
  nameColumn(),
  column('Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`),
  ageColumn(),
  ...containers<StatefulSet>(),
]);

function jobStatus({ metadata, status }: Job): string {
  const has = (type: string): boolean =>
    (status?.conditions ?? []).some((each) => each.type === type && each.status === 'True');
  if (has('Complete')) return 'Complete';
  if (has('Failed')) return 'Failed';
  if (metadata.deletionTimestamp !== undefined) return 'Terminating';
  for (const type of ['Suspended', 'FailureTarget', 'SuccessCriteriaMet']) {
    if (has(type)) return type;
  }
  return 'Running';
}

function jobCompletions({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const parallelism = spec?.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration({ status }: Job): Elapsed | string {
  if (status?.startTime === undefined) return '';
  const start = Date.parse(status.startTime);
  return status.completionTime === undefined
    ? new Elapsed(start)
    : humanDuration(Date.parse(status.completionTime) - start);
}

export const jobTable: TableConvertor = tableOf<Job>([
  nameColumn(),
  column('Status', jobStatus),
  column('Completions', jobCompletions),
  column('Duration', jobDuration),
  ageColumn(),
  ...containers<Job>(),
  wide('Selector', ({ spec }) => formatLabelSelector(spec?.selector)),
]);

export const cronJobTable: TableConvertor = tableOf<CronJob>([
  nameColumn(),
  column('Schedule', ({ spec }) => spec?.schedule ?? ''),
  column('Timezone', ({ spec }) => orNone(spec?.timeZone)),
  column('Suspend', ({ spec }) => (spec?.suspend === true ? 'True' : 'False')),
  integer('Active', ({ status }) => status?.active?.length),
  column('Last Schedule', ({ status }) =>
    status?.lastScheduleTime === undefined ? '<none>' : ageOf(status.lastScheduleTime),
  ),
  ageColumn(),
  wide('Containers', ({ spec }) => containerNames(spec?.jobTemplate?.spec?.template?.spec)),
  wide('Images', ({ spec }) => containerImages(spec?.jobTemplate?.spec?.template?.spec)),
  wide('Selector', ({ spec }) => formatLabelSelector(spec?.jobTemplate?.spec?.selector)),
]);

interface ControllerRevision {
  readonly metadata: {
    name?: string;
    creationTimestamp?: string;
    ownerReferences?: { apiVersion: string; kind: string; name: string; controller?: boolean }[];
  };
  readonly revision?: number;
}

export const controllerRevisionTable: TableConvertor = tableOf<ControllerRevision>([
  nameColumn(),
  column('Controller', ({ metadata }) => {
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
    if (owner === undefined) return '<none>';
    const [group = ''] = owner.apiVersion.includes('/') ? owner.apiVersion.split('/') : [''];
    return `${owner.kind.toLowerCase()}${group === '' ? '' : `.${group}`}/${owner.name}`;
  }),
  integer('Revision', ({ revision }) => revision),
  ageColumn(),
]);

interface PodTemplate {
  readonly metadata: { name?: string };
  readonly template?: PodTemplateSpec;
}

export const podTemplateTable: TableConvertor = tableOf<PodTemplate>([
  nameColumn(),
  column('Containers', ({ template }) => containerNames(template?.spec)),
  column('Images', ({ template }) => containerImages(template?.spec)),
  column('Pod Labels', ({ template }) => formatLabels(template?.metadata?.labels)),
]);
