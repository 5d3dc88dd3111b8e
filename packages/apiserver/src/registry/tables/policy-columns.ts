/** Columns of RBAC, policy, storage, scheduling, autoscaling and admission kinds. */
import type { TableConvertor } from '../strategy.ts';
import { formatAccessModes, orUnset } from './cells.ts';
import { ageColumn, column, nameColumn, tableOf, wide, type ColumnOf } from './column.ts';
import { humanDuration } from './duration.ts';

interface Meta {
  readonly metadata: {
    name?: string;
    creationTimestamp?: string;
    deletionTimestamp?: string;
    annotations?: Record<string, string>;
  };
}

const createdAt = <T extends Meta>(): ColumnOf<T> =>
  column<T>('Created At', ({ metadata }) => metadata.creationTimestamp ?? '', { type: 'date' });

/** Kinds that upstream shows by name and time of creation. */
export const createdAtTable: TableConvertor = tableOf<Meta>([nameColumn(), createdAt()]);

interface Binding extends Meta {
  readonly roleRef?: { kind: string; name: string };
  readonly subjects?: { kind: string; name: string; namespace?: string }[];
}

const subjectsOf =
  (wanted: string) =>
  ({ subjects }: Binding): string =>
    (subjects ?? [])
      .filter(({ kind }) => kind === wanted)
      .map(({ name, namespace }) => (wanted === 'ServiceAccount' ? `${namespace ?? ''}/${name}` : name))
      .join(', ');

export const bindingTable: TableConvertor = tableOf<Binding>([
  nameColumn(),
  column('Role', ({ roleRef }) => `${roleRef?.kind ?? ''}/${roleRef?.name ?? ''}`),
  ageColumn(),
  wide('Users', subjectsOf('User')),
  wide('Groups', subjectsOf('Group')),
  wide('ServiceAccounts', subjectsOf('ServiceAccount')),
]);

interface CertificateSigningRequest extends Meta {
  readonly spec?: { signerName?: string; username?: string; expirationSeconds?: number };
  readonly status?: { certificate?: string; conditions?: { type: string }[] };
}

function csrCondition({ status }: CertificateSigningRequest): string {
  const has = (type: string): boolean => (status?.conditions ?? []).some((each) => each.type === type);
  let text = has('Denied') ? 'Denied' : has('Approved') ? 'Approved' : 'Pending';
  if (has('Failed')) text += ',Failed';
  if ((status?.certificate ?? '') !== '') text += ',Issued';
  return text;
}

export const csrTable: TableConvertor = tableOf<CertificateSigningRequest>([
  nameColumn(),
  ageColumn(),
  column('SignerName', ({ spec }) => spec?.signerName ?? '<none>'),
  column('Requestor', ({ spec }) => spec?.username ?? ''),
  column('RequestedDuration', ({ spec }) =>
    spec?.expirationSeconds === undefined ? '<none>' : humanDuration(spec.expirationSeconds * 1000),
  ),
  column('Condition', csrCondition),
]);

interface ApiService extends Meta {
  readonly spec?: { service?: { namespace?: string; name?: string } };
  readonly status?: { conditions?: { type: string; status: string; reason?: string }[] };
}

function apiServiceAvailability({ status }: ApiService): string {
  const condition = (status?.conditions ?? []).find((each) => each.type === 'Available');
  if (condition === undefined) return 'Unknown';
  const { status: isAvailable, reason = '' } = condition;
  return isAvailable === 'True' || reason === '' ? isAvailable : `${isAvailable} (${reason})`;
}

export const apiServiceTable: TableConvertor = tableOf<ApiService>([
  nameColumn(),
  column('Service', ({ spec }) =>
    spec?.service === undefined ? 'Local' : `${spec.service.namespace ?? ''}/${spec.service.name ?? ''}`,
  ),
  column('Available', apiServiceAvailability),
  ageColumn(),
]);

interface Metric {
  type: string;
  resource?: { name: string; target?: Target; current?: Target };
  containerResource?: { name: string; target?: Target; current?: Target };
  pods?: { target?: Target; current?: Target };
  object?: { target?: Target; current?: Target };
  external?: { target?: Target; current?: Target };
}

interface Target {
  averageUtilization?: number;
  averageValue?: string;
  value?: string;
}

interface HorizontalPodAutoscaler extends Meta {
  readonly spec?: {
    scaleTargetRef?: { kind: string; name: string };
    minReplicas?: number;
    maxReplicas: number;
    metrics?: Metric[];
  };
  readonly status?: { currentReplicas?: number; currentMetrics?: Metric[] };
}

const METRICS_SHOWN_MAX = 2;

function metricBody(metric: Metric | undefined): { name?: string; target?: Target; current?: Target } {
  return metric?.resource ?? metric?.containerResource ?? metric?.pods ?? metric?.object ?? metric?.external ?? {};
}

function formatTarget(target: Target | undefined): string {
  if (target?.averageUtilization !== undefined) return `${target.averageUtilization}%`;
  if (target?.averageValue !== undefined) return target.averageValue;
  return target?.value ?? '<unknown>';
}

function hpaTargets({ spec, status }: HorizontalPodAutoscaler): string {
  const metrics = spec?.metrics ?? [];
  if (metrics.length === 0) return '<none>';
  const list = metrics.map((metric, i) => {
    const { name, target } = metricBody(metric);
    const { current } = metricBody(status?.currentMetrics?.[i]);
    const average = target?.averageValue !== undefined && metric.type !== 'Resource' ? ' (avg)' : '';
    const prefix = name === undefined ? '' : `${name}: `;
    return `${prefix}${formatTarget(current)}/${formatTarget(target)}${average}`;
  });
  const shown = list.slice(0, METRICS_SHOWN_MAX).join(', ');
  return list.length > METRICS_SHOWN_MAX ? `${shown} + ${list.length - METRICS_SHOWN_MAX} more...` : shown;
}

export const hpaTable: TableConvertor = tableOf<HorizontalPodAutoscaler>([
  nameColumn(),
  column('Reference', ({ spec }) => `${spec?.scaleTargetRef?.kind ?? ''}/${spec?.scaleTargetRef?.name ?? ''}`),
  column('Targets', hpaTargets),
  column('MinPods', ({ spec }) => String(spec?.minReplicas ?? '<unset>')),
  column('MaxPods', ({ spec }) => spec?.maxReplicas ?? 0, { type: 'integer' }),
  column('Replicas', ({ status }) => status?.currentReplicas ?? 0, { type: 'integer' }),
  ageColumn(),
]);

interface PodDisruptionBudget extends Meta {
  readonly spec?: { minAvailable?: number | string; maxUnavailable?: number | string };
  readonly status?: { disruptionsAllowed?: number };
}

export const pdbTable: TableConvertor = tableOf<PodDisruptionBudget>([
  nameColumn(),
  column('Min Available', ({ spec }) => String(spec?.minAvailable ?? 'N/A')),
  column('Max Unavailable', ({ spec }) => String(spec?.maxUnavailable ?? 'N/A')),
  column('Allowed Disruptions', ({ status }) => status?.disruptionsAllowed ?? 0, { type: 'integer' }),
  ageColumn(),
]);

interface PersistentVolume extends Meta {
  readonly spec?: {
    capacity?: Record<string, string>;
    accessModes?: string[];
    persistentVolumeReclaimPolicy?: string;
    claimRef?: { namespace?: string; name?: string };
    storageClassName?: string;
    volumeAttributesClassName?: string;
    volumeMode?: string;
  };
  readonly status?: { phase?: string; reason?: string };
}

const classOf = ({ metadata, spec }: PersistentVolume | PersistentVolumeClaim): string =>
  metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec?.storageClassName ?? '';

const phaseOf = ({ metadata, status }: Meta & { status?: { phase?: string } }): string =>
  metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating';

export const persistentVolumeTable: TableConvertor = tableOf<PersistentVolume>([
  nameColumn(),
  column('Capacity', ({ spec }) => spec?.capacity?.['storage'] ?? ''),
  column('Access Modes', ({ spec }) => formatAccessModes(spec?.accessModes)),
  column('Reclaim Policy', ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? ''),
  column('Status', phaseOf),
  column('Claim', ({ spec }) =>
    spec?.claimRef === undefined ? '' : `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}`,
  ),
  column('StorageClass', classOf),
  column('VolumeAttributesClass', ({ spec }) => orUnset(spec?.volumeAttributesClassName)),
  column('Reason', ({ status }) => status?.reason ?? ''),
  ageColumn(),
  wide('VolumeMode', ({ spec }) => orUnset(spec?.volumeMode)),
]);

interface PersistentVolumeClaim extends Meta {
  readonly spec?: {
    volumeName?: string;
    storageClassName?: string;
    volumeAttributesClassName?: string;
    volumeMode?: string;
  };
  readonly status?: { phase?: string; capacity?: Record<string, string>; accessModes?: string[] };
}

const isBound = ({ spec }: PersistentVolumeClaim): boolean => (spec?.volumeName ?? '') !== '';

export const persistentVolumeClaimTable: TableConvertor = tableOf<PersistentVolumeClaim>([
  nameColumn(),
  column('Status', phaseOf),
  column('Volume', ({ spec }) => spec?.volumeName ?? ''),
  column('Capacity', (claim) => (isBound(claim) ? (claim.status?.capacity?.['storage'] ?? '') : '')),
  column('Access Modes', (claim) => (isBound(claim) ? formatAccessModes(claim.status?.accessModes) : '')),
  column('StorageClass', classOf),
  column('VolumeAttributesClass', ({ spec }) => orUnset(spec?.volumeAttributesClassName)),
  ageColumn(),
  wide('VolumeMode', ({ spec }) => orUnset(spec?.volumeMode)),
]);

interface StorageClass extends Meta {
  readonly provisioner?: string;
  readonly reclaimPolicy?: string;
  readonly volumeBindingMode?: string;
  readonly allowVolumeExpansion?: boolean;
}

export const storageClassTable: TableConvertor = tableOf<StorageClass>([
  column(
    'Name',
    ({ metadata }) =>
      metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true'
        ? `${metadata.name ?? ''} (default)`
        : (metadata.name ?? ''),
    { format: 'name' },
  ),
  column('Provisioner', ({ provisioner }) => provisioner ?? ''),
  column('ReclaimPolicy', ({ reclaimPolicy }) => reclaimPolicy ?? 'Delete'),
  column('VolumeBindingMode', ({ volumeBindingMode }) => volumeBindingMode ?? 'Immediate'),
  column('AllowVolumeExpansion', ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false, { type: 'boolean' }),
  ageColumn(),
]);

interface VolumeAttachment extends Meta {
  readonly spec?: { attacher?: string; nodeName?: string; source?: { persistentVolumeName?: string } };
  readonly status?: { attached?: boolean };
}

export const volumeAttachmentTable: TableConvertor = tableOf<VolumeAttachment>([
  nameColumn(),
  column('Attacher', ({ spec }) => spec?.attacher ?? ''),
  column('PV', ({ spec }) => spec?.source?.persistentVolumeName ?? ''),
  column('Node', ({ spec }) => spec?.nodeName ?? ''),
  column('Attached', ({ status }) => status?.attached ?? false, { type: 'boolean' }),
  ageColumn(),
]);

interface CsiNode extends Meta {
  readonly spec?: { drivers?: unknown[] };
}

export const csiNodeTable: TableConvertor = tableOf<CsiNode>([
  nameColumn(),
  column('Drivers', ({ spec }) => (spec?.drivers ?? []).length, { type: 'integer' }),
  ageColumn(),
]);

interface PriorityClass extends Meta {
  readonly value?: number;
  readonly globalDefault?: boolean;
  readonly preemptionPolicy?: string;
}

export const priorityClassTable: TableConvertor = tableOf<PriorityClass>([
  nameColumn(),
  column('Value', ({ value }) => value ?? 0, { type: 'integer' }),
  column('Global-Default', ({ globalDefault }) => globalDefault ?? false, { type: 'boolean' }),
  ageColumn(),
  column('PreemptionPolicy', ({ preemptionPolicy }) => preemptionPolicy ?? ''),
]);

interface RuntimeClass extends Meta {
  readonly handler?: string;
}

export const runtimeClassTable: TableConvertor = tableOf<RuntimeClass>([
  nameColumn(),
  column('Handler', ({ handler }) => handler ?? ''),
  ageColumn(),
]);

interface ResourceQuota extends Meta {
  readonly status?: { hard?: Record<string, string>; used?: Record<string, string> };
}

function quotaCells({ status }: ResourceQuota, isLimit: boolean): string {
  return Object.keys(status?.hard ?? {})
    .filter((name) => name.startsWith('limits') === isLimit)
    .toSorted()
    .map((name) => `${name}: ${status?.used?.[name] ?? '0'}/${status?.hard?.[name] ?? '0'}`)
    .join(', ');
}

export const resourceQuotaTable: TableConvertor = tableOf<ResourceQuota>([
  nameColumn(),
  column('Request', (quota) => quotaCells(quota, false)),
  column('Limit', (quota) => quotaCells(quota, true)),
  ageColumn(),
]);

interface WebhookConfiguration extends Meta {
  readonly webhooks?: unknown[];
}

export const webhookConfigurationTable: TableConvertor = tableOf<WebhookConfiguration>([
  nameColumn(),
  column('Webhooks', ({ webhooks }) => (webhooks ?? []).length, { type: 'integer' }),
  ageColumn(),
]);

interface AdmissionPolicy extends Meta {
  readonly spec?: { validations?: unknown[]; paramKind?: { apiVersion?: string; kind?: string } };
}

export const validatingAdmissionPolicyTable: TableConvertor = tableOf<AdmissionPolicy>([
  nameColumn(),
  column('Validations', ({ spec }) => (spec?.validations ?? []).length, { type: 'integer' }),
  column('ParamKind', ({ spec }) =>
    spec?.paramKind === undefined ? '<unset>' : `${spec.paramKind.apiVersion ?? ''}/${spec.paramKind.kind ?? ''}`,
  ),
  ageColumn(),
]);

interface AdmissionPolicyBinding extends Meta {
  readonly spec?: { policyName?: string; paramRef?: { namespace?: string; name?: string } };
}

export const validatingAdmissionPolicyBindingTable: TableConvertor = tableOf<AdmissionPolicyBinding>([
  nameColumn(),
  column('PolicyName', ({ spec }) => spec?.policyName ?? ''),
  column('ParamRef', ({ spec }) => {
    const reference = spec?.paramRef;
    if (reference === undefined) return '<unset>';
    const { namespace = '', name = '' } = reference;
    return namespace === '' ? name : `${namespace}/${name}`;
  }),
  ageColumn(),
]);

interface FlowSchema extends Meta {
  readonly spec?: {
    priorityLevelConfiguration?: { name?: string };
    matchingPrecedence?: number;
    distinguisherMethod?: { type?: string };
  };
  readonly status?: { conditions?: { type: string; status: string }[] };
}

interface PriorityLevelConfiguration extends Meta {
  readonly spec?: {
    type?: string;
    limited?: {
      nominalConcurrencyShares?: number;
      limitResponse?: { queuing?: { queues?: number; handSize?: number; queueLengthLimit?: number } };
    };
  };
}

const queuingOf = ({
  spec,
}: PriorityLevelConfiguration): { queues?: number; handSize?: number; queueLengthLimit?: number } =>
  spec?.limited?.limitResponse?.queuing ?? {};

export const priorityLevelConfigurationTable: TableConvertor = tableOf<PriorityLevelConfiguration>([
  nameColumn(),
  column('Type', ({ spec }) => spec?.type ?? ''),
  column('NominalConcurrencyShares', ({ spec }) => spec?.limited?.nominalConcurrencyShares ?? '<none>'),
  column('Queues', (level) => queuingOf(level).queues ?? '<none>'),
  column('HandSize', (level) => queuingOf(level).handSize ?? '<none>'),
  column('QueueLengthLimit', (level) => queuingOf(level).queueLengthLimit ?? '<none>'),
  ageColumn(),
]);

export const flowSchemaTable: TableConvertor = tableOf<FlowSchema>([
  nameColumn(),
  column('PriorityLevel', ({ spec }) => spec?.priorityLevelConfiguration?.name ?? ''),
  column('MatchingPrecedence', ({ spec }) => spec?.matchingPrecedence ?? 0, { type: 'integer' }),
  column('DistinguisherMethod', ({ spec }) => spec?.distinguisherMethod?.type ?? '<none>'),
  ageColumn(),
  column(
    'MissingPL',
    ({ status }) => (status?.conditions ?? []).find(({ type }) => type === 'Dangling')?.status ?? '?',
  ),
]);
